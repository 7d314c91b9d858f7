"""What does a recorded LOBSTER message file tell an exchange to do?

Columns: seconds after midnight, type, order id, size, price x 10,000, direction (1 buy, -1 sell).
Type 1 is a new limit order, 2 a partial cancel, 3 a deletion, 4 the execution of a visible order;
5 (hidden execution) and 7 (halt) leave the visible book alone. An id that the file never
introduced belongs to an order that rested before the recording began: skipped and counted.
Source of the format: the LOBSTER sample files' own description.
"""

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Final, NamedTuple

from engine.types import Side

LOBSTER_PRICE_PER_CENT: Final = 100


class Act(Enum):
    """What to do with one message."""

    PLACE = "place"
    REDUCE = "reduce"
    CANCEL = "cancel"
    TAKE = "take"


class Message(NamedTuple):
    """One step of the tape. ``name`` is the tape's order id, ``price_ticks`` are cents.

    For TAKE, ``side`` is the side of the incoming order, opposite to the resting one.
    """

    act: Act
    name: int
    shares: int
    price_ticks: int
    side: Side


class TapeError(ValueError):
    """A line is not a LOBSTER message; names the line."""


_ACTS: Final = {1: Act.PLACE, 2: Act.REDUCE, 3: Act.CANCEL, 4: Act.TAKE}
_NO_BOOK_CHANGE: Final = (5, 6, 7)


def read_tape(lines: Iterable[str]) -> Iterator[Message]:
    """Yield the messages that change the visible book.

    Raises ``TapeError`` for a line that is not of the format, a price off the cent or no amount.
    """
    known: set[int] = set()
    for number, line in enumerate(lines, 1):
        try:
            _, kind, name, shares, price, direction = line.strip().split(",")
            act, is_buy = int(kind), int(direction) == 1
            message = Message(
                _ACTS.get(act, Act.PLACE),
                int(name),
                int(shares),
                int(price) // LOBSTER_PRICE_PER_CENT,
                Side.BUY if is_buy == (act != 4) else Side.SELL,
            )
        except ValueError as wrong:
            raise TapeError(f"line {number} is not a LOBSTER message: {wrong}") from None
        if act in _NO_BOOK_CHANGE:
            continue
        if act not in _ACTS or int(price) % LOBSTER_PRICE_PER_CENT:
            raise TapeError(f"line {number}: type {act}, price {price}")
        if message.shares < 1 or message.price_ticks < 1 or int(direction) not in (-1, 1):
            raise TapeError(f"line {number}: size {shares}, price {price}, direction {direction}")
        if act == 1:
            known.add(message.name)
        if message.name in known:
            yield message
