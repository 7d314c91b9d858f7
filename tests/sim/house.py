"""What is one life of the exchange in the simulator?

The wiring of ``gateway.node.node`` without sockets: every object is the product's own, every seam
is the world's. Where ``Parts`` names another class than the product's, a bug is planted.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from engine.core import Engine
from engine.journal import Journal, SnapshotFiles
from engine.journal.snapshot import SnapshotDamaged, prune_snapshots, write_snapshot
from engine.log_entries import CheckpointedConsumer
from engine.sequencer.pipeline import Pipeline
from engine.sequencer.sequencer import Sequencer
from engine.types import Limits
from gateway.node.subscriptions import subscriptions
from gateway.views.settlement import SettlementDesk
from merchants.records.database import open_database
from merchants.sales.reference_prices import PriceTerms
from merchants.service import Merchants
from settlement.audit.reconcile import Reconciler
from settlement.batches.sealer import Sealing
from settlement.exchange import Exchange
from settlement.halts import Reconciliation
from settlement.orders.admission import Admission
from settlement.orders.catalog import Catalog
from settlement.orders.session_keys import SessionKeys
from settlement.orders.withdrawals import Withdrawals
from settlement.outbox.outbox import Outbox
from settlement.outbox.submitter import Policy
from settlement.protocol.evidence import TokenListing
from settlement.settler import open_settler
from settlement.watching.deposits import CreditedDeposits
from settlement.watching.unbooked import Unbooked
from settlement.watching.watcher import Watcher
from settlement.worker import ChainLoop
from tests.sim.chain import Node, SimSigner
from tests.sim.contract import Machine, Terms
from tests.sim.storage import SimStorage
from tests.sim.witness import Witness

NS: Final = 10**9
LIMITS: Final = Limits(tokens=4, markets=2, accounts=64, orders=512, ladder_ticks=1 << 12)
ROOM_STEP: Final = 16_384
SYMBOL: Final = "TOKEN-USD"
LOT_PIPS: Final = 10**6
TICK_PIPS: Final = 10**4
STATED_PIPS: Final = 20 * 10**8
"""What the operator says a TOKEN is worth: two thousand ticks, where the market begins."""
BATCH_AGE_NS: Final = 2 * NS
TICK_SECONDS: Final = 1


class Parts(NamedTuple):
    """The classes a life is made of, and the contracts it meets."""

    journal: type[Journal] = Journal
    sequencer: type[Sequencer[Engine]] = Sequencer
    outbox: type[Outbox] = Outbox
    machine: type[Machine] = Machine
    syncs_directory: bool = True


PRODUCT: Final = Parts()


class Seams(NamedTuple):
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


def sequencer_on(
    parts: Parts, storage: SimStorage, snapshots: SimStorage, file_size: int, now_ns: Any
) -> tuple[Journal, Sequencer[Engine]]:
    """Return a journal and its sequencer; little room at a time, so that a seed sees many files."""
    journal = parts.journal(storage, LIMITS, file_size, room_step=ROOM_STEP)
    return journal, parts.sequencer(Engine, journal, now_ns, SnapshotFiles(snapshots))


class House:
    """One process."""

    def __init__(self, seams: Seams, witness: Witness, parts: Parts, sizes: Sizes) -> None:
        self.seams, self.witness, self.sizes = seams, witness, sizes
        self._parts = parts
        self.pace = 1
        """How many times slower the loops turn: a world at peace need not be asked so often."""
        self._kept = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._settle()
        self.journal, self.sequencer = sequencer_on(
            parts, seams.storage, seams.snapshots, sizes.file_size, seams.now_ns
        )
        self.pipeline = Pipeline(self.sequencer, seams.failed)
        self.exchange = Exchange(
            self.pipeline,
            lambda: self.engine,
            self.catalog,
            self.admission,
            seams.terms.domain,
            seams.now_ns,
            Withdrawals(
                seams.terms.deployment.ours,
                {},
                self.settler.reversals,
                seams.terms.exit_delay,
            ),
        )
        self._sell()
        self._follow()

    def _settle(self) -> None:
        seams, deployment = self.seams, self.seams.terms.deployment
        confirmations = self.sizes.confirmations
        self.catalog, self.keys = Catalog(), SessionKeys()
        self.credited_deposits = CreditedDeposits(self.catalog)
        self.admission = Admission(self.catalog, self.keys)
        self.outbox = self._parts.outbox(seams.directory / "settlement.sqlite")
        self.unbooked = Unbooked(self.outbox)
        self.settler = open_settler(
            seams.node,
            self.outbox,
            self.catalog,
            deployment,
            seams.operator,
            Sealing(
                BATCH_AGE_NS,
                horizon_s=seams.terms.horizon,
                exit_delay_s=seams.terms.exit_delay,
            ),
            Policy(confirmations=confirmations),
            seams.now_ns,
        )
        self.watcher = Watcher(seams.node, self.outbox, deployment.exchange, 1, confirmations)
        for token in deployment.tokens:
            self.watcher.watch_token(token.address)
        self.desk = SettlementDesk(self.settler, self.watcher)

    def _sell(self) -> None:
        seams = self.seams
        self.database = open_database(seams.directory / "merchants.sqlite")
        sa.event.listen(self.database, "commit", lambda connection: seams.cut())
        self.merchants = Merchants(
            database=self.database,
            exchange=self.exchange,
            settlement=self.desk,
            keyring=seams.keyring,
            egress=seams.egress,
            clock=seams.now_ns,
            entropy=seams.dice.randbytes,
            jitter=seams.dice,
            confirmations_required=self.sizes.confirmations,
            # A world without an operator's price would have none for long: few trade in it.
            price_terms=PriceTerms(
                owners_min=1, spread_ppm_max=500_000, references={SYMBOL: STATED_PIPS}
            ),
        )

    def _follow(self) -> None:
        node, deployment = self.seams.node, self.seams.terms.deployment
        reconciler = Reconciler(
            node,
            self.outbox,
            self.settler.queue,
            self.settler.reversals,
            self.catalog,
            deployment,
            lambda: self.engine,
            self.unbooked.pips,
        )
        self.reconciliation = Reconciliation(reconciler, self.exchange)
        checkpointed: tuple[CheckpointedConsumer, ...] = (
            self.catalog,
            self.witness,
            self.admission,
            self.credited_deposits,
            *self.settler.consumers,
            self.merchants.prices,
        )
        for subscription in subscriptions(checkpointed, self.merchants, reconciler, self.catalog):
            self.pipeline.subscribe(subscription)
        self.chain_loop = ChainLoop(
            settler=self.settler,
            watcher=self.watcher,
            exchange=self.exchange,
            admission=self.admission,
            keys=self.keys,
            credited_deposits=self.credited_deposits,
            unbooked=self.unbooked,
            payments=self.merchants,
            reconciliation=self.reconciliation,
            listeners=(self.desk, self.merchants),
        )

    @property
    def engine(self) -> Engine:
        return self.sequencer.machine

    async def open(self) -> None:
        """Recover and begin, in the order of ``Stack.__aenter__``."""
        self.witness.reborn()
        for _ in self.pipeline.recover():
            pass
        self.witness.nothing_is_missing()
        self.pipeline.start()
        await self._list_what_is_missing()
        await self.chain_loop.resume()
        for address in self.merchants.watched_addresses():
            self.watcher.watch(address)
        self._loop(self.chain_loop.turn, self.sizes.chain_seconds)
        self._loop(self.merchants.step, self.sizes.merchant_seconds)
        self._loop(self._tick, TICK_SECONDS)

    async def _list_what_is_missing(self) -> None:
        for token in self.seams.terms.deployment.tokens[len(self.catalog.tokens) :]:
            listing = TokenListing(token.symbol, token.address, token.decimals, token.unit_scale)
            assert (await self.exchange.list_token(listing)).accepted
        if not self.catalog.markets:
            receipt = await self.exchange.list_market(
                SYMBOL,
                "TOKEN",
                "USD",
                lot_pips=LOT_PIPS,
                tick_pips=TICK_PIPS,
                maker_fee_ppm=500,
                taker_fee_ppm=1_000,
            )
            assert receipt.accepted

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
            self.seams.failed(error)

    async def _tick(self) -> None:
        if self.admission.has_expired(self.seams.now_ns()):
            await self.exchange.tick()
        self.journal.watch_room()
        self._keep()

    def _keep(self) -> None:
        """Write a snapshot when it is due: what ``engine.sequencer.snapshotter`` does in a fork."""
        every = self.sizes.snapshot_every
        if not every or self.sequencer.applied - self._kept < every:
            return
        self._kept = self.sequencer.applied
        self.pipeline.catch_up()
        try:
            write_snapshot(
                self.seams.snapshots, self.sequencer.snapshot(self.pipeline.checkpoints())
            )
            prune_snapshots(self.seams.snapshots)
        except (OSError, SnapshotDamaged) as error:
            self.seams.count(f"snapshot failed: {type(error).__name__}")
        else:
            self.seams.count("snapshots")

    def close(self) -> None:
        """The process is gone: what was not committed is lost."""
        self.outbox.close()
        self.database.dispose()
