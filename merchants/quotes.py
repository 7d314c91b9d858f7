"""How many lots must be sold for an amount of quote money, by what the book bids now?

All integers: ticks, lots, and pips of the market's quote token.
"""

from typing import NamedTuple

from engine.types import FILLS_MAX, LOTS_MAX, PIPS_PER_TOKEN, PPM, Side, fee_pips
from settlement.catalog import Market
from settlement.ports import ExchangePort

Level = tuple[int, int]
"""(price_ticks, lots), as ``ExchangePort.depth`` gives them, best first."""


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


def bids_of(exchange: ExchangePort, market: Market) -> list[Level]:
    """Return the bids that one single-shot order could reach."""
    return exchange.depth(market, Side.BUY, FILLS_MAX)


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


def worst_price(bids: list[Level], lots: int) -> int | None:
    """Return the price of the last of ``lots``, or of the last bid there is; None without bids."""
    price_ticks = None
    for price_ticks, level_lots in bids:  # noqa: B007 -- the last price reached is the answer
        lots -= level_lots
        if lots <= 0:
            break
    return price_ticks


def limit_ticks(quoted_ticks: int, slippage_ppm: int) -> int:
    """Return the lowest price to accept, rounded up: never below what the merchant allowed."""
    assert 0 <= slippage_ppm <= PPM, "slippage is a share"
    return max(1, -(-quoted_ticks * (PPM - slippage_ppm) // PPM))
