"""What happens to an order that was let in, until its last fill?

Price-time priority; every fill at the maker's price. All checks (``judge.py``) come before the
first change, so a refused order leaves no trace but its sequence number.
"""

# mypy: disable-error-code="no-any-return"
from typing import Any

from engine.core.bits import next_above, next_below
from engine.core.book import (
    best_against,
    crosses,
    give_slot,
    id_of,
    link,
    take_slot,
    unlink,
)
from engine.core.emit import emit_amended, emit_order, emit_trade, refuse
from engine.core.jit import i64, kernel
from engine.core.judge import (
    SELF_DECREMENT,
    SELF_EXPIRE_BOTH,
    SELF_EXPIRE_MAKER,
    SELF_EXPIRE_TAKER,
    SELF_MODES,
    SINGLE_SHOT,
    judge,
)
from engine.core.layout import NO_SLOT, State
from engine.core.leave import remove, shrink
from engine.core.ledger import (
    fee_of,
    hold,
    hold_of,
    pay_maker,
    token_paid,
)
from engine.events import EventKind, Events
from engine.types import FILLS_MAX, LOTS_MAX, Outcome, Side, TimeInForce


@kernel
def place(state: State, out: Events, row: Any) -> None:
    """Carry out one PLACE command."""
    judged = judge(state, row)
    if judged != Outcome.ACCEPTED:
        refuse(state, out, judged, i64(row["account"]), row["order_id"])
        return

    slot = take_slot(state)
    order = state.orders[slot]
    order["market"] = row["market"]
    order["side"] = row["side"]
    order["price"] = row["price_ticks"]
    order["account"] = row["account"]
    order_id = id_of(state, slot)
    emit_order(state, out, EventKind.ACCEPTED, Outcome.ACCEPTED, slot, order_id, row["amount"])

    flags = i64(row["flags"])
    fills_max = FILLS_MAX if flags & SINGLE_SHOT != 0 else LOTS_MAX
    lots_left, why = row["amount"], Outcome.NOT_FILLABLE_WHOLE
    if row["tif"] != TimeInForce.FOK or fills_whole(state, slot, lots_left, flags, fills_max):
        lots_left, why = match(state, out, slot, lots_left, flags & SELF_MODES, fills_max)
        assert lots_left == 0 or row["tif"] != TimeInForce.FOK

    if lots_left == 0:
        give_slot(state, slot)
    elif why != Outcome.ACCEPTED or row["tif"] == TimeInForce.IOC:
        if why == Outcome.ACCEPTED:
            why = Outcome.IMMEDIATE_REMAINDER
        emit_order(state, out, EventKind.UNFILLED, why, slot, order_id, lots_left)
        give_slot(state, slot)
    else:
        rest(state, slot, lots_left, row["expiry_ns"])
        emit_order(state, out, EventKind.RESTED, Outcome.ACCEPTED, slot, order_id, lots_left)


@kernel
def rest(state: State, slot: int, lots: int, expiry_ns: int) -> None:
    """Put what is left of the order in ``slot`` into the book and hold what it may cost."""
    order = state.orders[slot]
    market, side = i64(order["market"]), i64(order["side"])
    pips = hold_of(state, market, side, i64(order["price"]), lots)
    hold(state, i64(order["account"]), token_paid(state, market, side), pips)
    order["lots"] = lots
    link(state, slot)
    state.expiry_ns[slot] = expiry_ns
    counters = state.counters[0]
    counters["expiry_soonest_ns"] = min(counters["expiry_soonest_ns"], expiry_ns)


@kernel
def fills_whole(state: State, taker: int, lots: int, flags: int, fills_max: int) -> bool:
    """Return whether the order in slot ``taker`` would be filled to the last lot; looks only.

    Expired makers do not count. An own order is passed over if it would make way and is the end
    otherwise, because either it stops the taker or both lose lots without a trade.
    """
    order = state.orders[taker]
    market, side, limit = i64(order["market"]), i64(order["side"]), i64(order["price"])
    makes_way = flags & SELF_MODES == SELF_EXPIRE_MAKER
    price = i64(best_against(state, market, side))
    while crosses(side, limit, price):
        slot = i64(state.levels[market, price]["head"])
        while slot != NO_SLOT:
            maker = state.orders[slot]
            if state.expiry_ns[slot] > state.counters[0]["time_ns"]:
                if maker["account"] != order["account"]:
                    lots -= maker["lots"]
                    fills_max -= 1
                elif not makes_way:
                    return False
                if lots <= 0:
                    return fills_max >= 0
                if fills_max <= 0:
                    return False
            slot = i64(maker["next"])
        if side == Side.BUY:
            price = next_above(state, market, price)
        else:
            price = next_below(state, market, price)
    return False


@kernel
def meet_oneself(state: State, out: Events, taker: int, maker: int, lots: int, mode: int) -> int:
    """Deal with the own order in slot ``maker`` that the incoming one meets with ``lots`` open.

    Return the lots the incoming order goes on with; 0 means that its rest leaves.
    """
    if mode == SELF_EXPIRE_TAKER:
        return 0
    resting = state.orders[maker]["lots"]
    if mode == SELF_DECREMENT and resting > lots:
        shrink(state, out, maker, resting - lots, Outcome.SELF_TRADE)
        return 0
    remove(state, out, maker, Outcome.SELF_TRADE)
    if mode == SELF_EXPIRE_MAKER:
        return lots
    if mode == SELF_EXPIRE_BOTH or resting == lots:
        return 0
    order_id = id_of(state, taker)
    emit_amended(state, out, Outcome.SELF_TRADE, taker, order_id, lots - resting, 0)
    return lots - resting


@kernel
def match(
    state: State, out: Events, taker: int, lots: int, self_mode: int, fills_max: int
) -> tuple[int, Outcome]:
    """Fill the order in slot ``taker`` against the book and settle it.

    Return the lots left and why it had to stop; ACCEPTED when it simply met no further price.
    """
    order = state.orders[taker]
    market, side = i64(order["market"]), i64(order["side"])
    account, limit, order_id = i64(order["account"]), i64(order["price"]), id_of(state, taker)
    listing = state.markets[market]
    may_be_expired = state.counters[0]["time_ns"] >= state.counters[0]["expiry_soonest_ns"]
    base_lots, quote_pips, fees_pips, fills = 0, 0, 0, 0
    why = Outcome.ACCEPTED

    while lots > 0:
        price = best_against(state, market, side)
        if not crosses(side, limit, price):
            break
        if fills == fills_max:
            why = Outcome.FILLS_EXHAUSTED
            break
        slot = i64(state.levels[market, price]["head"])
        assert slot != NO_SLOT  # A best price without an order is our bug.
        maker = state.orders[slot]
        if may_be_expired and state.expiry_ns[slot] <= state.counters[0]["time_ns"]:
            remove(state, out, slot, Outcome.EXPIRED)
            continue
        if maker["account"] == account:
            lots_on = meet_oneself(state, out, taker, slot, lots, self_mode)
            if lots_on == 0:
                why = Outcome.SELF_TRADE
                break
            lots = lots_on
            continue

        traded = min(lots, maker["lots"])
        notional = traded * price * listing["tick_pips"]
        fee_pips = fee_of(notional, listing["taker_ppm"])
        maker_fee_pips = fee_of(notional, listing["maker_ppm"])
        lots -= traded
        fills += 1
        emit_trade(
            state, out, slot, account, side, order_id, traded, lots, fee_pips, maker_fee_pips
        )
        pay_maker(state, slot, traded, notional, maker_fee_pips)
        base_lots += traded
        quote_pips += notional
        fees_pips += fee_pips
        state.tokens[listing["quote"]]["fees"] += fee_pips + maker_fee_pips

        # A maker leaves the queue only when exhausted: a half-filled one keeps its place.
        maker["lots"] -= traded
        if maker["lots"] == 0:
            unlink(state, slot)
            give_slot(state, slot)

    if fills > 0:
        pay_taker(state, taker, base_lots, quote_pips, fees_pips)
    return lots, why


@kernel
def pay_taker(state: State, slot: int, base_lots: int, quote_pips: int, fees_pips: int) -> None:
    """Settle all fills of the incoming order in ``slot`` at once, from what is available."""
    order = state.orders[slot]
    listing = state.markets[order["market"]]
    base = state.balances[order["account"], listing["base"]]
    quote = state.balances[order["account"], listing["quote"]]
    if order["side"] == Side.BUY:
        base["available"] += base_lots * listing["lot_pips"]
        quote["available"] -= quote_pips + fees_pips
    else:
        base["available"] -= base_lots * listing["lot_pips"]
        quote["available"] += quote_pips - fees_pips
    assert base["available"] >= 0 and quote["available"] >= 0


@kernel
def rows_worst(state: State, row: Any) -> int:
    """Return the most events a PLACE can cause.

    Each maker it may meet gives one, or two if it is the taker's own and both are decremented.
    """
    counters = state.counters[0]
    market, side = i64(row["market"]), i64(row["side"])
    if market >= counters["markets"]:
        return 1
    if not crosses(side, row["price_ticks"], best_against(state, market, side)):
        return 2
    if i64(row["flags"]) & SELF_MODES != 0:
        return 2 * counters["orders_live"] + 2
    if max(counters["time_ns"], row["time_ns"]) >= counters["expiry_soonest_ns"]:
        return counters["orders_live"] + 2
    return min(max(row["amount"], 0), counters["orders_live"]) + 2
