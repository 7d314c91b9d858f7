"""Two settlers with one key: the chain takes each trade once, whoever is first."""

import shutil
from pathlib import Path

from settlement.chain.dev.devchain import DevChain, start_devchain
from settlement.outbox.outbox import Outbox
from tests.chain.conftest import Clock
from tests.chain.venue import NS, Venue


def copy_of(venue: Venue, directory: Path, chain: DevChain, clock: Clock) -> Venue:
    """Start another process on a copy of the data directory, as an operator should not."""
    venue.close()
    shutil.copytree(venue.directory, directory)
    venue._open(venue.devchain.chain)
    return Venue(directory, chain, clock, gas_max=venue.gas_max)


def test_a_copy_that_settles_too_takes_nothing_twice(tmp_path: Path, clock: Clock):
    with start_devchain(tmp_path / "chain", "eth-tester", clock) as chain:
        home = tmp_path / "first"
        home.mkdir()
        first = Venue(home, chain, clock, gas_max=1)  # A batch a trade.
        first.fund()
        for turn in (1, 2, 3):
            first.trade(turn)
        second = copy_of(first, tmp_path / "second", chain, clock)
        for settler in (first.settler, second.settler):
            settler.seal_now()
        for turn in range(40):
            (first if turn % 2 else second).settler.step()
            clock.ahead_ns += NS

        heads = {len(venue.settler.batches(9)) for venue in (first, second)}
        assert heads == {3} and first.next_batch() == 4
        first.assert_books_agree()
        for venue in (first, second):
            venue.close()
        outboxes = [Outbox(home / "outbox.sqlite"), Outbox(tmp_path / "second/outbox.sqlite")]
        assert outboxes[0].last_batch() == outboxes[1].last_batch(), (
            "the same trades, the same head"
        )
        for outbox in outboxes:
            outbox.close()
