"""What can be left after a crash, all of it, and does the next start cope with each?

Small worlds only: a journal and a snapshot directory over ``Disk``, and a life of a few batches.
"""

from tests.sim.disk import Disk, Faults, Healthy, Killed, Op, PowerCut, Trouble
from tests.sim.driver import Driver, expected
from tests.sim.storage import SimStorage

SUBSETS_MAX = 4_096


class FailAt:
    """Fails operation number ``at``; ``happens`` says on which side of it."""

    def __init__(self, at: int, happens: bool, raises) -> None:
        self.at, self.happens, self.raises, self.seen = at, happens, raises, 0

    def before(self, op: Op, name: str, size: int) -> Trouble | None:
        self.seen += 1
        return Trouble(self.raises, happens=self.happens) if self.seen == self.at else None


class World:
    """A journal directory and a snapshot directory that go dark together."""

    def __init__(self) -> None:
        self.journal, self.snapshots = Disk(), Disk()

    def with_faults(self, faults: Faults) -> "World":
        twin = World()
        twin.journal, twin.snapshots = self.journal.copy(), self.snapshots.copy()
        twin.journal.faults = twin.snapshots.faults = faults
        return twin

    def ends(self):
        """Yield this world after the power cut, once for each way it can have ended."""
        subsets = 0
        for picks in self.journal.all_losses():
            for others in self.snapshots.all_losses():
                subsets += 1
                assert subsets <= SUBSETS_MAX, "the life is too large to be explored"
                end = World()
                end.journal, end.snapshots = self.journal.copy(), self.snapshots.copy()
                end.journal.settle(picks)
                end.snapshots.settle(others)
                yield end

    def driver(self) -> Driver:
        return Driver(SimStorage(self.journal), SimStorage(self.snapshots))


def explore(before: World, acknowledged: int, live, then=None, raises=PowerCut) -> int:
    """Fail ``live(world, told)`` at every operation, with ``raises``; return how many ends there
    were. ``then(end, acknowledged)`` looks at an end; by default it starts and compares.

    After a power cut every subset of what was not synced is an end of its own. After anything
    else only the process is gone, and there is one.
    """
    ends = at = 0
    while True:
        at += 1
        for happens in (False, True):
            faults = FailAt(at, happens, raises)
            failed = before.with_faults(faults)
            told = [acknowledged]
            try:
                live(failed, told)
            except PowerCut:
                found = failed.ends()
            except (Killed, OSError):
                found = iter([failed.with_faults(Healthy())])
            else:
                assert faults.seen < at
                return ends
            for end in found:
                ends += 1
                (then or starts_whole)(end, told[0])


def starts_whole(end: World, acknowledged: int) -> None:
    """The next start has every acknowledged command and nothing that was never sent."""
    driver = end.driver().start()
    last = driver.sequencer.sequence
    assert last >= acknowledged, f"{acknowledged} were acknowledged, {last} are left"
    assert driver.entries == expected(driver.first, last)
    assert not driver.sequencer.ambiguous, "a power cut alone leaves nothing to review"
    driver.commit(2)
    assert driver.entries == expected(driver.first, last + 2)


def begun(batches: int = 1) -> World:
    """Return a world with ``batches`` of two commands."""
    world = World()
    driver = world.driver().start()
    for _ in range(batches):
        driver.commit(2)
    return world


def commits(*counts, keeps=False):
    """Return a life: start, commit batches of ``counts``, note what was acknowledged."""

    def live(world, told):
        driver = world.driver().start()
        told[0] = driver.sequencer.sequence  # What was shown at a start counts.
        for count in counts:
            driver.commit(count)
            told[0] = driver.sequencer.sequence
            if keeps:
                driver.keep()

    return live
