"""What stands behind the gateway in its tests: a whole exchange in memory.

The exchange is assembled as the product's, over the reference engine and a journal in memory; each
command is carried out and shown at once. ``MemorySettlement`` moves trades along when a test says
so. ``Wallet`` signs like a browser wallet would.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import httpx
import numpy as np
import orjson
from fastapi import FastAPI
from websockets.asyncio.client import ClientConnection, connect

from engine.command_result import CommandResult
from engine.commands import Kind, command, list_market
from engine.journal import Journal
from engine.log_entries import Committed
from engine.reference import Engine
from engine.sequencer.sequencer import Sequencer
from engine.sequencer.subscription import Subscription
from engine.types import Limits
from gateway.api.services import Services
from gateway.http.doorkeeper import DoorBounds, Doorkeeper
from gateway.http.metrics import Metrics
from gateway.http.outbox import OutboxBounds
from gateway.http.server import HttpServer
from gateway.node.app import create_app
from gateway.node.assembly import (
    LogSeams,
    Parts,
    assemble_trading,
    assemble_views,
    subscribe,
    subscriptions_of,
)
from gateway.trading.budgets import Budgets, RateLimits
from gateway.trading.sessions import SessionIssuer
from gateway.views.trade_states import BatchView
from settlement.audit.proofs import TradeProof
from settlement.batches.sealer import EXIT_DELAY_S
from settlement.chain.signer import SecretSigner
from settlement.orders.catalog import Catalog
from settlement.orders.session_keys import MAY_BUY, MAY_SELL
from settlement.orders.withdrawals import Withdrawals
from settlement.outbox.actions import WithdrawalState
from settlement.ports import GrantState, TradeState
from settlement.protocol.deposit_address import SweepPlace
from settlement.protocol.eip712 import (
    Domain,
    KeyGrant,
    KeyRevocation,
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
from tests.at_once import AtOnce, NothingIsOpen
from tests.journal.fixtures import MemoryStorage

START_NS = 1_800_000_000 * 10**9
TOKEN_ADDRESS, USD_ADDRESS = bytes([0x11] * 20), bytes([0x22] * 20)
DOMAIN = Domain(31337, bytes([0xEE] * 20))
LOT_PIPS, TICK_PIPS = 10_000, 10  # 0.0001 TOKEN a lot, prices in steps of 0.001 USD.
MAKER_FEE, TAKER_FEE = 0, 1_000
PLENTY = 10**15
LIMITS = Limits(accounts=1 << 10, orders=1 << 12, ladder_ticks=1 << 20)
ROOM_STEP = 4096
OPERATOR_TOKEN = "the operator's own"
OPERATOR = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}


class Clock:
    """Time that moves when a test says so."""

    def __init__(self) -> None:
        self.ns = START_NS
        self.step_ns = 0
        """How far it goes on with each look."""

    def now_ns(self) -> int:
        self.ns += self.step_ns
        return self.ns


class Gated(AtOnce):
    """Carries each command out as it is queued, or as soon as ``gate`` is open."""

    def __init__(
        self, sequencer: Sequencer[Any], on_fatal: Callable[[BaseException], None]
    ) -> None:
        super().__init__(sequencer, on_fatal)
        self.gate = asyncio.Event()
        self.gate.set()

    def enqueue(self, command: np.void, attachment: bytes = b"") -> asyncio.Future[CommandResult]:
        if self.gate.is_set():
            return super().enqueue(command, attachment)
        return asyncio.ensure_future(self._later(command, attachment))

    async def _later(self, command: np.void, attachment: bytes) -> CommandResult:
        await self.gate.wait()
        return self.carry_out(command, attachment)


class History:
    """Every batch there was."""

    def __init__(self) -> None:
        self.batches: list[Committed] = []

    def consume(self, batch: Committed) -> None:
        self.batches.append(batch)


def _fail(fault: BaseException) -> None:
    raise fault


class MemorySettlement:
    """``SettlementView`` that moves when a test says so."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[int, int, TradeState], None]] = []
        self.views: list[BatchView] = []
        self.grants: dict[bytes, KeyGrant] = {}
        self.revocations: dict[bytes, KeyRevocation] = {}
        self.relay_state = "sealed"
        self.last_grant_nonce = 0
        self.proofs: dict[int, TradeProof] = {}
        self.withdrawals: dict[int, WithdrawalState] = {}

    def move(self, first: int, last: int, state: str, batch: int, tx_hash: bytes | None) -> None:
        self.views = [view for view in self.views if view.batch != batch]
        self.views.insert(0, BatchView(batch, state, first, last, tx_hash))
        for listener in self.listeners:
            listener(first, last, TradeState(state, batch, tx_hash))

    def trade_state(self, trade_id: int) -> TradeState:
        for view in self.views:
            if view.first_trade <= trade_id <= view.last_trade:
                return TradeState(view.state, view.batch, view.tx_hash)
        return TradeState("matched")

    def batches(self, limit: int) -> list[BatchView]:
        return self.views[:limit]

    def enqueue_sweeps(self, places: Sequence[SweepPlace]) -> None:
        raise AssertionError("the gateway sweeps nothing")

    def enqueue_grant(self, grant: KeyGrant, signature: bytes) -> None:
        self.grants[signature] = grant

    def grant_state(self, signature: bytes) -> GrantState | None:
        is_known = signature in self.grants or signature in self.revocations
        return GrantState(self.relay_state, None) if is_known else None

    def enqueue_revocation(self, revocation: KeyRevocation, signature: bytes) -> bool:
        self.revocations[signature] = revocation
        return revocation.nonce > self.last_grant_nonce

    def withdrawal_states(self, sequences: Sequence[int]) -> dict[int, WithdrawalState]:
        return {each: self.withdrawals[each] for each in sequences if each in self.withdrawals}

    def receipt(self, trade_id: int) -> TradeProof | None:
        return self.proofs.get(trade_id)

    def deposit_address(self, account: bytes, ref: bytes) -> bytes:
        raise AssertionError("the gateway deposits nothing")

    def unwatch(self, address: bytes) -> None:
        raise AssertionError("the gateway watches nothing")

    def lying(self, address: bytes, tokens: Sequence[bytes]) -> dict[bytes, int] | None:
        return {}

    def vouches(self, wallet: bytes, digest: bytes, signature: bytes) -> bool | None:
        return False

    def newest_block(self) -> int:
        return 0

    def compared(self, account: bytes) -> None:
        return None


def order_in(body: dict[str, Any]) -> SignedOrder:
    """Return the order that a body of POST /v1/orders holds, its signature if there is one."""
    return SignedOrder(
        account=bytes.fromhex(body["account"][2:]),
        nonce=int(body["nonce"]),
        flags=body["flags"],
        lane=body["lane"],
        base=bytes.fromhex(body["base"][2:]),
        quote=bytes.fromhex(body["quote"][2:]),
        base_amount=int(body["baseAmount"]),
        quote_amount=int(body["quoteAmount"]),
        trigger_or_display=int(body.get("triggerOrDisplay", "0")),
        expiry=body["expiry"],
        max_fee_ppm=body["maxFeePpm"],
        ref=bytes.fromhex(body["ref"][2:]),
        signature=bytes.fromhex(body.get("signature", "0x")[2:]),
        signer=b"",
        digest=b"",
    )


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
            "triggerOrDisplay": "0",
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
        return sign(order_digest(DOMAIN, order_in(body)), self.secret)

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


class Venue:
    """One exchange with its gateway, and two funded wallets."""

    def __init__(
        self,
        budgets: Budgets | None = None,
        bounds: OutboxBounds | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        self.clock = Clock()
        self.disk = MemoryStorage()
        self.trading = trading = assemble_trading(
            LogSeams(self.disk, None, self.clock.now_ns, _fail),
            Parts(machine=Engine, journal=partial(Journal, room_step=ROOM_STEP), pipeline=Gated),
            limits,
            Catalog(),
            DOMAIN,
            Withdrawals(
                frozenset({DOMAIN.contract}), {"TOKEN": 1, "USD": 1}, NothingIsOpen(), EXIT_DELAY_S
            ),
        )
        self.exchange = exchange = trading.exchange
        self.settlement = MemorySettlement()
        views = assemble_views(trading, self.settlement.trade_state, SecretSigner(b"\x77" * 32))
        self.market_data, self.user_stream = views.market_data, views.user_stream
        self.acknowledger = views.acknowledger
        past = History()
        self.history = past.batches
        subscribe(trading.pipeline, subscriptions_of(trading, views=views))
        trading.pipeline.subscribe(Subscription("history", past))
        assert not list(trading.pipeline.recover()), "nothing has happened yet"
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
            channels=views.channels,
            market_data=self.market_data,
            candles=views.candles,
            market_states=trading.market_states,
            user_stream=self.user_stream,
            transfers=views.transfers,
            sessions=SessionIssuer(bytes(range(32)), self.clock.now_ns, os.urandom),
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
            self.commit(
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
        self.commit(row, MarketListing("TOKEN-USD"))
        for wallet in (self.maker, self.taker):
            for token in (TOKEN_ADDRESS, USD_ADDRESS):
                self.deposit(wallet.address, token, PLENTY)

    @property
    def engine(self) -> Engine:
        engine: Engine = self.trading.sequencer.machine
        return engine

    @property
    def gate(self) -> asyncio.Event:
        """Open, unless the journal is to be slow."""
        assert isinstance(self.trading.pipeline, Gated)
        return self.trading.pipeline.gate

    def commit(self, row: np.void, attachment: AnyAttachment | None = None) -> CommandResult:
        """Have any command carried out, also one that nobody could ask for."""
        assert isinstance(self.trading.pipeline, Gated)
        return self.trading.pipeline.carry_out(row, encode(attachment))

    def open_account(self, address: bytes) -> int:
        catalog = self.exchange.catalog
        number = catalog.account_number(address)
        if number is None:
            number = catalog.account_count
            self.commit(command(Kind.OPEN_ACCOUNT, account=number), AccountOpened(address))
        return number

    def deposit(self, address: bytes, token: bytes, amount: int) -> None:
        listed = self.exchange.catalog.token_by_address(token)
        assert listed is not None
        row = command(
            Kind.DEPOSIT, account=self.open_account(address), token=listed.number, amount=amount
        )
        self.commit(row, DepositEvidence(bytes(32), self.engine.sequence, 1, bytes(32)))

    def grant(self, key: Wallet) -> None:
        """Let ``key`` sign for its account, as a log of the chain would."""
        grant = KeyGrant(
            account=key.account,
            key=key.address,
            base=TOKEN_ADDRESS,
            quote=USD_ADDRESS,
            sides=MAY_BUY | MAY_SELL,
            expiry=START_NS // 10**9 + 86_400,
            notional_cap=PLENTY,
            floor_price=1,
            nonce=1,
        )
        self.trading.keys.granted(grant)

    def app(self, **changes: Any) -> FastAPI:
        return create_app(replace(self.services, **changes))


@asynccontextmanager
async def served(
    venue: Venue, door: DoorBounds | None = None, **changes: Any
) -> AsyncIterator["Served"]:
    """Serve ``venue`` on a free loopback port."""
    app = venue.app(**changes)
    server = HttpServer(app, "127.0.0.1", 0, door=Doorkeeper(door or DoorBounds()))
    port = await server.start()
    base = f"http://127.0.0.1:{port}"
    # Whom to trust with TLS is read from a file for each client, and nobody here speaks TLS.
    async with httpx.AsyncClient(base_url=base, verify=False) as http:
        up = Served(venue, app, server, port, http)
        try:
            yield up
        finally:
            await up.stop()


class Served:
    """A running gateway and a client of it."""

    def __init__(
        self, venue: Venue, app: FastAPI, server: HttpServer, port: int, http: httpx.AsyncClient
    ) -> None:
        self.venue, self.app, self.port, self.http = venue, app, port, http
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
