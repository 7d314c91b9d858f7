"""Whom does an incoming order trade with, and at what price?

Price-time priority; every fill at the maker's price. A queue is taken from its oldest order on and
put right once, when the incoming order leaves it: each maker it has met is gone by then, or hides
more lots and stands at the end, or is the one that stays in front.
"""

# mypy: disable-error-code="no-any-return"
from engine.core.book import crosses, join, level_of, vacate
from engine.core.cancel import depart, forget, shrink
from engine.core.emit import emit_order, emit_trade
from engine.core.jit import i64, kernel, rare
from engine.core.ledger import balance_at, fee_of, lots_open, pay_resting
from engine.core.machinecode import prefetch
from engine.core.slots import id_of
from engine.core.state import ICEBERG, SLOT_LINKS, State
from engine.core.validate import (
    SELF_DECREMENT,
    SELF_EXPIRE_BOTH,
    SELF_EXPIRE_MAKER,
    SELF_EXPIRE_TAKER,
)
from engine.events import EventKind, Events
from engine.types import Outcome, Side


@kernel
def match(
    state: State, out: Events, taker: int, lots: int, self_mode: int, fills_max: int
) -> tuple[int, Outcome]:
    """Fill the order in slot ``taker`` against the book and settle it.

    Return the lots left and why it had to stop; ACCEPTED when it simply met no further price.
    """
    order = state.orders[taker]
    ladder, limit = i64(order["ladder"]), i64(order["price"])
    base_lots, quote_pips, fees_pips = i64(0), i64(0), i64(0)
    why = i64(Outcome.ACCEPTED)
    price = i64(state.best_prices[ladder ^ 1]["best"])
    while lots > 0 and why == Outcome.ACCEPTED and crosses(ladder & 1, limit, price):
        at = level_of(state, ladder ^ 1, price)
        lots, bought_lots, fees, fills_max, why = take_queue(
            state, out, taker, at, lots, price, self_mode, fills_max
        )
        if bought_lots > 0:
            note_price(state, ladder >> 1, price)
            base_lots += bought_lots
            quote_pips += bought_lots * price
            fees_pips += fees
        if state.links[at]["next"] == at:
            vacate(state, ladder ^ 1, price)
            price = i64(state.best_prices[ladder ^ 1]["best"])
    if base_lots > 0:
        quote_pips *= state.markets[ladder >> 1]["tick_pips"]
        pay_taker(state, taker, base_lots, quote_pips, fees_pips)
    return lots, why


@kernel
def take_queue(
    state: State,
    out: Events,
    taker: int,
    at: int,
    lots: int,
    price: int,
    self_mode: int,
    fills_max: int,
) -> tuple[int, int, int, int, int]:
    """Take the queue of the level ``at``.

    Return the lots the taker has left, those it traded and their fees, how many more fills it may
    have, and why it had to stop.
    """
    account, counters = state.orders[taker]["account"], state.counters[0]
    may_be_expired = counters["time_ns"] >= counters["expiry_soonest_ns"]
    bought_lots, fees_pips = i64(0), i64(0)
    why = i64(Outcome.ACCEPTED)
    oldest = i64(state.links[at]["next"])
    assert oldest != 0 and oldest != at  # A best price without an order is our bug.
    while oldest != at and lots > 0:
        if fills_max == 0:
            why = i64(Outcome.FILLS_EXHAUSTED)
            break
        slot = oldest >> SLOT_LINKS
        maker = state.orders[slot]
        younger = i64(maker["next"])
        prefetch(state.links, younger)  # By the time this maker is paid, it is there.
        is_expired = may_be_expired and state.expiry_ns[slot] <= counters["time_ns"]
        if is_expired or maker["account"] == account:
            if counters["passes_left"] == 0:
                why = i64(Outcome.WORK_EXHAUSTED)
                break
            counters["passes_left"] -= 1
            if is_expired:
                depart(state, out, slot, Outcome.EXPIRED)
                oldest = younger
                continue
            lots_on, is_gone = meet_oneself(state, out, taker, slot, lots, self_mode)
            if is_gone:
                oldest = younger
            if lots_on == 0:
                why = i64(Outcome.SELF_TRADE)
                break
            lots = lots_on
            continue
        traded = min(lots, maker["lots"])
        lots -= traded
        fees_pips += trade(state, out, taker, slot, price, traded, lots)
        bought_lots += traded
        fills_max -= 1
        # A maker leaves its place only when exhausted: a half-filled one keeps it.
        if maker["lots"] == 0:
            oldest = after_filled(state, out, slot, at)
    state.links[at]["next"] = oldest
    state.links[oldest]["prev"] = at
    return lots, bought_lots, fees_pips, fills_max, why


@kernel
def after_filled(state: State, out: Events, slot: int, at: int) -> int:
    """Let a maker whose shown lots are filled leave, or show its next slice; return the next link.

    It is the oldest of the level ``at``, whose ring is put right by the caller.
    """
    younger = i64(state.orders[slot]["next"])
    if state.orders[slot]["kind"] != ICEBERG or state.order_extras[slot]["hidden"] == 0:
        forget(state, slot)
        return younger
    if younger == at:  # Alone: the ring is only this order.
        state.links[at]["prev"] = at
        younger = slot << SLOT_LINKS
    show_next_slice(state, out, slot, at)
    return younger


@kernel
def trade(
    state: State, out: Events, taker: int, slot: int, price: int, lots: int, lots_left: int
) -> int:
    """Trade ``lots`` with the maker in ``slot`` and pay it; return the taker's fee in pips."""
    order = state.orders[taker]
    ladder = i64(order["ladder"])
    listing = state.markets[ladder >> 1]
    notional = lots * price * listing["tick_pips"]
    fee_pips = fee_of(notional, i64(listing["taker_ppm"]))
    maker_fee_pips = fee_of(notional, i64(listing["maker_ppm"]))
    open_before = lots_open(state, slot)
    emit_trade(
        state,
        out,
        Outcome.ACCEPTED,
        slot,
        price_ticks=price,
        account=i64(order["account"]),
        side=ladder & 1,
        order_id=id_of(state, taker),
        lots=lots,
        order_left=lots_left,
        maker_left=open_before - lots,
        fee_pips=fee_pips,
        maker_fee_pips=maker_fee_pips,
    )
    pay_resting(state, slot, lots, open_before, notional, maker_fee_pips)
    state.tokens[listing["quote"]]["fees"] += fee_pips + maker_fee_pips
    state.orders[slot]["lots"] -= lots
    return fee_pips


@rare
def show_next_slice(state: State, out: Events, slot: int, at: int) -> None:
    """Show the next slice of an iceberg, which is out of its queue, at the end of the level."""
    order, extra = state.orders[slot], state.order_extras[slot]
    lots = min(extra["display"], extra["hidden"])
    order["lots"] = lots
    extra["hidden"] -= lots
    emit_order(state, out, EventKind.REFILLED, Outcome.ACCEPTED, slot, lots, hidden=extra["hidden"])
    join(state, at, slot)


@rare
def meet_oneself(
    state: State, out: Events, taker: int, maker: int, lots: int, mode: int
) -> tuple[int, bool]:
    """Deal with the own order in slot ``maker`` that the incoming one meets with ``lots`` open.

    Return the lots the incoming order goes on with, 0 if its rest leaves, and whether the other is
    gone.
    """
    if mode == SELF_EXPIRE_TAKER:
        return i64(0), False
    resting = lots_open(state, maker)
    if mode == SELF_DECREMENT and resting > lots:
        shrink(state, out, maker, resting - lots, Outcome.SELF_TRADE)
        return i64(0), False
    depart(state, out, maker, Outcome.SELF_TRADE)
    if mode == SELF_EXPIRE_MAKER:
        return lots, True
    if mode == SELF_EXPIRE_BOTH or resting == lots:
        return i64(0), True
    left = lots - resting
    emit_order(state, out, EventKind.AMENDED, Outcome.SELF_TRADE, taker, left)
    return left, True


@kernel
def note_price(state: State, market: int, price: int) -> None:
    """Remember a price that was traded at, for the stops."""
    counters = state.counters[0]
    state.markets[market]["last_ticks"] = price
    counters["trade_low"] = min(counters["trade_low"], price)
    counters["trade_high"] = max(counters["trade_high"], price)


@kernel
def pay_taker(state: State, slot: int, base_lots: int, quote_pips: int, fees_pips: int) -> None:
    """Settle all fills of the incoming order in ``slot`` at once, from what is available."""
    order = state.orders[slot]
    ladder, account = i64(order["ladder"]), i64(order["account"])
    listing = state.markets[ladder >> 1]
    base = state.balances[balance_at(state, account, i64(listing["base"]))]
    quote = state.balances[balance_at(state, account, i64(listing["quote"]))]
    if ladder & 1 == Side.BUY:
        base["available"] += base_lots * listing["lot_pips"]
        quote["available"] -= quote_pips + fees_pips
    else:
        base["available"] -= base_lots * listing["lot_pips"]
        quote["available"] += quote_pips - fees_pips
    assert base["available"] >= 0 and quote["available"] >= 0
