"""How does a customer say where his refund goes?

A page for whoever has the link, drawn here and complete without a script. The key in the link is
the refund's secret; the page says nothing to who has another, and lets nobody else show it.
"""

import asyncio
from hashlib import sha256
from pathlib import Path
from string import Template
from typing import Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response

from engine.types import Outcome
from gateway.pages.headers import headers
from gateway.pages.render import Html, escape, fill
from gateway.trading.rejection import Rejection
from merchants.documents.refunds import RefundDocument
from merchants.records import rejection
from merchants.records.refunds import RefundState
from merchants.sales.refunds import Claim, Refunds

FOLDER: Final = Path(__file__).parent / "claim"
STYLE: Final = "claim.css"
ADDRESS_CHARS_MAX: Final = 64
KEY_CHARS_MAX: Final = 64
FIELDS_MAX: Final = 4

_WORDS: Final = {
    RefundState.AWAITING_APPROVAL: ("Waiting for the shop", "The shop has still to approve it."),
    RefundState.AWAITING_PAYMENT: ("On its way soon", "The shop pays it next."),
    RefundState.IN_PROGRESS: ("On its way", "It is being paid on chain."),
    RefundState.COMPLETED: ("Paid", "It has been paid."),
    RefundState.CANCELLED: ("No longer open", "Ask the shop if you still expect it."),
}


class ClaimPage:
    """Draws the page."""

    def __init__(self, network: str) -> None:
        """``network`` is the chain's name as people know it."""
        self._network = network
        self._templates = {
            path.stem: Template(path.read_text("utf-8")) for path in FOLDER.glob("*.html")
        }
        self.style = (FOLDER / STYLE).read_bytes()
        self._version = sha256(self.style).hexdigest()[:12]

    def page(self, claim: Claim, key: str, wrong: str = "", typed: str = "") -> str:
        """Return the whole page; ``wrong`` is why what was ``typed`` is not taken."""
        document = claim.document
        is_asked = claim.is_open and (document.receiver is None or bool(wrong))
        body = self._form(document, key, wrong, typed) if is_asked else self._state(document)
        return fill(
            self._templates["shell"],
            title=f"Refund from {claim.shop}" if claim.shop else "Refund",
            amount=document.amount,
            token=document.token,
            assets=self._version,
            body=body,
        )

    def _form(self, document: RefundDocument, key: str, wrong: str, typed: str) -> Html:
        said = f"<p class='wrong' role='alert' id='wrong'>{escape(wrong)}</p>" if wrong else ""
        return fill(
            self._templates["form"],
            network=self._network,
            token=document.token,
            refund_id=document.id,
            key=key,
            wrong=Html(said),
            address=typed,
            invalid=Html(" aria-invalid='true' aria-describedby='wrong'" if wrong else ""),
        )

    def _state(self, document: RefundDocument) -> Html:
        headline, sentence = _WORDS[document.status]
        details = ""
        if document.receiver is not None:
            details += f"<p>To <code>{escape(document.receiver)}</code></p>"
        if document.tx_hash is not None:
            details += f"<p>Transaction <code>{escape(document.tx_hash)}</code></p>"
        return fill(
            self._templates["state"],
            headline=headline,
            sentence=sentence,
            details=Html(details),
        )


def claim_router(refunds: Refunds, network: str) -> APIRouter:
    """Return the routes of the page on which refunds are claimed."""
    router = APIRouter(prefix="/claim", include_in_schema=False)
    pages = ClaimPage(network)
    shown = headers("no-store", may_post=True)

    async def claim_of(refund_id: str, key: str) -> Claim:
        known = len(key) <= KEY_CHARS_MAX and key.isascii() and len(refund_id) <= KEY_CHARS_MAX
        # Who has no key costs a hash; only who has it has us read a row, and on another thread.
        found = await asyncio.to_thread(refunds.claim_of, refund_id, key) if known else None
        if found is None:
            raise Rejection(Outcome.NOT_FOUND, "There is no such refund.")
        return found

    @router.get("/assets/claim.css")
    async def style() -> Response:
        """Return the style sheet; its address carries its version."""
        kept = headers("public, max-age=31536000, immutable")
        return Response(pages.style, media_type="text/css", headers=kept)

    @router.get("/{refund_id}")
    async def page(refund_id: str, key: str = "") -> Response:
        """Return the page."""
        claim = await claim_of(refund_id, key)
        return Response(pages.page(claim, key), media_type="text/html", headers=shown)

    @router.post("/{refund_id}")
    async def take(request: Request, refund_id: str, key: str = "") -> Response:
        """Take the address that was typed, and show what became of it."""
        await claim_of(refund_id, key)
        typed = _address_in(await request.body())
        answer = refunds.claim(refund_id, key, typed)
        claim = await claim_of(refund_id, key)
        if isinstance(answer, rejection.Rejection):
            wrong = answer.detail.get("why", "it cannot be sent there")
            shown_page = pages.page(claim, key, f"Not taken: {wrong}.", typed)
            return Response(shown_page, 422, media_type="text/html", headers=shown)
        # Seen again with GET, so that a reload asks nobody to send the form anew.
        place = {"Location": f"/claim/{refund_id}?key={key}"}
        return Response(status_code=303, headers=shown | place)

    return router


def _address_in(body: bytes) -> str:
    try:
        fields = parse_qs(body.decode(), max_num_fields=FIELDS_MAX, errors="strict")
    except ValueError:
        return ""
    return fields.get("address", [""])[0][:ADDRESS_CHARS_MAX]
