"""Is the state sound? Proves the invariants I1 to I5 and what the kernels rely on.

Slow and plain: it recomputes from the orders alone what the kernels keep up to date. What only
shows in events (I4 over time, I6, I7, I9) is audited by ``tests/property/audit.py``.
"""

import numpy as np

from engine.core.bits import place_of
from engine.core.ledger import held_by, token_paid
from engine.core.state import (
    ACCOUNT_BALANCES,
    ARMED,
    BARS_MASK,
    FAR_START,
    GENERATIONS,
    ICEBERG,
    LADDER_WORDS,
    NEAR_START,
    NEVER,
    NO_ASK,
    NO_BID,
    NO_SLOT,
    ORDERS_SHIFT,
    SLOT_LINKS,
    TREE_ARMED,
    WINDOW_BITS,
    State,
)
from engine.core.state_hash import free_slots, queued_slots
from engine.types import MONEY_MAX, Phase, Side


def check(state: State) -> None:
    """Assert the invariants; names as in docs/INVARIANTS.md."""
    _check_money(state)
    _check_holds(state)
    _check_books(state)
    _check_slots(state)
    _check_times(state)


def _check_money(state: State) -> None:
    """I1: nothing is made or lost. I2: nothing is negative but what an account owes."""
    accounts = int(state.counters[0]["accounts"])
    rows = state.balances.reshape(-1, int(state.bounds[ACCOUNT_BALANCES]))[:accounts]
    for token in range(int(state.counters[0]["tokens"])):
        balances = rows[:, 1 + token]
        available, held = balances["available"].tolist(), balances["held"].tolist()
        supply, fees = (int(state.tokens[token][name]) for name in ("supply", "fees"))
        owed = int(state.owed[token])
        assert owed == -sum(min(pips, 0) for pips in available), f"I2: debts of token {token}"
        assert owed <= MONEY_MAX, f"I2: debts of token {token}"
        assert min(held, default=0) >= 0, f"I2: negative hold of token {token}"
        assert 0 <= fees <= supply + owed <= MONEY_MAX, f"I2: fees or supply of token {token}"
        assert sum(available) + sum(held) + fees == supply, f"I1: token {token}"


def _check_holds(state: State) -> None:
    """I2: every hold belongs to live orders, to the pip. I5: hidden lots are an iceberg's."""
    expected: dict[tuple[int, int], int] = {}
    icebergs = 0
    for slot in np.flatnonzero(state.orders["lots"][: int(state.counters[0]["slots_used"]) + 1]):
        order, ladder = state.orders[slot], int(state.orders[slot]["ladder"])
        owner = (int(order["account"]), int(token_paid(state, ladder >> 1, ladder & 1)))
        expected[owner] = expected.get(owner, 0) + int(held_by(state, int(slot)))
        if order["kind"] == ICEBERG:
            icebergs += 1
            extra = state.order_extras[slot]
            assert 0 < order["lots"] <= extra["display"], f"I5: slot {slot} shows too much"
            assert extra["hidden"] >= 0, f"I5: slot {slot} hides less than nothing"
    assert icebergs == int(state.counters[0]["icebergs_live"]), "I5: count of icebergs"
    accounts = int(state.counters[0]["accounts"])
    rows = state.balances.reshape(-1, int(state.bounds[ACCOUNT_BALANCES]))[:accounts]
    held = rows["held"][:, 1:]
    heads, balances = rows["held"][:, 0], rows["available"][:, 1:]
    owners = state.orders["account"][np.flatnonzero(state.orders["lots"])]
    counted = np.bincount(owners, minlength=accounts)
    assert np.array_equal(heads >> ORDERS_SHIFT, counted), "I5: count of an account's orders"
    debts = (balances < 0).sum(axis=1)
    assert not counted[debts > 0].any(), "I2: an account that owes has orders"
    assert ((heads & BARS_MASK) >= debts).all(), "I2: what bars an account"
    found = {(int(a), int(t)): int(held[a, t]) for a, t in zip(*np.nonzero(held), strict=True)}
    assert found == expected, "I2: holds and live orders disagree"


def _check_books(state: State) -> None:
    """I3: never crossed. I5: queues are whole, links point both ways, counts are right."""
    live = 0
    ladders = 2 * int(state.counters[0]["markets"])
    for ladder in range(ladders):
        places = _occupied(state, ladder)
        for price, at in places.items():
            live += _check_queue(state, ladder, price, at, "price")
        best = int(state.best_prices[ladder]["best"])
        if ladder & 1 == Side.BUY:
            assert best == max(places, default=NO_BID), "I3: best bid"
            top = best
            continue
        assert best == min(places, default=NO_ASK), "I3: best ask"
        if state.markets[ladder >> 1]["phase"] in (Phase.OPEN, Phase.POST_ONLY):
            assert top < best, "I3: crossed"
    for market in range(ladders // 2):
        armed = 0
        for ladder in (2 * market, 2 * market + 1):
            tree = int(state.bounds[TREE_ARMED]) + ladder
            for trigger, leaf in _leaves(state, tree).items():
                armed += _check_queue(state, ladder, trigger, leaf, "trigger")
        assert armed == int(state.markets[market]["armed"]), "I5: count of armed stops"
        live += armed
    assert live == int(state.counters[0]["orders_live"]), "I5: count of live orders"


def _occupied(state: State, ladder: int) -> dict[int, int]:
    """Return where each price of a ladder has its level, near and far together."""
    bits, low = int(state.bounds[WINDOW_BITS]), int(state.best_prices[ladder]["low"])
    start = int(state.bounds[NEAR_START]) + (ladder << bits)
    window = state.links[start : start + (1 << bits)]
    selves = np.arange(start, start + (1 << bits))
    ticks = np.flatnonzero((window["next"] != 0) & (window["next"] != selves))
    ends = np.flatnonzero((window["prev"] != 0) & (window["prev"] != selves))
    assert np.array_equal(ticks, ends), "I5: ends of a queue"
    # Without the compiler it is a NumPy number, and one of those cannot hold bit 63.
    bits_set = [int(place_of(state, ladder, tick)) for tick in ticks.tolist()]
    _check_bitmap(state, ladder, sorted(bits_set))
    near = {low + tick: start + tick for tick in ticks.tolist()}
    far = _leaves(state, ladder)
    assert not set(near) & set(far), "I5: a price in two places"
    assert all(not low <= price < low + (1 << bits) for price in far), "I5: far but in the window"
    return near | far


def _leaves(state: State, tree: int) -> dict[int, int]:
    """Return price to level of a tree, by walking all of it; the nodes must be in order."""
    found: dict[int, int] = {}
    waiting = [(int(state.roots[tree]), 64)]
    while waiting:
        child, bit_above = waiting.pop()
        if child > 0:
            bit, left, right = state.nodes[4 * child : 4 * child + 3].tolist()
            assert bit < bit_above and left != 0 != right, "I5: a node out of order"
            waiting += [(left, bit), (right, bit)]
        elif child < 0:
            found[int(state.leaf_price[-child])] = int(state.bounds[FAR_START]) - child
    return found


def _check_queue(state: State, ladder: int, price: int, at: int, what: str) -> int:
    """I5: one queue; return its length."""
    link, before, count = int(state.links[at]["next"]), at, 0
    assert link not in (0, at), f"I5: phantom level {price}"
    while link != at:
        assert link % (1 << SLOT_LINKS) == 0, f"I5: {link} is no order"
        slot = link >> SLOT_LINKS
        order = state.orders[slot]
        is_armed = order["kind"] == ARMED
        found = state.order_extras[slot]["trigger"] if is_armed else order["price"]
        place = (int(order["ladder"]), int(found), "trigger" if is_armed else "price")
        assert place == (ladder, price, what), f"I5: slot {slot} in a strange queue"
        assert int(order["prev"]) == before and order["lots"] > 0, f"I5: slot {slot}"
        link, before, count = int(order["next"]), link, count + 1
    assert before == int(state.links[at]["prev"]), "I5: youngest"
    return count


def _check_bitmap(state: State, ladder: int, occupied: list[int]) -> None:
    """I5: each level of the tree has exactly the bits of the occupied ticks."""
    count = int(state.bounds[LADDER_WORDS])
    words_here = state.bits[ladder * count : (ladder + 1) * count]
    ends = [*state.branches.tolist()[1:], count]
    for start, end in zip(state.branches.tolist(), ends, strict=True):
        words: dict[int, int] = {}
        for tick in occupied:
            words[tick >> 6] = words.get(tick >> 6, 0) | 1 << (tick & 63)
        row = words_here[start:end]
        found = {int(i): int(row[i]) & (2**64 - 1) for i in np.flatnonzero(row)}
        assert found == words, "I5: bitmap"
        occupied = sorted(words)


def _check_slots(state: State) -> None:
    """I5: a slot is in one queue, or on the free list, or retired; never in two places."""
    queued = [slot for slot in queued_slots(state).tolist() if slot != NO_SLOT]
    free = free_slots(state).tolist()
    used = int(state.counters[0]["slots_used"])
    generations = state.orders["generation"][1 : used + 1]
    retired = int((generations == state.bounds[GENERATIONS]).sum())
    assert len(set(queued) | set(free)) == len(queued) + len(free) == used - retired, "I5: slots"
    assert sorted(queued) == np.flatnonzero(state.orders["lots"]).tolist(), "I5: live and queued"


def _check_times(state: State) -> None:
    """Nothing expires and no dead man's switch goes off unseen."""
    counters = state.counters[0]
    live = np.flatnonzero(state.orders["lots"])
    soonest = min((int(state.expiry_ns[slot]) for slot in live), default=NEVER)
    assert int(counters["expiry_soonest_ns"]) <= soonest, "an order may expire unseen"
    heads = state.balances[:: int(state.bounds[ACCOUNT_BALANCES])][: int(counters["accounts"])]
    deadlines = heads["available"]
    assert (deadlines >= 0).all() and (heads["held"] >= 0).all(), "a head is out of range"
    soonest = min((int(deadline) for deadline in deadlines if deadline), default=NEVER)
    assert int(counters["deadline_soonest_ns"]) <= soonest, "a switch may go off unseen"
