"""One seed, one world: who lives in it, what goes wrong, and does every promise hold?

``World`` is what survives a process: disk, chain, clock, people, the ack_oracle. It gives ``Venue``
one life after another, ends each when its dice say so, and compares what the next one remembers
with what was shown and acknowledged. ``tests.sim.quiet`` then heals everything and demands peace.
"""

import asyncio
import inspect
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any, Final

from engine.journal import JournalCorrupt
from engine.journal.journal import AMBIGUOUS, REVIEWED
from settlement.chain.chain import ChainUnavailableError
from settlement.chain.deploy import DeployedToken, Deployment
from tests.sim import market, shopping
from tests.sim.ack_oracle import AckOracle, Violated
from tests.sim.chain import NOWHERE, Blocks, Node, SimSigner, Weather
from tests.sim.contract import Terms
from tests.sim.damage import survives_damage
from tests.sim.disk import Disk, Killed, Op, PowerCut, Trouble, eio
from tests.sim.loop import Clock, VirtualLoop
from tests.sim.mempool import Mempool
from tests.sim.options import Options
from tests.sim.people import Keyring, Shops, Trader
from tests.sim.storage import SimStorage
from tests.sim.venue import LIMITS, NS, PRODUCT, Outside, Planted, Sizes, Venue

START_S: Final = 1_800_000_000
LIVES_MAX: Final = 400
CHECK_EVERY: Final = 500
IDLE_SECONDS: Final = 30
HOUR_NS: Final = 3600 * NS
EXCHANGE: Final = b"\xee" * 20
OPERATOR: Final = SimSigner(b"\x07" * 32)
TERMS: Final = Terms(
    Deployment(
        chain_id=31337,
        deploy_block=1,
        custodian=b"\xbb" * 20,
        exchange=EXCHANGE,
        invoice_deposits=b"\xdd" * 20,
        invoice_implementation=b"\xcc" * 20,
        tokens=(
            DeployedToken("Dollar", "USD", 6, -100, b"\x11" * 20),
            DeployedToken("Token", "TOKEN", 18, 10**10, b"\x22" * 20),
        ),
    ),
    operator=OPERATOR.address,
    horizon=12 * 3600,
    exit_delay=16 * 3600,
)


def memory_directory() -> "tempfile.TemporaryDirectory[str]":
    """SQLite promises its own durability, so its files may lie in memory where there is some."""
    shared = Path("/dev/shm")
    return tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None)


class World:
    """Everything but the process."""

    def __init__(self, options: Options, directory: Path, planted: Planted = PRODUCT) -> None:
        self.options, self.planted, self.directory = options, planted, directory
        self.counts: Counter[str] = Counter()
        self.dice = Random(f"world {options.seed}")
        self.clock = Clock(START_S * NS)
        self.skew_ns = 0
        self.stuck_ns = 0
        self.calm = True
        """Whether faults are off: while the world is built and while it is healed."""
        self.dead = True
        self.ended: BaseException | None = None
        self.loop: VirtualLoop | None = None
        self.venue: Venue | None = None
        self.healing = False
        """Whether what was never answered is sent again, for the last time."""
        self.pace = 1
        self.disk = Disk(self, options.room)
        self.snapshot_disk = Disk(self)
        self.checkpoint_names: set[str] = set()
        self.blocks = Blocks(planted.contract(TERMS), START_S)
        self.node = Node(self.blocks, self.dice, self.count)
        self.node.cut = self.cut
        dice = Random(f"mempool {options.seed}")
        self.mempool = Mempool(self.blocks, options.copied_ppm, dice, self.count)
        self.ack_oracle = AckOracle(LIMITS, self.count)
        self.shops = Shops(self.dice, self.count)
        self.shops.cut, self.shops.pause = self.cut, Venue.pause
        self.keyring = Keyring()
        self.traders = [
            Trader(number, TERMS.domain, TERMS.tokens, self.dice)
            for number in range(options.traders)
        ]
        self.market = market.Market(self)
        self.shopping = shopping.Shopping(self)
        self._checked = 0
        self.reviewed = False
        """Whether this life began with a last batch to review: only cancels are taken in it."""

    @property
    def done(self) -> int:
        """Return how many commands were ever carried out."""
        return len(self.ack_oracle.prints)

    def count(self, what: str) -> None:
        self.counts[what] += 1

    def chance(self, ppm: int) -> bool:
        """Throw the dice, unless all is calm. With every life faults become rarer: what comes
        after a crash needs time, and each start replays everything."""
        if self.calm or ppm == 0:
            return False
        return self.dice.randrange(10**6 + self.counts["lives"] * 200_000) < ppm

    # Seams that the process passes.

    def now_ns(self) -> int:
        """The process's clock, which may jump, run back and stand still."""
        self.cut()
        return self.stuck_ns or self.clock.now_ns + self.skew_ns

    def cut(self) -> None:
        """A place where the process may die; after that it can do nothing more."""
        if self.dead:
            raise Killed
        if self.chance(self.options.seam_kill_ppm):
            self.count("killed at a seam")
            self.die(Killed())

    def die(self, how: BaseException) -> None:
        """End the present life here and now."""
        self.failed(how)
        raise how

    def failed(self, error: BaseException) -> None:
        """The process ends: nothing it says from now on is heard."""
        if self.ended is None:
            self.ended = error
        self.dead = True
        if self.loop is not None:
            self.loop.stop()

    def before(self, op: Op, name: str, size: int) -> Trouble | None:
        """See ``disk.Faults``."""
        if self.dead:
            raise Killed
        options = self.options
        if self.chance(options.power_ppm):
            self.count(f"power cut at {op}")
            return self._fatal(PowerCut)
        if self.chance(options.kill_ppm):
            self.count(f"killed at {op}")
            return self._fatal(Killed)
        errors = {
            Op.WRITE: options.error_write_ppm,
            Op.SYNC: options.error_sync_ppm,
            Op.READ: options.error_read_ppm,
        }
        if self.chance(errors.get(op, 0)):
            self.count(f"EIO at {op}")
            return Trouble(eio, self.dice.randrange(10**6))
        return None

    def _fatal(self, kind: type[BaseException]) -> Trouble:
        def raises() -> BaseException:
            death = kind()
            self.failed(death)
            return death

        return Trouble(raises, self.dice.randrange(10**6), happens=self.dice.random() < 0.5)

    # One life after another.

    def run(self, commands: int) -> None:
        """The safety phase: until ``commands`` are in the journal, whatever happens."""
        self.market.fund_everybody()
        for _ in range(LIVES_MAX):
            before = self.done
            self.calm = False
            self.live(lambda: self.done >= commands)
            if self.done >= commands:
                return
            if self.done == before:
                # Faults so thick that nobody gets up: give the next life time to start.
                self.calm = True
                self.live(lambda: False, seconds=5)
        raise Violated(f"{LIVES_MAX} lives and not done")

    def live(self, enough: Callable[[], bool], seconds: int = 10_000) -> None:
        """One life: start the process, let the world use it, until it ends or is enough."""
        self.count("lives")
        self.ended, self.dead = None, False
        self.loop = VirtualLoop(self.clock, self.dice, self.options.work_ns_max)
        self.loop.set_exception_handler(self._heard)
        deadline_ns = self.clock.now_ns + seconds * NS
        try:
            self.venue = self._built()
            self.loop.run_until_complete(self.venue.open())
            self._review(self.venue)
            self._every(NS, lambda: self._second(enough, deadline_ns))
            self.market.begin()
            self.shopping.begin()
            if not enough():
                self.loop.run_forever()
        except (PowerCut, Killed, ChainUnavailableError, OSError, JournalCorrupt) as error:
            self.failed(error)
        except RuntimeError:
            # ``run_until_complete`` says so when the life ended while the venue was opened.
            if self.ended is None:
                raise
        finally:
            self._bury()
        self._after(self.ended)

    def _built(self) -> Venue:
        options = self.options
        outside = Outside(
            directory=self.directory,
            storage=SimStorage(self.disk, self.planted.syncs_directory),
            snapshots=SimStorage(self.snapshot_disk, self.planted.syncs_directory),
            node=self.node,
            terms=TERMS,
            operator=OPERATOR,
            keyring=self.keyring,
            egress=self.shops,
            now_ns=self.now_ns,
            dice=self.dice,
            cut=self.cut,
            failed=self.failed,
            count=self.count,
        )
        # In peace everybody turns ``pace`` times slower, so they have to look often.
        sizes = Sizes(
            options.confirmations,
            options.file_size,
            options.snapshot_every,
            2 if self.healing else options.chain_seconds,
            3 if options.shops else IDLE_SECONDS,
        )
        return Venue(outside, self.ack_oracle, self.planted, sizes)

    def _review(self, venue: Venue) -> None:
        """A last batch that may have been acknowledged: nothing shown is missing, so it was not.

        The operator sees that, and says so for the next start; until then only cancels are taken.
        """
        self.checkpoint_names = set(venue.parts.pipeline.checkpoints())
        self.reviewed = bool(venue.parts.sequencer.ambiguous)
        for name in venue.parts.sequencer.ambiguous:
            self.count("ambiguous last batch")
            self.disk.entries[name.replace(AMBIGUOUS, REVIEWED)] = self.disk.entries.pop(name)
            self.disk.sync_directory_now()

    def _heard(self, loop: Any, context: dict[str, Any]) -> None:
        """What asyncio would print: an exception that nobody awaited."""
        self.failed(context.get("exception") or RuntimeError(context["message"]))

    def _bury(self) -> None:
        """Nothing of the old life may act any more."""
        self.dead = True
        assert self.loop is not None
        for task in asyncio.all_tasks(self.loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            work = task.get_coro()
            assert inspect.iscoroutine(work)
            if inspect.getcoroutinestate(work) == inspect.CORO_CREATED:
                work.close()  # It never began, which Python would warn of.
        self.loop.set_exception_handler(lambda loop, context: None)
        self.loop.close()
        if self.venue is not None:
            self.venue.close()
        self.venue = self.loop = None

    def _after(self, ended: BaseException | None) -> None:
        """What the end of a life does to the world, and whether it was allowed to end so."""
        if isinstance(ended, PowerCut):
            self.disk.lose_power(self.dice.randrange)
            self.snapshot_disk.lose_power(self.dice.randrange)
            self.count("ended by power cut")
        elif isinstance(ended, Killed):
            self.count("ended by kill")
        elif isinstance(ended, ChainUnavailableError):
            self.count("start put off: no chain")
        elif isinstance(ended, OSError):
            self.count(f"ended by disk error {ended.errno}")
            self.disk.room += 1 << 20
        elif ended is not None:
            raise ended
        if self.chance(self.options.rot_ppm):
            self.count(survives_damage(self, "rot"))
        if self.chance(self.options.misdirect_ppm):
            self.count(survives_damage(self, "misdirected write"))
        for _ in range(self.dice.randrange(5)):
            self.clock.now_ns += self.dice.randrange(20 * NS)
            self.chain_turn()

    # What time brings.

    def _every(self, wait_ns: int, do: Callable[[], None]) -> None:
        loop = self.loop
        assert loop is not None

        def again() -> None:
            if not self.dead and loop is self.loop:
                do()
                loop.call_later(wait_ns * self.pace / NS, again)

        loop.call_later(wait_ns / NS, again)

    def _second(self, enough: Callable[[], bool], deadline_ns: int) -> None:
        assert self.loop is not None and self.venue is not None
        if self.pace > 1 or self.clock.now_ns // NS % 2:
            self.chain_turn()
        self._turn_clock()
        self._operate(self.venue)
        if len(self.ack_oracle.prints) - self._checked >= CHECK_EVERY:
            self._checked = len(self.ack_oracle.prints)
            self.ack_oracle.agree(self.venue.engine)
            self.count("full checks")
        if enough() or self.clock.now_ns > deadline_ns:
            self.dead = True
            self.loop.stop()

    def _operate(self, venue: Venue) -> None:
        """The operator makes room on a full disk, and starts again what was under review."""
        if venue.parts.journal.is_low and self.dice.random() < 0.5:
            self.count("operator made room")
            self.disk.room += 1 << 20
        if self.reviewed and self.dice.random() < 0.2:
            self.failed(Killed())

    def _turn_clock(self) -> None:
        if not self.chance(self.options.clock_ppm):
            return
        kind = self.dice.choice(("ahead", "back", "an hour ahead", "an hour back", "stuck", "set"))
        self.count(f"clock {kind}")
        now_ns = self.clock.now_ns + self.skew_ns
        self.stuck_ns = now_ns if kind == "stuck" else 0
        self.skew_ns = {
            "ahead": self.dice.randrange(5 * NS),
            "back": -self.dice.randrange(5 * NS),
            "an hour ahead": HOUR_NS,
            "an hour back": -HOUR_NS,
            "stuck": self.skew_ns,
            "set": 0,
        }[kind]

    def chain_turn(self) -> None:
        """Mine a block, or let the chain think again; choose how the node answers next."""
        options, dice, blocks = self.options, self.dice, self.blocks
        now_s = self.clock.now_ns // NS
        depth = min(dice.randrange(1, 13), options.confirmations - 1, len(blocks.sealed) - 1)
        if depth > 0 and self.chance(options.reorg_ppm):
            self.count(f"reorg of {depth}")
            blocks.reorganise(depth, dice, now_s, options.drop_ppm if not self.calm else 0)
        if not self.calm:
            self.mempool.look()
        blocks.mine(now_s, lambda sent: self.calm or dice.random() < 0.9, self.mempool.choose)
        blocks.fill_gaps()
        if self.chance(options.stranger_ppm):
            self.count("operator nonce spent by a stranger")
            blocks.act(OPERATOR.address, NOWHERE, b"")
        rough = 0 if self.calm else 1
        self.node.weather = Weather(
            lost_before_ppm=rough * options.chain_lost_ppm,
            lost_after_ppm=rough * options.chain_lost_ppm,
            receipt_missing_ppm=rough * options.receipt_missing_ppm,
            forgets_ppm=rough * options.forgets_ppm,
        )
        lags = options.confirmations > 1 and self.chance(options.lag_ppm)
        self.node.lag = dice.randrange(1, options.confirmations) if lags else 0
        blocks.solvent()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Let somebody do something beside all others."""
        assert self.loop is not None
        task = self.loop.create_task(work)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not self.dead:
            self.failed(error)
