"""What does a client want when it places an order, in the integers of our market?

Checked here as the dialect's filters promise, price first, so that each refusal has its documented
sentence. A market order becomes what a wallet can sign: immediate or cancel with a worst price,
taken from the book as it is and never further from the best than ``SLIPPAGE_PPM``.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from engine.types import ICEBERG_SLICES_MAX, LOTS_MAX, PPM, PRICE_MAX, Side
from gateway.api.binance.errors import (
    ICEBERG_PARTS,
    LOT_SIZE,
    NOTIONAL,
    PRICE_FILTER,
    Code,
    Refused,
    refused,
)
from gateway.api.binance.params import Params
from settlement.orders.catalog import Market
from settlement.protocol.evidence import OrderBits

SLIPPAGE_PPM: Final = 50_000
"""How far from the best price, or from its trigger, a market order may trade at most."""

SLACK_PPM: Final = 2_000
"""How far behind the last price that it needs: others trade while it is on its way."""

LEVELS_READ: Final = 64
"""Prices that a market order may reach: no single shot has more fills."""

SIDES: Final = {"BUY": Side.BUY, "SELL": Side.SELL}
LIMIT, MARKET, LIMIT_MAKER = "LIMIT", "MARKET", "LIMIT_MAKER"
STOP_LOSS, STOP_LOSS_LIMIT = "STOP_LOSS", "STOP_LOSS_LIMIT"
TYPES: Final = (LIMIT, LIMIT_MAKER, MARKET, STOP_LOSS, STOP_LOSS_LIMIT)
NOT_HERE: Final = {
    "TAKE_PROFIT": "Take profit orders",
    "TAKE_PROFIT_LIMIT": "Take profit limit orders",
}
"""What the engine has not: a stop wakes where the market moves against who holds it."""

GTC, IOC, FOK = "GTC", "IOC", "FOK"
EXPIRE_TAKER: Final = "EXPIRE_TAKER"
MODES: Final = {
    EXPIRE_TAKER: 0,
    "EXPIRE_MAKER": int(OrderBits.SELF_EXPIRE_RESTING),
    "EXPIRE_BOTH": int(OrderBits.SELF_EXPIRE_BOTH),
    "DECREMENT": int(OrderBits.SELF_DECREMENT),
}
"""What happens when an order meets one of its own account, in the bits that are signed."""

_SINGLE_SHOT: Final = int(OrderBits.SINGLE_SHOT)
_WAITS: Final = {
    GTC: 0,
    IOC: int(OrderBits.IMMEDIATE),
    FOK: int(OrderBits.FILL_OR_KILL),
}
"""Of a stop: what it does when it has triggered."""

_COMES_IN: Final = {
    GTC: 0,
    IOC: _SINGLE_SHOT,
    FOK: int(OrderBits.SINGLE_SHOT | OrderBits.FILL_OR_KILL),
}

Level = tuple[int, int]
"""(price_ticks, lots)."""


class Wanted(NamedTuple):
    """An order as it is to be signed, but for who signs it and with which nonce. ``bits`` are its
    terms (``OrderBits``) without side and lane."""

    side: Side
    lots: int
    ticks: int
    bits: int
    trigger_or_display: int = 0

    @property
    def is_single_shot(self) -> bool:
        """Return whether it never rests nor waits."""
        return bool(self.bits & _SINGLE_SHOT)


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
    mode = _mode(params)
    if kind == MARKET:
        return _market_order(params, market, side, opposite, mode)
    if kind == STOP_LOSS:
        return _stop_order(params, market, side, mode)
    ticks = _ticks(params, market, "price")
    lots = _lots(params, market)
    _require_worth(market, lots, ticks)
    if kind == LIMIT_MAKER:
        _require_absent(params, "timeInForce")
        shown = _iceberg(params, market)
        bits = mode | int(OrderBits.POST_ONLY) | (int(OrderBits.ICEBERG) if shown else 0)
        return Wanted(side, lots, ticks, bits, *shown)
    in_force = params.need("timeInForce").upper()
    if in_force not in _COMES_IN:
        raise refused(Code.INVALID_TIME_IN_FORCE, "Invalid timeInForce.")
    if kind == STOP_LOSS_LIMIT:
        trigger = market.quote_pips(lots, _ticks(params, market, "stopPrice"))
        bits = mode | int(OrderBits.STOP) | _WAITS[in_force]
        return Wanted(side, lots, ticks, bits, trigger)
    shown = _iceberg(params, market)
    if not shown:
        return Wanted(side, lots, ticks, mode | _COMES_IN[in_force])
    if in_force != GTC:
        raise refused(Code.INVALID_TIME_IN_FORCE, "An iceberg order is good until cancelled.")
    return Wanted(side, lots, ticks, mode | int(OrderBits.ICEBERG), *shown)


def _iceberg(params: Params, market: Market) -> tuple[int, ...]:
    """Return how many base pips are shown of an order; nothing, if it is shown whole."""
    if not params.text("icebergQty") or not params.pips("icebergQty"):
        return ()
    shown, whole = params.pips("icebergQty"), params.pips("quantity")
    if shown % market.lot_pips:
        raise Refused(LOT_SIZE)
    if shown > whole or -(-whole // shown) > ICEBERG_SLICES_MAX:
        raise Refused(ICEBERG_PARTS)
    return (shown,)


def _not_here(what: str) -> str:
    return f"{what} are not supported for this symbol."


def _mode(params: Params) -> int:
    mode = MODES.get(params.text("selfTradePreventionMode", EXPIRE_TAKER).upper())
    if mode is None:
        raise refused(
            Code.NEW_ORDER_REJECTED,
            "This symbol does not allow the specified self-trade prevention mode.",
        )
    return mode


def _require_known(params: Params, kind: str) -> None:
    """Refuse what no order here can be, in the documented words."""
    rejected = Code.NEW_ORDER_REJECTED
    if kind in NOT_HERE:
        raise refused(rejected, _not_here(NOT_HERE[kind]))
    if kind not in TYPES:
        raise refused(Code.INVALID_ORDER_TYPE, "Invalid orderType.")
    for name, what in (("trailingDelta", "Trailing stop"), ("pegPriceType", "Pegged")):
        if params.text(name):
            raise refused(rejected, _not_here(f"{what} orders"))
    if kind not in (STOP_LOSS, STOP_LOSS_LIMIT):
        _require_absent(params, "stopPrice")
    if kind not in (LIMIT, LIMIT_MAKER):
        _require_absent(params, "icebergQty")
    if kind != MARKET:
        _require_absent(params, "quoteOrderQty")


def _require_absent(params: Params, *names: str) -> None:
    for name in names:
        if params.text(name):
            raise refused(Code.PARAM_NOT_REQUIRED, f"Parameter '{name}' sent when not required.")


def _ticks(params: Params, market: Market, name: str) -> int:
    params.need(name)
    ticks, rest = divmod(params.pips(name), market.tick_size_pips)
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


def _stop_order(params: Params, market: Market, side: Side, mode: int) -> Wanted:
    """Return a stop that takes what it gets: with a worst price, as all that is signed has."""
    _require_absent(params, "timeInForce", "price")
    trigger = _ticks(params, market, "stopPrice")
    lots, worst = _lots(params, market), worst_ticks(side, trigger)
    _require_worth(market, lots, worst)
    bits = mode | int(OrderBits.STOP | OrderBits.IMMEDIATE)
    return Wanted(side, lots, worst, bits, market.quote_pips(lots, trigger))


def _market_order(
    params: Params, market: Market, side: Side, opposite: Sequence[Level], mode: int
) -> Wanted:
    _require_absent(params, "timeInForce", "price")
    by_quote = bool(params.text("quoteOrderQty"))
    if by_quote and params.text("quantity"):
        raise refused(Code.OPTIONAL_PARAMS_BAD_COMBO, "Combination of optional parameters invalid.")
    if not by_quote:
        params.need("quantity")
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
    return Wanted(side, min(lots, LOTS_MAX), ticks, mode | _SINGLE_SHOT)


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
