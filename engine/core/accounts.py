"""How do tokens and accounts come to be, and how does money come in and go out?

Every command here is rejected before it changes anything or done whole.
"""

# mypy: disable-error-code="no-any-return"
from typing import Any

from engine.core.cancel import sweep
from engine.core.emit import emit_account, emit_market
from engine.core.jit import i64, rare
from engine.core.ledger import (
    balance_at,
    charge,
    credit,
    exits_of,
    has_room,
    head_at,
    is_barred,
    may_owe,
    owns,
)
from engine.core.state import ACCOUNTS_MAX, TOKENS_MAX, State
from engine.core.validate import rejection_of_barred
from engine.events import EventKind, Events
from engine.types import ALL_MARKETS, MONEY_MAX, MoneyFlag, Outcome

ALWAYS = int(MoneyFlag.ALWAYS)


@rare
def list_token(state: State, out: Events, row: Any) -> Outcome:
    """Carry out LIST_TOKEN; return ACCEPTED or why not."""
    counters = state.counters[0]
    if row["token"] != counters["tokens"]:
        return Outcome.BAD_LISTING
    if counters["tokens"] >= state.bounds[TOKENS_MAX]:
        return Outcome.CAPACITY
    counters["tokens"] += 1
    emit_account(state, out, EventKind.TOKEN_LISTED, i64(row["token"]), 0, 0)
    return Outcome.ACCEPTED


@rare
def open_account(state: State, out: Events, row: Any) -> Outcome:
    """Carry out OPEN_ACCOUNT; return ACCEPTED or why not."""
    counters = state.counters[0]
    if row["account"] != counters["accounts"]:
        return Outcome.BAD_LISTING
    if counters["accounts"] >= state.bounds[ACCOUNTS_MAX]:
        return Outcome.CAPACITY
    counters["accounts"] += 1
    emit_account(state, out, EventKind.ACCOUNT_OPENED, 0, i64(row["account"]), 0)
    return Outcome.ACCEPTED


@rare
def unknown_owner(state: State, row: Any) -> Outcome:
    """Return why there is no such balance, or ACCEPTED."""
    if row["token"] >= state.counters[0]["tokens"]:
        return Outcome.UNKNOWN_TOKEN
    if row["account"] >= state.counters[0]["accounts"]:
        return Outcome.UNKNOWN_ACCOUNT
    return Outcome.ACCEPTED


@rare
def deposit(state: State, out: Events, row: Any) -> Outcome:
    """Carry out DEPOSIT; return ACCEPTED or why not.

    The supply of a token is bounded, so no sum of balances of it can ever wrap.
    """
    token, account, amount = i64(row["token"]), i64(row["account"]), row["amount"]
    unknown = unknown_owner(state, row)
    if unknown != Outcome.ACCEPTED:
        return unknown
    if not 1 <= amount <= MONEY_MAX or not has_room(state, token, amount, i64(0)):
        return Outcome.AMOUNT_OUT_OF_RANGE
    state.tokens[token]["supply"] += amount
    credit(state, account, token, amount)
    emit_account(state, out, EventKind.DEPOSITED, token, account, amount)
    return Outcome.ACCEPTED


@rare
def withdraw(state: State, out: Events, row: Any) -> Outcome:
    """Carry out WITHDRAW; return ACCEPTED or why not.

    An account that is leaving by itself cannot also be paid by us: both would spend one balance.
    What has been paid already is booked whatever there is.
    """
    unknown = unknown_owner(state, row)
    if unknown != Outcome.ACCEPTED:
        return unknown
    account, has_happened = i64(row["account"]), row["flags"] & ALWAYS != 0
    if is_barred(state, account) and not has_happened:
        return rejection_of_barred(state, account)
    if row["amount"] < 1:
        return Outcome.AMOUNT_OUT_OF_RANGE
    if not has_happened:
        return _pay_out(state, out, row, EventKind.WITHDRAWN)
    token, amount = i64(row["token"]), row["amount"]
    if amount > MONEY_MAX or not may_owe(state, account, token, amount, -amount):
        return Outcome.AMOUNT_OUT_OF_RANGE
    emit_account(state, out, EventKind.WITHDRAWN, token, account, amount)
    state.tokens[token]["supply"] -= amount
    take(state, out, account, token, amount)
    return Outcome.ACCEPTED


@rare
def take(state: State, out: Events, account: int, token: int, pips: int) -> None:
    """Take what the account must give; where it is not available its orders go first."""
    if pips > state.balances[balance_at(state, account, token)]["available"]:
        sweep(state, out, account, i64(ALL_MARKETS), Outcome.IN_DEBT)
    charge(state, account, token, pips)


@rare
def exit_begin(state: State, out: Events, row: Any) -> Outcome:
    """Carry out EXIT_BEGIN; return ACCEPTED or why not."""
    account = i64(row["account"])
    if account >= state.counters[0]["accounts"]:
        return Outcome.UNKNOWN_ACCOUNT
    state.balances[head_at(state, account)]["held"] += 1
    emit_account(state, out, EventKind.EXIT_BEGUN, 0, account, 0)
    sweep(state, out, account, ALL_MARKETS, Outcome.EXITING)
    return Outcome.ACCEPTED


@rare
def exit_end(state: State, out: Events, row: Any) -> Outcome:
    """Carry out EXIT_END; return ACCEPTED or why not."""
    unknown = unknown_owner(state, row)
    if unknown != Outcome.ACCEPTED:
        return unknown
    if row["flags"] & ALWAYS != 0:
        return exit_has_ended(state, out, row)
    account = i64(row["account"])
    if exits_of(state, account) == 0:
        return Outcome.NOT_FROZEN
    if row["amount"] < 0:
        return Outcome.AMOUNT_OUT_OF_RANGE
    paid = _pay_out(state, out, row, EventKind.EXIT_ENDED)
    if paid == Outcome.ACCEPTED:
        state.balances[head_at(state, account)]["held"] -= 1
    return paid


@rare
def exit_has_ended(state: State, out: Events, row: Any) -> Outcome:
    """Book what an exit has taken out of the vault: it was first, whoever else wanted it."""
    token, account = i64(row["token"]), i64(row["account"])
    amount, unpaid = row["amount"], row["price_ticks"]
    if not 0 <= amount <= MONEY_MAX or not 0 <= unpaid <= MONEY_MAX:
        return Outcome.AMOUNT_OUT_OF_RANGE
    from_unpaid = min(max(amount - owns(state, account, token), i64(0)), unpaid)
    amount -= from_unpaid
    if not may_owe(state, account, token, amount, -amount):
        return Outcome.AMOUNT_OUT_OF_RANGE
    if exits_of(state, account) > 0:
        state.balances[head_at(state, account)]["held"] -= 1
    emit_account(state, out, EventKind.EXIT_ENDED, token, account, amount)
    out[state.counters[0]["out_row"] - 1]["order_left"] = from_unpaid
    state.tokens[token]["supply"] -= amount
    take(state, out, account, token, amount)
    return Outcome.ACCEPTED


@rare
def _pay_out(state: State, out: Events, row: Any, kind: EventKind) -> Outcome:
    """Take an amount that is not negative out of the engine; return ACCEPTED or why not."""
    token, account, amount = i64(row["token"]), i64(row["account"]), row["amount"]
    if amount > MONEY_MAX:
        return Outcome.AMOUNT_OUT_OF_RANGE
    balance = state.balances[balance_at(state, account, token)]
    if amount > balance["available"]:
        return Outcome.INSUFFICIENT_BALANCE
    state.tokens[token]["supply"] -= amount
    balance["available"] -= amount
    emit_account(state, out, kind, token, account, amount)
    return Outcome.ACCEPTED


@rare
def validate_bust(state: State, row: Any) -> Outcome:
    """Return ACCEPTED or why a trade cannot be undone."""
    counters = state.counters[0]
    buyer, seller = i64(row["account"]), i64(row["fee_cap_ppm"])
    base_pips, quote_pips = row["price_ticks"], row["amount"]
    buyer_fee, seller_fee = row["order_id"], row["expiry_ns"]
    if row["market"] >= counters["markets"]:
        return Outcome.UNKNOWN_MARKET
    if buyer >= counters["accounts"] or seller >= counters["accounts"]:
        return Outcome.UNKNOWN_ACCOUNT
    if buyer == seller:
        return Outcome.BAD_ORDER
    if not 1 <= base_pips <= MONEY_MAX or not 1 <= quote_pips <= MONEY_MAX:
        return Outcome.AMOUNT_OUT_OF_RANGE
    if max(buyer_fee, seller_fee) > quote_pips or min(buyer_fee, seller_fee) < -quote_pips:
        return Outcome.AMOUNT_OUT_OF_RANGE
    if buyer_fee + seller_fee < 0:
        return Outcome.AMOUNT_OUT_OF_RANGE
    listing = state.markets[row["market"]]
    base, quote = i64(listing["base"]), i64(listing["quote"])
    if state.tokens[quote]["fees"] < buyer_fee + seller_fee:
        return Outcome.INSUFFICIENT_BALANCE
    if row["flags"] & ALWAYS != 0:
        # Nothing leaves the exchange: what one side owes the other has.
        if not may_owe(state, buyer, base, base_pips, i64(0)):
            return Outcome.AMOUNT_OUT_OF_RANGE
        if not may_owe(state, seller, quote, quote_pips - seller_fee, i64(0)):
            return Outcome.AMOUNT_OUT_OF_RANGE
        return Outcome.ACCEPTED
    if state.balances[balance_at(state, buyer, base)]["available"] < base_pips:
        return Outcome.INSUFFICIENT_BALANCE
    if state.balances[balance_at(state, seller, quote)]["available"] < quote_pips - seller_fee:
        return Outcome.INSUFFICIENT_BALANCE
    return Outcome.ACCEPTED


@rare
def bust(state: State, out: Events, row: Any) -> Outcome:
    """Carry out BUST: both get back what they gave, the fees included; or return why not."""
    verdict = validate_bust(state, row)
    if verdict != Outcome.ACCEPTED:
        return verdict
    buyer, seller = i64(row["account"]), i64(row["fee_cap_ppm"])
    base_pips, quote_pips = row["price_ticks"], row["amount"]
    buyer_fee, seller_fee = row["order_id"], row["expiry_ns"]
    listing = state.markets[row["market"]]
    base, quote = i64(listing["base"]), i64(listing["quote"])
    emit_market(state, out, EventKind.TRADE_BUSTED, i64(row["market"]), base_pips, quote_pips)
    event = out[state.counters[0]["out_row"] - 1]
    event["account"] = buyer
    event["maker_account"] = seller
    event["fee_pips"] = buyer_fee
    event["maker_fee_pips"] = seller_fee
    take(state, out, buyer, base, base_pips)
    take(state, out, seller, quote, quote_pips - seller_fee)
    credit(state, buyer, quote, quote_pips + buyer_fee)
    credit(state, seller, base, base_pips)
    state.tokens[quote]["fees"] -= buyer_fee + seller_fee
    return Outcome.ACCEPTED
