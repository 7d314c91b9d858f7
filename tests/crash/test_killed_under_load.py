"""Is every acknowledged command there exactly once after SIGKILL, again and again, under load?

The client's log of acknowledgements is the judge, and the reference engine: after each restart the
state, whether it came from a snapshot or not, is that of a replay of all history. A killed process
keeps its page cache, so this proves order and idempotence, not durability; for that there are
``tests/sim`` and strace.
"""

from collections import Counter
from random import Random

import pytest

from tests.crash.acknowledged import Log, journaled, run_target, state_after, trades_in

SEED = 20261124


def kill_and_compare(directory, kills, commands):
    """Kill at so many moments between start and the last command; return what has occurred."""
    dice = Random(SEED)
    log, occurred = Log(directory), Counter()

    def live(kill_when):
        life = run_target("load", directory, commands, kill_when=kill_when)
        log.add(life)
        for sequence, resumed_at, state_hash in life.said("state"):
            occurred["from a snapshot"] += resumed_at != "0"
            if sequence != "0":
                assert state_hash == state_after(directory, int(sequence)), sequence
                occurred["states compared"] += 1
        return life

    for number in range(kills):
        until = dice.randrange(1, 2 * commands // kills)
        if number % 10 == 3:
            life = live(lambda life: life.words == [["recovering"]] and not life.told)
        else:
            life = live(
                lambda life, until=until: (
                    life.told and len(life.told) >= until + int(life.said("state")[0][0])
                )
            )
        assert life.was_killed or life.code == 0, life.error
        occurred["killed"] += life.was_killed
        occurred["killed in recovery"] += life.was_killed and not life.said("state")
    assert live(lambda life: False).code == 0
    assert log.is_complete(commands), "everybody is answered in the end"
    assert set(journaled(directory).values()) == set(range(1, commands + 1))
    occurred["trades"] = trades_in(directory)
    occurred["files"] = len(list(directory.glob("journal/*.journal")))
    return occurred


def test_five_kills(tmp_path):
    occurred = kill_and_compare(tmp_path, 5, 6_000)
    assert occurred["killed"] >= 4 and occurred["states compared"] >= 4, occurred
    assert occurred["from a snapshot"] >= 3 and occurred["files"] > 5, occurred
    assert occurred["trades"] > 500, occurred


@pytest.mark.soak
def test_many_kills(tmp_path, request):
    """``make soak ARGS="--kills 1000"`` for more; ten in each directory."""
    kills, occurred = request.config.getoption("--kills"), Counter()
    for number in range(kills // 10):
        occurred += kill_and_compare(tmp_path / str(number), 10, 12_000)
    assert occurred["killed"] > kills // 2 and occurred["killed in recovery"], occurred
    assert occurred["from a snapshot"] > kills // 2, occurred
