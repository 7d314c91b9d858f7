"""How many signed orders a second go through the whole gateway, and how long does one take?

All of it over loopback: JSON over WebSocket, signature recovered, admission, journal with fsync
(group commit), engine, market data and user streams, answer. The client is a process of its own
and signs beforehand; on a two-core machine it competes with the server for the second core.
Chain and merchants are left out: nobody waits for them.
"""

import asyncio
import multiprocessing
import statistics
import time
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson
import uvloop
from websockets.asyncio.client import connect

from engine.journal import DirectoryStorage
from engine.types import Limits
from gateway.api.services import Services, SettlementView
from gateway.api.v1.stream.outbox import OutboxBounds
from gateway.http.metrics import Metrics
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
from gateway.sandbox.client import order_document
from gateway.trading.budgets import Budgets, RateLimits
from gateway.trading.sessions import SessionIssuer
from gateway.views.trade_states import BatchView
from settlement.batches.sealer import EXIT_DELAY_S
from settlement.chain.signer import SecretSigner
from settlement.orders.catalog import Catalog, Market
from settlement.orders.withdrawals import Withdrawals
from settlement.ports import TradeState
from settlement.protocol.eip712 import Domain, KeyGrant, address_of_secret, order_digest, sign
from settlement.protocol.evidence import (
    ZERO_REF,
    DepositEvidence,
    OrderBits,
    SignedOrder,
    TokenListing,
)

RUNS: Final = 5
CONNECTIONS: Final = 4
ORDERS_PER_CONNECTION: Final = 1_000
IN_FLIGHT: Final = 48
PINGPONG_ORDERS: Final = 300
FUNDS_PIPS: Final = 10**15
LOTS: Final = 100
DOMAIN: Final = Domain(31337, bytes([0xEE] * 20))
PLENTY: Final = Budgets(10, *[1_000_000] * 5)

Frames = list[list[bytes]]


class NoChain:
    """A settlement that never moves: no order waits for it."""

    def trade_state(self, trade_id: int) -> TradeState:
        return TradeState("matched")

    def batches(self, limit: int) -> list[BatchView]:
        return []

    def enqueue_sweep(self, account: bytes, ref: bytes, token: bytes) -> None:
        raise AssertionError("not asked here")

    def enqueue_grant(self, grant: KeyGrant, signature: bytes) -> None:
        raise AssertionError("not asked here")

    def deposit_address(self, account: bytes, ref: bytes) -> bytes:
        raise AssertionError("not asked here")


class NothingIsOpen:
    """Nobody withdraws here."""

    def unpaid(self, account: bytes, token: bytes) -> None:
        return None


class Venue:
    """One exchange over a journal in ``directory``, with its gateway."""

    def __init__(self, directory: Path) -> None:
        self.storage = DirectoryStorage(directory)
        trading = assemble_trading(
            LogSeams(self.storage, None, time.time_ns, _fail),
            Parts(),
            Limits(accounts=1 << 10, orders=1 << 16, ladder_ticks=1 << 16),
            Catalog(),
            DOMAIN,
            Withdrawals(frozenset(), {}, NothingIsOpen(), EXIT_DELAY_S),
        )
        self.catalog, self.pipeline, self.exchange = (
            trading.catalog,
            trading.pipeline,
            trading.exchange,
        )
        chain = self.settlement()
        views = assemble_views(trading, chain.trade_state, SecretSigner(bytes([7]) * 32))
        self.acknowledger = views.acknowledger
        subscribe(self.pipeline, subscriptions_of(trading, views=views))
        self.services = Services(
            exchange=self.exchange,
            contracts={"exchange": DOMAIN.contract},
            settlement=chain,
            channels=views.channels,
            market_data=views.market_data,
            user_stream=views.user_stream,
            sessions=SessionIssuer(bytes(32), time.time_ns),
            limits=RateLimits(PLENTY),
            metrics=Metrics(),
            now_ns=time.time_ns,
            not_ready=list,
            acknowledge=views.acknowledger.of,
            version="bench",
            outbox_bounds=OutboxBounds(),
        )

    def settlement(self) -> SettlementView:
        """Return what answers for the chain."""
        return NoChain()

    async def open(self, wallets: list[bytes]) -> int:
        assert list(self.pipeline.recover()) == []
        self.pipeline.start()
        for number, symbol in enumerate(("TOKEN", "USD")):
            listing = TokenListing(symbol, bytes([number + 1] * 20), 8, 1)
            assert (await self.exchange.list_token(listing)).accepted
        listed = await self.exchange.list_market(
            "TOKEN-USD",
            "TOKEN",
            "USD",
            lot_pips=10_000,
            tick_pips=100,
            maker_fee_ppm=200,
            taker_fee_ppm=1_000,
        )
        assert listed.accepted
        for n, wallet in enumerate(wallets):
            for token in self.catalog.tokens:
                evidence = DepositEvidence(n.to_bytes(32, "big"), token.number, 1, ZERO_REF)
                credited = await self.exchange.credit(wallet, token.address, FUNDS_PIPS, evidence)
                assert credited.accepted
        self.server = HttpServer(create_app(self.services), "127.0.0.1", 0)
        return await self.server.start()

    async def close(self) -> None:
        await self.server.stop()
        await self.pipeline.close()
        self.storage.close()


def _fail(fault: BaseException) -> None:
    raise fault


def secret_of(connection: int, role: int) -> bytes:
    return (1 + 2 * connection + role).to_bytes(32, "big")


def signed_frames(market: Market, connection: int, count: int) -> list[bytes]:
    """Return ``count`` frames: a resting sell and an immediate buy that takes it, in turns."""
    frames = []
    for n in range(count):
        role, step = n % 2, n // 2
        secret = secret_of(connection, role)
        ticks = 10_000 + connection
        flags = OrderBits.SINGLE_SHOT if role else OrderBits.SELL
        unsigned = SignedOrder(
            account=address_of_secret(secret),
            nonce=step + 1,
            flags=int(flags),
            lane=0 if role else 0x8000 + step % 0x8000,
            base=market.base.address,
            quote=market.quote.address,
            base_amount=market.base_pips(LOTS),
            quote_amount=market.quote_pips(LOTS, ticks),
            expiry=time.time_ns() // 10**9 + 3000,
            max_fee_ppm=1_000,
            ref=ZERO_REF,
            signature=b"",
            signer=b"",
            digest=b"",
        )
        frames.append(frame_of(n, unsigned, sign(order_digest(DOMAIN, unsigned), secret)))
    return frames


def frame_of(number: int, order: SignedOrder, signature: bytes) -> bytes:
    body = order_document(msgspec.structs.replace(order, signature=signature))
    return orjson.dumps({"op": "place", "id": number, "order": body})


class _Answer(msgspec.Struct):
    id: int
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


async def talk(port: int, frames: list[bytes], in_flight: int, spent: list[float]) -> None:
    """Send ``frames`` with at most ``in_flight`` unanswered; note seconds to each answer."""
    read = msgspec.json.Decoder(_Answer).decode
    sent: dict[int, float] = {}
    address = f"ws://127.0.0.1:{port}/v1/stream"
    async with connect(address, compression=None, proxy=None) as socket:
        waiting = list(enumerate(frames))[::-1]
        while waiting or sent:
            while waiting and len(sent) < in_flight:
                number, frame = waiting.pop()
                sent[number] = time.perf_counter()
                await socket.send(frame, text=True)
            answer = read(await socket.recv())
            assert answer.error is None, answer.error
            spent.append(time.perf_counter() - sent.pop(answer.id))


def client(port: int, frames: Frames, in_flight: int, told: Any) -> None:
    """Be the client process: send over all connections and tell seconds and latencies."""

    async def all_of_them() -> tuple[float, list[float]]:
        spent: list[float] = []
        began = time.perf_counter()
        await asyncio.gather(*(talk(port, part, in_flight, spent) for part in frames))
        return time.perf_counter() - began, spent

    told.send(asyncio.run(all_of_them()))


async def run_once(directory: Path, connections: int, orders: int, in_flight: int) -> Any:
    """Return (seconds, latencies) of one run on a new exchange."""
    venue = Venue(directory)
    wallets = [
        address_of_secret(secret_of(each, role)) for each in range(connections) for role in (0, 1)
    ]
    port = await venue.open(wallets)
    market = venue.catalog.markets[0]
    frames = [signed_frames(market, each, orders) for each in range(connections)]
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=client, args=(port, frames, in_flight, theirs)
    )
    process.start()
    try:
        told = await asyncio.to_thread(ours.recv)
    finally:
        process.join(60)
        await venue.close()
    assert process.exitcode == 0
    return told


def rate(values: list[float], unit: str) -> dict[str, Any]:
    return {
        "value": statistics.median(values),
        "unit": unit,
        "min": min(values),
        "max": max(values),
        "runs": len(values),
    }


def test_signed_orders_through_the_gateway(benchmark: Any, tmp_path: Path) -> None:
    rates: list[float] = []

    def one_run() -> None:
        directory = tmp_path / str(len(rates))
        seconds, spent = uvloop.run(
            run_once(directory, CONNECTIONS, ORDERS_PER_CONNECTION, IN_FLIGHT)
        )
        assert len(spent) == CONNECTIONS * ORDERS_PER_CONNECTION, "every order was answered"
        rates.append(len(spent) / seconds)

    benchmark.pedantic(one_run, rounds=RUNS, iterations=1)
    benchmark.extra_info["figures"] = {"gateway.signed_orders": rate(rates, "orders/s")}


def test_one_order_at_a_time(benchmark: Any, tmp_path: Path) -> None:
    middles: list[float] = []
    tails: list[float] = []

    def one_run() -> None:
        directory = tmp_path / str(len(middles))
        _, spent = uvloop.run(run_once(directory, 1, PINGPONG_ORDERS, 1))
        spent.sort()
        middles.append(spent[len(spent) // 2] * 1e6)
        tails.append(spent[len(spent) * 99 // 100] * 1e6)

    benchmark.pedantic(one_run, rounds=RUNS, iterations=1)
    benchmark.extra_info["figures"] = {
        "gateway.order_ack_p50": rate(middles, "us"),
        "gateway.order_ack_p99": rate(tails, "us"),
    }
