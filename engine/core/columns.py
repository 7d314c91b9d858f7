"""What of the state has to be kept to have it again, and how does it come back?

The used part of each array, and the queues as lists of slots. Windows, levels and bitmaps are not
kept: they follow from the queues and are many times as large.
"""

import numpy as np
from numpy.typing import NDArray

from engine.core.book import link
from engine.core.canon import queued_slots
from engine.core.jit import kernel
from engine.core.layout import (
    ACCOUNT_CELLS,
    BARS_MASK,
    NO_SLOT,
    ORDERS_SHIFT,
    State,
    new_state,
)
from engine.core.stops import wait
from engine.types import Limits

Columns = dict[str, NDArray[np.generic]]
"""Column name to a contiguous array. The names are those of ``State``, and ``queues``."""


def columns_of(state: State) -> Columns:
    """Return copies of all that is needed to build ``state`` again."""
    counters = state.counters[0]
    slots, accounts = int(counters["slots_used"]) + 1, int(counters["accounts"])
    rows = state.cells.reshape(-1, int(state.bounds[ACCOUNT_CELLS]))[:accounts]
    tokens = int(counters["tokens"])
    return {
        "counters": state.counters.copy(),
        "orders": state.orders[:slots].copy(),
        "expiry_ns": state.expiry_ns[:slots].copy(),
        "extras": state.extras[:slots].copy(),
        "markets": state.markets[: int(counters["markets"])].copy(),
        "cells": rows[:, : tokens + 1].copy(),
        "tokens": state.tokens[:tokens].copy(),
        "pending": state.pending[: int(counters["markets"])].copy(),
        "area_min": state.area_min[: int(counters["markets"])].copy(),
        "queues": queued_slots(state),
    }


def state_from(limits: Limits, saved: Columns) -> State:
    """Return the state that ``saved`` describes; AssertionError when it does not fit."""
    state = new_state(limits)
    names = ("counters", "orders", "expiry_ns", "extras", "markets", "tokens")
    for name in (*names, "pending", "area_min"):
        column, array = saved[name], getattr(state, name)
        assert column.dtype == array.dtype and column.size <= array.size, name
        array[: column.size] = column
    rows = state.cells.reshape(-1, int(state.bounds[ACCOUNT_CELLS]))
    accounts, cells = saved["cells"].shape
    assert accounts <= rows.shape[0] and cells <= rows.shape[1], "cells"
    rows[:accounts, :cells] = saved["cells"]
    for name in ("leaf_free", "leaves_used", "twig_free", "twigs_used"):
        state.counters[name] = 0
    state.markets["armed"] = 0
    rows["held"][:accounts, 0] &= BARS_MASK
    live = np.flatnonzero(state.orders["lots"])
    np.add.at(rows["held"][:, 0], state.orders["account"][live], 1 << ORDERS_SHIFT)
    state.owed[: cells - 1] = -np.minimum(rows["available"][:accounts, 1:cells], 0).sum(axis=0)
    queues = np.ascontiguousarray(saved["queues"], np.int64)
    assert queues.size == state.counters[0]["orders_live"] + 4 * state.counters[0]["markets"]
    relink(state, queues)
    return state


@kernel
def relink(state: State, queues: NDArray[np.int64]) -> None:
    """Put every order back into its queue, in the order in which ``list_queues`` wrote them."""
    at = 0
    for _ in range(state.counters[0]["markets"]):
        for part in range(4):
            while queues[at] != NO_SLOT:
                assert 0 < queues[at] <= state.counters[0]["slots_used"]
                if part < 2:
                    link(state, queues[at])
                else:
                    wait(state, queues[at])
                at += 1
            at += 1
