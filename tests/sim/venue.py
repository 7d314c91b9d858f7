"""What is one life of the exchange in the simulator?

``gateway.node.assembly`` puts it together as it does for ``tillbook serve``, without sockets: every
object is the product's own, every seam is the world's. Where ``Planted`` names another class than
the product's, a bug is planted.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from engine.core import Engine
from engine.journal import Journal, SnapshotFiles
from engine.journal.snapshot import SnapshotDamaged, prune_snapshots, write_snapshot
from engine.sequencer.sequencer import Sequencer
from engine.types import Limits
from gateway.node.assembly import LogSeams, Parts, Seams, assemble, begin
from gateway.node.settings import ExchangeSettings, MarketPlan
from merchants.records.database import open_database
from merchants.sales.reference_prices import PriceTerms
from settlement.outbox.outbox import Outbox
from tests.sim.ack_oracle import AckOracle
from tests.sim.chain import Node, SimSigner
from tests.sim.contract import Machine, Terms
from tests.sim.storage import SimStorage
from tests.statements import knowing_statements

NS: Final = 10**9
LIMITS: Final = Limits(tokens=4, markets=2, accounts=64, orders=512, ladder_ticks=1 << 12)
ROOM_STEP: Final = 16_384
SYMBOL: Final = "TOKEN-USD"
LOT_PIPS: Final = 10**6
TICK_PIPS: Final = 10**4
STATED_PIPS: Final = 20 * 10**8
"""What the operator says a TOKEN is worth: two thousand ticks, where the market begins."""
BATCH_AGE_NS: Final = 2 * NS
MARKETS: Final = (
    MarketPlan(
        symbol=SYMBOL,
        base="TOKEN",
        quote="USD",
        lot_pips=LOT_PIPS,
        tick_pips=TICK_PIPS,
        maker_fee_ppm=500,
        taker_fee_ppm=1_000,
    ),
)
TICK_SECONDS: Final = 1


class Planted(NamedTuple):
    """What a life is made of, and the contract it meets; nothing wrong by default."""

    parts: Parts = Parts()
    outbox: type[Outbox] = Outbox
    contract: type[Machine] = Machine
    syncs_directory: bool = True


PRODUCT: Final = Planted()


class Outside(NamedTuple):
    """What outlives the process, and how the process reaches it."""

    directory: Path
    storage: SimStorage
    snapshots: SimStorage
    node: Node
    terms: Terms
    operator: SimSigner
    keyring: Any
    egress: Any
    now_ns: Callable[[], int]
    dice: Random
    cut: Callable[[], None]
    failed: Callable[[BaseException], None]
    count: Callable[[str], None]


class Sizes(NamedTuple):
    """What the world decides about a process."""

    confirmations: int
    file_size: int
    snapshot_every: int
    chain_seconds: int
    merchant_seconds: int


def sized(planted: Planted, file_size: int) -> Parts:
    """Return the parts with little room at a time in the journal: so a seed sees many files."""
    journal = partial(planted.parts.journal, file_size_max=file_size, room_step=ROOM_STEP)
    return planted.parts._replace(journal=journal)


def sequencer_on(
    planted: Planted, storage: SimStorage, snapshots: SimStorage, file_size: int, now_ns: Any
) -> tuple[Journal, Sequencer[Engine]]:
    """Return a journal and its sequencer, and nothing else of a life."""
    parts = sized(planted, file_size)
    journal = parts.journal(storage, LIMITS)
    return journal, parts.sequencer(parts.machine, journal, now_ns, SnapshotFiles(snapshots))


class Venue:
    """One process."""

    def __init__(
        self, outside: Outside, ack_oracle: AckOracle, planted: Planted, sizes: Sizes
    ) -> None:
        self.outside, self.ack_oracle, self.sizes = outside, ack_oracle, sizes
        self.pace = 1
        """How many times slower the loops turn: a world at peace need not be asked so often."""
        self._kept = 0
        self._tasks: list[asyncio.Task[None]] = []
        parts = sized(planted, sizes.file_size)._replace(observers=(ack_oracle,))
        with ExitStack() as opened:
            outbox = planted.outbox(outside.directory / "settlement.sqlite")
            opened.callback(outbox.close)
            self.database = knowing_statements(
                open_database(outside.directory / "merchants.sqlite")
            )
            opened.callback(self.database.dispose)
            sa.event.listen(self.database, "commit", lambda connection: outside.cut())
            self.parts = assemble(self._seams(outbox), parts, self._settings())
            self._closes = opened.pop_all()

    def _seams(self, outbox: Outbox) -> Seams:
        outside, terms = self.outside, self.outside.terms
        snapshots = SnapshotFiles(outside.snapshots)
        return Seams(
            log=LogSeams(outside.storage, snapshots, outside.now_ns, outside.failed),
            chain=outside.node,
            deployment=terms.deployment,
            horizon_s=terms.horizon,
            exit_delay_s=terms.exit_delay,
            operator=outside.operator,
            acknowledging=None,
            outbox=outbox,
            database=self.database,
            keyring=outside.keyring,
            sealing=bytes(32),
            egress=outside.egress,
            entropy=outside.dice.randbytes,
            jitter=outside.dice,
        )

    def _settings(self) -> ExchangeSettings:
        return ExchangeSettings(
            limits=LIMITS,
            confirmations=self.sizes.confirmations,
            batch_age_ns=BATCH_AGE_NS,
            # A world without an operator's price would have none for long: few trade in it.
            prices=PriceTerms(
                owners_min=1, spread_ppm_max=500_000, references={SYMBOL: STATED_PIPS}
            ),
            least_withdrawals={},
            sign_up=False,
        )

    @property
    def engine(self) -> Engine:
        machine: Engine = self.parts.sequencer.machine
        return machine

    async def open(self) -> None:
        """Recover and begin, in the order of ``Stack.__aenter__``."""
        parts = self.parts
        self.ack_oracle.reborn()
        for _ in parts.pipeline.recover():
            pass
        self.ack_oracle.nothing_is_missing()
        await begin(parts, self.outside.terms.deployment, MARKETS)
        self._loop(parts.chain_loop.turn, self.sizes.chain_seconds)
        self._loop(parts.merchants.step, self.sizes.merchant_seconds)
        self._loop(self._tick, TICK_SECONDS)

    def _loop(self, turn: Callable[[], Awaitable[Any]], seconds: int) -> None:
        async def run() -> None:
            while True:
                await turn()
                await self.pause(seconds * self.pace * NS)

        task = asyncio.get_running_loop().create_task(run())
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    @staticmethod
    def pause(wait_ns: int) -> asyncio.Future[None]:
        """Wait in simulated time."""
        loop = asyncio.get_running_loop()
        over = loop.create_future()
        loop.call_later(wait_ns / NS, lambda: over.done() or over.set_result(None))
        return over

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.outside.failed(error)

    async def _tick(self) -> None:
        if self.parts.admission.has_expired(self.outside.now_ns()):
            await self.parts.exchange.tick()
        self.parts.journal.watch_room()
        self._keep()

    def _keep(self) -> None:
        """Write a snapshot when it is due: what ``engine.sequencer.snapshotter`` does in a fork."""
        every = self.sizes.snapshot_every
        if not every or self.parts.sequencer.applied - self._kept < every:
            return
        self._kept = self.parts.sequencer.applied
        self.parts.pipeline.prepare()
        try:
            write_snapshot(
                self.outside.snapshots,
                self.parts.sequencer.snapshot(self.parts.pipeline.checkpoints()),
            )
            prune_snapshots(self.outside.snapshots)
        except (OSError, SnapshotDamaged) as error:
            self.outside.count(f"snapshot failed: {type(error).__name__}")
        else:
            self.outside.count("snapshots")

    def close(self) -> None:
        """The process is gone: what was not committed is lost."""
        self._closes.close()
