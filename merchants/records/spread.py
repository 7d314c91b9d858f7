"""How much less than the middle of the book did a sale bring?

The middle is that of the best bid and the best offer when the order was signed: what the shop would
have had, had crossing to the bids cost nothing. In whole pips and millionths; None where the book
had no two sides then, or the rows are from before this was kept.
"""

from engine.types import PPM
from merchants.records.tables import Conversion, Fill
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


def count(conversion: Conversion, fill: Fill, times: int) -> None:
    """Count what ``fill`` has brought; ``times`` is -1 where it is taken back."""
    conversion.proceeds_pips += times * fill.proceeds_pips
    conversion.fee_pips += times * fill.fee_pips
    if fill.at_middle_pips is not None:
        conversion.at_middle_pips += times * fill.at_middle_pips
        conversion.compared_pips += times * fill.proceeds_pips
    if not conversion.from_pot:
        conversion.invoice.net_pips += times * (fill.proceeds_pips - fill.fee_pips)
