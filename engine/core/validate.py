"""May an incoming order enter the market at all?

The first reason in the order of ``validate`` counts. Nothing here changes anything.
"""

# mypy: disable-error-code="no-any-return"
from typing import Any

from engine.commands import Kind
from engine.core.book import crosses
from engine.core.jit import i64, kernel, rare
from engine.core.ledger import (
    balance_at,
    exits_of,
    fee_worst_ppm,
    hold_of,
    is_barred,
    orders_of,
    token_paid,
)
from engine.core.size import is_small, lots_fit
from engine.core.state import ACCOUNT_ORDERS, State
from engine.types import (
    ICEBERG_SLICES_MAX,
    LOTS_MAX,
    PRICE_MAX,
    OrderFlag,
    Outcome,
    Phase,
    Side,
    TimeInForce,
)

POST_ONLY, SINGLE_SHOT = int(OrderFlag.POST_ONLY), int(OrderFlag.SINGLE_SHOT)
STOP, SHOWS_SLICE, REPRICE = int(OrderFlag.STOP), int(OrderFlag.ICEBERG), int(OrderFlag.REPRICE)
SELF_EXPIRE_TAKER, SELF_EXPIRE_MAKER = 0, int(OrderFlag.SELF_EXPIRE_MAKER)
SELF_EXPIRE_BOTH, SELF_DECREMENT = int(OrderFlag.SELF_EXPIRE_BOTH), int(OrderFlag.SELF_DECREMENT)
SELF_MODES = SELF_EXPIRE_MAKER | SELF_EXPIRE_BOTH | SELF_DECREMENT
SPECIAL = STOP | SHOWS_SLICE
FLAGS_KNOWN = POST_ONLY | SINGLE_SHOT | SELF_MODES | SPECIAL | REPRICE


@kernel
def bad_terms(side: int, tif: int, flags: int, special: int) -> bool:
    """Return whether the terms contradict each other or are unknown."""
    if side > Side.SELL or tif > TimeInForce.FOK or flags & ~FLAGS_KNOWN != 0:
        return True
    if flags & SPECIAL != 0:
        if flags & SPECIAL == SPECIAL or (flags & STOP != 0 and flags & POST_ONLY != 0):
            return True
        if flags & SHOWS_SLICE != 0 and tif != TimeInForce.GTC:
            return True
    elif special != 0:
        return True
    if flags & REPRICE != 0 and flags & POST_ONLY == 0:
        return True
    if tif != TimeInForce.GTC:
        return flags & POST_ONLY != 0
    return flags & SINGLE_SHOT != 0


@rare
def rejection_by_phase(phase: int, tif: int, flags: int) -> Outcome:
    """Return why a market in ``phase``, which is not OPEN, rejects an order, or ACCEPTED."""
    if phase == Phase.POST_ONLY:
        return Outcome.ACCEPTED if flags & POST_ONLY != 0 else Outcome.MARKET_POST_ONLY
    if phase == Phase.AUCTION:
        waits = tif == TimeInForce.GTC or flags & STOP != 0
        if waits and flags & POST_ONLY == 0:
            return Outcome.ACCEPTED
        return Outcome.MARKET_IN_AUCTION
    if phase == Phase.CANCEL_ONLY:
        return Outcome.MARKET_CANCEL_ONLY
    return Outcome.MARKET_HALTED if phase == Phase.HALTED else Outcome.MARKET_DELISTED


@kernel
def rejection_of_special(flags: int, special: int, lots: int) -> Outcome:
    """Return what is wrong with a stop's trigger or an iceberg's display, or ACCEPTED."""
    if flags & STOP != 0:
        if special < 1 or special > PRICE_MAX:
            return Outcome.TRIGGER_OUT_OF_RANGE
    elif special < 1 or special > lots or (lots - 1) // special >= ICEBERG_SLICES_MAX:
        return Outcome.DISPLAY_OUT_OF_RANGE
    return Outcome.ACCEPTED


@kernel
def price_behind(state: State, ladder: int, price_ticks: int, lots: int) -> int:
    """Return where a re-priced order would rest, which may be where it was; 0 for nowhere."""
    against = state.best_prices[ladder ^ 1]["best"]
    if not crosses(ladder & 1, price_ticks, against):
        return price_ticks
    price_ticks = against - 1 if ladder & 1 == Side.BUY else against + 1
    if price_ticks > PRICE_MAX or not lots_fit(state, ladder >> 1, price_ticks, lots):
        return 0
    return price_ticks


@kernel
def would_trigger(state: State, ladder: int, trigger: int) -> bool:
    """Return whether the market's last trade has reached this trigger already."""
    last = i64(state.markets[ladder >> 1]["last_ticks"])
    if last == 0:
        return False
    return last >= trigger if ladder & 1 == Side.BUY else last <= trigger


@rare
def rejection_of_barred(state: State, account: int) -> Outcome:
    """Return why an account that is barred can do nothing."""
    return Outcome.ACCOUNT_FROZEN if exits_of(state, account) != 0 else Outcome.IN_DEBT


@rare
def below_least(
    state: State, ladder: int, price_ticks: int, lots: int, flags: int, special: int
) -> bool:
    """Return whether an order, of an iceberg the slice it shows, is below the least notional.

    It counts at the price where it would trade first: an own limit far from there must not make a
    large order of a small one.
    """
    if flags & SHOWS_SLICE != 0:
        lots = special
    against = state.best_prices[ladder ^ 1]["best"]
    if flags & STOP != 0:
        price_ticks = special
    elif crosses(ladder & 1, price_ticks, against):
        price_ticks = against
    return is_small(state, ladder >> 1, price_ticks, lots)


@kernel
def validate(
    state: State, row: Any, side: int, market: int, special: int, credit_pips: int, has_slot: bool
) -> Outcome:
    """Return ACCEPTED or the first reason to reject this PLACE or REPLACE; changes nothing.

    The market and the account exist. ``special`` is a trigger price or lots to show;
    ``credit_pips`` count as available.
    """
    account, tif, flags = i64(row["account"]), i64(row["tif"]), i64(row["flags"])
    price_ticks, lots = row["price_ticks"], row["amount"]
    listing = state.markets[market]
    if bad_terms(side, tif, flags, special):
        return Outcome.BAD_ORDER
    if is_barred(state, account):
        return rejection_of_barred(state, account)
    if listing["phase"] != Phase.OPEN:
        rejection = rejection_by_phase(i64(listing["phase"]), tif, flags)
        if rejection != Outcome.ACCEPTED:
            return rejection
    if price_ticks < 1 or price_ticks > PRICE_MAX:
        return Outcome.PRICE_OUT_OF_RANGE
    if lots < 1 or lots > LOTS_MAX:
        return Outcome.QUANTITY_OUT_OF_RANGE
    if not lots_fit(state, market, price_ticks, lots):
        return Outcome.NOTIONAL_OUT_OF_RANGE
    if flags & SPECIAL != 0:
        rejection = rejection_of_special(flags, special, lots)
        if rejection != Outcome.ACCEPTED:
            return rejection
    outside = (
        price_ticks > listing["band_high"]
        if side == Side.BUY
        else (price_ticks < listing["band_low"])
    )
    if outside:
        return Outcome.OUTSIDE_BAND
    if row["fee_cap_ppm"] < fee_worst_ppm(state, market):
        return Outcome.FEE_CAP_TOO_LOW
    if row["expiry_ns"] <= state.counters[0]["time_ns"]:
        return Outcome.ORDER_EXPIRED
    ladder = 2 * market + side
    if flags & STOP != 0 and would_trigger(state, ladder, special):
        return Outcome.STOP_WOULD_TRIGGER
    meets = flags & POST_ONLY != 0 and crosses(
        side, price_ticks, state.best_prices[ladder ^ 1]["best"]
    )
    if meets and (flags & REPRICE == 0 or price_behind(state, ladder, price_ticks, lots) == 0):
        return Outcome.POST_ONLY_WOULD_TRADE
    has_least = state.area_min[market] != 0
    if has_least and below_least(state, ladder, price_ticks, lots, flags, special):
        return Outcome.BELOW_LEAST_NOTIONAL
    balance = state.balances[balance_at(state, account, token_paid(state, market, side))]
    needed = hold_of(state, market, side, price_ticks, lots)
    if balance["available"] + credit_pips < needed:
        return Outcome.INSUFFICIENT_BALANCE
    may_stay = tif == TimeInForce.GTC or flags & STOP != 0
    gives_way = i64(1) if row["kind"] == Kind.REPLACE else i64(0)
    if may_stay and orders_of(state, account) - gives_way >= state.bounds[ACCOUNT_ORDERS]:
        return Outcome.ACCOUNT_ORDERS_EXHAUSTED
    return Outcome.ACCEPTED if has_slot else Outcome.CAPACITY
