"""Would an order be filled to its last lot? Looks only.

Counts as matching would fill: price by price, and at one price pass by pass. Pass 0 takes what is
shown, in the order of the queue; each further pass the next part of every iceberg, in the same
order, because a part that becomes visible goes to the end.
"""

# mypy: disable-error-code="no-any-return"
from engine.core.book import crosses, level_of, next_worse
from engine.core.jit import i64, kernel, rare
from engine.core.judge import SELF_EXPIRE_MAKER, SELF_MODES
from engine.core.layout import ICEBERG, SLOT_LINKS, State

FILLED, NOT_YET, NEVER_WHOLE = 1, 0, -1


@rare
def fills_whole(state: State, taker: int, lots: int, flags: int, fills_max: int) -> bool:
    """Return whether the order in slot ``taker`` would be filled to the last lot.

    Expired makers do not count. An own order is passed over if it would make way and is the end
    otherwise, because either it stops the taker or both lose lots without a trade.
    """
    order = state.orders[taker]
    ladder, limit = i64(order["ladder"]), i64(order["price"])
    price = i64(state.tops[ladder ^ 1]["best"])
    while crosses(ladder & 1, limit, price):
        part, has_more = i64(0), True
        while has_more:
            verdict, lots, fills_max, has_more = count_pass(
                state, taker, price, part, lots, flags, fills_max
            )
            if verdict != NOT_YET:
                return verdict == FILLED
            part += 1
        price = next_worse(state, ladder ^ 1, price)
    return False


@kernel
def count_pass(
    state: State, taker: int, price: int, part: int, lots: int, flags: int, fills_max: int
) -> tuple[int, int, int, bool]:
    """Count part number ``part`` of every order at one price.

    Return a verdict, the lots and fills that are left, and whether any order has a further part.
    """
    order = state.orders[taker]
    makes_way = flags & SELF_MODES == SELF_EXPIRE_MAKER
    has_more = False
    at = level_of(state, i64(order["ladder"]) ^ 1, price)
    link = i64(state.links[at]["next"])
    while link != at:
        slot = link >> SLOT_LINKS
        maker = state.orders[slot]
        lots_here = part_of(state, slot, part)
        if lots_here > 0 and state.expiry_ns[slot] > state.counters[0]["time_ns"]:
            if maker["account"] == order["account"]:
                if not makes_way:
                    return NEVER_WHOLE, lots, fills_max, False
            else:
                if fills_max == 0:
                    return NEVER_WHOLE, lots, fills_max, False
                lots -= lots_here
                fills_max -= 1
                if lots <= 0:
                    return FILLED, lots, fills_max, False
                has_more = has_more or part_of(state, slot, part + 1) > 0
        link = i64(maker["next"])
    return NOT_YET, lots, fills_max, has_more


@kernel
def part_of(state: State, slot: int, part: int) -> int:
    """Return how many lots part ``part`` of the order in ``slot`` has; 0 if there is none."""
    if part == 0:
        return state.orders[slot]["lots"]
    if state.orders[slot]["kind"] != ICEBERG:
        return i64(0)
    extra = state.extras[slot]
    return min(extra["display"], extra["hidden"] - (part - 1) * extra["display"])
