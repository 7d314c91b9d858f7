"""Is this trade part of that batch? Positional Merkle trees as the contract builds them.

A parent is ``keccak256(left + right)``; an odd last node is promoted unchanged. The leaf carries
its own index (see ``settlement.batches.encode.trade_leaf``), so a leaf proves its place and cannot
be moved.
"""

from typing import Final

from settlement.protocol.eip712 import keccak256

EMPTY_ROOT: Final = bytes(32)


class Tree:
    """All nodes over ``leaves`` (32 bytes each, at least one), for whoever wants many paths."""

    def __init__(self, leaves: list[bytes]) -> None:
        assert leaves, "a tree has a leaf"
        self._levels = [leaves]
        while len(self._levels[-1]) > 1:
            self._levels.append(_parents(self._levels[-1]))

    @property
    def root(self) -> bytes:
        """Return the root."""
        return self._levels[-1][0]

    def path(self, index: int) -> list[bytes]:
        """Return the siblings of leaf ``index``, bottom up; levels it is promoted on add none."""
        assert 0 <= index < len(self._levels[0]), "no such leaf"
        siblings = []
        for nodes in self._levels:
            sibling = index ^ 1
            if sibling < len(nodes):
                siblings.append(nodes[sibling])
            index >>= 1
        return siblings


def root(leaves: list[bytes]) -> bytes:
    """Return the root over ``leaves`` (32 bytes each); ``EMPTY_ROOT`` if there are none."""
    if not leaves:
        return EMPTY_ROOT
    nodes = leaves  # Of a quarter of a million no more than two levels are ever kept.
    while len(nodes) > 1:
        nodes = _parents(nodes)
    return nodes[0]


def path(leaves: list[bytes], index: int) -> list[bytes]:
    """Return the path of one leaf alone: see ``Tree.path``."""
    return Tree(leaves).path(index)


def verify(leaf: bytes, index: int, count: int, siblings: list[bytes], expected: bytes) -> bool:
    """Return whether ``leaf`` is leaf ``index`` of ``count`` under the root ``expected``."""
    return root_from(leaf, index, count, siblings) == expected


def root_from(leaf: bytes, index: int, count: int, siblings: list[bytes]) -> bytes | None:
    """Return the root that ``leaf`` has as leaf ``index`` of ``count``; None if there is no such
    place or ``siblings`` are not as many as it has."""
    if not 0 <= index < count:
        return None
    node, unused = leaf, list(siblings)
    while count > 1:
        if index ^ 1 < count:
            if not unused:
                return None
            sibling = unused.pop(0)
            node = keccak256(sibling + node if index & 1 else node + sibling)
        index, count = index >> 1, (count + 1) >> 1
    return None if unused else node


def _parents(nodes: list[bytes]) -> list[bytes]:
    paired = [keccak256(nodes[at] + nodes[at + 1]) for at in range(0, len(nodes) - 1, 2)]
    return paired + nodes[-1:] if len(nodes) & 1 else paired
