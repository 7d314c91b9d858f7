"""How do tokens, markets and accounts come to be, and how does money come in and go out?

Every command here is refused before it changes anything or done whole.
"""

# mypy: disable-error-code="no-any-return"
from typing import Any

from engine.commands import Kind
from engine.core.emit import emit, refuse
from engine.core.jit import i64, kernel
from engine.core.layout import State
from engine.core.leave import sweep_account
from engine.events import EventKind, Events
from engine.types import ALL_MARKETS, FEE_MAX_PPM, LOTS_MAX, MONEY_MAX, Outcome, Phase

TOKENS_MAX, MARKETS_MAX, ACCOUNTS_MAX = 0, 1, 2  # Places in State.bounds.


@kernel
def list_token(state: State, out: Events, row: Any) -> Outcome:
    """Carry out LIST_TOKEN; return ACCEPTED or why not."""
    counters = state.counters[0]
    if row["token"] != counters["tokens"]:
        return Outcome.BAD_LISTING
    if counters["tokens"] >= state.bounds[TOKENS_MAX]:
        return Outcome.CAPACITY
    counters["tokens"] += 1
    _emit_money(state, out, EventKind.TOKEN_LISTED, i64(row["token"]), 0, 0)
    return Outcome.ACCEPTED


@kernel
def list_market(state: State, out: Events, row: Any) -> Outcome:
    """Carry out LIST_MARKET; return ACCEPTED or why not."""
    counters = state.counters[0]
    base, quote = i64(row["account"]), i64(row["token"])
    lot_pips, tick_pips = row["order_id"], row["price_ticks"]
    maker_ppm, taker_ppm = row["amount"], i64(row["fee_cap_ppm"])
    if row["market"] != counters["markets"]:
        return Outcome.BAD_LISTING
    if counters["markets"] >= state.bounds[MARKETS_MAX]:
        return Outcome.CAPACITY
    if base >= counters["tokens"] or quote >= counters["tokens"]:
        return Outcome.UNKNOWN_TOKEN
    if base == quote or not 1 <= lot_pips <= MONEY_MAX or not 1 <= tick_pips <= MONEY_MAX:
        return Outcome.BAD_LISTING
    if not 0 <= maker_ppm <= FEE_MAX_PPM or taker_ppm > FEE_MAX_PPM:
        return Outcome.BAD_LISTING

    listing = state.markets[row["market"]]
    listing["base"] = base
    listing["quote"] = quote
    listing["maker_ppm"] = maker_ppm
    listing["taker_ppm"] = taker_ppm
    listing["lot_pips"] = lot_pips
    listing["tick_pips"] = tick_pips
    listing["lots_max"] = min(LOTS_MAX, MONEY_MAX // lot_pips)
    listing["area_max"] = MONEY_MAX // 2 // tick_pips
    counters["markets"] += 1
    _emit_market(state, out, EventKind.MARKET_LISTED, i64(row["market"]), 0, 0)
    return Outcome.ACCEPTED


@kernel
def open_account(state: State, out: Events, row: Any) -> Outcome:
    """Carry out OPEN_ACCOUNT; return ACCEPTED or why not."""
    counters = state.counters[0]
    if row["account"] != counters["accounts"]:
        return Outcome.BAD_LISTING
    if counters["accounts"] >= state.bounds[ACCOUNTS_MAX]:
        return Outcome.CAPACITY
    counters["accounts"] += 1
    _emit_money(state, out, EventKind.ACCOUNT_OPENED, 0, i64(row["account"]), 0)
    return Outcome.ACCEPTED


@kernel
def deposit(state: State, out: Events, row: Any) -> Outcome:
    """Carry out DEPOSIT; return ACCEPTED or why not.

    The supply of a token is bounded, so no sum of balances of it can ever wrap.
    """
    token, account, amount = i64(row["token"]), i64(row["account"]), row["amount"]
    if token >= state.counters[0]["tokens"]:
        return Outcome.UNKNOWN_TOKEN
    if account >= state.counters[0]["accounts"]:
        return Outcome.UNKNOWN_ACCOUNT
    if amount < 1 or amount > MONEY_MAX - state.tokens[token]["supply"]:
        return Outcome.AMOUNT_OUT_OF_RANGE
    state.tokens[token]["supply"] += amount
    state.balances[account, token]["available"] += amount
    _emit_money(state, out, EventKind.DEPOSITED, token, account, amount)
    return Outcome.ACCEPTED


@kernel
def withdraw(state: State, out: Events, row: Any) -> Outcome:
    """Carry out WITHDRAW; return ACCEPTED or why not.

    An account that is leaving by itself cannot also be paid by us: both would spend one balance.
    """
    token, account, amount = i64(row["token"]), i64(row["account"]), row["amount"]
    if token >= state.counters[0]["tokens"]:
        return Outcome.UNKNOWN_TOKEN
    if account >= state.counters[0]["accounts"]:
        return Outcome.UNKNOWN_ACCOUNT
    if state.exits[account] != 0:
        return Outcome.ACCOUNT_FROZEN
    if amount < 1 or amount > MONEY_MAX:
        return Outcome.AMOUNT_OUT_OF_RANGE
    if amount > state.balances[account, token]["available"]:
        return Outcome.INSUFFICIENT_BALANCE
    _pay_out(state, token, account, amount)
    _emit_money(state, out, EventKind.WITHDRAWN, token, account, amount)
    return Outcome.ACCEPTED


@kernel
def exit_begin(state: State, out: Events, row: Any) -> Outcome:
    """Carry out EXIT_BEGIN; return ACCEPTED or why not."""
    account = i64(row["account"])
    if account >= state.counters[0]["accounts"]:
        return Outcome.UNKNOWN_ACCOUNT
    state.exits[account] += 1
    _emit_money(state, out, EventKind.EXIT_BEGUN, 0, account, 0)
    sweep_account(state, out, account, ALL_MARKETS, Outcome.EXITING)
    return Outcome.ACCEPTED


@kernel
def exit_end(state: State, out: Events, row: Any) -> Outcome:
    """Carry out EXIT_END; return ACCEPTED or why not."""
    token, account, amount = i64(row["token"]), i64(row["account"]), row["amount"]
    if token >= state.counters[0]["tokens"]:
        return Outcome.UNKNOWN_TOKEN
    if account >= state.counters[0]["accounts"]:
        return Outcome.UNKNOWN_ACCOUNT
    if state.exits[account] == 0:
        return Outcome.NOT_FROZEN
    if amount < 0 or amount > MONEY_MAX:
        return Outcome.AMOUNT_OUT_OF_RANGE
    if amount > state.balances[account, token]["available"]:
        return Outcome.INSUFFICIENT_BALANCE
    state.exits[account] -= 1
    _pay_out(state, token, account, amount)
    _emit_money(state, out, EventKind.EXIT_ENDED, token, account, amount)
    return Outcome.ACCEPTED


@kernel
def cancel_all(state: State, out: Events, row: Any) -> Outcome:
    """Carry out CANCEL_ALL; return ACCEPTED or why not."""
    account, market = i64(row["account"]), i64(row["market"])
    if market != ALL_MARKETS and market >= state.counters[0]["markets"]:
        return Outcome.UNKNOWN_MARKET
    if account >= state.counters[0]["accounts"]:
        return Outcome.UNKNOWN_ACCOUNT
    count = sweep_account(state, out, account, market, Outcome.CANCELLED_BY_OWNER)
    _emit_market(state, out, EventKind.CANCELLED_ALL, market, account, count)
    return Outcome.ACCEPTED


@kernel
def set_phase(state: State, out: Events, row: Any) -> Outcome:
    """Carry out SET_PHASE; return ACCEPTED or why not."""
    market, phase = i64(row["market"]), row["amount"]
    if market >= state.counters[0]["markets"]:
        return Outcome.UNKNOWN_MARKET
    if phase < Phase.OPEN or phase > Phase.HALTED:
        return Outcome.BAD_PHASE
    state.markets[market]["phase"] = phase
    _emit_market(state, out, EventKind.PHASE_SET, market, 0, phase)
    return Outcome.ACCEPTED


@kernel
def _pay_out(state: State, token: int, account: int, amount: int) -> None:
    """Take ``amount`` out of the engine; the caller has seen that it is available."""
    state.tokens[token]["supply"] -= amount
    state.balances[account, token]["available"] -= amount
    assert state.tokens[token]["supply"] >= 0


@kernel
def _emit_money(
    state: State, out: Events, kind: EventKind, token: int, account: int, amount: int
) -> None:
    """Write an event about an account or a token; no order is involved."""
    emit(state, out, kind, Outcome.ACCEPTED, 0, token, account, 0, 0, 0, amount)


@kernel
def _emit_market(
    state: State, out: Events, kind: EventKind, market: int, account: int, amount: int
) -> None:
    """Write an event about a whole market; no single order is involved."""
    emit(state, out, kind, Outcome.ACCEPTED, market, 0, account, 0, 0, 0, amount)


@kernel
def administer(state: State, out: Events, row: Any, kind: int) -> None:
    """Carry out any command that is neither PLACE, CANCEL, AMEND nor CLOCK."""
    if kind == Kind.LIST_TOKEN:
        judged = list_token(state, out, row)
    elif kind == Kind.LIST_MARKET:
        judged = list_market(state, out, row)
    elif kind == Kind.OPEN_ACCOUNT:
        judged = open_account(state, out, row)
    elif kind == Kind.DEPOSIT:
        judged = deposit(state, out, row)
    elif kind == Kind.WITHDRAW:
        judged = withdraw(state, out, row)
    elif kind == Kind.EXIT_BEGIN:
        judged = exit_begin(state, out, row)
    elif kind == Kind.EXIT_END:
        judged = exit_end(state, out, row)
    elif kind == Kind.CANCEL_ALL:
        judged = cancel_all(state, out, row)
    elif kind == Kind.SET_PHASE:
        judged = set_phase(state, out, row)
    else:
        judged = Outcome.UNKNOWN_COMMAND
    if judged != Outcome.ACCEPTED:
        refuse(state, out, judged, i64(row["account"]), row["order_id"])
