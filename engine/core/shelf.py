"""Where is a price kept that no window covers, and a stop's trigger?

On a shelf: a crit-bit tree (D. J. Bernstein's name for Morrison's PATRICIA, JACM 15(4), 1968) over
the price's bits. A search looks at no more twigs than a price has bits, however many prices there
are and whoever chose them, and nothing is ever balanced. A leaf is a price with a queue; leaf
``i`` has its level at ``links[FAR_START + i]``. Child links are positive for twigs, negative for
leaves, 0 for nothing. Rare: all of this is called, not inlined.
"""

# mypy: disable-error-code="no-any-return"
from typing import Any

from engine.core.jit import i64, kernel, rare
from engine.core.machinecode import highest_bit

NO_LEAF = 0
LOWEST = -(2**63)
BIT, CHILD = 0, 1  # Columns of a twig: the bit it looks at, then where 0 and where 1 lead.


@kernel
def _child(book: Any, twig: int, toward: int) -> int:
    return i64(book.twigs[(twig << 2) + CHILD + toward])


@kernel
def _bit(book: Any, twig: int) -> int:
    return i64(book.twigs[(twig << 2) + BIT])


@kernel
def _turn(price: int, bit: int) -> int:
    """Return which way a price leads at a twig. Its sign counts reversed: negative is lower."""
    return ((price ^ i64(LOWEST)) >> bit) & 1


@kernel
def _lead_to(book: Any, shelf: int, parent: int, toward: int, node: int) -> None:
    """Make ``node`` what hangs under ``parent``, or under the root when there is none."""
    if parent == 0:
        book.roots[shelf] = node
    else:
        book.twigs[(parent << 2) + CHILD + toward] = node


@kernel
def _edge(book: Any, node: int, toward: int) -> int:
    """Return the lowest leaf under ``node`` (``toward`` 0) or the highest (1)."""
    while node > 0:
        node = _child(book, node, toward)
    return -node


@kernel
def _nearest(book: Any, node: int, price: int) -> int:
    """Return the leaf that ``price`` would lead to."""
    while node > 0:
        node = _child(book, node, _turn(price, _bit(book, node)))
    return -node


@rare
def find_leaf(book: Any, shelf: int, price: int) -> int:
    """Return the leaf of ``price``, or NO_LEAF."""
    leaf = _nearest(book, book.roots[shelf], price)
    return leaf if leaf != NO_LEAF and book.leaf_price[leaf] == price else i64(NO_LEAF)


@rare
def plant_leaf(book: Any, shelf: int, price: int) -> int:
    """Return a new leaf for ``price``, which the shelf does not have; its queue is empty."""
    counters = book.counters[0]
    leaf = i64(counters["leaf_free"])
    if leaf != NO_LEAF:
        counters["leaf_free"] = book.leaf_price[leaf]
    else:
        counters["leaves_used"] += 1
        leaf = i64(counters["leaves_used"])
        assert leaf < book.leaf_price.size  # There are as many as orders.
    book.leaf_price[leaf] = price

    node = book.roots[shelf]
    if node == 0:
        book.roots[shelf] = -leaf
        return leaf
    twig = i64(counters["twig_free"])
    if twig != 0:
        counters["twig_free"] = _child(book, twig, 0)
    else:
        counters["twigs_used"] += 1
        twig = i64(counters["twigs_used"])
        assert (twig << 2) < book.twigs.size
    bit = highest_bit(price ^ book.leaf_price[_nearest(book, node, price)])
    parent, toward = i64(0), i64(0)
    while node > 0 and _bit(book, node) > bit:
        parent, toward = node, _turn(price, _bit(book, node))
        node = _child(book, node, toward)
    own = _turn(price, bit)
    book.twigs[(twig << 2) + BIT] = bit
    book.twigs[(twig << 2) + CHILD + own] = -leaf
    book.twigs[(twig << 2) + CHILD + 1 - own] = node
    _lead_to(book, shelf, parent, toward, twig)
    return leaf


@rare
def pluck_leaf(book: Any, shelf: int, price: int) -> None:
    """Take the leaf of ``price``, whose queue is empty, off the shelf."""
    counters = book.counters[0]
    node = book.roots[shelf]
    parent, toward = i64(0), i64(0)
    grandparent, turn = i64(0), i64(0)
    while node > 0:
        grandparent, turn = parent, toward
        parent, toward = node, _turn(price, _bit(book, node))
        node = _child(book, node, toward)
    leaf = -node
    assert leaf != NO_LEAF and book.leaf_price[leaf] == price
    if parent == 0:
        book.roots[shelf] = 0
    else:
        _lead_to(book, shelf, grandparent, turn, _child(book, parent, 1 - toward))
        book.twigs[(parent << 2) + CHILD] = counters["twig_free"]
        counters["twig_free"] = parent
    book.leaf_price[leaf] = counters["leaf_free"]
    counters["leaf_free"] = leaf


@rare
def leaf_beyond(book: Any, shelf: int, price: int, upward: int) -> int:
    """Return the leaf of the next price above ``price`` if ``upward`` is 1, below if 0."""
    node = book.roots[shelf]
    if node == 0:
        return NO_LEAF
    difference = price ^ book.leaf_price[_nearest(book, node, price)]
    bit = highest_bit(difference) if difference != 0 else i64(-1)
    beyond = i64(0)  # The last subtree on the way that lies wholly beyond.
    while node > 0 and _bit(book, node) > bit:
        toward = _turn(price, _bit(book, node))
        if toward != upward:
            beyond = _child(book, node, upward)
        node = _child(book, node, toward)
    if difference != 0 and _turn(price, bit) != upward:
        beyond = node
    return _edge(book, beyond, 1 - upward)


@rare
def leaf_edge(book: Any, shelf: int, upward: int) -> int:
    """Return the leaf of the lowest price if ``upward`` is 1, of the highest if 0; or NO_LEAF."""
    return _edge(book, book.roots[shelf], 1 - upward)
