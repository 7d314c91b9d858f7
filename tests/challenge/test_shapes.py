"""Is each mistake that others have made one that the compiled library does not make?

Every shape is played in one batch, and again message by message with the book's answers compared
after each.
"""

import numpy as np
import pytest

from benchmarks.challenge.oracle import Oracle
from benchmarks.challenge.words import judged_lines
from engine.types import Side
from tests.challenge.fixtures import (
    Library,
    at_once,
    buy,
    cancel,
    expected,
    modify,
    sell,
    stream,
)

pytestmark = pytest.mark.cc

TOP, BOTTOM = 2**63 - 1, -(2**63)
IDS_MAX = 2**64 - 1

SHAPES = {
    "siblings survive the cancel of the first": [
        *(sell(number, 100, 10) for number in (1, 2, 3)),
        *(cancel(1), buy(9, 100, 15)),
    ],
    "siblings survive the cancel of one between": [
        *(sell(number, 100, 10) for number in (1, 2, 3)),
        *(cancel(2), buy(9, 100, 15)),
    ],
    "siblings survive the cancel of the last": [
        *(sell(number, 100, 10) for number in (1, 2, 3)),
        *(cancel(3), sell(4, 100, 10), buy(9, 100, 25)),
    ],
    "a cancelled best price is gone at once": [
        *(buy(1, 99, 5), buy(2, 98, 5), cancel(1), sell(3, 101, 5), sell(4, 102, 5), cancel(3)),
    ],
    "a buy trades at the maker's price": [sell(1, 100, 5), sell(2, 101, 5), buy(3, 105, 10)],
    "a sell trades at the maker's price": [buy(1, 100, 5), buy(2, 99, 5), sell(3, 95, 10)],
    "what is left of a sweep rests at its own limit": [
        *(sell(1, 100, 5), sell(2, 101, 5), sell(3, 103, 5), buy(4, 102, 20), sell(5, 102, 3)),
    ],
    "what is left of a sell that swept rests at its own limit": [
        *(buy(1, 100, 5), buy(2, 99, 5), buy(3, 97, 5), sell(4, 98, 20), buy(5, 98, 3)),
    ],
    "the rest of an immediate order does not rest": [
        *(sell(1, 100, 5), at_once(buy(2, 100, 8)), sell(3, 100, 4), at_once(buy(4, 99, 1))),
    ],
    "an immediate order that is filled has no rest": [sell(1, 100, 5), at_once(buy(2, 100, 5))],
    "a stale cancel is rejected": [
        *(sell(1, 100, 5), cancel(1), cancel(1), sell(2, 100, 5), buy(3, 100, 5), cancel(2)),
        *(cancel(3), at_once(buy(4, 100, 5)), cancel(4), cancel(77)),
    ],
    "a stale modify is rejected": [
        *(sell(1, 100, 5), cancel(1), modify(1, 101, 6), at_once(buy(2, 1, 1)), modify(2, 1, 2)),
    ],
    "a modify that crosses trades": [
        *(sell(1, 105, 10), sell(2, 105, 10), buy(3, 100, 10), modify(3, 105, 15)),
        *(buy(4, 105, 5), sell(5, 99, 1)),
    ],
    "a modify that crosses and has a rest": [
        *(buy(1, 100, 4), sell(2, 110, 9), modify(2, 100, 9, Side.SELL), cancel(2)),
    ],
    "a modify loses its place, even at the same price": [
        *(sell(1, 100, 5), sell(2, 100, 5), modify(1, 100, 6, Side.SELL), buy(3, 100, 7)),
    ],
    "a modify leaves its siblings alone": [
        *(sell(number, 100, 5) for number in (1, 2, 3)),
        *(modify(2, 101, 5, Side.SELL), buy(4, 101, 15)),
    ],
    "a modify of the only order moves the best price": [
        *(buy(1, 99, 5), modify(1, 90, 5), sell(2, 95, 5), modify(1, 96, 2)),
    ],
    "a modify to nothing leaves": [buy(1, 99, 5), modify(1, 99, 0), cancel(1), sell(2, 99, 5)],
    "a part fill keeps its place": [
        *(sell(1, 100, 10), sell(2, 100, 10), buy(3, 100, 4), buy(4, 100, 8), buy(5, 100, 9)),
    ],
    "an id is used again after a fill": [
        *(sell(1, 100, 5), buy(2, 100, 5), sell(1, 101, 6), buy(2, 101, 7), sell(1, 101, 9)),
        *(cancel(1), cancel(2)),
    ],
    "an id is used again after a cancel": [
        *(sell(1, 100, 5), cancel(1), buy(1, 100, 5), sell(2, 100, 2), cancel(1)),
    ],
    "an id that still rests is not taken twice": [
        *(sell(1, 100, 5), buy(1, 100, 3), sell(1, 90, 7), buy(2, 100, 6)),
    ],
    "the oldest goes first, whatever its id": [
        *(sell(number, 100, 1) for number in (70, 3, 2**40, 9, 1, 2**63 + 5, 8)),
        buy(99, 100, 6),
    ],
    "a filled maker's slot is taken by the next": [
        *(sell(2**50, 100, 5), buy(2**51, 100, 9), sell(2**52, 100, 2), cancel(2**51)),
    ],
    "ids of every size": [
        *(sell(number, 100, 5) for number in (0, 2**23, 2**23 + 1, 2**32, 2**63, IDS_MAX)),
        *(cancel(number) for number in (2**23, 0, IDS_MAX, 2**63)),
        *(cancel(number) for number in (0, 2**23, IDS_MAX, 2**63 - 1)),
        buy(7, 100, 12),
    ],
    "ids never issued": [cancel(0), cancel(5), cancel(IDS_MAX), modify(2**23 + 1, 5, 5)],
    "no quantity": [sell(1, 100, 0), cancel(1), buy(2, 100, 0), at_once(buy(3, 100, 0))],
    "the largest quantity": [
        *(sell(1, 100, 2**32 - 1), sell(2, 100, 2**32 - 1), buy(3, 100, 2**32 - 1)),
        *(at_once(buy(4, 100, 2**32 - 2)), buy(5, 100, 5)),
    ],
    "prices near the top": [
        *(sell(1, TOP - 1, 5), sell(2, TOP - 3, 5), buy(3, TOP - 5, 2), buy(4, TOP - 2, 7)),
        *(buy(5, 10, 5), sell(6, 9, 8), sell(7, TOP - 2, 1)),
    ],
    "the very top": [
        *(buy(1, TOP, 5), cancel(1), sell(2, TOP, 5), sell(3, TOP, 5), sell(4, 7, 1)),
        *(cancel(4), buy(5, TOP, 7), sell(6, TOP - 1, 1), buy(7, TOP, 8), cancel(7)),
    ],
    "the very bottom": [
        *(sell(1, BOTTOM, 5), cancel(1), buy(2, BOTTOM, 5), buy(3, BOTTOM, 5), buy(4, 7, 1)),
        *(cancel(4), sell(5, BOTTOM, 7), buy(6, BOTTOM + 1, 1), sell(7, BOTTOM, 8), cancel(7)),
    ],
    "prices below nothing": [
        *(buy(1, -5, 5), buy(2, -3, 5), sell(3, 1, 5), sell(4, -4, 7), buy(5, 2**24 + 3, 9)),
        *(sell(6, -(2**40), 1), buy(7, -(2**41), 1), cancel(7), sell(8, -6, 30)),
    ],
    "both ends in one book": [
        *(buy(1, BOTTOM, 5), sell(2, TOP, 5), buy(3, 33_504, 5), sell(4, 33_505, 5)),
        *(buy(5, BOTTOM + 2**23, 5), sell(6, TOP - 2**23, 5), cancel(3), cancel(4)),
        *(buy(7, TOP, 12), sell(8, BOTTOM, 30)),
    ],
    "far prices and near ones in turn": [
        *(sell(number, 33_000 + number * 2**22, 5) for number in range(1, 13)),
        *(buy(20 + number, 32_000 - number * 2**22, 5) for number in range(12)),
        *(cancel(number) for number in (1, 4, 12)),
        *(buy(40, TOP, 23), sell(41, BOTTOM, 27), cancel(40), cancel(41)),
    ],
    "a sweep of five thousand orders": [
        *(sell(number, 100 + number % 7, 2) for number in range(1, 5001)),
        *(buy(6000, 99, 1), buy(6001, 106, 9_999), cancel(6001)),
    ],
    "a sweep of five thousand prices": [
        *(buy(number, 50_000 - 3 * number, 1) for number in range(1, 5001)),
        *(sell(6000, 20_000, 5_200), buy(6001, 20_000, 300)),
    ],
}


@pytest.fixture(scope="module")
def library():
    return Library()


@pytest.mark.parametrize("shape", SHAPES)
def test_in_one_batch(library, shape):
    messages = stream(SHAPES[shape])

    with library.opened():
        reports = library.batch(messages)

    assert judged_lines(reports) == expected(messages)


@pytest.mark.parametrize("shape", SHAPES)
def test_message_by_message_with_every_answer(library, shape):
    messages, oracle = stream(SHAPES[shape]), Oracle()
    prices = np.unique(messages["price_ticks"])[:20].tolist()
    parts = []

    with library.opened():
        for at in range(messages.size):
            parts.append(library.single(messages[at : at + 1]))
            oracle.play(messages[at : at + 1])
            assert library.best_bid() == oracle.best_bid(), f"after message {at}"
            assert library.best_ask() == oracle.best_ask(), f"after message {at}"
            for price in prices:
                for side in Side:
                    depth = library.depth_at(price, side)
                    assert depth == oracle.depth_at(price, side), f"{price} after message {at}"

    assert judged_lines(np.concatenate(parts)) == judged_lines(oracle.reports())
