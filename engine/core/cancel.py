"""How does a live order shrink or leave without a trade?

By its owner's wish, by its age, because its account or market leaves, or because it met its own
account.
"""

# mypy: disable-error-code="no-any-return"
from typing import Any

from engine.core.book import unlink
from engine.core.emit import emit_account, emit_cancelled_all, emit_leaving, emit_order, reject
from engine.core.jit import i64, kernel, rare
from engine.core.ledger import count_order, head_at, lots_open, release_all, release_difference
from engine.core.size import is_small
from engine.core.slots import give_slot, slot_of
from engine.core.state import ARMED, ICEBERG, NEVER, NO_SLOT, ORDERS_MAX, WORK, State
from engine.core.stops import disarm
from engine.events import EventKind, Events
from engine.types import ALL_ACCOUNTS, ALL_MARKETS, Outcome, Phase


@kernel
def forget(state: State, slot: int) -> None:
    """End the life of an order that is out of its queue and holds nothing any more."""
    state.counters[0]["orders_live"] -= 1
    count_order(state, i64(state.orders[slot]["account"]), i64(-1))
    if state.orders[slot]["kind"] == ICEBERG:
        state.counters[0]["icebergs_live"] -= 1
    give_slot(state, slot)


@kernel
def depart(state: State, out: Events, slot: int, why: Outcome) -> None:
    """Let the order in ``slot`` go with all it holds; its queue is the caller's affair."""
    release_all(state, slot)
    emit_leaving(state, out, why, slot)
    forget(state, slot)


@kernel
def remove(state: State, out: Events, slot: int, why: Outcome) -> None:
    """Take the order in ``slot``, resting or armed, out of its queue and let it go."""
    if state.orders[slot]["kind"] == ARMED:
        disarm(state, slot)
    else:
        unlink(state, slot)
    depart(state, out, slot, why)


@kernel
def shrink(state: State, out: Events, slot: int, lots: int, why: Outcome) -> None:
    """Leave the order in ``slot`` only ``lots`` open, hidden ones go first; it keeps its place."""
    order = state.orders[slot]
    before, shown = lots_open(state, slot), i64(order["lots"])
    assert 0 < lots < before
    release_difference(state, slot, before, lots)
    order["lots"] = min(shown, lots)
    hidden = i64(0)
    if order["kind"] == ICEBERG:
        hidden = lots - order["lots"]
        state.order_extras[slot]["hidden"] = hidden
    gone = i64(0) if order["kind"] == ARMED else shown - order["lots"]
    emit_order(state, out, EventKind.AMENDED, why, slot, order["lots"], gone, hidden)


@kernel
def cancel(state: State, out: Events, row: Any) -> None:
    """Carry out one CANCEL command."""
    slot = slot_of(state, row["order_id"])
    verdict = validate_owner(state, i64(row["account"]), slot)
    if verdict != Outcome.ACCEPTED:
        reject(state, out, verdict, i64(row["account"]), row["order_id"])
    else:
        remove(state, out, slot, Outcome.CANCELLED_BY_OWNER)


@rare
def amend(state: State, out: Events, row: Any) -> None:
    """Carry out one AMEND command."""
    slot, lots = slot_of(state, row["order_id"]), row["amount"]
    verdict = validate_owner(state, i64(row["account"]), slot)
    if verdict == Outcome.ACCEPTED:
        if state.markets[state.orders[slot]["ladder"] >> 1]["phase"] == Phase.HALTED:
            verdict = Outcome.MARKET_HALTED
        elif lots < 1:
            verdict = Outcome.QUANTITY_OUT_OF_RANGE
        elif lots >= lots_open(state, slot):
            verdict = Outcome.AMEND_NOT_SMALLER
        elif is_below_least(state, slot, lots):
            verdict = Outcome.BELOW_LEAST_NOTIONAL
    if verdict != Outcome.ACCEPTED:
        reject(state, out, verdict, i64(row["account"]), row["order_id"])
    else:
        shrink(state, out, slot, lots, Outcome.ACCEPTED)


@rare
def is_below_least(state: State, slot: int, lots: int) -> bool:
    """Return whether the order in ``slot`` would be too small for its market with ``lots``."""
    order = state.orders[slot]
    price = i64(order["price"])
    if order["kind"] == ARMED:
        price = state.order_extras[slot]["trigger"]
    return is_small(state, i64(order["ladder"]) >> 1, price, lots)


@kernel
def validate_owner(state: State, account: int, slot: int) -> Outcome:
    """Return ACCEPTED or why ``account`` may not touch the order in ``slot``."""
    if account >= state.counters[0]["accounts"]:
        return Outcome.UNKNOWN_ACCOUNT
    if slot == NO_SLOT:
        return Outcome.NOT_RESTING
    if state.orders[slot]["account"] != account:
        return Outcome.NOT_OWNER
    return Outcome.ACCEPTED


@rare
def sweep_expired(state: State, out: Events) -> None:
    """Remove what has expired, in slot order, and learn when the next order expires.

    What is more than the work this command may do is left to the next one.
    """
    counters = state.counters[0]
    if counters["time_ns"] < counters["expiry_soonest_ns"]:
        return
    soonest_ns = i64(NEVER)
    for slot in range(1, counters["slots_used"] + 1):
        if state.orders[slot]["lots"] == 0:
            continue
        if state.expiry_ns[slot] <= counters["time_ns"]:
            if counters["work_left"] <= 0:
                return
            counters["work_left"] -= 1
            remove(state, out, slot, Outcome.EXPIRED)
        else:
            soonest_ns = min(soonest_ns, state.expiry_ns[slot])
    counters["expiry_soonest_ns"] = soonest_ns


@rare
def sweep(state: State, out: Events, account: int, market: int, why: Outcome) -> int:
    """Remove every order of ``account`` or ALL_ACCOUNTS in ``market`` or ALL_MARKETS.

    In slot order; return how many.
    """
    return sweep_some(state, out, account, market, why, state.bounds[ORDERS_MAX])[0]


@rare
def sweep_some(
    state: State, out: Events, account: int, market: int, why: Outcome, most: int
) -> tuple[int, int]:
    """Do what ``sweep`` does to the first ``most``; return how many are gone and how many left.

    Reads the row of each slot ever used: an index by account would cost every order a line to spare
    this one a scan that the prefetcher feeds.
    """
    count, left = i64(0), i64(0)
    for slot in range(1, state.counters[0]["slots_used"] + 1):
        order = state.orders[slot]
        if order["lots"] == 0 or (account != ALL_ACCOUNTS and order["account"] != account):
            continue
        if market == ALL_MARKETS or order["ladder"] >> 1 == market:
            if count < most:
                remove(state, out, slot, why)
                count += 1
            else:
                left += 1
    return count, left


@kernel
def is_outside(order: Any, low: int, high: int) -> bool:
    """Return whether an order could trade outside ``low`` .. ``high``."""
    return order["price"] < low if order["ladder"] & 1 != 0 else order["price"] > high


@rare
def are_too_many(state: State, market: int, low: int, high: int) -> bool:
    """Return whether one command may not cancel all that could trade outside ``low`` .. ``high``.

    No price is inside where ``low`` is above ``high``.
    """
    count = i64(0)
    for slot in range(1, state.counters[0]["slots_used"] + 1):
        order = state.orders[slot]
        if order["lots"] != 0 and order["ladder"] >> 1 == market:
            count += low > high or is_outside(order, low, high)
    return count > state.bounds[WORK]


@rare
def sweep_band(state: State, out: Events, market: int, low: int, high: int) -> None:
    """Remove every order of ``market`` that could trade outside ``low`` .. ``high``."""
    for slot in range(1, state.counters[0]["slots_used"] + 1):
        order = state.orders[slot]
        if order["lots"] == 0 or order["ladder"] >> 1 != market:
            continue
        if is_outside(order, low, high):
            remove(state, out, slot, Outcome.BAND_MOVED)


@rare
def sweep_silent(state: State, out: Events) -> None:
    """Cancel all orders of every account whose dead man's switch has gone off.

    One pass over the slots however many accounts: a switch that has gone off counts downward from
    -1 in its own place meanwhile, by twos; it is even where orders are left because a command may
    not do more. Such an account, and one whose turn has not come, is for the next command.
    """
    counters = state.counters[0]
    soonest_ns = i64(NEVER)
    accounts_left, orders_left = state.bounds[WORK], state.bounds[WORK]
    for account in range(counters["accounts"]):
        head = state.balances[head_at(state, account)]
        if 0 < head["available"] <= counters["time_ns"] and accounts_left > 0:
            accounts_left -= 1
            head["available"] = -1
        elif head["available"] > 0:
            soonest_ns = min(soonest_ns, head["available"])
    counters["deadline_soonest_ns"] = soonest_ns
    for slot in range(1, counters["slots_used"] + 1):
        order = state.orders[slot]
        if order["lots"] == 0:
            continue
        head = state.balances[head_at(state, i64(order["account"]))]
        if head["available"] < 0:
            if orders_left > 0:
                orders_left -= 1
                head["available"] -= 2
                remove(state, out, slot, Outcome.CANCELLED_AFTER)
            elif head["available"] & 1 != 0:
                head["available"] -= 1
    for account in range(counters["accounts"]):
        head = state.balances[head_at(state, account)]
        if head["available"] < 0:
            count, left = (-1 - head["available"]) >> 1, i64(head["available"] & 1 == 0)
            if left != 0:
                head["available"] = counters["time_ns"]
                soonest_ns = min(counters["deadline_soonest_ns"], counters["time_ns"])
                counters["deadline_soonest_ns"] = soonest_ns
                continue
            head["available"] = 0
            emit_cancelled_all(
                state, out, Outcome.CANCELLED_AFTER, account, ALL_MARKETS, count, i64(0)
            )


@rare
def cancel_all(state: State, out: Events, row: Any) -> Outcome:
    """Carry out CANCEL_ALL; return ACCEPTED or why not."""
    account, market = i64(row["account"]), i64(row["market"])
    if market != ALL_MARKETS and market >= state.counters[0]["markets"]:
        return Outcome.UNKNOWN_MARKET
    is_everybody = account == ALL_ACCOUNTS
    if not is_everybody and account >= state.counters[0]["accounts"]:
        return Outcome.UNKNOWN_ACCOUNT
    why = Outcome.CANCELLED_BY_OPERATOR if is_everybody else Outcome.CANCELLED_BY_OWNER
    count, left = sweep_some(state, out, account, market, why, state.bounds[WORK])
    noted = Outcome.CANCELLED_BY_OPERATOR if is_everybody else Outcome.ACCEPTED
    emit_cancelled_all(state, out, noted, account, market, count, left)
    return Outcome.ACCEPTED


@rare
def cancel_after(state: State, out: Events, row: Any) -> Outcome:
    """Carry out CANCEL_AFTER, the dead man's switch; return ACCEPTED or why not."""
    counters = state.counters[0]
    account, deadline_ns = i64(row["account"]), row["expiry_ns"]
    if account >= counters["accounts"]:
        return Outcome.UNKNOWN_ACCOUNT
    if deadline_ns != 0 and deadline_ns <= counters["time_ns"]:
        return Outcome.DEADLINE_PASSED
    state.balances[head_at(state, account)]["available"] = deadline_ns
    if deadline_ns != 0:
        counters["deadline_soonest_ns"] = min(counters["deadline_soonest_ns"], deadline_ns)
    emit_account(state, out, EventKind.CANCEL_AFTER_SET, 0, account, deadline_ns)
    return Outcome.ACCEPTED
