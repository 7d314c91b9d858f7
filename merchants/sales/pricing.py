"""How much must be sold for an amount of quote money, and what does it bring?

All integers: ticks, lots, and pips of the market's quote token.
"""

from collections.abc import Iterable
from typing import NamedTuple

from engine.types import LOTS_MAX, PIPS_PER_TOKEN, PPM, fee_pips
from settlement.orders.catalog import Market

Level = tuple[int, int]
"""(price_ticks, lots), best first."""


class Quote(NamedTuple):
    """A sale of ``base_pips`` into the bids of one moment; ``lots`` are as many as hold them.

    ``worst_ticks`` is the price of the last pip. ``fee_pips`` is the most the taker fee can be:
    it is rounded down once for each level here, and once for each fill when it happens.
    """

    lots: int
    worst_ticks: int
    proceeds_pips: int
    fee_pips: int
    base_pips: int

    def rate_pips(self) -> int:
        """Return quote pips for one whole base token, averaged over the sale, rounded down."""
        return self.proceeds_pips * PIPS_PER_TOKEN // self.base_pips


def quote_proceeds(market: Market, bids: Iterable[Level], wanted_pips: int) -> Quote | None:
    """Return the smallest sale whose proceeds reach ``wanted_pips``; None if the bids do not.

    Base pips are rounded up, so that the merchant is never short by rounding. A market takes whole
    lots only: what is less is sold together with the rests of other invoices.
    """
    assert wanted_pips > 0, "nothing is quoted for nothing"
    pips = proceeds = fee = 0
    for price_ticks, level_lots in bids:
        lot_price = market.quote_pips(1, price_ticks)
        most, wanted = market.base_pips(level_lots), (wanted_pips - proceeds) * market.lot_pips
        taken = min(most, -(-wanted // lot_price))
        brought = taken * lot_price // market.lot_pips
        pips += taken
        proceeds += brought
        fee += fee_pips(brought, market.taker_fee_ppm)
        if proceeds >= wanted_pips:
            lots = -(-pips // market.lot_pips)
            quote = Quote(lots, price_ticks, proceeds, fee, pips)
            return quote if lots <= LOTS_MAX else None
    return None


def quote_base(market: Market, bids: Iterable[Level], base_pips: int) -> Quote | None:
    """Return the sale of ``base_pips``; None if the bids do not reach."""
    assert base_pips > 0, "nothing is quoted for nothing"
    proceeds = fee = 0
    left = base_pips
    for price_ticks, level_lots in bids:
        taken = min(market.base_pips(level_lots), left)
        left -= taken
        brought = taken * market.quote_pips(1, price_ticks) // market.lot_pips
        proceeds += brought
        fee += fee_pips(brought, market.taker_fee_ppm)
        if left == 0:
            lots = -(-base_pips // market.lot_pips)
            return Quote(lots, price_ticks, proceeds, fee, base_pips)
    return None


def ticks_covering(market: Market, price_pips: int) -> int:
    """Return the lowest price in ticks that is not under ``price_pips`` a whole base token."""
    return -(-price_pips * market.lot_pips // (market.tick_pips * PIPS_PER_TOKEN))


def limit_ticks(quoted_ticks: int, slippage_ppm: int) -> int:
    """Return the lowest price to accept, rounded up: never below what the merchant allowed."""
    assert 0 <= slippage_ppm <= PPM, "slippage is a share"
    return max(1, -(-quoted_ticks * (PPM - slippage_ppm) // PPM))
