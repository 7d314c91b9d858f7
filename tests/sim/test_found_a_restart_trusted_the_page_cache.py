"""Found by seed 4: what a failed sync left in memory alone was acknowledged at the next start.

The kernel calls pages clean after it failed to write them, and a name is in the directory's pages
long before it is on disk. A process that dies there is started again on the same page cache; what
it reads, shows and builds upon must be on disk first, or the next power cut takes it away.
"""

import pytest

from tests.sim.disk import Killed, eio
from tests.sim.explore import begun, commits, explore, starts_whole


@pytest.mark.parametrize("raises", [Killed, eio], ids=["killed", "failed"])
def test_what_a_start_has_shown_survives_the_next_power_cut(raises):
    counted = [0]

    def power_goes(end, acknowledged):
        counted[0] += explore(end, acknowledged, commits(2), starts_whole)

    explore(begun(), 2, commits(2), power_goes, raises)

    assert counted[0] > 500, "neither crash was tried often enough"
