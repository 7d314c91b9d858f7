"""How does a market come to be, change, stand still and go?

Every command here is rejected before it changes anything or done whole.
"""

# mypy: disable-error-code="no-any-return"
from typing import Any

from engine.core.auction import uncross
from engine.core.cancel import are_too_many, sweep, sweep_band
from engine.core.emit import emit, emit_market
from engine.core.jit import i64, kernel, rare
from engine.core.state import MARKETS_MAX, State
from engine.core.triggers import forget_pending
from engine.events import EventKind, Events
from engine.types import (
    ALL_ACCOUNTS,
    FEE_MAX_PPM,
    LOTS_MAX,
    MONEY_MAX,
    PRICE_MAX,
    Outcome,
    Phase,
)


@kernel
def bad_terms(row: Any) -> bool:
    """Return whether lot, tick, fees or least notional of a listing are out of range.

    A rebate for makers may not be more than takers pay.
    """
    lot_pips, tick_pips = row["order_id"], row["price_ticks"]
    maker_ppm, taker_ppm = row["amount"], i64(row["fee_cap_ppm"])
    if not 0 <= row["expiry_ns"] <= MONEY_MAX // 2:
        return True
    if not 1 <= lot_pips <= MONEY_MAX or not 1 <= tick_pips <= MONEY_MAX:
        return True
    return taker_ppm > FEE_MAX_PPM or not -taker_ppm <= maker_ppm <= FEE_MAX_PPM


@kernel
def write_terms(state: State, row: Any) -> None:
    """Write the terms of a market, and what follows from them."""
    listing = state.markets[row["market"]]
    listing["maker_ppm"] = row["amount"]
    listing["taker_ppm"] = row["fee_cap_ppm"]
    listing["lot_pips"] = row["order_id"]
    listing["tick_pips"] = row["price_ticks"]
    listing["lots_max"] = min(LOTS_MAX, MONEY_MAX // row["order_id"])
    listing["area_max"] = MONEY_MAX // 2 // row["price_ticks"]
    tick_pips = row["price_ticks"]
    rest = i64(1) if row["expiry_ns"] % tick_pips != 0 else i64(0)
    state.area_min[row["market"]] = row["expiry_ns"] // tick_pips + rest


@rare
def list_market(state: State, out: Events, row: Any) -> Outcome:
    """Carry out LIST_MARKET; return ACCEPTED or why not."""
    counters = state.counters[0]
    base, quote = i64(row["account"]), i64(row["token"])
    if row["market"] != counters["markets"]:
        return Outcome.BAD_LISTING
    if counters["markets"] >= state.bounds[MARKETS_MAX]:
        return Outcome.CAPACITY
    if base >= counters["tokens"] or quote >= counters["tokens"]:
        return Outcome.UNKNOWN_TOKEN
    if base == quote or bad_terms(row):
        return Outcome.BAD_LISTING
    state.markets[row["market"]]["base"] = base
    state.markets[row["market"]]["quote"] = quote
    write_terms(state, row)
    counters["markets"] += 1
    emit_market(state, out, EventKind.MARKET_LISTED, i64(row["market"]), 0, 0)
    return Outcome.ACCEPTED


@rare
def validate_market(state: State, market: int) -> Outcome:
    """Return ACCEPTED or why nothing about ``market`` can be changed."""
    if market >= state.counters[0]["markets"]:
        return Outcome.UNKNOWN_MARKET
    if state.markets[market]["phase"] == Phase.DELISTED:
        return Outcome.MARKET_DELISTED
    return Outcome.ACCEPTED


@rare
def set_terms(state: State, out: Events, row: Any) -> Outcome:
    """Carry out SET_TERMS; return ACCEPTED or why not."""
    market = i64(row["market"])
    verdict = validate_market(state, market)
    if verdict != Outcome.ACCEPTED:
        return verdict
    if bad_terms(row):
        return Outcome.BAD_LISTING
    if are_too_many(state, market, i64(1), i64(0)):
        return Outcome.TOO_MANY_ORDERS
    sweep(state, out, i64(ALL_ACCOUNTS), market, Outcome.TERMS_CHANGED)
    write_terms(state, row)
    listing = state.markets[market]
    listing["last_ticks"] = 0
    listing["band_low"] = 0
    listing["band_high"] = PRICE_MAX
    forget_pending(state, market)
    emit_market(state, out, EventKind.TERMS_SET, market, 0, 0)
    return Outcome.ACCEPTED


@rare
def delist(state: State, out: Events, row: Any) -> Outcome:
    """Carry out DELIST; return ACCEPTED or why not."""
    market = i64(row["market"])
    verdict = validate_market(state, market)
    if verdict != Outcome.ACCEPTED:
        return verdict
    if are_too_many(state, market, i64(1), i64(0)):
        return Outcome.TOO_MANY_ORDERS
    sweep(state, out, i64(ALL_ACCOUNTS), market, Outcome.DELISTED)
    forget_pending(state, market)
    state.markets[market]["phase"] = Phase.DELISTED
    emit_market(state, out, EventKind.MARKET_DELISTED, market, 0, 0)
    return Outcome.ACCEPTED


@rare
def set_band(state: State, out: Events, row: Any) -> Outcome:
    """Carry out SET_BAND; return ACCEPTED or why not."""
    market, low, high = i64(row["market"]), row["price_ticks"], row["amount"]
    verdict = validate_market(state, market)
    if verdict != Outcome.ACCEPTED:
        return verdict
    has_none = low == 0 and high == 0
    if not has_none and not 1 <= low <= high <= PRICE_MAX:
        return Outcome.BAD_BAND
    highest = i64(PRICE_MAX if has_none else high)
    if are_too_many(state, market, i64(low), highest):
        return Outcome.TOO_MANY_ORDERS
    listing = state.markets[market]
    listing["band_low"] = low
    listing["band_high"] = highest
    sweep_band(state, out, market, i64(low), highest)
    emit_market(state, out, EventKind.BAND_SET, market, low, high)
    return Outcome.ACCEPTED


@rare
def set_phase(state: State, out: Events, row: Any) -> Outcome:
    """Carry out SET_PHASE; return ACCEPTED or why not."""
    market, phase = i64(row["market"]), row["amount"]
    verdict = validate_market(state, market)
    if verdict != Outcome.ACCEPTED:
        return verdict
    if phase < Phase.OPEN or phase > Phase.AUCTION:
        return Outcome.BAD_PHASE
    pending, outcome = state.pending[market], i64(Outcome.ACCEPTED)
    if phase <= Phase.POST_ONLY and not uncross(state, out, market):
        outcome = i64(Outcome.MORE_REMAINS)
        # Nobody may come in, or leave the auction's price behind, until it is over.
        phase = i64(state.markets[market]["phase"])
        if pending["price"] != 0:
            phase = i64(Phase.CANCEL_ONLY)
    elif phase == Phase.AUCTION:
        pending["price"] = 0
    state.markets[market]["phase"] = phase
    emit(state, out, EventKind.PHASE_SET, outcome, market=market, amount=phase)
    return Outcome.ACCEPTED


@rare
def poison(state: State, out: Events, row: Any) -> None:
    """Halt the market of a command that broke an assertion and was taken out."""
    market = i64(row["market"])
    if validate_market(state, market) == Outcome.ACCEPTED:
        state.markets[market]["phase"] = Phase.HALTED
    emit(
        state,
        out,
        EventKind.POISONED,
        Outcome.POISONED,
        market=market,
        account=i64(row["account"]),
        order_id=row["order_id"],
    )
