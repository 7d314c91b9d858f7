"""Which memory will the next commands of the batch need?

A line beyond L2 takes longer to arrive than a whole command takes to carry out, so it is asked for
some commands earlier: first what the command itself names, then, when that is there, what it points
to. Asking changes nothing but time. All of it is guesses without a branch, since a branch on the
kind of a command that is not yet due would be mispredicted as often as the one when it is due: a
column that the command does not use is 0 and names a line that is in the cache anyway.
"""

# mypy: disable-error-code="no-any-return"
from typing import Any

from engine.commands import Commands
from engine.core.jit import i64, kernel, u64
from engine.core.ledger import balance_at
from engine.core.machinecode import prefetch
from engine.core.slots import SLOT_MASK
from engine.core.state import ACCOUNT_BALANCES, NEAR_START, SLOT_LINKS, WINDOW_BITS, State

FIRST, SECOND, THIRD = 24, 14, 7
"""How many commands ahead each step is."""

LARGE_BYTES = 1 << 20
"""What fits into L2 is there when it is needed; asking for it would only cost."""


@kernel
def orders_are_many(book: Any) -> bool:
    """Return whether the orders alone do not fit into L2."""
    return book.counters[0]["slots_used"] << (SLOT_LINKS + 3) > LARGE_BYTES


@kernel
def level_guess(book: Any, ladder: int, price: int) -> int:
    """Return the link of a price if it lies in the window, else of some other price."""
    bits = book.bounds[WINDOW_BITS]
    tick = (price - book.best_prices[u64(ladder)]["low"]) & ((i64(1) << bits) - 1)
    return book.bounds[NEAR_START] + (ladder << bits) + tick


@kernel
def slot_guess(book: Any, order_id: int) -> int:
    """Return the slot that an id names if it can, else some slot."""
    return min(order_id & SLOT_MASK, i64(book.counters[0]["slots_used"]))


@kernel
def prefetch_named(book: Any, ladder: int, price: int, order_id: int) -> None:
    """Ask for the level and the order that a command names."""
    prefetch(book.links, level_guess(book, ladder, price))
    prefetch(book.orders, slot_guess(book, order_id))


@kernel
def prefetch_neighbours(book: Any, ladder: int, price: int, order_id: int) -> None:
    """Ask for the youngest of a queue, and for the neighbours of an order."""
    prefetch(book.links, i64(book.links[u64(level_guess(book, ladder, price))]["prev"]))
    order = book.orders[u64(slot_guess(book, order_id))]
    prefetch(book.links, i64(order["next"]))
    prefetch(book.links, i64(order["prev"]))


@kernel
def prefetch_best(book: Any, ladder: int, price: int) -> None:
    """Ask for the oldest order at the best price, which the next order to cross will meet."""
    prefetch(book.links, i64(book.links[u64(level_guess(book, ladder, price))]["next"]))


@kernel
def is_large(state: State) -> bool:
    """Return whether orders and balances together do not fit into L2."""
    balances = state.counters[0]["accounts"] * state.bounds[ACCOUNT_BALANCES]
    return orders_are_many(state) or balances << 4 > LARGE_BYTES


@kernel
def _ladder_guess(state: State, row: Any) -> int:
    ladder = 2 * i64(row["market"]) + (i64(row["side"]) & 1)
    return min(ladder, i64(state.best_prices.size) - 1)


@kernel
def prefetch_commands(state: State, commands: Commands, i: int) -> None:
    """Ask for the memory of some commands after the one at ``i``."""
    if i + FIRST >= commands.size:
        return
    row = commands[i + FIRST]
    prefetch_named(state, _ladder_guess(state, row), row["price_ticks"], row["order_id"])
    prefetch(state.balances, balance_at(state, i64(row["account"]), -1))

    row = commands[i + SECOND]
    ladder = _ladder_guess(state, row)
    prefetch_neighbours(state, ladder, row["price_ticks"], row["order_id"])
    prefetch(
        state.expiry_ns, slot_guess(state, row["order_id"])
    )  # Its slot is the next to be used.
    listing = state.markets[ladder >> 1]
    prefetch(state.balances, balance_at(state, i64(row["account"]), i64(listing["base"])))
    prefetch(state.balances, balance_at(state, i64(row["account"]), i64(listing["quote"])))
    best = level_guess(state, ladder ^ 1, i64(state.best_prices[ladder ^ 1]["best"]))
    prefetch(state.links, i64(state.links[best]["next"]))

    row = commands[i + THIRD]
    named = state.orders[slot_guess(state, row["order_id"])]
    listing = state.markets[named["ladder"] >> 1]
    token = i64(listing["base"]) if named["ladder"] & 1 else i64(listing["quote"])
    prefetch(state.balances, balance_at(state, i64(named["account"]), token))
    ladder = _ladder_guess(state, row)
    best = level_guess(state, ladder ^ 1, i64(state.best_prices[ladder ^ 1]["best"]))
    # A level that was used and is empty names itself, and that is no order's place.
    slot = min(i64(state.links[best]["next"]) >> SLOT_LINKS, i64(state.counters[0]["slots_used"]))
    prefetch(state.expiry_ns, slot)
    maker = state.orders[slot]
    prefetch(state.links, i64(maker["next"]))
    listing = state.markets[ladder >> 1]
    prefetch(state.balances, balance_at(state, i64(maker["account"]), i64(listing["base"])))
    prefetch(state.balances, balance_at(state, i64(maker["account"]), i64(listing["quote"])))
