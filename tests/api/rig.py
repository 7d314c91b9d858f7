"""What stands behind the gateway in its tests: a whole exchange in memory.

``MemoryExchange`` honours ``ExchangePort`` over the reference engine: it sequences, applies and
hands committed batches to consumers at once, without a journal. ``MemorySettlement`` moves trades
along when a test says so. ``Wallet`` signs like a browser wallet would.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import orjson
from fastapi import FastAPI
from websockets.asyncio.client import ClientConnection, connect

from engine.command_result import CommandResult
from engine.commands import Kind, batch_of, command, list_market
from engine.log_entries import Committed, Consumer
from engine.reference import Engine
from engine.sequencer.pipeline import receipts_of
from engine.types import Limits, OrderFlag, Outcome, Side, TimeInForce
from gateway.api.services import Services
from gateway.api.v1.stream.outbox import OutboxBounds
from gateway.http.doorkeeper import DoorBounds, Doorkeeper
from gateway.http.metrics import Metrics
from gateway.http.server import HttpServer
from gateway.node.app import create_app
from gateway.trading.budgets import Budgets, RateLimits
from gateway.trading.sessions import SessionIssuer
from gateway.views.channels import Channels
from gateway.views.market_data import MarketData
from gateway.views.trade_states import BatchView
from gateway.views.user_orders import UserStream
from settlement.batches.acknowledgements import Acknowledger
from settlement.chain.signer import SecretSigner
from settlement.orders.catalog import Catalog, ChangesOfTerms, Market, Token
from settlement.ports import AccountNonces, Balance, LaneNonce, TradeState
from settlement.protocol.eip712 import (
    Domain,
    KeyGrant,
    address_of_secret,
    login_digest,
    order_digest,
    sign,
    withdrawal_digest,
)
from settlement.protocol.evidence import (
    AccountOpened,
    AnyAttachment,
    DepositEvidence,
    MarketListing,
    OrderBits,
    SignedOrder,
    SignedWithdrawal,
    TokenListing,
    encode,
)

START_NS = 1_800_000_000 * 10**9
TOKEN_ADDRESS, USD_ADDRESS = bytes([0x11] * 20), bytes([0x22] * 20)
DOMAIN = Domain(31337, bytes([0xEE] * 20))
LOT_PIPS, TICK_PIPS = 10_000, 10  # 0.0001 TOKEN a lot, prices in steps of 0.001 USD.
MAKER_FEE, TAKER_FEE = 0, 1_000
PLENTY = 10**15
OPERATOR_TOKEN = "the operator's own"
OPERATOR = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}


class Clock:
    """Time that moves when a test says so."""

    def __init__(self) -> None:
        self.ns = START_NS

    def now_ns(self) -> int:
        return self.ns


class MemoryExchange:
    """``ExchangePort`` without disk, over the reference engine."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self.catalog = Catalog()
        self.domain = DOMAIN
        self.engine = Engine(Limits(accounts=1 << 10, orders=1 << 12, ladder_ticks=1 << 20))
        self.consumers: list[Consumer] = [self.catalog]
        self.history: list[Committed] = []
        self.keys: dict[bytes, bytes] = {}  # Session key -> account.
        self.pause = asyncio.Event()
        self.pause.set()
        self._now_ns = now_ns
        self._receipts: dict[bytes, CommandResult] = {}
        self._spent: set[tuple[bytes, int, int]] = set()
        self._withdrawn: dict[bytes, int] = {}

    def commit(self, row: np.void, attachment: AnyAttachment | None = None) -> CommandResult:
        row["sequence"] = sequence = self.engine.sequence + 1
        row["time_ns"] = self.now_ns()
        rows = batch_of([row])
        events = self.engine.apply(rows)
        batch = Committed(sequence, rows, [encode(attachment)], events, [bytes(32)])
        self.history.append(batch)
        for consumer in [*self.consumers, ChangesOfTerms(self.catalog)]:
            consumer.consume(batch)
        return next(receipts_of(batch))

    def open_account(self, address: bytes) -> int:
        number = self.catalog.account_number(address)
        if number is None:
            number = self.catalog.account_count
            self.commit(command(Kind.OPEN_ACCOUNT, account=number), AccountOpened(address))
        return number

    def deposit(self, address: bytes, token: bytes, amount: int) -> None:
        listed = self.catalog.token_by_address(token)
        assert listed is not None
        row = command(
            Kind.DEPOSIT, account=self.open_account(address), token=listed.number, amount=amount
        )
        self.commit(row, DepositEvidence(bytes(32), self.engine.sequence, 1, bytes(32)))

    async def place(
        self, order: SignedOrder, charge: Callable[[bytes], None] | None = None
    ) -> CommandResult:
        await self.pause.wait()
        earlier = self._receipts.get(order.digest)
        if earlier is not None:
            return earlier
        refusal = self._judge(order)
        if refusal is not None:
            return refusal
        market = self.catalog.market_of_pair(order.base, order.quote)
        account = self.catalog.account_number(order.account)
        assert market is not None and account is not None
        lots = order.base_amount // market.lot_pips
        single_shot = bool(order.flags & OrderBits.SINGLE_SHOT)
        row = command(
            Kind.PLACE,
            market=market.number,
            account=account,
            side=Side.SELL if order.flags & OrderBits.SELL else Side.BUY,
            tif=TimeInForce.IOC if single_shot else TimeInForce.GTC,
            flags=(OrderFlag.SINGLE_SHOT if single_shot else 0)
            | (OrderFlag.POST_ONLY if order.flags & OrderBits.POST_ONLY else 0),
            price_ticks=order.quote_amount // (lots * market.tick_pips),
            amount=lots,
            fee_cap_ppm=order.max_fee_ppm,
            expiry_ns=order.expiry * 10**9,
        )
        if charge is not None:
            charge(order.account)
        receipt = self.commit(row, order)
        self._receipts[order.digest] = receipt
        self._spent.add((order.account, order.lane, order.nonce))
        return receipt

    def _judge(self, order: SignedOrder) -> CommandResult | None:
        market = self.catalog.market_of_pair(order.base, order.quote)
        if market is None:
            return CommandResult(Outcome.UNKNOWN_MARKET)
        if order.signer != order.account and self.keys.get(order.signer) != order.account:
            return CommandResult(Outcome.UNKNOWN_KEY)
        if self.catalog.account_number(order.account) is None:
            return CommandResult(Outcome.UNKNOWN_ACCOUNT)
        if (order.account, order.lane, order.nonce) in self._spent:
            return CommandResult(Outcome.NONCE_USED)
        lots, rest = divmod(order.base_amount, market.lot_pips)
        if rest or not lots:
            return CommandResult(Outcome.OFF_LOT, detail={"lot_pips": str(market.lot_pips)})
        if order.quote_amount % (lots * market.tick_pips):
            return CommandResult(Outcome.OFF_TICK, detail={"tick_pips": str(market.tick_pips)})
        return None

    async def cancel(self, account: bytes, order_id: int) -> CommandResult:
        number = self.catalog.account_number(account)
        if number is None:
            return CommandResult(Outcome.UNKNOWN_ACCOUNT)
        return self.commit(command(Kind.CANCEL, account=number, order_id=order_id))

    async def withdraw(self, withdrawal: SignedWithdrawal) -> CommandResult:
        number = self.catalog.account_number(withdrawal.account)
        token = self.catalog.token_by_address(withdrawal.token)
        if number is None or token is None:
            return CommandResult(Outcome.UNKNOWN_ACCOUNT)
        row = command(Kind.WITHDRAW, account=number, token=token.number, amount=withdrawal.amount)
        self._withdrawn[withdrawal.account] = withdrawal.nonce
        return self.commit(row, withdrawal)

    def balance(self, account: bytes, token: bytes) -> Balance:
        number = self.catalog.account_number(account)
        listed = self.catalog.token_by_address(token)
        if number is None or listed is None:
            return Balance(0, 0)
        return Balance(
            self.engine.available(number, listed.number), self.engine.held(number, listed.number)
        )

    def depth(self, market: Market, side: Side, levels: int) -> list[tuple[int, int]]:
        return self.engine.depth(market.number, side, levels)

    def least_withdrawal(self, token: Token) -> int:
        return 1

    def is_lost(self, to: bytes) -> bool:
        return to in (bytes(20), self.domain.contract)

    def next_nonce(self, account: bytes) -> int:
        return max((n for a, lane, n in self._spent if a == account and not lane), default=0) + 1

    def nonces(self, account: bytes, lanes: Sequence[int]) -> AccountNonces:
        spent = {lane: n for a, lane, n in self._spent if a == account}
        rows = [LaneNonce(lane, False, spent.get(lane, 0) + 1, 0) for lane in lanes]
        withdrawal = self._withdrawn.get(account, 0) + 1
        return AccountNonces(self.next_nonce(account), withdrawal, rows)

    def now_ns(self) -> int:
        return self._now_ns()


class MemorySettlement:
    """``SettlementView`` that moves when a test says so."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[int, int, str, int | None, bytes | None], None]] = []
        self.views: list[BatchView] = []

    def move(self, first: int, last: int, state: str, batch: int, tx_hash: bytes | None) -> None:
        self.views = [view for view in self.views if view.batch != batch]
        self.views.insert(0, BatchView(batch, state, first, last, tx_hash))
        for listener in self.listeners:
            listener(first, last, state, batch, tx_hash)

    def trade_state(self, trade_id: int) -> TradeState:
        for view in self.views:
            if view.first_trade <= trade_id <= view.last_trade:
                return TradeState(view.state, view.batch, view.tx_hash)
        return TradeState("matched")

    def batches(self, limit: int) -> list[BatchView]:
        return self.views[:limit]

    def enqueue_sweep(self, account: bytes, ref: bytes, token: bytes) -> None:
        raise AssertionError("the gateway sweeps nothing")

    def enqueue_grant(self, grant: KeyGrant, signature: bytes) -> None:
        raise AssertionError("the gateway grants nothing")

    def deposit_address(self, account: bytes, ref: bytes) -> bytes:
        raise AssertionError("the gateway deposits nothing")

    def unwatch(self, address: bytes) -> None:
        raise AssertionError("the gateway watches nothing")

    def newest_block(self) -> int:
        return 0


class Wallet:
    """A private key that signs orders for itself or, as a session key, for ``account``."""

    def __init__(self, seed: int, account: bytes | None = None) -> None:
        self.secret = seed.to_bytes(32, "big")
        self.address = address_of_secret(self.secret)
        self.account = account or self.address
        self._nonce = seed * 1000

    def order(self, side: str, lots: int, ticks: int, **changes: Any) -> dict[str, Any]:
        """Return the body of POST /v1/orders; ``single_shot`` and wire fields may be changed."""
        self._nonce += 1
        single_shot = changes.pop("single_shot", False)
        flags = OrderBits.SELL if side == "sell" else OrderBits(0)
        flags |= OrderBits.SINGLE_SHOT if single_shot else OrderBits(0)
        body: dict[str, Any] = {
            "account": "0x" + self.account.hex(),
            "nonce": str(self._nonce),
            "flags": int(flags),
            "lane": 0 if single_shot else 0x8000 + self._nonce % 0x7FFF,
            "base": "0x" + TOKEN_ADDRESS.hex(),
            "quote": "0x" + USD_ADDRESS.hex(),
            "baseAmount": str(lots * LOT_PIPS),
            "quoteAmount": str(lots * ticks * TICK_PIPS),
            "expiry": START_NS // 10**9 + 3600,
            "maxFeePpm": TAKER_FEE,
            "ref": "0x" + "00" * 32,
        }
        client_id = changes.pop("client_id", None)
        body |= changes
        body["signature"] = "0x" + self.sign_order(body).hex()
        return body if client_id is None else body | {"client_id": client_id}

    def sign_order(self, body: dict[str, Any]) -> bytes:
        """Return the signature over the EIP-712 fields of ``body``."""
        order = SignedOrder(
            account=bytes.fromhex(body["account"][2:]),
            nonce=int(body["nonce"]),
            flags=body["flags"],
            lane=body["lane"],
            base=bytes.fromhex(body["base"][2:]),
            quote=bytes.fromhex(body["quote"][2:]),
            base_amount=int(body["baseAmount"]),
            quote_amount=int(body["quoteAmount"]),
            expiry=body["expiry"],
            max_fee_ppm=body["maxFeePpm"],
            ref=bytes.fromhex(body["ref"][2:]),
            signature=b"",
            signer=b"",
            digest=b"",
        )
        return sign(order_digest(DOMAIN, order), self.secret)

    def login(self, issued_at: int = START_NS // 10**9) -> dict[str, Any]:
        """Return the body of POST /v1/sessions."""
        signature = sign(login_digest(DOMAIN, self.account, issued_at), self.secret)
        return {
            "account": "0x" + self.account.hex(),
            "issuedAt": issued_at,
            "signature": "0x" + signature.hex(),
        }

    def withdrawal(self, amount: int) -> dict[str, Any]:
        """Return the body of POST /v1/withdrawals for USD to the wallet itself."""
        self._nonce += 1
        expiry = START_NS // 10**9 + 3600
        unsigned = SignedWithdrawal(
            self.account, USD_ADDRESS, self.address, amount, self._nonce, expiry, b"", b""
        )
        return {
            "account": "0x" + self.account.hex(),
            "token": "0x" + USD_ADDRESS.hex(),
            "amount": str(amount),
            "to": "0x" + self.address.hex(),
            "nonce": str(self._nonce),
            "expiry": expiry,
            "signature": "0x" + sign(withdrawal_digest(DOMAIN, unsigned), self.secret).hex(),
        }


class House:
    """One exchange with its gateway, and two funded wallets."""

    def __init__(self, budgets: Budgets | None = None, bounds: OutboxBounds | None = None) -> None:
        self.clock = Clock()
        self.exchange = exchange = MemoryExchange(self.clock.now_ns)
        self.settlement = MemorySettlement()
        channels = Channels()
        self.market_data = MarketData(exchange.catalog, channels, self.settlement.trade_state)
        self.user_stream = UserStream(
            exchange.catalog, channels, exchange.balance, self.settlement.trade_state
        )
        self.acknowledger = Acknowledger(DOMAIN, SecretSigner(b"\x77" * 32))
        exchange.consumers += [self.market_data, self.user_stream, self.acknowledger]
        self.settlement.listeners += [
            self.market_data.settlement_changed,
            self.user_stream.settlement_changed,
        ]
        self.missing: list[str] = []
        self.restrictions: list[str] = []
        self.services = Services(
            exchange=exchange,
            contracts={"exchange": DOMAIN.contract},
            settlement=self.settlement,
            channels=channels,
            market_data=self.market_data,
            user_stream=self.user_stream,
            sessions=SessionIssuer(bytes(range(32)), self.clock.now_ns),
            limits=RateLimits(
                budgets or Budgets(60, 10_000, 10_000, 10_000, 10_000), self.clock.now_ns
            ),
            metrics=Metrics(),
            now_ns=self.clock.now_ns,
            not_ready=lambda: self.missing,
            restrictions=lambda: self.restrictions,
            acknowledge=self.acknowledger.of,
            version="0.0.0-test",
            outbox_bounds=bounds or OutboxBounds(),
            operator_token=OPERATOR_TOKEN,
        )
        self.maker, self.taker = Wallet(1), Wallet(2)
        self._list()

    def _list(self) -> None:
        listings = (("TOKEN", TOKEN_ADDRESS, 18, 10**10), ("USD", USD_ADDRESS, 6, -100))
        for number, (symbol, address, decimals, scale) in enumerate(listings):
            self.exchange.commit(
                command(Kind.LIST_TOKEN, token=number),
                TokenListing(symbol, address, decimals, scale),
            )
        row = list_market(
            0,
            0,
            1,
            lot_pips=LOT_PIPS,
            tick_pips=TICK_PIPS,
            maker_fee_ppm=MAKER_FEE,
            taker_fee_ppm=TAKER_FEE,
        )
        self.exchange.commit(row, MarketListing("TOKEN-USD"))
        for wallet in (self.maker, self.taker):
            for token in (TOKEN_ADDRESS, USD_ADDRESS):
                self.exchange.deposit(wallet.address, token, PLENTY)

    def app(self, **changes: Any) -> FastAPI:
        return create_app(replace(self.services, **changes))


@asynccontextmanager
async def served(
    house: House, door: DoorBounds | None = None, **changes: Any
) -> AsyncIterator["Served"]:
    """Serve ``house`` on a free loopback port."""
    app = house.app(**changes)
    server = HttpServer(app, "127.0.0.1", 0, door=Doorkeeper(door or DoorBounds()))
    port = await server.start()
    base = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=base) as http:
        up = Served(house, app, server, port, http)
        try:
            yield up
        finally:
            await up.stop()


class Served:
    """A running gateway and a client of it."""

    def __init__(
        self, house: House, app: FastAPI, server: HttpServer, port: int, http: httpx.AsyncClient
    ) -> None:
        self.house, self.app, self.port, self.http = house, app, port, http
        self._server = server
        self._stopped = False

    async def stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            await self._server.stop()

    def stream(self, **options: Any) -> connect:
        return connect(
            f"ws://127.0.0.1:{self.port}/v1/stream", compression=None, proxy=None, **options
        )

    async def token(self, wallet: Wallet) -> str:
        answer = await self.http.post("/v1/sessions", json=wallet.login())
        token: str = answer.json()["token"]
        return token

    async def place(self, body: dict[str, Any]) -> httpx.Response:
        return await self.http.post("/v1/orders", json=body)


async def ask(socket: ClientConnection, **frame: Any) -> dict[str, Any]:
    """Send one frame and return the next frame that comes."""
    await socket.send(orjson.dumps(frame).decode())
    return await hear(socket)


async def hear(socket: ClientConnection) -> dict[str, Any]:
    """Return the next frame; five seconds are for ever on loopback."""
    async with asyncio.timeout(5):
        heard: dict[str, Any] = orjson.loads(await socket.recv())
    return heard
