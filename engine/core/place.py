"""How does an order get a slot and an id, and how does one take the place of another?

All checks (``validate.py``) come before the first change, so a rejected order leaves no trace but
its sequence number. What becomes of it then is told in ``incoming.py``.
"""

# mypy: disable-error-code="no-any-return"
from typing import Any

from engine.core.cancel import remove, validate_owner
from engine.core.emit import emit_order, reject
from engine.core.jit import i64, kernel, rare
from engine.core.ledger import held_by, hold_for
from engine.core.slots import slot_is_free, slot_of, take_slot
from engine.core.state import ARMED, GENERATIONS, ICEBERG, NO_SLOT, State
from engine.core.stops import arm
from engine.core.validate import REPRICE, SHOWS_SLICE, STOP, price_behind, validate
from engine.events import EventKind, Events
from engine.types import Outcome


@kernel
def place(state: State, out: Events, row: Any) -> int:
    """Validate one PLACE; return the slot of the order to carry out, or NO_SLOT."""
    side, market, special = i64(row["side"]), i64(row["market"]), row["order_id"]
    account = i64(row["account"])
    if market >= state.counters[0]["markets"]:
        verdict = Outcome.UNKNOWN_MARKET
    elif account >= state.counters[0]["accounts"]:
        verdict = Outcome.UNKNOWN_ACCOUNT
    else:
        verdict = validate(state, row, side, market, special, i64(0), slot_is_free(state))
    if verdict != Outcome.ACCEPTED:
        reject(state, out, verdict, account, row["order_id"])
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
    emit_order(state, out, EventKind.ACCEPTED, Outcome.ACCEPTED, slot, lots)
    if flags & STOP == 0:
        return slot
    hold_for(state, slot, lots)
    arm(state, out, slot, lots, special, i64(row["tif"]) | flags << 8)
    return i64(NO_SLOT)


@rare
def replace(state: State, out: Events, row: Any) -> int:
    """Validate one REPLACE and take the old order out; return the slot to carry out, or NO_SLOT."""
    account, old = i64(row["account"]), slot_of(state, row["order_id"])
    verdict = validate_owner(state, account, old)
    if verdict == Outcome.ACCEPTED and state.orders[old]["kind"] == ARMED:
        verdict = Outcome.NOT_RESTING
    ladder, special = i64(0), i64(0)
    if verdict == Outcome.ACCEPTED:
        order = state.orders[old]
        ladder = i64(order["ladder"])
        shows_slice = i64(row["flags"]) & SHOWS_SLICE != 0
        if shows_slice and order["kind"] == ICEBERG:
            special = state.order_extras[old]["display"]
        strange = row["market"] != 0 or row["side"] != 0 or row["token"] != 0
        if strange or i64(row["flags"]) & STOP != 0 or (shows_slice and special == 0):
            verdict = Outcome.BAD_ORDER
        else:
            reusable = i64(order["generation"]) + 1 < state.bounds[GENERATIONS]
            verdict = validate(
                state,
                row,
                ladder & 1,
                ladder >> 1,
                special,
                held_by(state, old),
                slot_is_free(state) or reusable,
            )
    if verdict != Outcome.ACCEPTED:
        reject(state, out, verdict, account, row["order_id"])
        return i64(NO_SLOT)
    remove(state, out, old, Outcome.REPLACED)
    slot = admit(state, out, row, ladder, i64(0))
    state.order_extras[slot]["display"] = special
    return slot
