"""How much less than the middle of the book did a sale bring?

The middle is that of the best bid and the best offer over the last minute before the order was
signed, by time: what the shop would have had, had crossing to the bids cost nothing. In whole pips
and millionths; None where the book had no two sides then, or in rows from before this was kept.
"""

from engine.types import PPM
from settlement.protocol.evidence import SignedOrder


def part_of(at_middle_pips: int | None, order: SignedOrder, pips: int) -> int | None:
    """Return what ``pips`` of an order would have brought at the middle, of ``at_middle_pips`` for
    all of it. By shares, for the terms of the market may have changed since it was signed."""
    return None if at_middle_pips is None else at_middle_pips * pips // order.base_amount


def spread_ppm(at_middle_pips: int, proceeds_pips: int) -> int | None:
    """Return by how many millionths ``proceeds_pips`` are less than the middle, negative where they
    are more."""
    if at_middle_pips <= 0:
        return None
    return (at_middle_pips - proceeds_pips) * PPM // at_middle_pips
