"""Found by the simulator: nobody told the shops when a reorganisation took a payment back.

An invoice stayed "processing" on money that was gone, and a transfer that came again at another
place in its block counted twice. Now the chain loop takes back what it has shown and finds no more.
"""

import asyncio

from settlement.watcher import LogId, Transferred
from tests.admission.rig import ALICE, BOB, TOKEN
from tests.road.test_what_the_chain_shows_is_booked_once import DEPTH, ShownChain, Watched


def transfer(number, log_index=0, block=1):
    at = LogId(number.to_bytes(32, "big"), log_index, block)
    return Transferred(at, TOKEN, BOB.address, ALICE.address, 7)


def told(*turns, depth=1):
    """Return what the shops are told when the chain shows each of ``turns``, one after another."""

    async def road():
        async with Watched(ShownChain()) as house:
            house.shown.depth = depth
            for values in turns:
                house.shown.values = values
                await house.loop.turn()
            assert not house.fatal
            return house.till.payments

    return asyncio.run(road())


def test_what_is_dropped_is_taken_back():
    other = transfer(9, block=2)
    assert told([transfer(1), other], [other, other]) == [
        (7, 1),
        (7, 1),
        ("gone", 1, 0),
        (7, 1),
        (7, 1),
    ]


def test_what_comes_again_at_another_place_counts_there_alone():
    assert told([transfer(1)], [transfer(1, log_index=3)]) == [(7, 1), ("gone", 1, 0), (7, 1)]


def test_what_is_deep_enough_is_not_taken_back():
    assert told([transfer(1)], [], depth=DEPTH) == [(7, DEPTH)]
