"""At which one price does a crossed book trade, and who gets what?

The price under which most lots change hands; of those the one that leaves the least surplus; of
those the one that the surplus presses towards, else the one nearest to the last trade. The order of
the criteria is that of the call auctions of Xetra (its market model, "price determination").
"""

# mypy: disable-error-code="no-any-return"
from engine.core.book import (
    NO_LEVEL,
    detach,
    first_of,
    level_of,
    price_above,
    price_below,
    unlink,
)
from engine.core.cancel import forget, remove, sweep_expired
from engine.core.emit import emit, emit_order, emit_trade
from engine.core.jit import i64, kernel, rare
from engine.core.ledger import fee_of, lots_open, pay_resting, release_difference
from engine.core.match import note_price, show_next_slice
from engine.core.slots import id_of
from engine.core.state import ICEBERG, SLOT_LINKS, State
from engine.core.triggers import trades_left
from engine.events import EventKind, Events
from engine.types import Outcome, Side


@kernel
def is_crossed(state: State, market: int) -> bool:
    """Return whether the best bid reaches the best ask."""
    return state.best_prices[2 * market]["best"] >= state.best_prices[2 * market + 1]["best"]


@kernel
def lots_at(state: State, ladder: int, price: int) -> int:
    """Return all open lots at a price, hidden ones included; 0 if it has no orders."""
    at = level_of(state, ladder, price)
    if at == NO_LEVEL:
        return i64(0)
    lots, link = i64(0), i64(state.links[at]["next"])
    while link != at and link != 0:
        lots += lots_open(state, link >> SLOT_LINKS)
        link = i64(state.links[link]["next"])
    return lots


@rare
def clearing_price(state: State, market: int) -> int:
    """Return the one price; the book is crossed."""
    bids, asks = i64(2 * market), i64(2 * market + 1)
    lowest, highest = i64(state.best_prices[asks]["best"]), i64(state.best_prices[bids]["best"])
    reference = i64(state.markets[market]["last_ticks"])
    demand, price = i64(0), highest
    while price >= lowest:
        demand += lots_at(state, bids, price)
        price = price_below(state, bids, price)

    # Of the best candidates so far, which all have the same volume and surplus: the lowest, the
    # highest, the one nearest to the last trade, and whether all have too much demand or supply.
    most, least = i64(-1), i64(0)
    first, final, nearest = i64(0), i64(0), i64(0)
    all_demand, all_supply = True, True
    supply, price = i64(0), lowest
    while price <= highest:
        supply += lots_at(state, asks, price)
        volume, surplus = min(demand, supply), demand - supply
        if volume > most or (volume == most and abs(surplus) < least):
            most, least = volume, abs(surplus)
            first, nearest = price, price
            all_demand, all_supply = True, True
        if volume == most and abs(surplus) == least:
            final = price
            all_demand, all_supply = all_demand and surplus > 0, all_supply and surplus < 0
            if abs(price - reference) < abs(nearest - reference):
                nearest = price
        demand -= lots_at(state, bids, price)
        price = min(price_above(state, asks, price), price_above(state, bids, price))
    if all_demand:
        return final
    return first if all_supply or reference == 0 else nearest


@rare
def uncross(state: State, out: Events, market: int) -> bool:
    """Trade what crosses, at one price; return whether nothing crosses any more.

    If that is too much for one command, the price is kept and the next one goes on with it. Should
    cancels in between have left what crosses but does not take that price, it gets one of its own.
    """
    pending, counters = state.pending[market], state.counters[0]
    if pending["price"] == 0 and not is_crossed(state, market):
        return True
    sweep_expired(state, out)
    if counters["expiry_soonest_ns"] <= counters["time_ns"]:
        return False  # Too many have expired; none of them may trade.
    if pending["price"] != 0:
        note_price(state, market, pending["price"])  # The stops hear of it when all is over.
    while is_crossed(state, market):
        if not may_go_on(state):
            return False
        if pending["price"] == 0:
            pending["price"] = clearing_price(state, market)
        trade_at(state, out, market, pending["price"])
        if both_accept(state, market, pending["price"]):
            return False
        pending["price"] = 0
    pending["price"] = 0
    return True


@kernel
def may_go_on(state: State) -> bool:
    """Return whether this command may let two more orders meet."""
    return trades_left(state) > 0 and state.counters[0]["work_left"] > 0


@kernel
def both_accept(state: State, market: int, price: int) -> bool:
    """Return whether the best buyer and the best seller both take this price."""
    return (
        state.best_prices[2 * market]["best"] >= price
        and state.best_prices[2 * market + 1]["best"] <= price
    )


@rare
def trade_at(state: State, out: Events, market: int, price: int) -> None:
    """Let buyers and sellers meet at one price while they accept it and there is room."""
    if not both_accept(state, market, price):
        return
    bids, asks = i64(2 * market), i64(2 * market + 1)
    lots_traded = i64(0)
    while both_accept(state, market, price) and may_go_on(state):
        buyer = oldest_of(state, bids)
        seller = oldest_of(state, asks)
        lots = min(state.orders[buyer]["lots"], state.orders[seller]["lots"])
        if state.orders[buyer]["account"] == state.orders[seller]["account"]:
            state.counters[0]["work_left"] -= 1
            decrement(state, out, buyer, lots)
            decrement(state, out, seller, lots)
        else:
            exchange(state, out, buyer, seller, lots, price)
            lots_traded += lots
    if lots_traded > 0:
        note_price(state, market, price)
    goes_on = both_accept(state, market, price)
    why = i64(Outcome.MORE_REMAINS if goes_on else Outcome.ACCEPTED)
    kind = EventKind.UNCROSSED
    emit(state, out, kind, why, market=market, price_ticks=price, amount=lots_traded)


@kernel
def oldest_of(state: State, ladder: int) -> int:
    """Return the slot of the oldest order at the best price."""
    return first_of(state, level_of(state, ladder, i64(state.best_prices[ladder]["best"])))


@rare
def exchange(state: State, out: Events, buyer: int, seller: int, lots: int, price: int) -> None:
    """Trade between two resting orders. Nobody takes: both pay the maker fee, without a rebate."""
    order = state.orders[buyer]
    listing = state.markets[order["ladder"] >> 1]
    notional = lots * price * listing["tick_pips"]
    fee_pips = fee_of(notional, max(i64(listing["maker_ppm"]), i64(0)))
    bought, sold = lots_open(state, buyer), lots_open(state, seller)
    emit_trade(
        state,
        out,
        Outcome.AUCTION,
        seller,
        price_ticks=price,
        account=i64(order["account"]),
        side=i64(Side.BUY),
        order_id=id_of(state, buyer),
        lots=lots,
        order_left=bought - lots,
        maker_left=sold - lots,
        fee_pips=fee_pips,
        maker_fee_pips=fee_pips,
    )
    state.tokens[listing["quote"]]["fees"] += 2 * fee_pips
    pay_resting(state, buyer, lots, bought, notional, fee_pips)
    pay_resting(state, seller, lots, sold, notional, fee_pips)
    state.orders[buyer]["lots"] -= lots
    state.orders[seller]["lots"] -= lots
    after_slice(state, out, buyer)
    after_slice(state, out, seller)


@rare
def after_slice(state: State, out: Events, slot: int) -> None:
    """Let an order that shows nothing any more show its next slice or leave; it is the oldest."""
    order = state.orders[slot]
    if order["lots"] > 0:
        return
    if order["kind"] == ICEBERG and state.order_extras[slot]["hidden"] > 0:
        at = level_of(state, i64(order["ladder"]), i64(order["price"]))
        detach(state, slot)
        show_next_slice(state, out, slot, at)
    else:
        unlink(state, slot)
        forget(state, slot)


@rare
def decrement(state: State, out: Events, slot: int, lots: int) -> None:
    """Take ``lots`` shown lots from an order that met its own account, without a trade."""
    before = lots_open(state, slot)
    if lots == before:
        remove(state, out, slot, Outcome.SELF_TRADE)
        return
    release_difference(state, slot, before, before - lots)
    state.orders[slot]["lots"] -= lots
    hidden = before - lots - state.orders[slot]["lots"]
    emit_order(
        state,
        out,
        EventKind.AMENDED,
        Outcome.SELF_TRADE,
        slot,
        state.orders[slot]["lots"],
        order_left=lots,
        hidden=hidden,
    )
    after_slice(state, out, slot)
