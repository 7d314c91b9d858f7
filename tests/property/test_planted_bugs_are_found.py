"""Would the tests notice? Known kinds of matching bugs, planted in the reference one at a time.

Each was found in real engines by others. A bug that the crowd does not bring to light within its
seeds means that the crowd, not the engine, needs work.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import pytest

from engine import core, reference
from engine.reference.book import Market, Order
from engine.types import Outcome, Side
from tests.property.crowd import WORLD, Crowd

SEEDS_MAX = 20
COMMANDS_EACH = 2_000


class PriorityLostOnPartialFill(reference.Engine):
    """A half-filled maker goes to the end of its queue."""

    def trade(self, market: Market, taker: Order, maker: Order) -> None:
        super().trade(market, taker, maker)
        if maker.lots:
            market.delete(maker)
            market.insert(maker)


class RemainderOfImmediateRests(reference.Engine):
    """Time in force is forgotten."""

    def place(self, row: dict[str, int]) -> Outcome:
        return super().place(row | {"tif": 0} if row["tif"] == 1 and not row["flags"] & 2 else row)


class ExpiredMakersTrade(reference.Engine):
    """Nobody looks at the maker's expiry while matching."""

    def match(self, taker: Order, self_mode: int, fills_max: int | None) -> Outcome:
        now_ns, self.time_ns = self.time_ns, 0
        try:
            return super().match(taker, self_mode, fills_max)
        finally:
            self.time_ns = now_ns


class StaleCancelIsAcknowledged(reference.Engine):
    """A cancel finds its slot and forgets to compare the generation."""

    def cancel(self, row: dict[str, int]) -> Outcome:
        slot = row["order_id"] & (2**32 - 1)
        generation = self.slots.generation.get(slot, 0)
        return super().cancel(row | {"order_id": generation << 32 | slot})


class FeeRoundedUp(reference.Engine):
    """The buyer's fee is rounded against the buyer."""

    def settle(self, market: Market, order: Order, lots: int, notional: int, fee: int) -> None:
        extra = order.side == Side.BUY and notional * market.maker_ppm % 10**6 != 0
        super().settle(market, order, lots, notional, fee + extra)


class ImprovementIsKept(reference.Engine):
    """What a taker saved against its limit stays held until the order is gone."""

    def set_hold(self, order: Order) -> None:
        if order.order_id in self.orders or order.held_pips == 0 or order.lots == 0:
            super().set_hold(order)


class OldestSlotFirst(reference.Engine):
    """Freed slots are reused first in, first out."""

    def place(self, row: dict[str, int]) -> Outcome:
        self.slots.free.reverse()
        try:
            return super().place(row)
        finally:
            self.slots.free.reverse()


BUGS: Final[tuple[Callable[..., reference.Engine], ...]] = (
    PriorityLostOnPartialFill,
    RemainderOfImmediateRests,
    ExpiredMakersTrade,
    StaleCancelIsAcknowledged,
    FeeRoundedUp,
    ImprovementIsKept,
    OldestSlotFirst,
)


def is_found(bug: Callable[..., reference.Engine], seed: int) -> bool:
    """Return whether one crowd makes the buggy reference differ, or fail its own assertions."""
    kernel, suspect, crowd = core.Engine(WORLD), bug(WORLD), Crowd(seed)
    commands = crowd.opening()
    while crowd.sequence < COMMANDS_EACH:
        events = kernel.apply(commands)
        try:
            found = suspect.apply(commands)
            suspect.check()
        except (AssertionError, KeyError):
            return True
        if not np.array_equal(events, found) or kernel.state_hash() != suspect.state_hash():
            return True
        crowd.learn(events)
        commands = crowd.batch(50)
    return False


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_found(bug: Callable[..., reference.Engine]) -> None:
    assert any(is_found(bug, seed) for seed in range(SEEDS_MAX)), bug.__doc__


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_found_where_nothing_was_planted(seed: int) -> None:
    assert not is_found(reference.Engine, seed)
