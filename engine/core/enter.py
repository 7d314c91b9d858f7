"""What becomes of an order that comes in, or comes back as a triggered stop?

All checks (``judge.py``) come before the first change, so a refused order leaves no trace but its
sequence number.
"""

# mypy: disable-error-code="no-any-return"
from typing import Any

from engine.core.book import link
from engine.core.emit import emit_order, refuse
from engine.core.jit import i64, kernel, rare
from engine.core.judge import (
    REPRICE,
    SELF_MODES,
    SHOWS_PART,
    SINGLE_SHOT,
    STOP,
    judge,
    price_behind,
)
from engine.core.layout import (
    ARMED,
    FILLS,
    GENERATIONS,
    ICEBERG,
    NO_SLOT,
    PASSES,
    PLAIN,
    State,
)
from engine.core.leave import judge_owner, remove
from engine.core.ledger import count_order, held_by, hold, hold_of, release_all, token_paid
from engine.core.match import match
from engine.core.slots import give_slot, slot_is_free, slot_of, take_slot
from engine.core.stops import arm, disarm, first_triggered, has_room
from engine.core.whole import fills_whole
from engine.events import EventKind, Events
from engine.types import FILLS_MAX, Outcome, Phase, TimeInForce


@kernel
def place(state: State, out: Events, row: Any) -> int:
    """Judge one PLACE; return the slot of the order to carry out, or NO_SLOT."""
    side, market, special = i64(row["side"]), i64(row["market"]), row["order_id"]
    account = i64(row["account"])
    if market >= state.counters[0]["markets"]:
        judged = Outcome.UNKNOWN_MARKET
    elif account >= state.counters[0]["accounts"]:
        judged = Outcome.UNKNOWN_ACCOUNT
    else:
        judged = judge(state, row, side, market, special, i64(0), slot_is_free(state))
    if judged != Outcome.ACCEPTED:
        refuse(state, out, judged, account, row["order_id"])
        return i64(NO_SLOT)
    return admit(state, out, row, 2 * market + side, special)


@kernel
def admit(state: State, out: Events, row: Any, ladder: int, special: int) -> int:
    """Give an accepted order its slot and id; return the slot unless it only waits."""
    flags, lots = i64(row["flags"]), row["amount"]
    price = row["price_ticks"]
    if flags & REPRICE != 0:
        price = price_behind(state, ladder, price, lots)
    slot = take_slot(state)
    order = state.orders[slot]
    order["ladder"] = ladder
    order["price"] = price
    order["account"] = row["account"]
    state.expiry_ns[slot] = row["expiry_ns"]
    emit_order(state, out, EventKind.ACCEPTED, Outcome.ACCEPTED, slot, lots, 0, 0)
    if flags & STOP == 0:
        return slot
    hold_for(state, slot, lots)
    arm(state, out, slot, lots, special, i64(row["tif"]) | flags << 8)
    return i64(NO_SLOT)


@rare
def replace(state: State, out: Events, row: Any) -> int:
    """Judge one REPLACE and take the old order out; return the slot to carry out, or NO_SLOT."""
    account, old = i64(row["account"]), slot_of(state, row["order_id"])
    judged = judge_owner(state, account, old)
    if judged == Outcome.ACCEPTED and state.orders[old]["kind"] == ARMED:
        judged = Outcome.NOT_RESTING
    ladder, special = i64(0), i64(0)
    if judged == Outcome.ACCEPTED:
        order = state.orders[old]
        ladder = i64(order["ladder"])
        shows_part = i64(row["flags"]) & SHOWS_PART != 0
        if shows_part and order["kind"] == ICEBERG:
            special = state.extras[old]["display"]
        strange = row["market"] != 0 or row["side"] != 0 or row["token"] != 0
        if strange or i64(row["flags"]) & STOP != 0 or (shows_part and special == 0):
            judged = Outcome.BAD_ORDER
        else:
            reusable = i64(order["generation"]) + 1 < state.bounds[GENERATIONS]
            judged = judge(
                state,
                row,
                ladder & 1,
                ladder >> 1,
                special,
                held_by(state, old),
                slot_is_free(state) or reusable,
            )
    if judged != Outcome.ACCEPTED:
        refuse(state, out, judged, account, row["order_id"])
        return i64(NO_SLOT)
    remove(state, out, old, Outcome.REPLACED)
    slot = admit(state, out, row, ladder, i64(0))
    state.extras[slot]["display"] = special
    return slot


@kernel
def hold_for(state: State, slot: int, lots: int) -> None:
    """Hold what ``lots`` of the order in ``slot`` may cost; it is alive from now on."""
    order = state.orders[slot]
    ladder, account = i64(order["ladder"]), i64(order["account"])
    market, side = ladder >> 1, ladder & 1
    pips = hold_of(state, market, side, i64(order["price"]), lots)
    hold(state, account, token_paid(state, market, side), pips)
    counters = state.counters[0]
    counters["orders_live"] += 1
    count_order(state, account, i64(1))
    counters["expiry_soonest_ns"] = min(counters["expiry_soonest_ns"], state.expiry_ns[slot])


@kernel
def carry_out(
    state: State, out: Events, slot: int, lots: int, tif: int, flags: int, display: int
) -> None:
    """Match the order in ``slot`` and let what is left of it rest or go."""
    market = state.orders[slot]["ladder"] >> 1
    why = i64(Outcome.ACCEPTED)
    if state.markets[market]["phase"] != Phase.AUCTION:
        lots, why = trade_or_not(state, out, slot, lots, tif, flags)
    if lots == 0:
        give_slot(state, slot)
    elif why != Outcome.ACCEPTED or tif == TimeInForce.IOC:
        if why == Outcome.ACCEPTED:
            why = i64(Outcome.IMMEDIATE_REMAINDER)
        emit_order(state, out, EventKind.UNFILLED, why, slot, lots, 0, 0)
        give_slot(state, slot)
    else:
        hold_for(state, slot, lots)
        hidden = i64(0)
        if flags & SHOWS_PART != 0:
            hidden = hide(state, slot, lots, display)
        state.orders[slot]["lots"] = lots - hidden
        link(state, slot)
        emit_order(state, out, EventKind.RESTED, Outcome.ACCEPTED, slot, lots - hidden, 0, hidden)


@kernel
def trade_or_not(
    state: State, out: Events, slot: int, lots: int, tif: int, flags: int
) -> tuple[int, Outcome]:
    """Match the order in ``slot``, a FOK only if that fills it; return lots left and why."""
    counters, bounds = state.counters[0], state.bounds
    fills_max = bounds[FILLS]
    if flags & SINGLE_SHOT != 0:
        fills_max = min(fills_max, i64(FILLS_MAX))
    counters["passes_left"] = bounds[PASSES]
    why = i64(Outcome.NOT_FILLABLE_WHOLE)
    is_whole = True
    if tif == TimeInForce.FOK:
        counters["work_left"] -= FILLS_MAX  # It has looked at so many, even if it takes none.
        is_whole = fills_whole(state, slot, lots, flags, fills_max)
    if is_whole:
        counters["passes_left"] = bounds[PASSES]
        lots, why = match(state, out, slot, lots, flags & SELF_MODES, fills_max)
        assert lots == 0 or tif != TimeInForce.FOK
    counters["work_left"] -= bounds[PASSES] - counters["passes_left"]
    return lots, why


@rare
def hide(state: State, slot: int, lots: int, display: int) -> int:
    """Make an iceberg of the order in ``slot``; return how many of its ``lots`` are hidden."""
    extra = state.extras[slot]
    extra["display"] = display
    extra["hidden"] = lots - min(lots, display)
    state.orders[slot]["kind"] = ICEBERG
    state.counters[0]["icebergs_live"] += 1
    return extra["hidden"]


@rare
def next_stop(state: State, out: Events, market: int) -> int:
    """Return the slot of the next stop that trades have triggered and that may come in now.

    NO_SLOT if there is none, or if this command may let no more orders come in.
    """
    while has_room(state):
        slot = first_triggered(state, market)
        if slot == NO_SLOT:
            return slot
        state.counters[0]["work_left"] -= 1
        if state.expiry_ns[slot] <= state.counters[0]["time_ns"]:
            remove(state, out, slot, Outcome.EXPIRED)
            continue
        order, trigger = state.orders[slot], state.extras[slot]["trigger"]
        lots = order["lots"]
        emit_order(state, out, EventKind.TRIGGERED, Outcome.ACCEPTED, slot, lots, trigger, 0)
        release_all(state, slot)
        disarm(state, slot)
        state.counters[0]["orders_live"] -= 1
        count_order(state, i64(order["account"]), i64(-1))
        order["kind"] = PLAIN
        return slot
    return i64(NO_SLOT)
