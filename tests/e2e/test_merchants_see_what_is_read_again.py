"""What is read behind what was dealt with is shown to merchants whole: a reorganisation deeper than
the confirmations may have taken some of it away. Nothing is, as long as all goes forward."""

import asyncio

from settlement.ports import DepositSeen
from settlement.watching.watcher import Deposited, LogId
from tests.admission.fixtures import ALICE, USD
from tests.e2e.test_found_a_payment_that_left_the_chain_still_counted import transfer
from tests.e2e.test_what_the_chain_shows_is_booked_once import ShownChain, Watched

REF = b"\x05" * 32


def deposit(number, block, ref=REF):
    at = LogId(number.to_bytes(32, "big"), 0, block)
    return Deposited(at, ALICE.address, USD, 7, ref)


def seen(value):
    at, account, token, amount, ref = value
    return DepositSeen(at.tx_hash, account, token, amount, ref, at.block_number, True)


def shown(*turns, starts_at=0, is_missing=False):
    """Return what merchants are shown of blocks read again, by (first, deposits, transfers)."""

    async def story():
        chain = ShownChain()
        chain.cursor = starts_at
        async with Watched(chain) as venue:
            venue.till.is_missing = is_missing
            for values, back_to in turns:
                chain.values = values
                chain.cursor = min(chain.cursor, back_to)
                await venue.loop.turn()
            assert not venue.fatal
            return [
                (read.first, read.deposits, [one.tx_hash for one in read.transfers])
                for read in venue.till.reread
            ]

    return asyncio.run(story())


FIRST, SECOND, OTHER = deposit(1, 1), deposit(2, 2), deposit(3, 2)


def test_what_goes_forward_is_read_once():
    assert shown(([FIRST], 9), ([FIRST, SECOND], 9), ([FIRST, SECOND], 9)) == []


def test_what_takes_the_place_of_what_was_dealt_with_is_shown_whole_and_once():
    again = ([FIRST, OTHER], 0)
    assert shown(([FIRST, SECOND], 9), again, again, again) == [(1, (seen(FIRST), seen(OTHER)), [])]


def test_transfers_are_shown_beside_deposits_and_deposits_of_nobody_are_not():
    moved, bare = transfer(9, block=2), deposit(4, 3, bytes(32))
    ((_, deposits, transfers),) = shown(([FIRST, SECOND], 9), ([FIRST, moved, bare], 0))
    assert (deposits, transfers) == ((seen(FIRST),), [moved.at.tx_hash])


def test_until_the_former_height_is_reached_what_is_read_is_shown():
    """The new chain is lower at first: what it has higher up comes with the next turns."""
    reads = shown(([FIRST, SECOND, deposit(5, 3)], 9), ([FIRST], 0), ([FIRST, OTHER], 1))
    assert [first for first, *_ in reads] == [1, 2]
    assert reads[1][1] == (seen(OTHER),)


def test_while_anything_is_missed_all_that_is_read_is_shown():
    reads = shown(([FIRST], 9), ([FIRST, SECOND], 9), is_missing=True)
    assert [deposits for _, deposits, _ in reads] == [(seen(FIRST),), (seen(SECOND),)]
