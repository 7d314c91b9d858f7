"""Is every acknowledged command there, whatever a power cut leaves of what was not synced?

Not by dice: at each operation of a short life the power goes, before it and after it, and every
subset of the unsynced sectors, sizes and names is what the disk may have kept. Small worlds have
few of them, and most crash bugs need no more.
"""

import pytest

from tests.sim.explore import World, begun, commits, explore


def test_over_one_rotation():
    ends = explore(begun(), 2, commits(2, 2))
    assert ends > 100, "the rotation was not cut often enough"


@pytest.mark.soak
def test_over_the_first_start(say):
    say(f"{explore(World(), 0, commits(1, 2))} ends of a first start")


@pytest.mark.soak
def test_over_batches_of_several_sectors(say):
    say(f"{explore(begun(), 2, commits(12, 2, 20))} ends of large batches")


@pytest.mark.soak
def test_over_snapshots(say):
    ends = explore(begun(2), 4, commits(2, 2, 2, 2, keeps=True))
    say(f"{ends} ends of four snapshots")


@pytest.mark.soak
def test_over_a_recovery_that_is_cut_twice(say):
    """Every end of a rotation, its recovery cut anywhere, and the recovery of that cut again."""
    counted = [0, 0]

    def again(end, acknowledged):
        counted[0] += 1
        explore(end, acknowledged, commits(), once_more)

    def once_more(end, acknowledged):
        counted[1] += 1
        explore(end, acknowledged, commits())

    explore(begun(), 2, commits(2), again)
    say(f"{counted} ends cut once and twice more")
    assert counted[1] > counted[0] > 10
