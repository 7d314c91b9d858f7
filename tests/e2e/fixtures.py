"""How do the venue's tests get an exchange in memory, and a disk that waits for them?

Everything real but the disk: sequencer, journal, reference engine, pipeline, catalog, admission.
``GatedStorage`` holds a sync back until the test lets it go, or fails it.
"""

import asyncio
import threading
from functools import partial

from engine.journal import Journal
from engine.reference import Engine
from engine.sequencer.pipeline import QUEUE_MAX, Pipeline
from gateway.node.assembly import LogSeams, Parts, assemble_trading, subscribe, subscriptions_of
from settlement.batches.sealer import EXIT_DELAY_S
from settlement.orders.catalog import Catalog
from settlement.orders.withdrawals import Withdrawals
from settlement.protocol.evidence import ZERO_REF, DepositEvidence, TokenListing
from tests.admission.fixtures import DOMAIN, LIMITS, LOT_PIPS, NS, START, TICK_PIPS, TOKEN, USD
from tests.at_once import NothingIsOpen
from tests.journal.fixtures import MemoryStorage

LONG_SECONDS = 10
ROOM_STEP = 4096
TURNS = 50


class GatedStorage(MemoryStorage):
    """Counts syncs; while ``gate`` is clear a sync waits, with ``fails`` it raises."""

    def __init__(self):
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.syncs = 0
        self.fails = False

    def copy(self):
        other = GatedStorage()
        other.__dict__.update(vars(super().copy()))
        return other

    def sync(self, name):
        assert self.gate.wait(LONG_SECONDS), "the test forgot to open the gate"
        if self.fails:
            raise OSError("the disk is gone")
        self.syncs += name.endswith(".journal")
        super().sync(name)


class Venue:
    """An exchange over a gated disk; an async context."""

    def __init__(
        self,
        storage=None,
        queue_max=QUEUE_MAX,
        machine_type=Engine,
        snapshots=None,
        consumers=None,
        withdrawals=None,
        pipeline=Pipeline,
    ):
        """``consumers`` takes this venue and returns more of them, to follow admission."""
        self.storage = storage or GatedStorage()
        self.fatal = []
        self.now_ns = START * NS
        self.trading = assemble_trading(
            LogSeams(self.storage, snapshots, lambda: self.now_ns, self.fatal.append),
            Parts(
                machine=machine_type,
                journal=partial(Journal, room_step=ROOM_STEP),
                pipeline=partial(pipeline, queue_max=queue_max),
            ),
            LIMITS,
            Catalog(),
            DOMAIN,
            withdrawals
            or Withdrawals(frozenset(), {"USD": 1, "TOKEN": 1}, NothingIsOpen(), EXIT_DELAY_S),
        )
        self.catalog, self.keys, self.admission = self.trading[:3]
        self.journal, self.sequencer, self.pipeline, self.exchange = self.trading[4:]
        self.consumers = consumers(self) if consumers else ()
        subscribe(self.pipeline, subscriptions_of(self.trading, settlement=self.consumers))

    @property
    def engine(self):
        return self.sequencer.machine

    async def __aenter__(self):
        self.recovered = list(self.pipeline.recover())
        self.pipeline.start()
        return self

    async def __aexit__(self, kind, error, trace):
        self.storage.gate.set()
        await self.pipeline.close()

    async def list_all(self):
        """List USD (6 decimals on chain) and TOKEN, and their market."""
        for listing in (
            TokenListing("USD", USD, 6, -100),
            TokenListing("TOKEN", TOKEN, 18, 10**10),
        ):
            assert (await self.exchange.list_token(listing)).accepted
        result = await self.exchange.list_market(
            "TOKEN-USD",
            "TOKEN",
            "USD",
            lot_pips=LOT_PIPS,
            tick_pips=TICK_PIPS,
            maker_fee_ppm=1_000,
            taker_fee_ppm=1_000,
        )
        assert result.accepted

    async def fund(self, *owners, pips=10**12):
        """Credit both tokens to each of ``owners``."""
        for owner in owners:
            for token in (USD, TOKEN):
                proof = evidence(owner.address + token)
                assert (await self.exchange.credit(owner.address, token, pips, proof)).accepted


def evidence(salt=b"", log_index=0):
    """Return a deposit's proof that differs by ``salt``."""
    return DepositEvidence(salt[-32:].rjust(32, b"\0"), log_index, 1, ZERO_REF)


async def settle_down():
    """Let everything run that can run without the disk."""
    for _ in range(TURNS):
        await asyncio.sleep(0)
