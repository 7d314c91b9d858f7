"""Is the reference's state sound? The invariants I1, I2, I3 and I5 of docs/INVARIANTS.md."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from engine.types import MONEY_MAX, Side

if TYPE_CHECKING:
    from engine.reference.machine import Engine


def check(engine: Engine) -> None:
    """Assert every invariant that shows in the state."""
    _check_money(engine)
    _check_books(engine)
    _check_slots(engine)


def _check_money(engine: Engine) -> None:
    """I1: nothing is made or lost. I2: nothing negative, every hold belongs to an order."""
    ledger = engine.ledger
    for token in range(ledger.tokens):
        owned = sum(pips for (_, t), pips in ledger.available.items() if t == token)
        held = sum(pips for (_, t), pips in ledger.held.items() if t == token)
        assert owned + held + ledger.fees[token] == ledger.supply[token], f"I1: token {token}"
        assert 0 <= ledger.supply[token] <= MONEY_MAX, f"I2: supply of token {token}"
    assert min(ledger.available.values(), default=0) >= 0, "I2: negative balance"

    expected: defaultdict[tuple[int, int], int] = defaultdict(int)
    for order in engine.orders.values():
        market = engine.markets[order.market]
        pips = market.hold_pips(order.side, order.price_ticks, order.lots)
        assert order.held_pips == pips, f"I2: hold of order {order.order_id}"
        expected[order.account, market.paid_token(order.side)] += pips
    found = {owner: pips for owner, pips in ledger.held.items() if pips}
    assert found == dict(expected), "I2: holds and live orders disagree"


def _check_books(engine: Engine) -> None:
    """I3: never crossed. I5: in the index exactly when in one queue, with open lots."""
    queued = 0
    for number, market in enumerate(engine.markets):
        bid, ask = market.best(Side.BUY), market.best(Side.SELL)
        assert bid is None or ask is None or bid < ask, f"I3: market {number} is crossed"
        for side in Side:
            for price, queue in market.sides[side].items():
                assert queue, f"I5: phantom level {price}"
                for order_id, order in queue.items():
                    assert order_id in engine.orders, f"I5: {order_id} is not indexed"
                    assert engine.orders[order_id] is order, f"I5: two orders {order_id}"
                    assert order.order_id == order_id and order.lots > 0, f"I5: {order_id}"
                    place = (order.market, order.side, order.price_ticks)
                    assert place == (number, side, price), f"I5: {order_id} in a strange queue"
                queued += len(queue)
    assert queued == len(engine.orders), "I5: an indexed order is in no queue"


def _check_slots(engine: Engine) -> None:
    """I5: a slot holds an order, or is on the free list, or is retired."""
    slots, limits = engine.slots, engine.limits
    live = [order_id & (2**32 - 1) for order_id in engine.orders]
    retired = [s for s, g in slots.generation.items() if g == limits.generations]
    everywhere = live + slots.free + retired
    assert sorted(everywhere) == list(range(1, slots.used + 1)), "I5: slots"
