"""Two settlers with one key: the chain takes each trade once, whoever is first."""

import shutil
from pathlib import Path

from settlement.chain.dev.devchain import DevChain, start_devchain
from settlement.outbox.outbox import Outbox
from tests.chain.conftest import Clock
from tests.chain.road import NS, Road


def copy_of(road: Road, directory: Path, chain: DevChain, clock: Clock) -> Road:
    """Start another process on a copy of the data directory, as an operator should not."""
    road.close()
    shutil.copytree(road.directory, directory)
    road._open(road.devchain.chain)
    return Road(directory, chain, clock)


def test_a_copy_that_settles_too_takes_nothing_twice(tmp_path: Path, clock: Clock):
    with start_devchain(tmp_path / "chain", "eth-tester", clock) as chain:
        home = tmp_path / "first"
        home.mkdir()
        first = Road(home, chain, clock)
        first.fund()
        for turn in (1, 2, 3):
            first.trade(turn)
        second = copy_of(first, tmp_path / "second", chain, clock)
        for settler in (first.settler, second.settler):
            settler.seal_now()
        for turn in range(40):
            (first if turn % 2 else second).settler.step()
            clock.ahead_ns += NS

        heads = {len(road.settler.batches(9)) for road in (first, second)}
        assert heads == {3} and first.next_batch() == 4
        first.assert_books_agree()
        for road in (first, second):
            road.close()
        outboxes = [Outbox(home / "outbox.sqlite"), Outbox(tmp_path / "second/outbox.sqlite")]
        assert outboxes[0].last_batch() == outboxes[1].last_batch(), (
            "the same trades, the same head"
        )
        for outbox in outboxes:
            outbox.close()
