"""How does a resting order shrink or leave without a trade?

By its owner's wish, by its age, because its account leaves, or because it met its own account.
"""

# mypy: disable-error-code="no-any-return"
from typing import Any

from engine.core.book import give_slot, id_of, slot_of, unlink
from engine.core.emit import emit_amended, emit_order, refuse
from engine.core.jit import i64, kernel
from engine.core.layout import NEVER, NO_SLOT, State
from engine.core.ledger import hold_of, release, release_rest, token_paid
from engine.events import EventKind, Events
from engine.types import ALL_MARKETS, Outcome, Phase


@kernel
def remove(state: State, out: Events, slot: int, why: Outcome) -> None:
    """Take the resting order in ``slot`` out of the book and release what it held."""
    order_id = id_of(state, slot)
    lots = state.orders[slot]["lots"]
    release_rest(state, slot)
    emit_order(state, out, EventKind.CANCELLED, why, slot, order_id, lots)
    unlink(state, slot)
    give_slot(state, slot)


@kernel
def shrink(state: State, out: Events, slot: int, lots: int, why: Outcome) -> None:
    """Leave the resting order in ``slot`` only ``lots`` open; it keeps its place."""
    order = state.orders[slot]
    market, side, price = i64(order["market"]), i64(order["side"]), i64(order["price"])
    before = order["lots"]
    assert 0 < lots < before
    pips = hold_of(state, market, side, price, before) - hold_of(state, market, side, price, lots)
    release(state, i64(order["account"]), token_paid(state, market, side), pips)
    order["lots"] = lots
    emit_amended(state, out, why, slot, id_of(state, slot), lots, before - lots)


@kernel
def cancel(state: State, out: Events, row: Any) -> None:
    """Carry out one CANCEL command."""
    slot = slot_of(state, row["order_id"])
    judged = judge_owner(state, i64(row["account"]), slot)
    if judged != Outcome.ACCEPTED:
        refuse(state, out, judged, i64(row["account"]), row["order_id"])
    else:
        remove(state, out, slot, Outcome.CANCELLED_BY_OWNER)


@kernel
def amend(state: State, out: Events, row: Any) -> None:
    """Carry out one AMEND command."""
    slot, lots = slot_of(state, row["order_id"]), row["amount"]
    judged = judge_owner(state, i64(row["account"]), slot)
    if judged == Outcome.ACCEPTED:
        if state.markets[state.orders[slot]["market"]]["phase"] == Phase.HALTED:
            judged = Outcome.MARKET_HALTED
        elif lots < 1:
            judged = Outcome.QUANTITY_OUT_OF_RANGE
        elif lots >= state.orders[slot]["lots"]:
            judged = Outcome.AMEND_NOT_SMALLER
    if judged != Outcome.ACCEPTED:
        refuse(state, out, judged, i64(row["account"]), row["order_id"])
    else:
        shrink(state, out, slot, lots, Outcome.ACCEPTED)


@kernel
def judge_owner(state: State, account: int, slot: int) -> Outcome:
    """Return ACCEPTED or why ``account`` may not touch the order in ``slot``."""
    if account >= state.counters[0]["accounts"]:
        return Outcome.UNKNOWN_ACCOUNT
    if slot == NO_SLOT:
        return Outcome.NOT_RESTING
    if state.orders[slot]["account"] != account:
        return Outcome.NOT_OWNER
    return Outcome.ACCEPTED


@kernel
def sweep_expired(state: State, out: Events) -> None:
    """Remove every expired order, in slot order, and learn when the next one expires."""
    counters = state.counters[0]
    if counters["time_ns"] < counters["expiry_soonest_ns"]:
        return
    soonest_ns = i64(NEVER)
    for slot in range(1, counters["slots_used"] + 1):
        if state.orders[slot]["lots"] == 0:
            continue
        if state.expiry_ns[slot] <= counters["time_ns"]:
            remove(state, out, slot, Outcome.EXPIRED)
        else:
            soonest_ns = min(soonest_ns, state.expiry_ns[slot])
    counters["expiry_soonest_ns"] = soonest_ns


@kernel
def sweep_account(state: State, out: Events, account: int, market: int, why: Outcome) -> int:
    """Remove every order of ``account`` in ``market`` or in ALL_MARKETS, in slot order.

    Return how many. Reads the row of each slot ever used: an index by account would cost every
    order a line to spare this one a scan that the prefetcher feeds.
    """
    count = 0
    for slot in range(1, state.counters[0]["slots_used"] + 1):
        order = state.orders[slot]
        if order["lots"] == 0 or order["account"] != account:
            continue
        if market == ALL_MARKETS or order["market"] == market:
            remove(state, out, slot, why)
            count += 1
    return count
