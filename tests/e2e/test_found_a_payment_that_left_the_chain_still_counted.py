"""Found by the simulator: nobody told the shops when a reorganisation took a payment back.

An invoice stayed "processing" on money that was gone, and a transfer that came again at another
place in its block counted twice. Now the chain loop takes back what it has shown and finds no more.
"""

import asyncio

from settlement.handlers import SHOWN_TOGETHER
from settlement.watching.watcher import LogId, Transferred
from tests.admission.fixtures import ALICE, BOB, TOKEN
from tests.e2e.test_what_the_chain_shows_is_booked_once import DEPTH, ShownChain, Watched


def transfer(number, log_index=0, block=1, position=0, amount=7):
    at = LogId(number.to_bytes(32, "big"), log_index, block)
    return Transferred(at, TOKEN, BOB.address, ALICE.address, amount, position)


def told(*turns, depth=1):
    """Return what the shops are told when the chain shows each of ``turns``, one after another."""

    async def story():
        async with Watched(ShownChain()) as venue:
            venue.shown.depth = depth
            for values in turns:
                venue.shown.values = values
                await venue.loop.turn()
            assert not venue.fatal
            return venue.till.payments

    return asyncio.run(story())


def test_what_is_dropped_is_taken_back():
    first, other = transfer(1), transfer(9, block=2)
    assert told([first, other], [other, other]) == [(7, 1), (7, 1), ("gone", 1, 0)]


def test_what_is_known_already_is_told_again_only_as_it_gains_depth():
    assert told([transfer(1)], [transfer(1)], [transfer(1), transfer(2)]) == [
        (7, 1),
        (7, 1),
        (7, 1),
    ]


def test_what_comes_again_at_another_index_of_its_block_is_the_same_payment():
    assert told([transfer(1)], [transfer(1, log_index=3)]) == [(7, 1)]


def test_what_comes_again_in_another_block_is_told_again_and_counts_once():
    assert told([transfer(1)], [transfer(1, block=2)]) == [(7, 1), (7, 1)]


def test_what_comes_again_and_pays_something_else_is_taken_back_first():
    assert told([transfer(1)], [transfer(1, amount=5)]) == [(7, 1), ("gone", 1, 0), (5, 1)]


def test_two_payments_in_one_transaction_are_two():
    """Found: the index counts in the block, so that after a reorganisation one of them could come
    to where the other had been."""
    before = [transfer(1, log_index=4, position=0), transfer(1, log_index=5, position=1, amount=9)]
    after = [transfer(1, log_index=5, position=0), transfer(1, log_index=6, position=1, amount=9)]
    assert told(before, after) == [(7, 1), (9, 1)]


def test_what_is_deep_enough_is_not_taken_back():
    assert told([transfer(1)], [], depth=DEPTH) == [(7, DEPTH)]


def test_many_transfers_are_told_some_at_once_and_not_again_while_no_block_comes():
    """Found: each dust transfer to an invoice was a transaction of its own, ten times a second."""

    async def story():
        async with Watched(ShownChain()) as venue:
            venue.shown.depth = 1
            venue.shown.values = [transfer(number) for number in range(1, 301)]
            for _ in range(5):
                await venue.loop.turn()
            assert len(venue.till.payments) == 300
            assert venue.till.reports == -(-300 // SHOWN_TOGETHER)

    asyncio.run(story())
