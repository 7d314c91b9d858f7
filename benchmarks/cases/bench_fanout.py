"""What does it cost to tell many at once, and what does one cost who says nothing?

One book's diffs to hundreds of subscribers, as the views publish them, beside bare picows sending
the same bytes to as many connections in the same process: CPU seconds of this process, confined to
one core, system calls included, until every byte has been read. Then thousands of WebSockets that
are open and silent: resident memory a connection. Then what orders wait beside readers of the book
that do not read, against without them. Readers are sockets of another process.

Easier than the world: every reader reads at once and is on this machine; nobody trades meanwhile.
"""

import asyncio
import gc
import multiprocessing
import os
import resource
import select
import socket
import time
from pathlib import Path
from typing import Any, Final

import picows
import pytest
import uvloop

from benchmarks.cases.bench_gateway import Venue, on_one_core, rate, run_once
from engine.types import Side
from gateway.api.v1.rows import news_text
from gateway.http.websocket import text_frame
from gateway.views.books import BookDiff
from settlement.orders.catalog import Market

SUBSCRIBERS: Final = 500
DIFFS: Final = 200
LEVELS: Final = 5
ROUNDS: Final = 5
IDLE: Final = 10_000
IDLE_SPARE: Final = 500
STALLED: Final = 20
CONNECTIONS: Final = 4
ORDERS: Final = 300
EVERY: Final = 0.01
SLACK_DESCRIPTORS: Final = 1_000

SUBSCRIBE: Final = b'{"op":"subscribe","channel":"book:TOKEN-USD"}'


def masked(text: bytes) -> bytes:
    """Return the frame that a client sends, masked with zeros."""
    return bytes([0x81, 0x80 | len(text)]) + bytes(4) + text


def upgraded(port: int) -> socket.socket:
    """Return an open WebSocket; what follows the handshake is still to be read."""
    made = socket.create_connection(("127.0.0.1", port))
    made.sendall(
        b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += made.recv(1)
    assert b" 101 " in head, head
    return made


def readers(port: int, count: int, first: bytes, told: Any, cores: set[int]) -> None:
    """Be the readers: connect, say ``first``, then read so many bytes as one asks for."""
    os.sched_setaffinity(0, cores)
    sockets = [upgraded(port) for _ in range(count)]
    for each in sockets:
        if first:
            each.sendall(masked(first))
        each.setblocking(False)
    poll = select.epoll()
    by_number = {each.fileno(): each for each in sockets}
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    told.send(None)
    while (wanted := told.recv()) is not None:
        while wanted > 0:
            for number, _ in poll.poll():
                wanted -= len(by_number[number].recv(1 << 20))
        told.send(wanted)


class Readers:
    """The other process."""

    def __init__(self, port: int, count: int, first: bytes, cores: set[int]) -> None:
        self._ours, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=readers, args=(port, count, first, theirs, cores))
        self._process.start()
        theirs.close()

    async def answered(self) -> object:
        return await asyncio.to_thread(self._ours.recv)

    def read(self, size: int | None) -> None:
        self._ours.send(size)

    def end(self) -> None:
        self.read(None)
        self._process.join(60)


def diff_of(market: Market, u: int) -> BookDiff:
    """Return the change of a few levels."""
    changed = {(Side.BUY, 10_000 - level): 1 + (u + level) % 9_000 for level in range(LEVELS)}
    return BookDiff(market=market, prev=u - 1, u=u, changed=changed, checksum=u, time_ns=u)


async def told_by_us(venue: Venue, first: int) -> None:
    """Publish as the views do, a diff a turn of the loop."""
    market = venue.catalog.markets[0]
    for u in range(first, first + DIFFS):
        venue.services.channels.publish("book:TOKEN-USD", diff_of(market, u))
        await asyncio.sleep(0)


class Ear(picows.WSListener):
    """One connection of the bare server."""

    def __init__(self, ears: list[picows.WSTransport]) -> None:
        self._ears = ears

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._ears.append(transport)


async def compared(directory: Path, cores: set[int]) -> tuple[float, float]:
    """Return CPU seconds of ours and of bare picows for the same frames to as many."""
    venue = Venue(directory, SUBSCRIBERS)
    port = await venue.open([])
    market = venue.catalog.markets[0]
    texts = [news_text(diff_of(market, u)) for u in range(DIFFS)]
    size = SUBSCRIBERS * sum(len(text_frame(text)) for text in texts)

    ours = Readers(port, SUBSCRIBERS, SUBSCRIBE, cores)
    await ours.answered()
    await _come_to_rest()
    ours.read(1)  # The snapshots, as far as they have come.
    await ours.answered()
    began = time.process_time()
    await told_by_us(venue, 1)
    ours.read(size - SUBSCRIBERS * 64)
    await ours.answered()
    spent = time.process_time() - began
    ours.end()
    await venue.close()

    ears: list[picows.WSTransport] = []
    bare = await picows.ws_create_server(lambda _: Ear(ears), "127.0.0.1", 0)
    theirs = Readers(bare.sockets[0].getsockname()[1], SUBSCRIBERS, b"", cores)
    await theirs.answered()
    while len(ears) < SUBSCRIBERS:
        await asyncio.sleep(0.01)
    began = time.process_time()
    for text in texts:
        for ear in ears:
            ear.send(picows.WSMsgType.TEXT, text)
        await asyncio.sleep(0)
    theirs.read(size)
    await theirs.answered()
    bare_spent = time.process_time() - began
    theirs.end()
    bare.close()
    return spent, bare_spent


async def _come_to_rest() -> None:
    for _ in range(100):
        await asyncio.sleep(0.01)


def test_diffs_to_many(benchmark: Any, tmp_path: Path) -> None:
    shares: list[float] = []
    costs: list[float] = []

    def one_run() -> None:
        with on_one_core() as others:
            ours, bare = uvloop.run(compared(tmp_path / str(len(shares)), others))
        shares.append(ours / bare)
        costs.append(ours / SUBSCRIBERS / DIFFS * 1e6)

    benchmark.pedantic(one_run, rounds=ROUNDS, iterations=1)
    benchmark.extra_info["figures"] = {
        "gateway.fanout_x_picows": rate(shares, "x"),
        "gateway.fanout": rate(costs, "us"),
    }


def resident_kib() -> int:
    """Return the memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


async def memory_of_the_idle(directory: Path, cores: set[int]) -> float:
    """Return KiB of resident memory for each WebSocket that is open and silent."""
    venue = Venue(directory, IDLE + IDLE_SPARE)
    port = await venue.open([])
    warm = Readers(port, IDLE_SPARE, b"", cores)
    await warm.answered()
    gc.collect()
    before = resident_kib()
    idle = Readers(port, IDLE, b"", cores)
    await idle.answered()
    gc.collect()
    kib = (resident_kib() - before) / IDLE
    idle.end()
    warm.end()
    await venue.close()
    return kib


def test_idle_connections(benchmark: Any, tmp_path: Path) -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < IDLE + SLACK_DESCRIPTORS:
        pytest.skip(f"{IDLE} connections need as many descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sizes: list[float] = []

    def one_run() -> None:
        with on_one_core() as others:
            sizes.append(uvloop.run(memory_of_the_idle(tmp_path / str(len(sizes)), others)))

    benchmark.pedantic(one_run, rounds=1, iterations=1)
    benchmark.extra_info["figures"] = {"gateway.idle_kib": rate(sizes, "KiB")}


def tail_of(directory: Path, stalled: int, cores: set[int]) -> float:
    """Return the p99 of orders at a rate, in seconds, beside readers that do not read."""
    silent: list[Readers] = []

    async def meet(port: int) -> None:
        if stalled:
            silent.append(Readers(port, stalled, SUBSCRIBE, cores))
            await silent[0].answered()

    run = run_once(directory, CONNECTIONS, ORDERS, EVERY, "at a rate", cores, meet)
    _, spent = uvloop.run(run)
    for each in silent:
        each.end()
    return float(sorted(spent)[len(spent) * 99 // 100])


def test_readers_that_do_not_read(benchmark: Any, tmp_path: Path) -> None:
    ratios: list[float] = []

    def one_run() -> None:
        with on_one_core() as others:
            alone = tail_of(tmp_path / f"{len(ratios)} alone", 0, others)
            beside = tail_of(tmp_path / f"{len(ratios)} beside", STALLED, others)
        ratios.append(beside / alone)

    benchmark.pedantic(one_run, rounds=ROUNDS, iterations=1)
    benchmark.extra_info["figures"] = {"gateway.slow_reader_p99_x": rate(ratios, "x")}
