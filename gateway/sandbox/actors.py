"""Who takes part in the story, and how do the makers quote?

Two market makers, a customer, a merchant, two who trade while somebody watches, whoever borrows the
demo wallet, and who gives test money: each has a funded account of the embedded chain. What the
story's actors do can be done again after a crash: the same order has the same digest.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from engine.types import Side
from gateway.sandbox.wallet import Wallet
from settlement.orders.catalog import Market
from settlement.protocol.evidence import SignedOrder

OPERATOR, MAKER_ONE, MAKER_TWO, CUSTOMER, MERCHANT, VISITOR, TRADER, GUEST, GIVER = range(9)
"""Which funded account of the embedded chain each of them is."""

BID_LANES: Final = 0x8000
ASK_LANES: Final = 0x9000


class Quotes(NamedTuple):
    """How a maker quotes: ``levels`` prices a side, one order of ``lots`` at each, the first in the
    lane ``lane`` of its side: in each market in others."""

    mid_ticks: int
    spread_ticks: int
    step_ticks: int
    levels: int
    lots: int
    lane: int = 0


def quotes_of(
    wallet: Wallet, market: Market, quotes: Quotes, *, nonce: int, expiry: int
) -> Iterator[SignedOrder]:
    """Yield a maker's signed resting orders, best prices first, one lane each."""
    for level in range(quotes.levels):
        away = quotes.spread_ticks + level * quotes.step_ticks
        for side, lanes, price_ticks in (
            (Side.BUY, BID_LANES, quotes.mid_ticks - away),
            (Side.SELL, ASK_LANES, quotes.mid_ticks + away),
        ):
            yield wallet.order(
                market,
                side,
                quotes.lots,
                price_ticks,
                nonce=nonce,
                expiry=expiry,
                lane=lanes + quotes.lane + level,
            )
