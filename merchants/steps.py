"""What is due now, and in which order is it done?

One statement says which kind of work is the next of which something is due, so that a step with
nothing to do costs one, however many kinds there are. It is put again behind each that was done:
what that has left is due as well, for those behind it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Engine, and_, bindparam, case, select
from sqlalchemy.orm import Session

from merchants.records.database import reading, transaction
from merchants.records.due import Bounds
from merchants.records.turns import Turn

TURN_ROWS: Final = 16
TURNS_MAX: Final = 100
STEP_NS: Final = 100 * 10**6
"""How long a step stays with one kind of work, in turns between which everybody else has one."""

NONE_LEFT: Final = -1


class AtOnce(NamedTuple):
    """One kind of work: whether any of it is due, and what does it; ``act`` returns False where
    more is due than it did."""

    is_due: ColumnElement[bool]
    act: Callable[[], Awaitable[bool | None]]


class InTurns(NamedTuple):
    """A kind of work of which some rows are moved on in each transaction, and are then due no
    more."""

    is_due: ColumnElement[bool]
    move_on: Callable[[Session, int, Turn], None]


class Steps:
    """Does what is due. Use it from the event loop."""

    def __init__(
        self,
        database: Engine,
        clock: Callable[[], int],
        bounds: Callable[[], Bounds],
        works: Sequence[AtOnce | InTurns],
    ) -> None:
        """``works`` are done in their order; ``bounds`` says what they compare with now."""
        self._database = database
        self._clock = clock
        self._bounds = bounds
        self._works = works
        first = bindparam("first", type_=BigInteger)
        # Of a CASE no more is asked than up to the first that holds.
        due = [(and_(first <= number, work.is_due), number) for number, work in enumerate(works)]
        self._next_due = select(case(*due, else_=NONE_LEFT))

    async def step(self) -> bool:
        """Do of each kind of work what is due; return whether there is more than was done."""
        is_whole, number = True, self._due_from(0)
        while number != NONE_LEFT:
            work = self._works[number]
            act = work.act() if isinstance(work, AtOnce) else self._in_turns(work)
            is_whole = await act is not False and is_whole
            await asyncio.sleep(0)
            number = self._due_from(number + 1)
        return not is_whole

    def _due_from(self, first: int) -> int:
        """Return which kind of work is the next with something due, ``first`` or one behind it."""
        with reading(self._database) as session:
            bounds = {**self._bounds(), "first": first}
            number: int = session.scalars(self._next_due, bounds).one()
            return number

    async def _in_turns(self, work: InTurns) -> bool:
        began_ns = self._clock()
        for _ in range(TURNS_MAX):
            turn = Turn(self._clock, TURN_ROWS, self._bounds())
            with transaction(self._database) as session:
                work.move_on(session, self._clock(), turn)
            await asyncio.sleep(0)
            if turn.is_whole or self._clock() - began_ns >= STEP_NS:
                return turn.is_whole
        return False
