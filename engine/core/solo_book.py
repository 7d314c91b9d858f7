"""What of a book is there without an exchange? The arrays of one market, and nothing of accounts.

For who needs the queues and levels of ``book.py`` alone, with order ids of his own: today
``benchmarks/challenge``. It stands in this package because numba's cache of the kernels here names
the types they were called with: an exchange must find every one of them.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class SoloBook(NamedTuple):
    """What the queues of one market need without accounts, and the caller's names of orders."""

    counters: NDArray[Any]
    """(1,) COUNTERS"""
    best_prices: NDArray[Any]
    """(2,) BEST_PRICE by side"""
    roots: NDArray[np.int64]
    """(2,) by side: the crit-bit tree of its far prices"""
    bits: NDArray[np.int64]
    """(2 * LADDER_WORDS,) the prices of each window that have orders"""
    orders: NDArray[Any]
    """(SLOTS,) ORDER, addressed by slot"""
    links: NDArray[Any]
    """(LINKS,) LINK: ``orders`` seen as links, then two windows, then the far prices"""
    leaf_price: NDArray[np.int64]
    """(SLOTS,) by leaf of a tree"""
    nodes: NDArray[np.int32]
    """(4 * SLOTS,) by node of a tree"""
    names: NDArray[Any]
    """(NAMES_MOST,) NAME; only the first ones are in use"""
    bounds: tuple[int, ...]
    """as ``State.bounds``; constants, so that the compiler knows them"""
    branches: tuple[int, ...]
    """as ``State.branches``"""
