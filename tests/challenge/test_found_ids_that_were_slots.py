"""Does it cost anything that a caller's ids come in no order, or are made to collide?

An id that is its own slot is a cold line of memory for each new order unless ids come in sequence,
as only our own streams' did: 10 instead of 58 million messages a second on the public ones.
"""

import ctypes

import numpy as np
import pytest

from benchmarks.challenge.layout import NAMES_FIRST, REPORT
from benchmarks.challenge.memory import BookMemory
from benchmarks.challenge.names import SPREAD
from benchmarks.challenge.words import MessageType, judged_lines
from tests.challenge.fixtures import (
    Library,
    Transport,
    buy,
    cancel,
    expected,
    modify,
    sell,
    stream,
)

pytestmark = pytest.mark.cc

WORD = 2**64
UNSPREAD = pow(SPREAD, -1, WORD)
"""What undoes the hash, so that a test can choose where an id stands."""


@pytest.fixture(scope="module")
def library():
    return Library()


def ids_of_one_home(count, home, tag=None):
    """Return ids that all begin their search at ``home``, with the same tag if one is given."""
    uppers = range(1, count + 1) if tag is None else [(tag << 8) + n for n in range(count)]
    hashes = [(upper << 32) | ((upper ^ home) & 0xFFFFFFFF) for upper in uppers]
    return [mixed * UNSPREAD % WORD for mixed in hashes]


def walk(ids, steps, seed):
    """Return a random life of orders with these ids, most of which rest and never meet."""
    random = np.random.default_rng(seed)
    messages = []
    for _ in range(steps):
        order_id = ids[random.integers(len(ids))]
        price = int(random.integers(1, 40))
        kind = random.integers(10)
        if kind < 5:
            place = buy if random.random() < 0.5 else sell
            shift = 0 if place is buy else 30
            messages.append(place(order_id, price + shift, int(random.integers(1, 9))))
        elif kind < 9:
            messages.append(cancel(order_id))
        else:
            messages.append(modify(order_id, price, int(random.integers(0, 9))))
    return stream(messages)


@pytest.mark.parametrize("home", [0, 5, NAMES_FIRST // 16 - 1, 2**32 - 1])
@pytest.mark.parametrize("tag", [None, 77], ids=["tags differ", "tags are alike"])
def test_ids_that_collide_are_told_apart(library, home, tag):
    ids = ids_of_one_home(120, home, tag)
    assert len(set(ids)) == 120
    messages = walk(ids, 4_000, home)

    with library.opened():
        reports = library.batch(messages)

    assert judged_lines(reports) == expected(messages)


def test_the_table_grows_while_names_have_gone_further_than_their_line(library):
    crowd = ids_of_one_home(300, 3)
    others = [7919 * number for number in range(1, 2_000)]
    messages = stream(
        [
            *(sell(order_id, 100, 1) for order_id in crowd),
            *(sell(order_id, 200, 1) for order_id in others),
            *(cancel(order_id) for order_id in crowd[::3]),
            *(cancel(order_id) for order_id in others[::2]),
            *(cancel(order_id) for order_id in crowd),
            buy(2**63, 300, 5_000),
        ]
    )

    with library.opened():
        reports = library.batch(messages)

    assert judged_lines(reports) == expected(messages)


def test_many_ids_later_the_book_is_as_small_as_it_was():
    """What is touched depends on how many rest at once, not on how many there have been."""
    ids = np.random.default_rng(1).permutation(1_000_000)[:50_000] + 1
    messages = np.repeat(stream(sell(order_id, 9, 1) for order_id in ids.tolist()), 2)
    messages["type"][1::2] = MessageType.CANCEL
    reports = np.zeros(messages.size + 2, REPORT)
    # Not above: it compiles for half a minute, and each worker reads every file's imports.
    from benchmarks.challenge.entry import PLAY, OpenBook

    book, first = OpenBook(), BookMemory()

    given = (messages.ctypes.data, messages.size, reports.ctypes.data, reports.size)
    assert ctypes.CFUNCTYPE(*[ctypes.c_int64] * 6)(PLAY)(book.address, *given) == messages.size

    assert np.bincount(reports["type"][:-2]).tolist() == [50_000, 0, 50_000]
    assert book.counters["slots_used"] == 1, "the slot freed last is given out first"
    assert book.counters["slot_mask"] == first.counters["slot_mask"], "the table never grew"


@pytest.mark.parametrize("refusals", [1, 3])
def test_a_given_queue_that_is_full_is_pushed_to_again(library, refusals):
    """Each row is refused ``refusals`` times before it is taken, as by a queue that is full."""
    rows, asked = [], []

    def push(queue, row):
        asked.append(row)
        if len(asked) % (refusals + 1):
            return 0
        rows.append(ctypes.string_at(row, REPORT.itemsize))
        return 1

    messages = walk([1, 2, 3, 2**60], 300, 9)
    given = Transport()
    given.push = type(given.push)(push)
    for played in (library.play, library.play_each):
        rows.clear()
        asked.clear()
        with library.opened_on(given):
            played(messages)
        reports = np.frombuffer(b"".join(rows), REPORT)
        assert judged_lines(reports) == expected(messages)
