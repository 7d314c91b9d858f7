"""Which nonce does the next order spend, and on which lane does it rest?

Single shots count on from what the exchange says is free. A resting order takes the next half of a
lane, round and round, with the clock as its nonce: what is still occupied there the exchange
refuses without spending anything, and the next is tried.
"""

from collections.abc import Callable
from typing import Final

from tillbook_client.orders import LANE_FIRST, LANE_LAST, Place

HALVES: Final = 2 * (LANE_LAST - LANE_FIRST + 1)


class Places:
    """The places of one account. ``now_ns`` is the clock; several programs of one account begin at
    different halves, as their clocks do."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._half = now_ns() // 1000 % HALVES
        self._last_nonce = 0
        self.next_single_shot: int | None = None
        """None: ask the exchange."""

    def single_shot(self) -> Place:
        """Return a place for an order that lives for a moment; ``next_single_shot`` is known."""
        assert self.next_single_shot is not None, "ask the exchange first"
        place = Place(self.next_single_shot)
        self.next_single_shot += 1
        return place

    def resting(self) -> Place:
        """Return the next half of a lane, with a nonce above all that were handed out."""
        self._half = (self._half + 1) % HALVES
        self._last_nonce = max(self._now_ns(), self._last_nonce + 1)
        return Place(self._last_nonce, LANE_FIRST + self._half // 2, bool(self._half % 2))
