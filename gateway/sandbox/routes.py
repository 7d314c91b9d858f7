"""What can a newcomer press in the sandbox?

A shop with three things to buy, the demo customer's wallet behind a button on the checkout page,
and the embedded chain's JSON-RPC for a browser wallet. Mounted by the sandbox alone.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from string import Template
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from engine.types import Outcome
from gateway.node.node import Stack
from gateway.pages.checkout import HEADERS
from gateway.pages.render import Html, escape, fill
from gateway.sandbox.funding import fill_wallet
from gateway.sandbox.rpc import answer_rpc
from gateway.sandbox.wallet import TransactionLost, Wallet
from gateway.trading.rejection import Rejection
from merchants.documents.native import InvoiceDocument
from merchants.records import rejection
from merchants.records.amounts import pips_of_decimal
from merchants.sales.asked import InvoiceRequest
from merchants.stores.stores import StoreRequest
from settlement.orders.catalog import Token
from settlement.protocol.abi import encode_call
from settlement.protocol.eip712 import grant_digest

PAGES: Final = Path(__file__).parent.parent / "pages" / "sandbox"
GOODS: Final = {
    "coffee": ("Coffee", "4.50"),
    "book": ("A book", "25.00"),
    "lamp": ("Lamp", "89.90"),
}
RPC_THREADS: Final = 2
STORE_FILE: Final = "sandbox-store"


class SandboxShop:
    """A store whose merchant and customer are accounts of the embedded chain."""

    def __init__(
        self,
        stack: Stack,
        merchant: Wallet,
        customer: Wallet,
        terms: StoreRequest | None = None,
        file_name: str = STORE_FILE,
    ) -> None:
        """``terms`` are of another shop than the corner shop, whose number is kept elsewhere."""
        self._stack = stack
        self._merchant = merchant
        self._customer = customer
        self._terms = terms or StoreRequest(
            merchant.address, "USD", ("TOKEN",), name="The corner shop"
        )
        self._file_name = file_name
        self._store_id = ""
        self._paying = asyncio.Lock()
        self._sent: dict[str, str] = {}
        """The transaction that pays each invoice and that the shop has not seen yet."""

    def open(self) -> None:
        """Make the store once; its number is kept in the data directory."""
        path = self._stack.settings.directory / self._file_name
        if path.exists():
            self._store_id = path.read_text()
            return
        created = self._stack.parts.merchants.create_store(self._terms)
        assert not isinstance(created, rejection.Rejection), "the sandbox lists the market"
        for grant_id, grant in created.grants:
            digest = grant_digest(self._stack.parts.exchange.domain, grant)
            approved = self._stack.parts.merchants.grants.approve(
                created.store_id, grant_id, self._merchant.sign_digest(digest)
            )
            assert not isinstance(approved, rejection.Rejection), "the merchant signs for itself"
        path.write_text(created.store_id)
        self._store_id = created.store_id

    def buy(self, thing: str) -> str:
        """Make an invoice for one of the goods; return its id."""
        name, price = GOODS[thing]
        made = self._stack.parts.merchants.create_invoice(
            self._store_id, InvoiceRequest(price, tokens=("TOKEN",), order_id=name)
        )
        if isinstance(made, rejection.Rejection):
            raise Rejection(made.outcome, figures=made.detail)
        return made.invoice.id

    def due_raw(self, invoice: InvoiceDocument, token: Token) -> int:
        """Return what an invoice costs in raw units of an option; of another token, its price."""
        for option in invoice.options:
            if option.token == token.symbol:
                return int(option.amount_due_raw)
        pips = pips_of_decimal(invoice.price)
        assert pips is not None, "our own document"
        return token.raw_of(pips)

    async def pay(self, invoice_id: str) -> None:
        """Send what the invoice still lacks from the customer's wallet.

        One payment at a time: whoever presses twice has paid once, until the shop has seen it.
        """
        async with self._paying:
            invoice = self._stack.parts.merchants.reader.invoice(invoice_id)
            if invoice is None:
                raise Rejection(Outcome.NOT_FOUND)
            sent = self._sent.get(invoice_id)
            if sent is not None and all(payment.tx_hash != sent for payment in invoice.payments):
                return
            option = invoice.options[-1]  # The token that has to be sold, if there is one.
            token = self._stack.parts.catalog.token(option.token)
            assert token is not None, "our own document"
            remaining_raw = int(option.remaining_raw)
            if not remaining_raw:
                self._sent.pop(invoice_id, None)
                return
            to = bytes.fromhex(invoice.deposit_address[2:])
            try:
                tx_hash = await asyncio.to_thread(self._send, token, remaining_raw, to)
            except TransactionLost as lost:
                # Whoever has the customer's key may have sent its native coin away.
                raise Rejection(Outcome.INSUFFICIENT_BALANCE, f"not paid: {lost}") from lost
            self._sent[invoice_id] = "0x" + tx_hash.hex()

    def _send(self, token: Token, raw: int, to: bytes) -> bytes:
        fill_wallet(self._stack.chain, self._customer, token, raw)
        transfer = encode_call("transfer", to, raw, contract="TestToken")
        return self._customer.transact(token.address, transfer).tx_hash


def sandbox_router(stack: Stack, shop: SandboxShop) -> APIRouter:
    """Return the sandbox's routes."""
    router = APIRouter(include_in_schema=False)
    goods = "\n".join(
        f"<li><span>{escape(name)}<br><strong>${price}</strong></span>"
        f"<form method='post' action='/sandbox/buy/{key}'><button>Buy</button></form></li>"
        for key, (name, price) in GOODS.items()
    )
    page = fill(Template((PAGES / "shop.html").read_text()), goods=Html(goods))
    style = (PAGES / "shop.css").read_text()
    wallets = ThreadPoolExecutor(RPC_THREADS, thread_name_prefix="rpc")

    @router.get("/shop")
    async def show_shop() -> Response:
        """Show what is for sale."""
        return Response(page, headers=dict(HEADERS), media_type="text/html")

    @router.get("/sandbox/shop.css")
    async def show_style() -> Response:
        """Return the shop's style."""
        return Response(style, media_type="text/css")

    @router.post("/sandbox/buy/{thing}")
    async def buy(thing: str) -> Response:
        """Make an invoice and go to its checkout page."""
        if thing not in GOODS:
            raise Rejection(Outcome.NOT_FOUND)
        return RedirectResponse(f"/checkout/{shop.buy(thing)}", status_code=303)

    @router.post("/sandbox/pay/{invoice_id}")
    async def pay(invoice_id: str) -> Response:
        """Pay from the demo wallet and go back to the checkout page."""
        await shop.pay(invoice_id)
        return RedirectResponse(f"/checkout/{invoice_id}", status_code=303)

    @router.post("/sandbox/rpc")
    async def rpc(request: Request) -> Response:
        """Let a browser wallet talk to the embedded chain."""
        return await answer_rpc(request, stack.devchain.rpc, wallets)

    return router
