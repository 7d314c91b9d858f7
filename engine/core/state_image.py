"""What of the state has to be kept to have it again, and how does it come back?

The used part of each array, and the queues as lists of slots. Windows, levels and bitmaps are not
kept: they follow from the queues and are many times as large.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.core.book import link
from engine.core.jit import kernel
from engine.core.state import (
    ACCOUNT_BALANCES,
    BARS_MASK,
    NO_SLOT,
    ORDERS_SHIFT,
    State,
    new_state,
)
from engine.core.state_hash import queued_slots
from engine.core.stops import wait
from engine.types import Limits

StateImage = dict[str, NDArray[np.generic]]
"""Name to a contiguous array. Names and fields are part of the snapshots that have been written, so
some are older than those of ``State``; and there is ``queues``."""

_SAVED: Final = {
    "counters": "counters",
    "orders": "orders",
    "expiry_ns": "expiry_ns",
    "order_extras": "extras",
    "markets": "markets",
    "tokens": "tokens",
    "pending": "pending",
    "area_min": "area_min",
}
"""Array of the state to its name in an image, but for the balances and the queues."""

_SAVED_FIELDS: Final = {"node_free": "twig_free", "nodes_used": "twigs_used"}


def _saved_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return ``dtype`` with its fields named as in an image."""
    if dtype.names is None:
        return dtype
    return np.dtype([(_SAVED_FIELDS.get(name, name), dtype[name]) for name in dtype.names])


def image_of(state: State) -> StateImage:
    """Return copies of all that is needed to build ``state`` again."""
    counters = state.counters[0]
    slots, accounts = int(counters["slots_used"]) + 1, int(counters["accounts"])
    markets, tokens = int(counters["markets"]), int(counters["tokens"])
    rows = state.balances.reshape(-1, int(state.bounds[ACCOUNT_BALANCES]))[:accounts]
    return {
        "counters": state.counters.copy().view(_saved_dtype(state.counters.dtype)),
        "orders": state.orders[:slots].copy(),
        "expiry_ns": state.expiry_ns[:slots].copy(),
        "extras": state.order_extras[:slots].copy(),
        "markets": state.markets[:markets].copy(),
        "cells": rows[:, : tokens + 1].copy(),
        "tokens": state.tokens[:tokens].copy(),
        "pending": state.pending[:markets].copy(),
        "area_min": state.area_min[:markets].copy(),
        "queues": queued_slots(state),
    }


def state_of_image(limits: Limits, image: StateImage) -> State:
    """Return the state that ``image`` describes; AssertionError when it does not fit."""
    state = new_state(limits)
    for name, saved in _SAVED.items():
        column, array = image[saved], getattr(state, name)
        assert column.dtype == _saved_dtype(array.dtype) and column.size <= array.size, saved
        array[: column.size] = column.view(array.dtype)
    rows = state.balances.reshape(-1, int(state.bounds[ACCOUNT_BALANCES]))
    accounts, balances = image["cells"].shape
    assert accounts <= rows.shape[0] and balances <= rows.shape[1], "cells"
    rows[:accounts, :balances] = image["cells"]
    for name in ("leaf_free", "leaves_used", "node_free", "nodes_used"):
        state.counters[name] = 0
    state.markets["armed"] = 0
    rows["held"][:accounts, 0] &= BARS_MASK
    live = np.flatnonzero(state.orders["lots"])
    np.add.at(rows["held"][:, 0], state.orders["account"][live], 1 << ORDERS_SHIFT)
    owed = -np.minimum(rows["available"][:accounts, 1:balances], 0).sum(axis=0)
    state.owed[: balances - 1] = owed
    queues = np.ascontiguousarray(image["queues"], np.int64)
    assert queues.size == state.counters[0]["orders_live"] + 4 * state.counters[0]["markets"]
    relink(state, queues)
    return state


@kernel
def relink(state: State, queues: NDArray[np.int64]) -> None:
    """Put every order back into its queue, in the order in which ``list_queues`` wrote them."""
    at = 0
    for _ in range(state.counters[0]["markets"]):
        for kind in range(4):
            while queues[at] != NO_SLOT:
                assert 0 < queues[at] <= state.counters[0]["slots_used"]
                if kind < 2:
                    link(state, queues[at])
                else:
                    wait(state, queues[at])
                at += 1
            at += 1
