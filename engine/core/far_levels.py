"""Where is a price kept that no window covers, and a stop's trigger?

As a leaf of a crit-bit tree (D. J. Bernstein's name for Morrison's PATRICIA, JACM 15(4), 1968) over
the price's bits. A search looks at no more nodes than a price has bits, however many prices there
are and whoever chose them, and nothing is ever balanced. A leaf is a price with a queue; leaf
``i`` has its level at ``links[FAR_START + i]``. Child links are positive for nodes, negative for
leaves, 0 for nothing. Rare: all of this is called, not inlined.
"""

# mypy: disable-error-code="no-any-return"
from typing import Any

from engine.core.jit import i64, kernel, rare
from engine.core.machinecode import highest_bit

NO_LEAF = 0
LOWEST = -(2**63)
BIT, CHILD = 0, 1  # Columns of a node: the bit it looks at, then where 0 and where 1 lead.


@kernel
def _child(book: Any, node: int, toward: int) -> int:
    return i64(book.nodes[(node << 2) + CHILD + toward])


@kernel
def _bit(book: Any, node: int) -> int:
    return i64(book.nodes[(node << 2) + BIT])


@kernel
def _turn(price: int, bit: int) -> int:
    """Return which way a price leads at a node. Its sign counts reversed: negative is lower."""
    return ((price ^ i64(LOWEST)) >> bit) & 1


@kernel
def _lead_to(book: Any, tree: int, parent: int, toward: int, child: int) -> None:
    """Make ``child`` what hangs under ``parent``, or under the root when there is none."""
    if parent == 0:
        book.roots[tree] = child
    else:
        book.nodes[(parent << 2) + CHILD + toward] = child


@kernel
def _edge(book: Any, child: int, toward: int) -> int:
    """Return the lowest leaf under ``child`` (``toward`` 0) or the highest (1)."""
    while child > 0:
        child = _child(book, child, toward)
    return -child


@kernel
def _nearest(book: Any, child: int, price: int) -> int:
    """Return the leaf that ``price`` would lead to."""
    while child > 0:
        child = _child(book, child, _turn(price, _bit(book, child)))
    return -child


@rare
def find_leaf(book: Any, tree: int, price: int) -> int:
    """Return the leaf of ``price``, or NO_LEAF."""
    leaf = _nearest(book, book.roots[tree], price)
    return leaf if leaf != NO_LEAF and book.leaf_price[leaf] == price else i64(NO_LEAF)


@rare
def insert_leaf(book: Any, tree: int, price: int) -> int:
    """Return a new leaf for ``price``, which the tree does not have; its queue is empty."""
    counters = book.counters[0]
    leaf = i64(counters["leaf_free"])
    if leaf != NO_LEAF:
        counters["leaf_free"] = book.leaf_price[leaf]
    else:
        counters["leaves_used"] += 1
        leaf = i64(counters["leaves_used"])
        assert leaf < book.leaf_price.size  # There are as many as orders.
    book.leaf_price[leaf] = price

    child = book.roots[tree]
    if child == 0:
        book.roots[tree] = -leaf
        return leaf
    node = i64(counters["node_free"])
    if node != 0:
        counters["node_free"] = _child(book, node, 0)
    else:
        counters["nodes_used"] += 1
        node = i64(counters["nodes_used"])
        assert (node << 2) < book.nodes.size
    bit = highest_bit(price ^ book.leaf_price[_nearest(book, child, price)])
    parent, toward = i64(0), i64(0)
    while child > 0 and _bit(book, child) > bit:
        parent, toward = child, _turn(price, _bit(book, child))
        child = _child(book, child, toward)
    own = _turn(price, bit)
    book.nodes[(node << 2) + BIT] = bit
    book.nodes[(node << 2) + CHILD + own] = -leaf
    book.nodes[(node << 2) + CHILD + 1 - own] = child
    _lead_to(book, tree, parent, toward, node)
    return leaf


@rare
def remove_leaf(book: Any, tree: int, price: int) -> None:
    """Take the leaf of ``price``, whose queue is empty, out of the tree."""
    counters = book.counters[0]
    child = book.roots[tree]
    parent, toward = i64(0), i64(0)
    grandparent, turn = i64(0), i64(0)
    while child > 0:
        grandparent, turn = parent, toward
        parent, toward = child, _turn(price, _bit(book, child))
        child = _child(book, child, toward)
    leaf = -child
    assert leaf != NO_LEAF and book.leaf_price[leaf] == price
    if parent == 0:
        book.roots[tree] = 0
    else:
        _lead_to(book, tree, grandparent, turn, _child(book, parent, 1 - toward))
        book.nodes[(parent << 2) + CHILD] = counters["node_free"]
        counters["node_free"] = parent
    book.leaf_price[leaf] = counters["leaf_free"]
    counters["leaf_free"] = leaf


@rare
def leaf_beyond(book: Any, tree: int, price: int, upward: int) -> int:
    """Return the leaf of the next price above ``price`` if ``upward`` is 1, below if 0."""
    child = book.roots[tree]
    if child == 0:
        return NO_LEAF
    difference = price ^ book.leaf_price[_nearest(book, child, price)]
    bit = highest_bit(difference) if difference != 0 else i64(-1)
    beyond = i64(0)  # The last subtree on the way that lies wholly beyond.
    while child > 0 and _bit(book, child) > bit:
        toward = _turn(price, _bit(book, child))
        if toward != upward:
            beyond = _child(book, child, upward)
        child = _child(book, child, toward)
    if difference != 0 and _turn(price, bit) != upward:
        beyond = child
    return _edge(book, beyond, 1 - upward)


@rare
def leaf_edge(book: Any, tree: int, upward: int) -> int:
    """Return the leaf of the lowest price if ``upward`` is 1, of the highest if 0; or NO_LEAF."""
    return _edge(book, book.roots[tree], 1 - upward)
