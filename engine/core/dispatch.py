"""How does one call work through a whole batch of commands?

The only way in from Python. The loop reads nothing but the commands and the state.
"""

# mypy: disable-error-code="no-any-return"
from typing import Any

from engine.commands import Commands, Kind
from engine.core import accounts, markets
from engine.core.cancel import (
    amend,
    cancel,
    cancel_after,
    cancel_all,
    sweep_expired,
    sweep_silent,
)
from engine.core.emit import reject
from engine.core.event_capacity import event_capacity
from engine.core.incoming import carry_out
from engine.core.jit import i64, kernel, rare
from engine.core.place import place, replace
from engine.core.prefetch import is_large, prefetch_commands
from engine.core.state import NO_SLOT, WORK, State, new_state
from engine.core.state_pointer import opener_of
from engine.core.triggers import no_reach, recall_reach, resume_stops, wake_stops
from engine.events import Events
from engine.types import Limits, Outcome

BROKEN_SEQUENCE = -1
open_state = opener_of(new_state(Limits(1, 1, 1, 1, 64)))


@kernel
def dispatch_by_pointer(pointer: Any, commands: Commands, first: int, out: Events) -> int:
    """Do what ``dispatch`` does to the state behind ``pointer``."""
    return dispatch(open_state(pointer), commands, first, out)


@kernel
def dispatch(state: State, commands: Commands, first: int, out: Events) -> int:
    """Apply ``commands[first:]``; return the index of the first one that was not applied.

    ``counters.out_row`` says how many events are in ``out``, ``rows_wanted`` how many rows the
    next command needs. Returns BROKEN_SEQUENCE, with nothing done, if a sequence is missing.
    """
    counters = state.counters[0]
    counters["out_row"] = 0
    counters["rows_wanted"] = 0
    for i in range(first, commands.size):
        if commands[i]["sequence"] != counters["sequence"] + 1 + i - first:
            return BROKEN_SEQUENCE

    is_large_now = is_large(state)
    for i in range(first, commands.size):
        row = commands[i]
        wanted = event_capacity(state, row)
        if out.size - counters["out_row"] < wanted:
            counters["rows_wanted"] = wanted
            return i
        if is_large_now:
            prefetch_commands(state, commands, i)
        step(state, out, row)
    return commands.size


@kernel
def step(state: State, out: Events, row: Any) -> None:
    """Apply one command."""
    counters = state.counters[0]
    counters["sequence"] += 1
    counters["time_ns"] = max(counters["time_ns"], row["time_ns"])
    if counters["time_ns"] >= counters["deadline_soonest_ns"]:
        sweep_silent(state, out)
    kind = row["kind"]
    counters["trade_id_before"] = counters["trade_id"]
    counters["work_left"] = state.bounds[WORK]
    if counters["markets_pending"] != 0 and not resume_stops(state, out, row, kind):
        reject(state, out, Outcome.STOPS_PENDING, i64(row["account"]), row["order_id"])
        return
    slot = i64(NO_SLOT)
    display = row["order_id"]
    if kind == Kind.PLACE:
        slot = place(state, out, row)
    elif kind == Kind.CANCEL:
        cancel(state, out, row)
        return
    elif kind == Kind.AMEND:
        amend(state, out, row)
        return
    elif kind == Kind.REPLACE:
        slot = replace(state, out, row)
        display = state.order_extras[slot]["display"]
    elif kind == Kind.CLOCK:
        sweep_expired(state, out)
        return
    else:
        administer(state, out, row, kind)
        return
    if slot == NO_SLOT:
        return

    no_reach(state)
    market = i64(state.orders[slot]["ladder"]) >> 1
    lots, tif, flags = row["amount"], i64(row["tif"]), i64(row["flags"])
    carry_out(state, out, slot, lots, tif, flags, display)
    if state.markets[market]["armed"] != 0:
        wake_stops(state, out, market)


@rare
def administer(state: State, out: Events, row: Any, kind: int) -> None:
    """Carry out any command that is about an account or a market, not about one order."""
    if kind == Kind.LIST_TOKEN:
        verdict = accounts.list_token(state, out, row)
    elif kind == Kind.LIST_MARKET:
        verdict = markets.list_market(state, out, row)
    elif kind == Kind.OPEN_ACCOUNT:
        verdict = accounts.open_account(state, out, row)
    elif kind == Kind.DEPOSIT:
        verdict = accounts.deposit(state, out, row)
    elif kind == Kind.WITHDRAW:
        verdict = accounts.withdraw(state, out, row)
    elif kind == Kind.EXIT_BEGIN:
        verdict = accounts.exit_begin(state, out, row)
    elif kind == Kind.EXIT_END:
        verdict = accounts.exit_end(state, out, row)
    elif kind == Kind.CANCEL_ALL:
        verdict = cancel_all(state, out, row)
    elif kind == Kind.CANCEL_AFTER:
        verdict = cancel_after(state, out, row)
    elif kind == Kind.BUST:
        verdict = accounts.bust(state, out, row)
    else:
        verdict = administer_market(state, out, row, kind)
    if verdict != Outcome.ACCEPTED:
        reject(state, out, verdict, i64(row["account"]), row["order_id"])


@rare
def administer_market(state: State, out: Events, row: Any, kind: int) -> Outcome:
    """Carry out any command about a whole market; return ACCEPTED or why not."""
    if kind == Kind.SET_PHASE:
        if i64(row["market"]) < state.counters[0]["markets"]:
            recall_reach(state, i64(row["market"]))
        verdict = markets.set_phase(state, out, row)
        if verdict == Outcome.ACCEPTED:
            wake_stops(state, out, i64(row["market"]))
        return verdict
    if kind == Kind.SET_TERMS:
        return markets.set_terms(state, out, row)
    if kind == Kind.SET_BAND:
        return markets.set_band(state, out, row)
    if kind == Kind.DELIST:
        return markets.delist(state, out, row)
    if kind == Kind.POISON:
        markets.poison(state, out, row)
        return Outcome.ACCEPTED
    return Outcome.UNKNOWN_COMMAND
