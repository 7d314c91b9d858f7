"""Would an order be filled to its last lot? Looks only.

Counts as matching would fill: price by price, and at one price what is shown, in the order of the
queue, then the next slice of every iceberg, in the same order, because a slice that becomes visible
goes to the end. Each queue is walked once. Where fills are counted, the icebergs it has met wait
in a ring for their next turn: no more of them than fills. Where they are not, all that is hidden
counts at once, for then only the sum matters.
"""

# mypy: disable-error-code="no-any-return"
from engine.core.book import crosses, level_of, next_worse
from engine.core.jit import i64, kernel, rare
from engine.core.state import ICEBERG, SLOT_LINKS, State
from engine.core.validate import SELF_EXPIRE_MAKER, SELF_MODES
from engine.types import FILLS_MAX

FILLED, NOT_YET, NEVER_FILLED = 1, 0, -1


@rare
def is_fillable(state: State, taker: int, lots: int, flags: int, fills_max: int) -> bool:
    """Return whether the order in slot ``taker`` would be filled to the last lot.

    Expired makers do not count. An own order is passed over if it would make way and is the end
    otherwise, because either it stops the taker or both lose lots without a trade. Who would have
    to pass over more orders than ``passes_left`` is not filled.
    """
    order = state.orders[taker]
    ladder, limit = i64(order["ladder"]), i64(order["price"])
    price = i64(state.best_prices[ladder ^ 1]["best"])
    while crosses(ladder & 1, limit, price):
        verdict, lots, fills_max, icebergs = count_queue(
            state, taker, price, lots, flags, fills_max
        )
        if verdict == NOT_YET and icebergs > 0:
            verdict, lots, fills_max = count_later_slices(state, icebergs, lots, fills_max)
        if verdict != NOT_YET:
            return verdict == FILLED
        price = next_worse(state, ladder ^ 1, price)
    return False


@kernel
def count_queue(
    state: State, taker: int, price: int, lots: int, flags: int, fills_max: int
) -> tuple[int, int, int, int]:
    """Count what every order at one price shows.

    Return a verdict, the lots and fills that are left, and how many icebergs are in the ring.
    """
    order, counters = state.orders[taker], state.counters[0]
    makes_way = flags & SELF_MODES == SELF_EXPIRE_MAKER
    is_counted = fills_max <= FILLS_MAX
    lots_hidden, icebergs = i64(0), i64(0)
    at = level_of(state, i64(order["ladder"]) ^ 1, price)
    link = i64(state.links[at]["next"])
    while link != at:
        slot = link >> SLOT_LINKS
        maker = state.orders[slot]
        link = i64(maker["next"])
        is_expired = state.expiry_ns[slot] <= counters["time_ns"]
        if is_expired or maker["account"] == order["account"]:
            if counters["passes_left"] == 0 or not (is_expired or makes_way):
                return NEVER_FILLED, lots, fills_max, icebergs
            counters["passes_left"] -= 1
            continue
        if fills_max == 0:
            return NEVER_FILLED, lots, fills_max, icebergs
        fills_max -= 1
        lots -= maker["lots"]
        if lots <= 0:
            return FILLED, lots, fills_max, icebergs
        hidden = state.order_extras[slot]["hidden"] if maker["kind"] == ICEBERG else i64(0)
        if hidden > 0 and is_counted:
            state.slices[2 * icebergs] = slot
            state.slices[2 * icebergs + 1] = hidden
            icebergs += 1
        else:
            lots_hidden += hidden
    lots -= lots_hidden
    return i64(FILLED if lots <= 0 else NOT_YET), lots, fills_max, icebergs


@kernel
def count_later_slices(
    state: State, icebergs: int, lots: int, fills_max: int
) -> tuple[int, int, int]:
    """Count the further slices of the icebergs in the ring, turn by turn.

    Return a verdict, and the lots and fills that are left.
    """
    first = i64(0)
    while icebergs > 0:
        if fills_max == 0:
            return i64(NEVER_FILLED), lots, fills_max
        slot, hidden = state.slices[2 * first], state.slices[2 * first + 1]
        shown = min(state.order_extras[slot]["display"], hidden)
        fills_max -= 1
        lots -= shown
        if lots <= 0:
            return i64(FILLED), lots, fills_max
        first = (first + 1) % FILLS_MAX
        icebergs -= 1
        if hidden > shown:
            last = (first + icebergs) % FILLS_MAX
            state.slices[2 * last] = slot
            state.slices[2 * last + 1] = hidden - shown
            icebergs += 1
    return i64(NOT_YET), lots, fills_max
