"""Which questions does the facilitator take, and from whom?

``/x402/supported`` is anybody's. All else costs us gas or the node's time, so it is asked with a
store's API key that may make invoices, and is charged to it.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from msgspec.json import encode

from engine.types import Outcome
from gateway.api.budget_headers import note
from gateway.api.key_holders import api_key_of, holder_of_key
from gateway.api.shop_readers import Readers
from gateway.api.x402.facilitator import Facilitator
from gateway.api.x402.schemas import SCHEME, VERSION, Asked, MakeOffer, Offer, Requirements
from gateway.api.x402.threads import Late
from gateway.http.body import body_of
from gateway.http.clients import Clients
from gateway.trading.budgets import ShopLimits
from gateway.trading.rejection import Rejection
from merchants.records import rejection
from merchants.sales.asked import InvoiceRequest
from merchants.service import Merchants
from merchants.stores.api_keys import Holder
from merchants.stores.scopes import CREATE_INVOICES
from settlement.chain.chain import ChainUnavailableError
from settlement.orders.catalog import Catalog, Token
from settlement.outbox.authorizations import TokenDomain
from settlement.protocol.checksum import checksum_address

PAYMENT_IDENTIFIER = "payment-identifier"


class X402Routes:
    """The facilitator's routes under ``/x402``."""

    def __init__(
        self,
        merchants: Merchants,
        catalog: Catalog,
        facilitator: Facilitator,
        clients: Clients,
        limits: ShopLimits,
    ) -> None:
        self._merchants = merchants
        self._catalog = catalog
        self._facilitator = facilitator
        self._clients = clients
        self._limits = limits
        self._readers = Readers()
        self.router = APIRouter(prefix="/x402", tags=["x402"], include_in_schema=False)
        self.router.add_api_route("/supported", self.supported, methods=["GET"])
        # Who asks comes before what he says: reading that costs a millisecond.
        known = [Depends(self._holder)]
        for path, route in (
            ("/verify", self.verify),
            ("/settle", self.settle),
            ("/offers", self.offer),
        ):
            self.router.add_api_route(path, route, methods=["POST"], dependencies=known)

    async def supported(self) -> Response:
        """Return what may be paid with, and who pays the gas."""
        try:
            assets = await self._facilitator.assets()
        except (ChainUnavailableError, Late):
            raise Rejection(Outcome.OVERLOADED, "the chain does not answer") from None
        shown = [
            {
                "asset": checksum_address(token.address),
                "symbol": token.symbol,
                "decimals": token.decimals,
                **domain._asdict(),
            }
            for token, domain in assets
        ]
        network = self._facilitator.network
        kind = {"x402Version": VERSION, "scheme": SCHEME, "network": network}
        return _answer(
            {
                "kinds": [{**kind, "extra": {"assets": shown}}] if shown else [],
                "extensions": [PAYMENT_IDENTIFIER],
                "signers": {"eip155:*": [self._facilitator.signer]},
            }
        )

    async def verify(
        self, request: Request, body: Annotated[Asked, Depends(body_of(Asked))]
    ) -> Response:
        """Return whether a payment would be taken."""
        holder: Holder = request.state.holder
        return _answer(await self._facilitator.verify(holder.store.id, body))

    async def settle(
        self, request: Request, body: Annotated[Asked, Depends(body_of(Asked))]
    ) -> Response:
        """Relay a payment; ask again with the same to hear how it goes."""
        holder: Holder = request.state.holder
        return _answer(await self._facilitator.settle(holder.store.id, body))

    async def offer(
        self, request: Request, body: Annotated[MakeOffer, Depends(body_of(MakeOffer))]
    ) -> Response:
        """Make an invoice for a resource, and return what x402 asks a buyer for."""
        holder: Holder = request.state.holder
        token = self._catalog.token(body.token)
        domain = None if token is None else await self._domain_of(holder.store.id, token)
        if token is None or domain is None:
            raise Rejection(Outcome.UNKNOWN_TOKEN, "no listed token of that name has ERC-3009")
        note(request.scope, self._limits.invoice(holder.store.id).left)
        made = self._merchants.create_invoice(
            holder.store.id,
            InvoiceRequest(body.amount, tokens=(body.token,), order_id=body.resource[:128]),
            is_pressed=True,  # Who asks for terms is a buyer, and may never pay.
        )
        if isinstance(made, rejection.Rejection):
            raise Rejection(made.outcome, figures=made.detail)
        invoice = made.invoice
        requirements = Requirements(
            SCHEME,
            self._facilitator.network,
            checksum_address(token.address),
            invoice.options[0].amount_due_raw,
            checksum_address(bytes.fromhex(invoice.deposit_address.removeprefix("0x"))),
            max(1, invoice.expires_at - invoice.created_at),
            dict(domain._asdict()),
        )
        return _answer(Offer(invoice.id, invoice.expires_at, requirements), 201)

    async def _domain_of(self, store_id: str, token: Token) -> TokenDomain | None:
        try:
            return await self._facilitator.domain_of(store_id, token)
        except (ChainUnavailableError, Late):
            raise Rejection(Outcome.OVERLOADED, "the chain does not answer") from None

    async def _holder(self, request: Request) -> None:
        """Put into the request who asks; each request is charged to his key, each wrong key to the
        address."""
        holder = await holder_of_key(
            request,
            api_key_of(request, ("bearer",)),
            keys=self._merchants.stores.keys,
            readers=self._readers,
            limits=self._limits,
            clients=self._clients,
        )
        if not holder.may(CREATE_INVOICES):
            raise Rejection(Outcome.FORBIDDEN, f"this takes the permission {CREATE_INVOICES}")
        request.state.holder = holder


def _answer(reply: object, status: int = 200) -> Response:
    return Response(encode(reply), status, media_type="application/json")
