"""What is the most that one request may cost the event loop, and which request is it?

A filled exchange (books of 1,000 levels a side, thousands of trades in hundreds of batches, an
account with thousands of orders and all the fills that are kept, an invoice), and every route and
frame at its largest. Each is called on the ASGI application itself, so sockets are left out; what
counts is the processor time of the loop's own thread, for that is what others wait for. Between two
calls the book changes at one price. Signatures are recovered on other threads and not in here.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec
import orjson
import uvloop

from benchmarks.cases.bench_gateway import DOMAIN, Venue, frame_of, rate, secret_of
from engine.sequencer.subscription import Subscription
from gateway.api.binance.signing import signature_of
from gateway.api.v1.shops import merchants_router
from gateway.http.body import BODY_MAX
from gateway.http.websocket import WIRE, Hearer
from gateway.node.app import create_app
from gateway.pages.assets import assets
from gateway.pages.checkout import checkout_router
from gateway.pages.checkout_view import CheckoutPage, PageFacts
from gateway.sandbox.client import order_document
from gateway.trading.api_keys import ApiKey, ApiKeys, MemoryEpochs
from gateway.trading.sessions import Session
from gateway.views.missed import FRAMES_MAX
from gateway.views.trade_states import BatchView, TradeStates
from merchants.people.people import PeopleTerms
from merchants.records.rejection import Rejection
from merchants.sales.asked import InvoiceRequest
from merchants.sales.reference_prices import PriceTerms
from merchants.service import Merchants, open_merchants_database
from merchants.stores.keyring import FileKeyring
from merchants.stores.stores import StoreRequest
from merchants.webhooks.egress import HttpEgress
from settlement.audit.proofs import TradeProof
from settlement.ports import TradeState
from settlement.protocol.deposit_address import SweepPlace
from settlement.protocol.eip712 import (
    KeyGrant,
    KeyRevocation,
    address_of_secret,
    grant_digest,
    keccak256,
    login_digest,
    order_digest,
    sign,
)
from settlement.protocol.evidence import (
    ZERO_REF,
    OperatorAction,
    OrderBits,
    SessionLogin,
    SignedOrder,
)

STIRRED: Final = OperatorAction("bench", "the book is stirred")


LEVELS: Final = 1_000
TRADES: Final = 2_000
BATCHES: Final = 400
ORDERS_OF_ONE: Final = 2_000
CALLS: Final = 60
MIDDLE: Final = 100_000
PRICE_PIPS: Final = MIDDLE * 10**6
"""What a whole token costs there: ticks of 100 pips for lots of 10,000."""

OPERATOR: Final = "operator"
CHART: Final = "vendor/lightweight-charts/lightweight-charts.standalone.production.mjs"
STATUS: Final = {"/checkout/nobodys/state": 404, "/nowhere": 404, "/v1/events": 401}

Headers = Sequence[tuple[bytes, bytes]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Batched:
    """A settlement whose trades are all in batches; states from memory, as in production."""

    def __init__(self) -> None:
        self.states = TradeStates(lambda _: None)

    def fill(self, trades: int, batches: int) -> None:
        size = trades // batches
        views = [
            BatchView(n + 1, "final", n * size + 1, (n + 1) * size, keccak256(b"%d" % n))
            for n in range(batches)
        ]
        self.states.load(reversed(views))

    def trade_state(self, trade_id: int) -> TradeState:
        return self.states.of(trade_id)

    def batches(self, limit: int) -> list[BatchView]:
        return self.states.newest(limit)

    def deposit_address(self, account: bytes, ref: bytes) -> bytes:
        return keccak256(account + ref)[12:]

    def enqueue_sweeps(self, places: Sequence[SweepPlace]) -> None:
        raise AssertionError("not asked here")

    def withdrawal_states(self, sequences: Sequence[int]) -> dict[int, Any]:
        """See ``SettlementView``."""
        return {}

    def compared(self, account: bytes) -> None:
        """See ``SettlementView``."""

    def receipt(self, trade_id: int) -> None:
        """See ``SettlementView``."""

    def grant_state(self, signature: bytes) -> None:
        """See ``SettlementView``."""

    def enqueue_grant(self, grant: KeyGrant, signature: bytes) -> None:
        """The shop's wallet has signed it; no chain has to hear of it here."""

    def enqueue_revocation(self, revocation: KeyRevocation, signature: bytes) -> bool:
        raise AssertionError("not asked here")

    def receipts(self, account: bytes, ref: bytes, trade_ids: list[int]) -> list[TradeProof]:
        return []


class Filled(Venue):
    """The venue with as much in it as the questions can ask for."""

    chain: Batched

    def settlement(self) -> Batched:
        self.chain = Batched()
        return self.chain

    def __init__(self, directory: Path, database_url: str = "") -> None:
        super().__init__(directory / "journal")
        self.merchants = Merchants(
            database=open_merchants_database(directory, database_url),
            exchange=self.exchange,
            settlement=self.chain,
            keyring=FileKeyring(directory / "keys"),
            egress=HttpEgress(loopback_allowed=True),
            clock=time.time_ns,
            entropy=Random(7).randbytes,
            jitter=Random(7),
            confirmations_required=12,
            price_terms=PriceTerms(age_ns=0, owners_min=1, references={"TOKEN-USD": PRICE_PIPS}),
            people_terms=PeopleTerms(bytes(32), sign_up=False),
        )
        self.pipeline.subscribe(
            Subscription(self.merchants.prices.checkpoint_name, self.merchants.prices)
        )
        self.stirred = self.stirring = 0

    async def fill(self) -> None:
        self.maker, self.taker = (secret_of(0, role) for role in (0, 1))
        self.nonce = 0
        for step in range(LEVELS):
            await self.place(self.maker, MIDDLE + 1 + step, sell=True, lots=1 + step % 7)
            await self.place(self.maker, MIDDLE - 1 - step, sell=False, lots=1 + step % 7)
        other = secret_of(1, 0)
        for step in range(ORDERS_OF_ONE):
            await self.place(other, MIDDLE - 2_000 - step, sell=False, lots=1)
        await self.place(secret_of(1, 1), MIDDLE, sell=True, lots=TRADES)
        for _ in range(TRADES):
            await self.place(self.taker, MIDDLE, sell=False, lots=1, single_shot=True)
        self.chain.fill(TRADES, BATCHES)
        self.acknowledger.read()  # As at every start: the first order does not wait for history.
        self._open_shop()

    def _open_shop(self) -> None:
        merchants = self.merchants
        store = merchants.create_store(
            StoreRequest(address_of_secret(self.maker), "USD", ("TOKEN",), name="Shop")
        )
        assert not isinstance(store, Rejection)
        self.api_key = store.api_key
        ((grant_id, grant),) = store.grants
        approval = sign(grant_digest(DOMAIN, grant), self.maker)
        approved = merchants.grants.approve(store.store_id, grant_id, approval)
        assert not isinstance(approved, Rejection), approved
        for _ in range(100):
            made = merchants.create_invoice(
                store.store_id, InvoiceRequest("0.5", tokens=("TOKEN",))
            )
            assert not isinstance(made, Rejection), made
            self.invoice_id = made.invoice.id

    def order(
        self, secret: bytes, ticks: int, *, sell: bool, lots: int, single_shot: bool = False
    ) -> SignedOrder:
        market = self.catalog.markets[0]
        self.nonce += 1
        flags = OrderBits.SELL if sell else OrderBits(0)
        flags |= OrderBits.SINGLE_SHOT if single_shot else OrderBits(0)
        account = address_of_secret(secret)
        unsigned = SignedOrder(
            account,
            self.nonce,
            int(flags),
            0 if single_shot else 0x8000 + self.nonce % 0x8000,
            market.base.address,
            market.quote.address,
            market.base_pips(lots),
            market.quote_pips(lots, ticks),
            0,
            time.time_ns() // 10**9 + 3_000,
            1_000,
            ZERO_REF,
            b"",
            b"",
            b"",
        )
        digest = order_digest(self.exchange.domain, unsigned)
        return msgspec.structs.replace(unsigned, digest=digest, signer=account)

    async def place(self, secret: bytes, ticks: int, **what: Any) -> int:
        """Return the order's id."""
        result = await self.exchange.place(self.order(secret, ticks, **what))
        assert result.accepted, result
        return result.order_id

    async def stir(self) -> None:
        """Change the book at one price: an order comes, and goes when next asked."""
        self.stirred += 1
        stirrer = secret_of(1, 1)
        if self.stirred % 2:
            ticks = MIDDLE - 1 - self.stirred % (LEVELS // 2)
            self.stirring = await self.place(stirrer, ticks, sell=False, lots=1)
        else:
            gone = await self.exchange.cancel(address_of_secret(stirrer), self.stirring, STIRRED)
            assert gone.accepted, gone


async def call(
    app: Any, path: str, token: str = "", body: bytes = b"", more: Headers = ()
) -> tuple[int, float]:
    """Return status and CPU seconds of the longest turn of one GET, or POST if there is a body."""
    path, _, query = path.partition("?")
    headers = [(b"content-length", b"%d" % len(body)), *more]
    if token:
        headers.append((b"authorization", b"Bearer " + token.encode()))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST" if body else "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": headers,
        "client": ("203.0.113.7", 1),
        "server": ("127.0.0.1", 1),
        "state": {},
    }
    status = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    answering = app(scope, receive, send)
    if not path.startswith("/api/v3"):
        began = time.thread_time()
        await answering
        return status, time.thread_time() - began
    # The second dialect writes long lists in several turns of the loop: others come in between.
    longest, is_over = 0.0, False
    while not is_over:
        began = time.thread_time()
        try:
            answering.send(None)
        except StopIteration:
            is_over = True
        longest = max(longest, time.thread_time() - began)
    return status, longest


class Line:
    """A WebSocket without a network (``gateway.http.websocket.Wire``): it takes all it is sent."""

    is_writable = True
    hearer: Hearer

    def __init__(self) -> None:
        self.sent = 0

    def listen(self, hearer: Hearer) -> None:
        self.hearer = hearer

    def write(self, frame: bytes) -> None:
        self.sent += 1

    def read_on(self) -> None:
        """What is said is said by ``frames``."""


async def frames(app: Any, sent: list[bytes], before: Callable[[], Awaitable[None]]) -> list[float]:
    """Return CPU seconds of each of ``sent`` on one WebSocket, its answers written out too."""
    line, asked, opened = Line(), asyncio.Queue[dict[str, Any]](), asyncio.Event()
    asked.put_nowait({"type": "websocket.connect"})
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "scheme": "ws",
        "path": "/v1/stream",
        "raw_path": b"/v1/stream",
        "query_string": b"",
        "root_path": "",
        "headers": [],
        "client": ("203.0.113.7", 1),
        "server": ("127.0.0.1", 1),
        "subprotocols": [],
        "state": {},
        "extensions": {WIRE: line},
    }

    async def send(_: dict[str, Any]) -> None:
        opened.set()

    async def settle() -> None:
        for _ in range(8):
            await asyncio.sleep(0)

    running = asyncio.create_task(app(scope, asked.get, send))
    await opened.wait()
    spent = []
    for frame in sent:
        await before()
        began, told = time.thread_time(), line.sent
        line.hearer.heard(frame.decode())
        await settle()
        spent.append(time.thread_time() - began)
        # A place is answered when it is on disk; all else has been answered by now, or nobody
        # heard it and nothing was measured.
        assert line.sent > told or b'"place"' in frame, frame[:80]
    line.hearer.gone()
    await running
    return spent


def routes(venue: Filled, session: str) -> dict[str, tuple[str, str]]:
    """Return path and token by the name to show."""
    invoice = venue.invoice_id
    anybody = (
        "/",
        "/healthz",
        "/readyz",
        "/version",
        f"/market/assets/{assets().version}/market/main.js",
        f"/market/assets/{assets().version}/{CHART}",
        "/openapi.json",
        "/v1/config",
        "/v1/markets",
        "/v1/markets/TOKEN-USD/book?levels=500",
        "/v1/markets/TOKEN-USD/trades?limit=500",
        "/v1/markets/TOKEN-USD/candles?interval=1s&limit=1000",
        "/v1/markets/TOKEN-USD/ticker",
        "/v1/markets/TOKEN-USD/l3",
        "/v1/time",
        "/v1/status",
        "/asyncapi.json",
        "/v1/nonces/0x" + "11" * 20,
        "/v1/settlement/batches?limit=200",
        "/v1/settlement/trades/1",
        f"/checkout/{invoice}",
        f"/checkout/{invoice}/state",
        "/checkout/nobodys/state",
        "/nowhere",
        "/api/v3/exchangeInfo",
        "/api/v3/depth?symbol=TOKENUSD&limit=1000",
        "/api/v3/trades?symbol=TOKENUSD&limit=1000",
        "/api/v3/aggTrades?symbol=TOKENUSD&limit=1000",
        "/api/v3/klines?symbol=TOKENUSD&interval=1s&limit=1000",
        "/api/v3/klines?symbol=TOKENUSD&interval=1s&limit=1",
        "/api/v3/avgPrice?symbol=TOKENUSD",
        "/api/v3/ticker/24hr",
        "/api/v3/ticker/price",
    )
    own = ("/v1/orders", "/v1/balances", "/v1/fills?limit=500")
    shop = ("/v1/invoices", f"/v1/invoices/{invoice}", f"/v1/invoices/{invoice}/receipt")
    asked = dict.fromkeys(anybody, "")
    asked |= dict.fromkeys(own, session) | dict.fromkeys(shop, venue.api_key)
    asked |= {"/v1/events": "a made-up key", "/metrics": OPERATOR}
    return {path.replace(invoice, "ID"): (path, token) for path, token in asked.items()}


async def measured(directory: Path) -> dict[str, tuple[float, float]]:
    """Return (median, first) milliseconds by request."""
    venue = Filled(directory)
    secrets = [secret_of(each, role) for each in (0, 1) for role in (0, 1)]
    await venue.open([address_of_secret(secret) for secret in secrets])
    await venue.fill()
    shops = merchants_router(venue.merchants, venue.exchange.domain, OPERATOR, "http://x")
    pages = checkout_router(venue.merchants.reader, CheckoutPage(PageFacts("bench")))
    keys = ApiKeys(bytes(32), MemoryEpochs(), venue.exchange.now_ns)
    changes = {"routers": (shops, pages), "operator_token": OPERATOR, "api_keys": keys}
    app = create_app(replace(venue.services, **changes))
    found: dict[str, tuple[float, float]] = {}
    session, taker = (
        venue.services.sessions.issue(SessionLogin(address_of_secret(secret), 0, b""), 2**40)[0]
        for secret in (secret_of(1, 0), venue.taker)
    )
    for name, (path, token) in routes(venue, session).items():
        spent = []
        for _ in range(CALLS):
            await venue.stir()
            status, seconds = await call(app, path, taker if "fills" in name else token)
            assert status == STATUS.get(path, 200), (path, status)
            spent.append(seconds * 1_000)
        found[f"GET {name}"] = (statistics.median(spent), spent[0])
    for name, key in dialect(venue, keys).items():
        spent = []
        for _ in range(CALLS):
            await venue.stir()
            path, more = sealed(name, key, venue.exchange.now_ns())
            status, seconds = await call(app, path, more=more)
            assert status == 200, (name, status)
            spent.append(seconds * 1_000)
        found[f"GET {name}"] = (statistics.median(spent), spent[0])
    for path, (status, bodies) in posts(venue).items():
        spent = []
        for body in bodies:
            got, seconds = await call(app, path.partition(" ")[0], "", body)
            assert got == status, (path, got)
            spent.append(seconds * 1_000)
        found[f"POST {path}"] = (statistics.median(spent), spent[0])
    for name, sent in said(venue, session).items():
        spent = [s * 1_000 for s in (await frames(app, sent, venue.stir))[len(sent) - CALLS :]]
        found[f"WS {name}"] = (statistics.median(spent), spent[0])
    await venue.close()
    return found


def dialect(venue: Filled, keys: ApiKeys) -> dict[str, ApiKey | None]:
    """Return whose API key is needed by path of the second dialect."""
    owner, taker = (
        keys.mint(Session(proof.account, 2**40, proof), may_trade=False)
        for proof in (
            SessionLogin(address_of_secret(secret), 0, b"")
            for secret in (secret_of(1, 0), venue.taker)
        )
    )
    anybody = ("exchangeInfo", "ticker/24hr", "depth?symbol=TOKENUSD&limit=1000")
    more = ("trades?symbol=TOKENUSD&limit=1000", "klines?symbol=TOKENUSD&interval=1s&limit=1000")
    asked: dict[str, ApiKey | None] = {f"/api/v3/{path}": None for path in (*anybody, *more)}
    for path in ("openOrders", "allOrders?symbol=TOKENUSD", "account"):
        asked[f"/api/v3/{path}"] = owner
    asked["/api/v3/myTrades?symbol=TOKENUSD"] = taker
    return asked


def sealed(path: str, key: ApiKey | None, now_ns: int) -> tuple[str, Headers]:
    """Return a path of the second dialect with its signature, and the key's header."""
    if key is None:
        return path, ()
    path, _, query = path.partition("?")
    query += f"{'&' if query else ''}timestamp={now_ns // 1_000_000}"
    query += f"&signature={signature_of(key.secret, query)}"
    return f"{path}?{query}", ((b"x-mbx-apikey", key.key.encode()),)


def posts(venue: Filled) -> dict[str, tuple[int, list[bytes]]]:
    """Return the status and the bodies by path and, behind a blank, what kind they are."""
    now = time.time_ns() // 10**9
    account = address_of_secret(venue.maker)
    login = {
        "account": "0x" + account.hex(),
        "issuedAt": now,
        "signature": "0x" + sign(login_digest(DOMAIN, account, now), venue.maker).hex(),
    }
    orders = [
        venue.order(venue.maker, MIDDLE - 5_000, sell=False, lots=1, single_shot=True)
        for _ in range(CALLS)
    ]
    signed = [
        orjson.dumps(
            order_document(
                msgspec.structs.replace(order, signature=sign(order.digest, venue.maker))
            )
        )
        for order in orders
    ]
    return {
        "/v1/orders junk": (400, [b"[" * BODY_MAX] * CALLS),
        "/v1/orders": (201, signed),
        "/v1/orders/digest": (200, signed),
        "/v1/sessions": (201, [orjson.dumps(login)] * CALLS),
    }


def said(venue: Filled, session: str) -> dict[str, list[bytes]]:
    """Return frames by the name to show; those that come first only prepare."""
    account = address_of_secret(secret_of(1, 0))
    known = max(0, venue.services.user_stream.frame_number(account) - FRAMES_MAX // 2)

    def frame(**fields: Any) -> bytes:
        return orjson.dumps(fields)

    login = [frame(op="login", token=session)]
    orders = []
    for _ in range(CALLS):
        order = venue.order(venue.maker, MIDDLE - 5_000, sell=False, lots=1, single_shot=True)
        orders.append(frame_of(1, order, sign(order.digest, venue.maker)))
    return {
        "ping": [frame(op="ping")] * CALLS,
        "subscribe book": [frame(op="subscribe", channel="book:TOKEN-USD")] * CALLS,
        "subscribe trades": [frame(op="subscribe", channel="trades:TOKEN-USD")] * CALLS,
        "subscribe orders": login + [frame(op="subscribe", channel="orders")] * CALLS,
        "subscribe orders, all missed": login
        + [frame(op="subscribe", channel="orders", **{"from": known})] * CALLS,
        "subscribe trades, all missed": [
            frame(op="subscribe", channel="trades:TOKEN-USD", **{"from": 1})
        ]
        * CALLS,
        **{
            f"subscribe {kind}": [frame(op="subscribe", channel=f"{kind}:TOKEN-USD{rest}")] * CALLS
            for kind, rest in (("l3", ""), ("bbo", ""), ("ticker", ""), ("candles", ":1m"))
        },
        "subscribe status": [frame(op="subscribe", channel="status")] * CALLS,
        "subscribe balances": login + [frame(op="subscribe", channel="balances")] * CALLS,
        "junk": [b"[" * 60_000] * CALLS,
        "place": orders,
    }


def test_no_request_holds_everybody_up(benchmark: Any, tmp_path: Path) -> None:
    tables: list[dict[str, tuple[float, float]]] = []
    benchmark.pedantic(
        lambda: tables.append(uvloop.run(measured(tmp_path))), rounds=1, iterations=1
    )
    (table,) = tables
    for name, (median, first) in sorted(table.items(), key=lambda row: -row[1][0]):
        print(f"{median:8.2f} ms  (first {first:6.2f})  {name}")
    dearest = max(table.values())[0]
    benchmark.extra_info["figures"] = {"gateway.dearest_request_ms": rate([dearest], "ms")}
