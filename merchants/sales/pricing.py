"""How many lots must be sold for an amount of quote money, and what do lots bring?

All integers: ticks, lots, and pips of the market's quote token.
"""

from typing import NamedTuple

from engine.types import LOTS_MAX, PIPS_PER_TOKEN, PPM, fee_pips
from settlement.orders.catalog import Market

Level = tuple[int, int]
"""(price_ticks, lots), best first."""


class Quote(NamedTuple):
    """A sale of ``lots`` into the bids of one moment.

    ``worst_ticks`` is the price of the last lot. ``fee_pips`` is the most the taker fee can be:
    it is rounded down once for each level here, and once for each fill when it happens.
    """

    lots: int
    worst_ticks: int
    proceeds_pips: int
    fee_pips: int

    def rate_pips(self, market: Market) -> int:
        """Return quote pips for one whole base token, averaged over the lots, rounded down."""
        return self.proceeds_pips * PIPS_PER_TOKEN // market.base_pips(self.lots)


def quote_proceeds(market: Market, bids: list[Level], wanted_pips: int) -> Quote | None:
    """Return the smallest sale whose proceeds reach ``wanted_pips``; None if the bids do not.

    Lots are rounded up, so that the merchant is never short by rounding.
    """
    assert wanted_pips > 0, "nothing is quoted for nothing"
    lots = proceeds = fee = 0
    for price_ticks, level_lots in bids:
        lot_price = market.quote_pips(1, price_ticks)
        taken = min(level_lots, -(-(wanted_pips - proceeds) // lot_price))
        lots += taken
        proceeds += taken * lot_price
        fee += fee_pips(taken * lot_price, market.taker_fee_ppm)
        if proceeds >= wanted_pips:
            return Quote(lots, price_ticks, proceeds, fee) if lots <= LOTS_MAX else None
    return None


def quote_lots(market: Market, bids: list[Level], lots: int) -> Quote | None:
    """Return the sale of ``lots``; None if the bids do not reach."""
    assert lots > 0, "nothing is quoted for nothing"
    proceeds = fee = 0
    left = lots
    for price_ticks, level_lots in bids:
        taken = min(level_lots, left)
        left -= taken
        brought = market.quote_pips(taken, price_ticks)
        proceeds += brought
        fee += fee_pips(brought, market.taker_fee_ppm)
        if left == 0:
            return Quote(lots, price_ticks, proceeds, fee)
    return None


def ticks_covering(market: Market, price_pips: int) -> int:
    """Return the lowest price in ticks that is not under ``price_pips`` a whole base token."""
    return -(-price_pips * market.lot_pips // (market.tick_pips * PIPS_PER_TOKEN))


def limit_ticks(quoted_ticks: int, slippage_ppm: int) -> int:
    """Return the lowest price to accept, rounded up: never below what the merchant allowed."""
    assert 0 <= slippage_ppm <= PPM, "slippage is a share"
    return max(1, -(-quoted_ticks * (PPM - slippage_ppm) // PPM))
