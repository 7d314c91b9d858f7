"""What happens when a customer pays too little, too late, twice, or something else?

A page of buttons: each makes an invoice, of a shop whose prices last twenty seconds where something
is to come too late or not at all, and makes the thing happen on the embedded chain, by the
customer's own wallet and the makers' own orders. The code that deals with it is the product's; only
the accident is ours. Mounted by the sandbox alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from string import Template
from typing import Final, NamedTuple

import structlog
from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse

from engine.types import Outcome
from gateway.node.node import Stack
from gateway.pages.checkout import HEADERS
from gateway.pages.render import Html, escape, fill
from gateway.sandbox import actors
from gateway.sandbox.funding import fill_wallet
from gateway.sandbox.routes import PAGES, SandboxShop
from gateway.sandbox.wallet import TransactionLost, Wallet
from gateway.trading.rejection import Rejection
from merchants.documents.native import InvoiceDocument
from merchants.stores.stores import StoreRequest
from settlement.ports import awaited
from settlement.protocol.abi import encode_call
from settlement.protocol.evidence import SessionLogin

STORE_FILE: Final = "sandbox-exceptions-store"
LIFETIME_S: Final = 20
"""How long a price of this shop lasts: nobody waits a quarter of an hour to see what late is."""

AT_ONCE_MAX: Final = 4
"""Accidents under way; more are refused."""

WAIT_SECONDS: Final = 90
LOOK_SECONDS: Final = 0.5
QUOTE_SECONDS: Final = 30 * 86_400
NATIVE_RAW: Final = 10**15
FALLEN_PERCENT: Final = 80


class Accident(NamedTuple):
    """One button: what it does to the invoice, and what is the right end. ``is_hasty`` is where the
    price is to expire; else it stands for as long as usual, for the embedded chain's time runs
    ahead of ours."""

    title: str
    end: str
    does: Callable[["Accidents", InvoiceDocument], Awaitable[None]]
    is_hasty: bool = False


class Accidents:
    """Makes them happen, a few at a time."""

    def __init__(
        self,
        stack: Stack,
        shop: SandboxShop,
        hasty: SandboxShop,
        wallets: Mapping[int, Wallet],
        makers: Mapping[int, actors.Quotes],
    ) -> None:
        self._stack = stack
        self._shop = shop
        self.hasty = hasty
        self._wallets = wallets
        self._makers = makers
        self._customer = asyncio.Lock()
        """One transaction of the customer's wallet at a time: two would have one nonce."""
        self._book = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, name: str) -> str:
        """Make an invoice and let ``name`` happen to it by itself; return the invoice's id."""
        if len(self._tasks) >= AT_ONCE_MAX:
            raise Rejection(Outcome.RATE_LIMITED, "some are under way; try again in a minute")
        shop = self.hasty if ACCIDENTS[name].is_hasty else self._shop
        invoice_id = shop.buy("book")
        task = asyncio.create_task(self._run(name, self._read(invoice_id)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return invoice_id

    async def _run(self, name: str, invoice: InvoiceDocument) -> None:
        try:
            await ACCIDENTS[name].does(self, invoice)
        except (TransactionLost, Rejection) as refused:
            # Whoever plays here has the wallets' keys too, and may have emptied them.
            structlog.get_logger("accidents").warning(name, invoice=invoice.id, why=str(refused))

    def _read(self, invoice_id: str) -> InvoiceDocument:
        found = self._stack.parts.merchants.reader.invoice(invoice_id)
        assert found is not None, "it was just made"
        return found

    async def until(
        self, invoice: InvoiceDocument, is_so: Callable[[InvoiceDocument], bool]
    ) -> None:
        """Wait until something is so of an invoice, or long enough."""
        for _ in range(int(WAIT_SECONDS / LOOK_SECONDS)):
            if is_so(self._read(invoice.id)):
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def send(self, invoice: InvoiceDocument, percent: int, symbol: str = "TOKEN") -> None:
        """Pay ``percent`` of what is due by the customer's wallet; of another token, its price."""
        token = self._stack.parts.catalog.token(symbol)
        assert token is not None, "the sandbox lists it"
        whole = self._shop.due_raw(invoice, token)
        raw = whole * percent // 100
        to = bytes.fromhex(invoice.deposit_address[2:])

        def sent() -> None:
            wallet = self._wallets[actors.CUSTOMER]
            fill_wallet(self._stack.chain, wallet, token, raw)
            transfer = encode_call("transfer", to, raw, contract="TestToken")
            wallet.transact(token.address, transfer)

        async with self._customer:
            await asyncio.to_thread(sent)

    async def send_native(self, invoice: InvoiceDocument) -> None:
        """Send the chain's own coin to the address, as who presses the wrong button does."""
        to = bytes.fromhex(invoice.deposit_address[2:])
        wallet = self._wallets[actors.CUSTOMER]
        async with self._customer:
            await asyncio.to_thread(wallet.transact, to, b"", NATIVE_RAW)

    async def with_book_at(self, percent: int, invoice: InvoiceDocument) -> None:
        """Pay while the makers quote ``percent`` of their price (0 for nothing at all), until the
        shop has seen that it cannot sell; then let them quote as before."""
        async with self._book:
            try:
                await self._requote(percent)
                await self.send(invoice, 100)
                for _ in range(int(WAIT_SECONDS / LOOK_SECONDS)):
                    if any(sale.reason for sale in self._read(invoice.id).conversions):
                        return
                    await asyncio.sleep(LOOK_SECONDS)
                    await self._cancel_all(actors.TRADER)
            finally:
                await self._requote(100)

    async def _requote(self, percent: int) -> None:
        market = self._stack.parts.catalog.markets[0]
        for who in (*self._makers, actors.TRADER):
            await self._cancel_all(who)
        # Nonces of a lane are the time in seconds, and have to rise.
        await asyncio.sleep(1)
        now = self._stack.now_ns() // 10**9
        for who, quotes in self._makers.items() if percent else ():
            moved = quotes._replace(mid_ticks=quotes.mid_ticks * percent // 100)
            for order in actors.quotes_of(
                self._wallets[who], market, moved, nonce=now, expiry=now + QUOTE_SECONDS
            ):
                await self._stack.parts.exchange.place(order)

    async def _cancel_all(self, who: int) -> None:
        market = self._stack.parts.catalog.markets[0]
        wallet, now = self._wallets[who], self._stack.now_ns() // 10**9
        asked = SessionLogin(wallet.address, now, wallet.login_signature(now))
        exchange = self._stack.parts.exchange
        await awaited(exchange.offer_cancel_all(wallet.address, market, asked))


async def _short(accidents: Accidents, invoice: InvoiceDocument) -> None:
    await accidents.send(invoice, 60)


async def _over(accidents: Accidents, invoice: InvoiceDocument) -> None:
    await accidents.send(invoice, 150)


async def _twice(accidents: Accidents, invoice: InvoiceDocument) -> None:
    await accidents.send(invoice, 100)
    await accidents.until(invoice, lambda now: now.status == "settled")
    await accidents.send(invoice, 100)


async def _in_parts(accidents: Accidents, invoice: InvoiceDocument) -> None:
    await accidents.send(invoice, 50)
    await accidents.send(invoice, 50)


async def _late(accidents: Accidents, invoice: InvoiceDocument) -> None:
    await accidents.until(invoice, lambda now: now.status == "expired")
    await accidents.send(invoice, 105)


async def _other_token(accidents: Accidents, invoice: InvoiceDocument) -> None:
    await accidents.send(invoice, 100, "USD")


async def _native(accidents: Accidents, invoice: InvoiceDocument) -> None:
    await accidents.send_native(invoice)


async def _nothing(_accidents: Accidents, _invoice: InvoiceDocument) -> None:
    return


async def _fallen(accidents: Accidents, invoice: InvoiceDocument) -> None:
    await accidents.with_book_at(FALLEN_PERCENT, invoice)


async def _empty(accidents: Accidents, invoice: InvoiceDocument) -> None:
    await accidents.with_book_at(0, invoice)


ACCIDENTS: Final[Mapping[str, Accident]] = {
    "short": Accident(
        "Too little is paid",
        "The price expires; the shop keeps what came and is told how much is short.",
        _short,
        is_hasty=True,
    ),
    "over": Accident("Too much is paid", "Settled, paid over; all of it is sold.", _over),
    "parts": Accident("It is paid in two parts", "Settled as if it were one.", _in_parts),
    "twice": Accident(
        "It is paid twice", "Settled once; the shop is told of the rest, which is sold too.", _twice
    ),
    "late": Accident(
        "It is paid too late",
        "Weighed at the price of its moment: settled, paid late, if it is worth enough.",
        _late,
        is_hasty=True,
    ),
    "never": Accident("It is not paid", "The price expires.", _nothing, is_hasty=True),
    "other-token": Accident(
        "Another token is sent",
        "It counts at its own value: settled, and the shop is told what came.",
        _other_token,
    ),
    "native-coin": Accident(
        "The chain's own coin is sent",
        "It pays nothing; the contract gives it out of the address again.",
        _native,
        is_hasty=True,
    ),
    "price-falls": Accident(
        "The price falls by a fifth before the payment",
        "Settled; the sale waits for its price and is made when the makers are back.",
        _fallen,
    ),
    "empty-book": Accident(
        "Nobody bids when it is paid",
        "Settled; the sale waits, is tried again, and is made when somebody bids.",
        _empty,
    ),
}


def accidents_of(
    stack: Stack,
    shop: SandboxShop,
    wallets: Mapping[int, Wallet],
    makers: Mapping[int, actors.Quotes],
) -> Accidents:
    """Return those of ``shop`` and of a hasty one, not open yet; ``makers`` quote like that."""
    merchant, customer = wallets[actors.MERCHANT], wallets[actors.CUSTOMER]
    terms = StoreRequest(
        merchant.address, "USD", ("TOKEN",), name="The hasty shop", lifetime_s=LIFETIME_S
    )
    hasty = SandboxShop(stack, merchant, customer, terms, STORE_FILE)
    return Accidents(stack, shop, hasty, wallets, makers)


def accidents_router(accidents: Accidents) -> APIRouter:
    """Return the page and what its buttons do."""
    router = APIRouter(prefix="/sandbox/exceptions", include_in_schema=False)
    rows = "\n".join(
        f"<li><span><strong>{escape(each.title)}</strong><br>{escape(each.end)}</span>"
        f"<form method='post' action='/sandbox/exceptions/{name}'><button>Make it happen</button>"
        "</form></li>"
        for name, each in ACCIDENTS.items()
    )
    page = fill(Template((PAGES / "exceptions.html").read_text()), accidents=Html(rows))

    @router.get("")
    async def show() -> Response:
        """Show what can go wrong."""
        return Response(page, headers=dict(HEADERS), media_type="text/html")

    @router.post("/{name}")
    async def make_it_happen(name: str) -> Response:
        """Make an invoice, let it happen, and go to the checkout page to watch."""
        if name not in ACCIDENTS:
            raise Rejection(Outcome.NOT_FOUND)
        return RedirectResponse(f"/checkout/{accidents.begin(name)}", status_code=303)

    return router
