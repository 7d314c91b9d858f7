"""How does one call work through a whole batch of commands?

The only way in from Python. The loop reads nothing but the commands and the state, and it stops
before a command whose worst case might not fit into the event buffer: the caller brings a new
buffer and goes on, so a sweep of any size works and nothing in here ever allocates.
"""

# mypy: disable-error-code="no-any-return"
from typing import Any

from engine.commands import Commands, Kind
from engine.core.admin import administer
from engine.core.jit import kernel
from engine.core.layout import State
from engine.core.leave import amend, cancel, sweep_expired
from engine.core.match import place, rows_worst
from engine.events import Events

BROKEN_SEQUENCE = -1


@kernel
def run(state: State, commands: Commands, first: int, out: Events) -> int:
    """Apply ``commands[first:]``; return the index of the first one that was not applied.

    ``counters.out_row`` says how many events are in ``out``, ``rows_wanted`` how much room the
    next command needs. Returns BROKEN_SEQUENCE, with nothing done, if a sequence is missing.
    """
    counters = state.counters[0]
    counters["out_row"] = 0
    counters["rows_wanted"] = 0
    for i in range(first, commands.size):
        if commands[i]["sequence"] != counters["sequence"] + 1 + i - first:
            return BROKEN_SEQUENCE

    for i in range(first, commands.size):
        row = commands[i]
        wanted = room_for(state, row)
        if out.size - counters["out_row"] < wanted:
            counters["rows_wanted"] = wanted
            return i
        step(state, out, row)
    return commands.size


@kernel
def room_for(state: State, row: Any) -> int:
    """Return the most events that this command can cause."""
    if row["kind"] == Kind.PLACE:
        return rows_worst(state, row)
    counters = state.counters[0]
    if row["kind"] == Kind.EXIT_BEGIN or row["kind"] == Kind.CANCEL_ALL:
        return counters["orders_live"] + 1
    if row["kind"] == Kind.CLOCK:
        now_ns = max(counters["time_ns"], row["time_ns"])
        return counters["orders_live"] if now_ns >= counters["expiry_soonest_ns"] else 0
    return 1


@kernel
def step(state: State, out: Events, row: Any) -> None:
    """Apply one command."""
    counters = state.counters[0]
    counters["sequence"] += 1
    counters["time_ns"] = max(counters["time_ns"], row["time_ns"])
    kind = row["kind"]
    if kind == Kind.PLACE:
        place(state, out, row)
    elif kind == Kind.CANCEL:
        cancel(state, out, row)
    elif kind == Kind.AMEND:
        amend(state, out, row)
    elif kind == Kind.CLOCK:
        sweep_expired(state, out)
    else:
        administer(state, out, row, kind)
