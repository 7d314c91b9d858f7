"""How many signed orders a second go through the whole gateway, and how long does one take?

All of it over loopback: JSON over WebSocket, signature recovered, admission, journal with fsync
(group commit), engine, market data and user streams, answer. The client is a process of its own
and signs beforehand; on a two-core machine it competes with the server for the second core.
Chain and merchants are left out: nobody waits for them.

``x_recover`` is the share of what the bare recovery of signatures does on the same core in the same
run: the server is confined to one core, the client to the others. Easier than the world: the client
is on this machine, its accounts are few and rich, every order is good, and each trades with one
other at one price.
"""

import asyncio
import gc
import multiprocessing
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import coincurve
import msgspec
import orjson
import pytest
import uvloop
from websockets.asyncio.client import connect

from engine.journal import DirectoryStorage
from engine.types import Limits
from gateway.api.services import SOCKETS_PER_CLIENT, Services, SettlementView
from gateway.http.doorkeeper import BOUNDS, DoorBounds, Doorkeeper
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
from gateway.sandbox.client import order_document
from gateway.trading.budgets import Budgets, RateLimits
from gateway.trading.sessions import SessionIssuer
from gateway.views.trade_states import BatchView
from settlement.batches.sealer import EXIT_DELAY_S
from settlement.chain.signer import SecretSigner
from settlement.orders.catalog import Catalog, Market
from settlement.orders.withdrawals import Withdrawals
from settlement.ports import TradeState
from settlement.protocol.deposit_address import SweepPlace
from settlement.protocol.eip712 import (
    Domain,
    KeyGrant,
    KeyRevocation,
    address_of_secret,
    order_digest,
    sign,
)
from settlement.protocol.evidence import (
    ZERO_REF,
    DepositEvidence,
    OrderBits,
    SignedOrder,
    TokenListing,
)

RUNS: Final = 5
CONFINED_RUNS: Final = 3
CONNECTIONS: Final = 4
ORDERS_PER_CONNECTION: Final = 1_000
IN_FLIGHT: Final = 48
PINGPONG_ORDERS: Final = 300
CONFINED_CONNECTIONS: Final = 8
CONFINED_ORDERS: Final = 500
REST_ORDERS: Final = 150
BARE_RECOVERIES: Final = 2_000
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
        raise AssertionError("not asked here")

    def enqueue_revocation(self, revocation: KeyRevocation, signature: bytes) -> bool:
        raise AssertionError("not asked here")

    def deposit_address(self, account: bytes, ref: bytes) -> bytes:
        raise AssertionError("not asked here")


class NothingIsOpen:
    """Nobody withdraws here."""

    def unpaid(self, account: bytes, token: bytes) -> None:
        return None


class Venue:
    """One exchange over a journal in ``directory``, with its gateway."""

    def __init__(self, directory: Path, sockets_max: int = SOCKETS_PER_CLIENT) -> None:
        """``sockets_max`` are the WebSockets of one network: all clients here are of one."""
        self.sockets_max = sockets_max
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
            candles=views.candles,
            transfers=views.transfers,
            market_states=trading.market_states,
            user_stream=views.user_stream,
            sessions=SessionIssuer(bytes(32), time.time_ns, os.urandom),
            limits=RateLimits(PLENTY),
            metrics=Metrics(),
            now_ns=time.time_ns,
            not_ready=list,
            acknowledge=views.acknowledger.of,
            version="bench",
            outbox_bounds=OutboxBounds(),
            sockets_per_client=sockets_max,
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
        door = Doorkeeper(DoorBounds(per_network_max=max(BOUNDS.per_network_max, self.sockets_max)))
        self.server = HttpServer(create_app(self.services), "127.0.0.1", 0, door=door)
        port = await self.server.start()
        gc.collect()
        gc.freeze()  # As a started exchange does: see ``Stack.serve``.
        return port

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
            trigger_or_display=0,
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


async def talk_at_a_rate(port: int, frames: list[bytes], every: float, spent: list[float]) -> None:
    """Send a frame ``every`` so many seconds, whatever is answered; note seconds from when each
    was due to its answer, so that a stall is seen by all who would have come meanwhile."""
    read = msgspec.json.Decoder(_Answer).decode
    loop = asyncio.get_running_loop()
    async with connect(f"ws://127.0.0.1:{port}/v1/stream", compression=None, proxy=None) as socket:
        began = loop.time()

        async def send() -> None:
            for number, frame in enumerate(frames):
                await asyncio.sleep(max(0.0, began + number * every - loop.time()))
                await socket.send(frame, text=True)

        sending = asyncio.create_task(send())
        for _ in frames:
            answer = read(await socket.recv())
            assert answer.error is None, answer.error
            spent.append(loop.time() - began - answer.id * every)
        await sending


async def ask(port: int, frames: list[bytes], _in_flight: float, spent: list[float]) -> None:
    """Place the same orders over REST, one after the other on one kept connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for frame in frames:
        body = orjson.dumps(orjson.loads(frame)["order"])
        head = b"POST /v1/orders HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\n"
        began = time.perf_counter()
        writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        told = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert told.startswith(b"http/1.1 201"), told
        await reader.readexactly(int(told.partition(b"content-length:")[2].split(b"\r\n")[0]))
        spent.append(time.perf_counter() - began)
    writer.close()


HOW: Final = {"as answered": talk, "at a rate": talk_at_a_rate, "rest": ask}


def client(
    port: int, frames: Frames, how: str, pace: float, told: Any, cores: set[int] | None
) -> None:
    """Be the client process, on ``cores``: send over all connections, and tell how long it took."""
    if cores:
        os.sched_setaffinity(0, cores)

    async def all_of_them() -> tuple[float, list[float]]:
        spent: list[float] = []
        began = time.perf_counter()
        await asyncio.gather(*(HOW[how](port, part, pace, spent) for part in frames))
        return time.perf_counter() - began, spent

    told.send(asyncio.run(all_of_them()))


async def run_once(
    directory: Path,
    connections: int,
    orders: int,
    pace: float,
    how: str = "as answered",
    cores: set[int] | None = None,
    meet: Callable[[int], Awaitable[None]] | None = None,
) -> Any:
    """Return (seconds, latencies) of one run on a new exchange.

    ``pace`` is how many orders of a connection are under way, or how many seconds lie between two
    of them, as ``how`` says. ``cores`` are the client's. ``meet`` is told the port beforehand, and
    may connect others.
    """
    venue = Venue(directory)
    wallets = [
        address_of_secret(secret_of(each, role)) for each in range(connections) for role in (0, 1)
    ]
    port = await venue.open(wallets)
    if meet is not None:
        await meet(port)
    market = venue.catalog.markets[0]
    frames = [signed_frames(market, each, orders) for each in range(connections)]
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=client, args=(port, frames, how, pace, theirs, cores)
    )
    process.start()
    theirs.close()  # A client that fails is seen by its end of the pipe being gone.
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


@contextmanager
def on_one_core() -> Iterator[set[int]]:
    """Confine this process to one core; give all the others."""
    allowed = os.sched_getaffinity(0)
    if len(allowed) < 2:
        pytest.skip("the client needs a core of its own")
    ours = min(allowed)
    os.sched_setaffinity(0, {ours})
    try:
        yield allowed - {ours}
    finally:
        os.sched_setaffinity(0, allowed)


def bare_rate() -> float:
    """Return how many signers coincurve alone recovers a second."""
    message = bytes(range(32))
    signature = coincurve.PrivateKey().sign_recoverable(message, hasher=None)
    recover = coincurve.PublicKey.from_signature_and_message
    began = time.perf_counter()
    for _ in range(BARE_RECOVERIES):
        recover(signature, message, hasher=None)
    return BARE_RECOVERIES / (time.perf_counter() - began)


def confined(directory: Path, orders: int, pace: float, how: str) -> tuple[float, list[float]]:
    """Return the share of the bare rate on the same core, and latencies, shortest first."""
    with on_one_core() as others:
        before = bare_rate()
        seconds, spent = uvloop.run(
            run_once(directory, CONFINED_CONNECTIONS, orders, pace, how, others)
        )
        bare = statistics.mean((before, bare_rate()))
    assert len(spent) == CONFINED_CONNECTIONS * orders, "every order was answered"
    return len(spent) / seconds / bare, sorted(spent)


def test_share_of_the_bare_recovery(benchmark: Any, tmp_path: Path) -> None:
    shares: list[float] = []

    def one_run() -> None:
        share, _ = confined(tmp_path / str(len(shares)), CONFINED_ORDERS, IN_FLIGHT, "as answered")
        shares.append(share)

    benchmark.pedantic(one_run, rounds=CONFINED_RUNS, iterations=1)
    benchmark.extra_info["figures"] = {"gateway.x_recover": rate(shares, "x")}


def test_share_of_the_bare_recovery_over_rest(benchmark: Any, tmp_path: Path) -> None:
    shares: list[float] = []

    def one_run() -> None:
        share, _ = confined(tmp_path / str(len(shares)), REST_ORDERS, 1, "rest")
        shares.append(share)

    benchmark.pedantic(one_run, rounds=CONFINED_RUNS, iterations=1)
    benchmark.extra_info["figures"] = {"gateway.rest_x_recover": rate(shares, "x")}


def test_half_of_the_load_arrives_and_does_not_wait(benchmark: Any, tmp_path: Path) -> None:
    tails: list[float] = []
    with on_one_core() as others:
        whole = run_once(
            tmp_path / "whole", CONFINED_CONNECTIONS, CONFINED_ORDERS, IN_FLIGHT, cores=others
        )
        seconds, _ = uvloop.run(whole)
    every = 2 * seconds / CONFINED_ORDERS

    def one_run() -> None:
        _, spent = confined(tmp_path / str(len(tails)), CONFINED_ORDERS, every, "at a rate")
        tails.append(spent[len(spent) * 99 // 100] * 1e6)

    benchmark.pedantic(one_run, rounds=CONFINED_RUNS, iterations=1)
    benchmark.extra_info["figures"] = {"gateway.half_load_p99": rate(tails, "us")}
