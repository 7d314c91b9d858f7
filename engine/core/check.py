"""Is the state sound? Proves the invariants I1 to I5 and what the kernels rely on.

Slow and plain: it recomputes from the orders alone what the kernels keep up to date. What only
shows in events (I4 over time, I6, I7, I9) is audited by ``tests/property/audit.py``.
"""

import numpy as np

from engine.core.canon import free_slots, queued_slots
from engine.core.layout import NO_ASK, NO_BID, NO_SLOT, State
from engine.core.ledger import hold_of, token_paid
from engine.types import MONEY_MAX, Side


def check(state: State) -> None:
    """Assert the invariants; names as in docs/INVARIANTS.md."""
    _check_money(state)
    _check_holds(state)
    _check_books(state)
    _check_slots(state)


def _check_money(state: State) -> None:
    """I1: nothing is made or lost. I2: nothing is negative."""
    accounts = int(state.counters[0]["accounts"])
    for token in range(int(state.counters[0]["tokens"])):
        balances = state.balances[:accounts, token]
        available, held = balances["available"].tolist(), balances["held"].tolist()
        supply, fees = (int(state.tokens[token][name]) for name in ("supply", "fees"))
        assert min(available, default=0) >= 0, f"I2: negative balance of token {token}"
        assert min(held, default=0) >= 0, f"I2: negative hold of token {token}"
        assert 0 <= fees <= supply <= MONEY_MAX, f"I2: fees or supply of token {token}"
        assert sum(available) + sum(held) + fees == supply, f"I1: token {token}"


def _check_holds(state: State) -> None:
    """I2: every hold belongs to live orders, to the pip."""
    expected: dict[tuple[int, int], int] = {}
    for slot in np.flatnonzero(state.orders["lots"][: int(state.counters[0]["slots_used"]) + 1]):
        order = state.orders[slot]
        market, side = int(order["market"]), int(order["side"])
        owner = (int(order["account"]), int(token_paid(state, market, side)))
        pips = int(hold_of(state, market, side, int(order["price"]), int(order["lots"])))
        expected[owner] = expected.get(owner, 0) + pips
    held = state.balances["held"]
    found = {(int(a), int(t)): int(held[a, t]) for a, t in zip(*np.nonzero(held), strict=True)}
    assert found == expected, "I2: holds and live orders disagree"


def _check_books(state: State) -> None:
    """I3: never crossed. I5: queues are whole, links point both ways, the bitmap is exact."""
    live = 0
    markets = int(state.counters[0]["markets"])
    for market in range(markets):
        prices = {Side.BUY: [NO_BID], Side.SELL: [NO_ASK]}
        occupied = np.flatnonzero(state.levels[market]["head"])
        assert np.array_equal(occupied, np.flatnonzero(state.levels[market]["tail"])), "I5: ends"
        for price in occupied.tolist():
            slot, before = int(state.levels[market, price]["head"]), NO_SLOT
            side = Side(int(state.orders[slot]["side"]))
            prices[side].append(price)
            while slot != NO_SLOT:
                order = state.orders[slot]
                place = (int(order["market"]), int(order["price"]), int(order["side"]))
                assert place == (market, price, side), f"I5: slot {slot} in a strange queue"
                assert int(order["prev"]) == before and order["lots"] > 0, f"I5: slot {slot}"
                live += 1
                slot, before = int(order["next"]), slot
            assert before == int(state.levels[market, price]["tail"]), "I5: tail"
        listing = state.markets[market]
        assert int(listing["best_bid"]) == max(prices[Side.BUY]), "I3: best bid"
        assert int(listing["best_ask"]) == min(prices[Side.SELL]), "I3: best ask"
        assert listing["best_bid"] < listing["best_ask"], "I3: crossed"
        _check_bitmap(state, market, occupied.tolist())
    assert live == int(state.counters[0]["orders_live"]), "I5: count of live orders"


def _check_bitmap(state: State, market: int, occupied: list[int]) -> None:
    """I5: each level of the tree has exactly the bits of the occupied prices."""
    ends = [*state.branches.tolist()[1:], state.bits.shape[1]]
    for start, end in zip(state.branches.tolist(), ends, strict=True):
        words: dict[int, int] = {}
        for tick in occupied:
            words[tick >> 6] = words.get(tick >> 6, 0) | 1 << (tick & 63)
        row = state.bits[market, start:end]
        found = {int(i): int(row[i]) & (2**64 - 1) for i in np.flatnonzero(row)}
        assert found == words, "I5: bitmap"
        occupied = sorted(words)


def _check_slots(state: State) -> None:
    """I5: a slot is in one queue, or on the free list, or retired; never in two places."""
    counters = state.counters[0]
    queued = [slot for slot in queued_slots(state).tolist() if slot != NO_SLOT]
    free = free_slots(state).tolist()
    used = int(counters["slots_used"])
    retired = int((state.orders["generation"][1 : used + 1] == state.bounds[4]).sum())
    assert len(set(queued) | set(free)) == len(queued) + len(free) == used - retired, "I5: slots"
    lots = state.orders["lots"]
    assert sorted(queued) == np.flatnonzero(lots).tolist(), "I5: live orders and queues"
    soonest = min((int(state.expiry_ns[slot]) for slot in queued), default=2**63 - 1)
    assert int(counters["expiry_soonest_ns"]) <= soonest, "an order may expire unseen"
