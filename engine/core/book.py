"""How does an order get its place in a queue, and out again?

A *ladder* is one side of one market: number ``2 * market + side``. Each price has one queue, linked
through the rows of its orders, oldest first. Most prices lie in the ladder's window, where a level
is addressed by its price; all others are leaves of the ladder's crit-bit tree (``far_levels.py``).
An empty window moves to the next price outside it, and one with few prices to where more of them
are (``window.py``). Nothing here knows of accounts or money, so a book can be had without them
(``solo_book.py``).
"""

# mypy: disable-error-code="no-any-return"
from typing import Any

from engine.core.bits import NO_TICK, clear_bit, set_bit, tick_better, tick_edge, tick_worse
from engine.core.far_levels import NO_LEAF, find_leaf, insert_leaf, leaf_beyond, remove_leaf
from engine.core.jit import i64, kernel, rare, u64
from engine.core.state import (
    FAR_START,
    LADDER_WORDS,
    NEAR_START,
    NO_ASK,
    NO_BID,
    SLOT_LINKS,
    TREE_DEPTH,
    WINDOW_BITS,
)
from engine.core.window import follow_the_book
from engine.types import Side

NO_LEVEL = -1


LOW_MAX = 2**62
"""No window begins higher, so that a price minus its beginning cannot wrap to a small number."""


@kernel
def in_window(tick: int, bits: int) -> bool:
    """Return whether a window of ``1 << bits`` ticks has this one, which may be negative."""
    return u64(tick) >> u64(bits) == u64(0)


@kernel
def level_of(book: Any, ladder: int, price: int) -> int:
    """Return the link of this price's level, or NO_LEVEL when it is outside and has none."""
    bits = book.bounds[WINDOW_BITS]
    tick = price - book.best_prices[u64(ladder)]["low"]
    if in_window(tick, bits):
        return book.bounds[NEAR_START] + (ladder << bits) + tick
    return _far_level(book, ladder, price)


@kernel
def _far_level(book: Any, ladder: int, price: int) -> int:
    leaf = find_leaf(book, ladder, price)
    return i64(NO_LEVEL) if leaf == NO_LEAF else book.bounds[FAR_START] + leaf


@rare
def _new_level(book: Any, ladder: int, price: int) -> int:
    """Return a level for a price outside the window: it moves there, or a far one."""
    bits = book.bounds[WINDOW_BITS]
    low = min(max(price - (i64(1) << (bits - 1)), 0), LOW_MAX)
    if price >= 0 and (price - low) >> bits == 0:
        top_word = ladder * book.bounds[LADDER_WORDS] + book.branches[TREE_DEPTH - 1]
        if book.bits[top_word] == 0:
            leaf = leaf_beyond(book, ladder, low - 1, 1)
            if leaf == NO_LEAF or (book.leaf_price[leaf] - low) >> bits != 0:
                book.best_prices[u64(ladder)]["low"] = low
        else:
            follow_the_book(book, ladder, low)
        if (price - book.best_prices[u64(ladder)]["low"]) >> bits == 0:
            return (
                book.bounds[NEAR_START]
                + (ladder << bits)
                + price
                - book.best_prices[u64(ladder)]["low"]
            )
    return book.bounds[FAR_START] + insert_leaf(book, ladder, price)


@kernel
def join(book: Any, at: int, slot: int) -> bool:
    """Put ``slot`` at the end of the queue of the level ``at``; return whether it was empty."""
    level, own = book.links[u64(at)], slot << SLOT_LINKS
    youngest = i64(level["prev"])
    youngest = at if youngest == 0 else youngest
    order = book.orders[u64(slot)]
    order["prev"] = youngest
    order["next"] = at
    book.links[u64(youngest)]["next"] = own
    level["prev"] = own
    return youngest == at


@kernel
def detach(book: Any, slot: int) -> bool:
    """Take ``slot`` out of its queue, wherever that is; return whether the queue is empty now."""
    order = book.orders[u64(slot)]
    older, younger = i64(order["prev"]), i64(order["next"])
    book.links[u64(older)]["next"] = younger
    book.links[u64(younger)]["prev"] = older
    return older == younger  # Both are the level then: of two orders one would be each.


@kernel
def link(book: Any, slot: int) -> None:
    """Put the order in ``slot`` at the end of the queue of its price."""
    order = book.orders[u64(slot)]
    ladder, price = i64(order["ladder"]), i64(order["price"])
    at = level_of(book, ladder, price)
    if at == NO_LEVEL:
        at = _new_level(book, ladder, price)
    if not join(book, at, slot):
        return
    if at < book.bounds[FAR_START]:
        tick = at - book.bounds[NEAR_START] - (ladder << book.bounds[WINDOW_BITS])
        set_bit(book, ladder, tick)
    top = book.best_prices[u64(ladder)]
    best = top["best"]
    # Sides are even odds, so the compiler is given a choice of values, not of ways.
    top["best"] = max(best, price) if ladder & 1 == Side.BUY else min(best, price)


@kernel
def unlink(book: Any, slot: int) -> None:
    """Take the order in ``slot`` out of its queue; its neighbours keep their places."""
    if detach(book, slot):
        order = book.orders[u64(slot)]
        vacate(book, i64(order["ladder"]), i64(order["price"]))


@kernel
def vacate(book: Any, ladder: int, price: int) -> None:
    """Note that the queue of this price is empty now; find the next best price if it was best."""
    top = book.best_prices[u64(ladder)]
    tick = price - top["low"]
    if in_window(tick, book.bounds[WINDOW_BITS]):
        clear_bit(book, ladder, tick)
    else:
        _clear_far(book, ladder, price)
    if top["best"] == price:
        top["best"] = next_worse(book, ladder, price)


@rare
def _clear_far(book: Any, ladder: int, price: int) -> None:
    """Take a level out of the far ones; its ring must not name an old self."""
    level = book.links[_far_level(book, ladder, price)]
    level["next"] = 0
    level["prev"] = 0
    remove_leaf(book, ladder, price)


@kernel
def first_of(book: Any, at: int) -> int:
    """Return the slot of the oldest order of the level ``at``, which is not empty."""
    return i64(book.links[u64(at)]["next"]) >> SLOT_LINKS


@kernel
def next_worse(book: Any, ladder: int, price: int) -> int:
    """Return the next price of this ladder that is worse than ``price``, or NO_BID or NO_ASK."""
    bits = book.bounds[WINDOW_BITS]
    low = book.best_prices[u64(ladder)]["low"]
    if book.roots[u64(ladder)] != 0 or not in_window(price - low, bits):
        return _next_worse_far(book, ladder, price)
    tick = tick_worse(book, ladder, price - low)
    none = i64(NO_BID) if ladder & 1 == Side.BUY else i64(NO_ASK)
    return none if tick == NO_TICK else low + tick


@rare
def _next_worse_far(book: Any, ladder: int, price: int) -> int:
    if ladder & 1 == Side.BUY:
        return price_below(book, ladder, price)
    return price_above(book, ladder, price)


@rare
def price_below(book: Any, ladder: int, price: int) -> int:
    """Return the highest price of this ladder below ``price``, or NO_BID."""
    low = book.best_prices[u64(ladder)]["low"]
    tick = price - low
    if in_window(tick, book.bounds[WINDOW_BITS]):
        is_worse = ladder & 1 == Side.BUY
        tick = tick_worse(book, ladder, tick) if is_worse else tick_better(book, ladder, tick)
    else:
        tick = tick_edge(book, ladder, 0) if price > low else i64(NO_TICK)
    near = i64(NO_BID) if tick == NO_TICK else low + tick
    if book.roots[u64(ladder)] == 0:
        return near
    leaf = leaf_beyond(book, ladder, price, 0)
    return near if leaf == NO_LEAF else max(near, book.leaf_price[leaf])


@rare
def price_above(book: Any, ladder: int, price: int) -> int:
    """Return the lowest price of this ladder above ``price``, or NO_ASK."""
    low = book.best_prices[u64(ladder)]["low"]
    tick = price - low
    if in_window(tick, book.bounds[WINDOW_BITS]):
        is_worse = ladder & 1 == Side.SELL
        tick = tick_worse(book, ladder, tick) if is_worse else tick_better(book, ladder, tick)
    else:
        tick = tick_edge(book, ladder, 1) if price < low else i64(NO_TICK)
    near = i64(NO_ASK) if tick == NO_TICK else low + tick
    if book.roots[u64(ladder)] == 0:
        return near
    leaf = leaf_beyond(book, ladder, price, 1)
    return near if leaf == NO_LEAF else min(near, book.leaf_price[leaf])


@kernel
def crosses(side: int, price_ticks: int, against_ticks: int) -> bool:
    """Return whether an order limited to ``price_ticks`` accepts the opposite price.

    NO_ASK and NO_BID are crossed by no limit, so an empty side needs no test of its own.
    """
    if side == Side.BUY:
        return against_ticks <= price_ticks
    return against_ticks >= price_ticks
