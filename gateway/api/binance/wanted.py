"""What does a client want when it places an order, in the integers of our market?

Checked here as the dialect's filters promise, price first, so that each refusal has its documented
sentence. A market order becomes what a wallet can sign: immediate or cancel with a worst price,
taken from the book as it is and never further from the best than ``SLIPPAGE_PPM``.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from engine.types import LOTS_MAX, PPM, PRICE_MAX, Side
from gateway.api.binance.errors import (
    LOT_SIZE,
    NOTIONAL,
    PRICE_FILTER,
    Code,
    Refused,
    Saying,
    refused,
)
from gateway.api.binance.params import Params, missing
from settlement.orders.catalog import Market

SLIPPAGE_PPM: Final = 50_000
"""How far from the best price a market order may trade at most."""

SLACK_PPM: Final = 2_000
"""How far behind the last price that it needs: others trade while it is on its way."""

LEVELS_READ: Final = 64
"""Prices that a market order may reach: no single shot has more fills."""

SIDES: Final = {"BUY": Side.BUY, "SELL": Side.SELL}
LIMIT, MARKET, LIMIT_MAKER = "LIMIT", "MARKET", "LIMIT_MAKER"
STOPS: Final = {
    "STOP_LOSS": "Stop loss orders",
    "STOP_LOSS_LIMIT": "Stop loss limit orders",
    "TAKE_PROFIT": "Take profit orders",
    "TAKE_PROFIT_LIMIT": "Take profit limit orders",
}
TYPES: Final = (LIMIT, MARKET, LIMIT_MAKER)
GTC, IOC, FOK = "GTC", "IOC", "FOK"
EXPIRE_TAKER: Final = "EXPIRE_TAKER"
MODES: Final = (EXPIRE_TAKER,)

Level = tuple[int, int]
"""(price_ticks, lots)."""


class Wanted(NamedTuple):
    """An order as it is to be signed, but for who signs it and with which nonce."""

    side: Side
    kind: str
    time_in_force: str
    lots: int
    ticks: int

    @property
    def is_single_shot(self) -> bool:
        """Return whether it never rests."""
        return self.time_in_force != GTC


def needs_book(params: Params) -> bool:
    """Return whether the order's price is to be found in the book."""
    return params.text("type").upper() == MARKET


def wanted_of(params: Params, market: Market, opposite: Sequence[Level]) -> Wanted:
    """Return what is wanted; ``opposite`` are the best levels of the other side, best first."""
    side = SIDES.get(params.need("side").upper())
    if side is None:
        raise refused(Code.INVALID_SIDE, "Invalid side.")
    kind = params.need("type").upper()
    _require_known(params, kind)
    if kind == MARKET:
        return _market_order(params, market, side, opposite)
    in_force = GTC if kind == LIMIT_MAKER else params.need("timeInForce").upper()
    if kind == LIMIT_MAKER and params.text("timeInForce") not in ("", GTC):
        raise refused(Code.PARAM_NOT_REQUIRED, "Parameter 'timeInForce' sent when not required.")
    if in_force == FOK:
        raise Refused(Saying(Code.NEW_ORDER_REJECTED, _not_here("Fill or kill orders")))
    if in_force not in (GTC, IOC):
        raise refused(Code.INVALID_TIME_IN_FORCE, "Invalid timeInForce.")
    ticks = _ticks(params, market)
    lots = _lots(params, market)
    _require_worth(market, lots, ticks)
    return Wanted(side, kind, in_force, lots, ticks)


def _not_here(what: str) -> str:
    return f"{what} are not supported for this symbol."


def _require_known(params: Params, kind: str) -> None:
    """Refuse what no order here can be, in the documented words."""
    rejected = Code.NEW_ORDER_REJECTED
    if kind in STOPS:
        raise refused(rejected, _not_here(STOPS[kind]))
    if kind not in TYPES:
        raise refused(Code.INVALID_ORDER_TYPE, "Invalid orderType.")
    if params.text("icebergQty") and params.pips("icebergQty"):
        raise refused(rejected, _not_here("Iceberg orders"))
    for name, what in (
        ("trailingDelta", "Trailing stop orders"),
        ("pegPriceType", "Pegged orders"),
    ):
        if params.text(name):
            raise refused(rejected, _not_here(what))
    if params.text("stopPrice"):
        raise refused(Code.PARAM_NOT_REQUIRED, "Parameter 'stopPrice' sent when not required.")
    if params.text("selfTradePreventionMode", EXPIRE_TAKER).upper() not in MODES:
        raise refused(
            rejected, "This symbol does not allow the specified self-trade prevention mode."
        )


def _ticks(params: Params, market: Market) -> int:
    params.need("price")
    ticks, rest = divmod(params.pips("price"), market.tick_size_pips)
    if rest or not 1 <= ticks <= PRICE_MAX:
        raise Refused(PRICE_FILTER)
    return ticks


def _lots(params: Params, market: Market) -> int:
    params.need("quantity")
    lots, rest = divmod(params.pips("quantity"), market.lot_pips)
    if rest or not 1 <= lots <= LOTS_MAX:
        raise Refused(LOT_SIZE)
    return lots


def _require_worth(market: Market, lots: int, ticks: int) -> None:
    if market.quote_pips(lots, ticks) < market.least_notional_pips:
        raise Refused(NOTIONAL)


def _market_order(params: Params, market: Market, side: Side, opposite: Sequence[Level]) -> Wanted:
    for name in ("timeInForce", "price"):
        if params.text(name):
            raise refused(Code.PARAM_NOT_REQUIRED, f"Parameter '{name}' sent when not required.")
    by_quote = bool(params.text("quoteOrderQty"))
    if by_quote == bool(params.text("quantity")):
        if by_quote:
            raise refused(
                Code.OPTIONAL_PARAMS_BAD_COMBO,
                "Combination of optional parameters invalid.",
            )
        raise missing("quantity")
    if not opposite:
        raise refused(Code.NEW_ORDER_REJECTED, "There is nothing on the other side of the book.")
    worst = worst_ticks(side, opposite[0][0])
    if by_quote:
        lots, last = _lots_for(market, side, params.pips("quoteOrderQty"), opposite, worst)
        if lots < 1:
            raise Refused(LOT_SIZE)
    else:
        lots = _lots(params, market)
        last = _last_ticks(side, lots, opposite, worst)
    # Bought for an amount of quote: never above the price that it was counted with.
    ticks = last if by_quote and side == Side.BUY else _within(side, last, worst)
    _require_worth(market, lots, last)
    return Wanted(side, MARKET, IOC, min(lots, LOTS_MAX), ticks)


def worst_ticks(side: Side, best: int) -> int:
    """Return the worst price that a market order may be signed with."""
    if side == Side.BUY:
        return min(PRICE_MAX, best * (PPM + SLIPPAGE_PPM) // PPM)
    return max(1, -(-best * (PPM - SLIPPAGE_PPM) // PPM))


def _is_within(side: Side, ticks: int, worst: int) -> bool:
    return ticks <= worst if side == Side.BUY else ticks >= worst


def _within(side: Side, ticks: int, worst: int) -> int:
    """Return a price a little behind ``ticks``, and not behind ``worst``."""
    if side == Side.BUY:
        return min(worst, ticks * (PPM + SLACK_PPM) // PPM)
    return max(worst, -(-ticks * (PPM - SLACK_PPM) // PPM))


def _last_ticks(side: Side, lots: int, opposite: Sequence[Level], worst: int) -> int:
    """Return the price of the last level that ``lots`` need; the worst, if they need more."""
    for ticks, there in opposite:
        if not _is_within(side, ticks, worst):
            return worst
        lots -= there
        if lots <= 0:
            return ticks
    return worst


def _lots_for(
    market: Market, side: Side, quote: int, opposite: Sequence[Level], worst: int
) -> tuple[int, int]:
    """Return how many lots ``quote`` pips are, and the last price that they need."""
    lots, left, last = 0, quote, opposite[0][0]
    for ticks, there in opposite:
        if not _is_within(side, ticks, worst):
            break
        taken = min(there, left // (ticks * market.tick_pips))
        if not taken:
            break
        lots, left, last = lots + taken, left - market.quote_pips(taken, ticks), ticks
        if taken < there:
            break
    if side == Side.BUY:
        # All of them at the last price must be paid by ``quote``: the cheaper ones may be gone.
        lots = min(lots, quote // (last * market.tick_pips))
    return lots, last
