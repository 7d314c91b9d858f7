"""Is the reference's state sound? The invariants of docs/INVARIANTS.md that show in a state.

I1, I2, I3, I5 and I11; what only shows over time (I4, I6, I7, I9, I10) is for ``tests/property``.
"""

from collections import defaultdict

from engine.reference.book import Market, Order
from engine.reference.state import SLOT_MASK, State
from engine.reference.validate import STOP
from engine.types import ICEBERG_SLICES_MAX, MONEY_MAX, PRICE_MAX, Phase, Side


def check(state: State) -> None:
    """Assert every invariant that shows in the state."""
    _check_money(state)
    queued = 0
    for number, market in enumerate(state.markets):
        _check_market(number, market)
        queued += _check_resting(state, number, market) + _check_armed(state, number, market)
    assert queued == len(state.orders), "I5: an indexed order is in no queue"
    _check_slots(state)
    _check_limits(state)


def _check_money(state: State) -> None:
    """I1: nothing is made or lost. I2: who owes holds nothing, every hold belongs to an order."""
    ledger = state.ledger
    for token in range(ledger.tokens):
        owned = sum(pips for (_, t), pips in ledger.available.items() if t == token)
        held = sum(pips for (_, t), pips in ledger.held.items() if t == token)
        assert owned + held + ledger.fees[token] == ledger.supply[token], f"I1: token {token}"
        owed, fees = ledger.owed(token), ledger.fees[token]
        assert 0 <= owed <= MONEY_MAX, f"I2: debts of token {token}"
        assert fees <= ledger.supply[token] + owed <= MONEY_MAX, f"I2: supply of token {token}"
    assert min(ledger.fees, default=0) >= 0, "I2: more rebates than fees"

    expected: defaultdict[tuple[int, int], int] = defaultdict(int)
    for order in state.orders.values():
        market = state.markets[order.market]
        pips = market.hold_pips(order.side, order.price_ticks, order.lots + order.hidden)
        assert order.held_pips == pips, f"I2: hold of order {order.order_id}"
        expected[order.account, market.paid_token(order.side)] += pips
    found = {owner: pips for owner, pips in ledger.held.items() if pips}
    assert found == dict(expected), "I2: holds and live orders disagree"


def _check_market(number: int, market: Market) -> None:
    """I3: never crossed nor locked where orders match; and its own figures make sense."""
    if market.phase in (Phase.OPEN, Phase.POST_ONLY):
        bid, ask = market.best(Side.BUY), market.best(Side.SELL)
        assert bid is None or ask is None or bid < ask, f"I3: market {number} is crossed"
    band = market.band_low, market.band_high
    assert band == (0, 0) or 1 <= band[0] <= band[1] <= PRICE_MAX, f"market {number}: band"
    assert 0 <= market.last_ticks <= PRICE_MAX, f"market {number}: last price"
    if market.phase == Phase.DELISTED:
        assert not any(market.sides) and not any(market.armed), f"market {number} is delisted"


def _check_resting(state: State, number: int, market: Market) -> int:
    """I5: in the index exactly when in one queue, with open lots; return how many rest."""
    queued = 0
    for side in Side:
        for price, queue in market.sides[side].items():
            assert queue, f"I5: phantom level {price}"
            for order_id, order in queue.items():
                _check_order(state, order_id, order)
                place = (order.market, order.side, order.price_ticks, order.trigger_ticks)
                assert place == (number, side, price, 0), f"I5: {order_id} in a strange queue"
                if order.display:
                    slices = order.lots + order.hidden, order.display
                    assert order.lots <= order.display, f"I5: {order_id} shows too much"
                    assert slices[0] <= ICEBERG_SLICES_MAX * slices[1], f"I5: slices of {order_id}"
                else:
                    assert order.hidden == 0, f"I5: {order_id} hides lots"
            queued += len(queue)
    return queued


def _check_armed(state: State, number: int, market: Market) -> int:
    """I5: a stop waits in one queue, that of its trigger; return how many are armed."""
    queued = 0
    for side in Side:
        for trigger, queue in market.armed[side].items():
            assert queue and 1 <= trigger <= PRICE_MAX, f"I5: phantom trigger {trigger}"
            for order_id, order in queue.items():
                _check_order(state, order_id, order)
                place = (order.market, order.side, order.trigger_ticks)
                assert place == (number, side, trigger), f"I5: {order_id} waits in a strange queue"
                assert order.flags & STOP and order.hidden == order.display == 0, f"I5: {order_id}"
            queued += len(queue)
    return queued


def _check_order(state: State, order_id: int, order: Order) -> None:
    """I5: one order, indexed, with lots to be met, inside the band of its market."""
    assert order_id in state.orders, f"I5: {order_id} is not indexed"
    assert state.orders[order_id] is order, f"I5: two orders {order_id}"
    assert order.order_id == order_id and order.lots > 0 <= order.hidden, f"I5: {order_id}"
    outside = state.markets[order.market].outside_band(order.side, order.price_ticks)
    assert not outside, f"{order_id} could trade outside the band"
    assert not state.exits[order.account], f"{order_id} belongs to an account that leaves"
    assert not state.ledger.owes(order.account), f"{order_id} belongs to an account that owes"


def _check_slots(state: State) -> None:
    """I5: a slot holds an order, or is on the free list, or is retired. Deadlines lie ahead."""
    slots, limits = state.slots, state.limits
    live = [order_id & SLOT_MASK for order_id in state.orders]
    retired = [s for s, g in slots.generation.items() if g == limits.generations]
    everywhere = live + slots.free + retired
    assert sorted(everywhere) == list(range(1, slots.used + 1)), "I5: slots"
    all_there_is = slots.used + len(state.exits)
    if limits.work >= all_there_is:  # Else it may have been too much for one command.
        assert min(state.deadlines.values(), default=2**63) > state.time_ns, "a deadline has passed"


def _check_limits(state: State) -> None:
    """I11: there is no more of anything than there may be."""
    counts = (state.ledger.tokens, len(state.markets), len(state.exits), state.slots.used)
    limits = state.limits
    bounds = (limits.tokens, limits.markets, limits.accounts, limits.orders)
    assert all(count <= bound for count, bound in zip(counts, bounds, strict=True)), "I11"
