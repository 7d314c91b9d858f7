"""May an incoming order enter the market at all?

The first reason in the order of ``judge`` counts. Nothing here changes anything.
"""

# mypy: disable-error-code="no-any-return"
from typing import Any

from engine.core.book import best_against, crosses, slot_is_free
from engine.core.jit import i64, kernel
from engine.core.layout import State
from engine.core.ledger import fee_worst_ppm, hold_of, token_paid
from engine.types import LOTS_MAX, OrderFlag, Outcome, Phase, Side, TimeInForce

POST_ONLY, SINGLE_SHOT = int(OrderFlag.POST_ONLY), int(OrderFlag.SINGLE_SHOT)
SELF_EXPIRE_TAKER, SELF_EXPIRE_MAKER = 0, int(OrderFlag.SELF_EXPIRE_MAKER)
SELF_EXPIRE_BOTH, SELF_DECREMENT = int(OrderFlag.SELF_EXPIRE_BOTH), int(OrderFlag.SELF_DECREMENT)
SELF_MODES = SELF_EXPIRE_MAKER | SELF_EXPIRE_BOTH | SELF_DECREMENT
FLAGS_KNOWN = POST_ONLY | SINGLE_SHOT | SELF_MODES


@kernel
def lots_fit(state: State, market: int, price_ticks: int, lots: int) -> bool:
    """Return whether every product made of these factors stays below 2**62.

    ``lots * price_ticks`` itself can pass 2**63, so its upper part is looked at first: with
    lots <= 2**40 and price < 2**31 neither product below can wrap.
    """
    listing = state.markets[market]
    if lots > listing["lots_max"] or price_ticks * (lots >> 20) > 1 << 42:
        return False
    return lots * price_ticks <= listing["area_max"]


@kernel
def bad_terms(side: int, tif: int, flags: int) -> bool:
    """Return whether side, time in force and flags contradict each other or are unknown."""
    if side > Side.SELL or tif > TimeInForce.FOK or flags & ~FLAGS_KNOWN != 0:
        return True
    if tif != TimeInForce.GTC:
        return flags & POST_ONLY != 0
    return flags & SINGLE_SHOT != 0


@kernel
def refusal_of(phase: int) -> Outcome:
    """Return why a market in ``phase``, which is not OPEN, refuses an order."""
    if phase == Phase.POST_ONLY:
        return Outcome.MARKET_POST_ONLY
    if phase == Phase.CANCEL_ONLY:
        return Outcome.MARKET_CANCEL_ONLY
    return Outcome.MARKET_HALTED


@kernel
def judge(state: State, row: Any) -> Outcome:
    """Return ACCEPTED or the first reason to refuse this PLACE; changes nothing."""
    counters = state.counters[0]
    market, account = i64(row["market"]), i64(row["account"])
    side, tif, flags = i64(row["side"]), i64(row["tif"]), i64(row["flags"])
    price_ticks, lots = row["price_ticks"], row["amount"]

    if market >= counters["markets"]:
        return Outcome.UNKNOWN_MARKET
    if account >= counters["accounts"]:
        return Outcome.UNKNOWN_ACCOUNT
    if bad_terms(side, tif, flags):
        return Outcome.BAD_ORDER
    if state.exits[account] != 0:
        return Outcome.ACCOUNT_FROZEN
    phase = i64(state.markets[market]["phase"])
    if phase != Phase.OPEN and (phase != Phase.POST_ONLY or flags & POST_ONLY == 0):
        return refusal_of(phase)
    if price_ticks < 1 or price_ticks >= state.levels.shape[1]:
        return Outcome.PRICE_OUT_OF_RANGE
    if lots < 1 or lots > LOTS_MAX:
        return Outcome.QUANTITY_OUT_OF_RANGE
    if not lots_fit(state, market, price_ticks, lots):
        return Outcome.NOTIONAL_OUT_OF_RANGE
    if row["fee_cap_ppm"] < fee_worst_ppm(state, market):
        return Outcome.FEE_CAP_TOO_LOW
    if row["expiry_ns"] <= counters["time_ns"]:
        return Outcome.ORDER_EXPIRED
    if flags & POST_ONLY != 0 and crosses(side, price_ticks, best_against(state, market, side)):
        return Outcome.POST_ONLY_WOULD_TRADE
    balance = state.balances[account, token_paid(state, market, side)]
    if balance["available"] < hold_of(state, market, side, price_ticks, lots):
        return Outcome.INSUFFICIENT_BALANCE
    if not slot_is_free(state):
        return Outcome.CAPACITY
    return Outcome.ACCEPTED
