"""How does one call work through a whole batch of commands?

The only way in from Python. The loop reads nothing but the commands and the state.
"""

# mypy: disable-error-code="no-any-return"
from typing import Any

from engine.commands import Commands, Kind
from engine.core import listing, money
from engine.core.ahead import is_large, look_ahead
from engine.core.emit import refuse
from engine.core.enter import carry_out, next_stop, place, replace
from engine.core.handle import opener_of
from engine.core.jit import i64, kernel, rare
from engine.core.judge import STOP
from engine.core.layout import NO_SLOT, WORK, State, new_state
from engine.core.leave import amend, cancel, sweep_expired, sweep_silent
from engine.core.room import room_for
from engine.core.slots import slot_of
from engine.core.stops import keep_reach, may_come_in, no_reach, recall_reach
from engine.events import Events
from engine.types import Limits, Outcome, Phase

BROKEN_SEQUENCE = -1
open_state = opener_of(new_state(Limits(1, 1, 1, 1, 64)))


@kernel
def run_by_handle(handle: Any, commands: Commands, first: int, out: Events) -> int:
    """Do what ``run`` does to the state behind ``handle``."""
    return run(open_state(handle), commands, first, out)


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

    is_large_now = is_large(state)
    for i in range(first, commands.size):
        row = commands[i]
        wanted = room_for(state, row)
        if out.size - counters["out_row"] < wanted:
            counters["rows_wanted"] = wanted
            return i
        if is_large_now:
            look_ahead(state, commands, i)
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
        refuse(state, out, Outcome.STOPS_PENDING, i64(row["account"]), row["order_id"])
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
        display = state.extras[slot]["display"]
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
        work_off_stops(state, out, market)


@rare
def work_off_stops(state: State, out: Events, market: int) -> None:
    """Carry out every stop that trades, and those of stops, have triggered, while there is room.

    Whose turn does not come is woken by a later command, before anything else trades there.
    """
    if state.markets[market]["phase"] != Phase.OPEN:
        return
    while True:
        slot = next_stop(state, out, market)
        if slot == NO_SLOT:
            keep_reach(state, market)
            return
        terms, lots = state.extras[slot]["terms"], state.orders[slot]["lots"]
        state.orders[slot]["lots"] = 0
        carry_out(state, out, slot, lots, terms & 255, terms >> 8, i64(0))


@rare
def resume_stops(state: State, out: Events, row: Any, kind: int) -> bool:
    """Wake stops that no command could wake so far; return whether this one may go on.

    An order that comes in lets those of its own market go first, a CLOCK those of every market.
    """
    counters = state.counters[0]
    if kind == Kind.PLACE:
        market = i64(row["market"])
        if market >= counters["markets"] or state.pending[market]["high"] == 0:
            return True
        resume_market(state, out, market)
        return may_come_in(state, market, i64(row["flags"]) & STOP != 0)
    if kind == Kind.REPLACE:
        slot = slot_of(state, row["order_id"])
        market = i64(state.orders[slot]["ladder"]) >> 1
        if slot == NO_SLOT or state.pending[market]["high"] == 0:
            return True
        resume_market(state, out, market)
        return may_come_in(state, market, False)
    if kind == Kind.CLOCK:
        for market in range(counters["markets"]):
            if state.pending[market]["high"] != 0:
                resume_market(state, out, i64(market))
        counters["work_left"] = state.bounds[WORK]  # What has expired is another matter.
    return True


@rare
def resume_market(state: State, out: Events, market: int) -> None:
    """Let the stops of one market have their turn, if it is open."""
    recall_reach(state, market)
    if state.markets[market]["phase"] == Phase.OPEN:
        work_off_stops(state, out, market)
    else:
        keep_reach(state, market)  # Those it was kept for may have been cancelled.


@rare
def administer(state: State, out: Events, row: Any, kind: int) -> None:
    """Carry out any command that is about an account or a market, not about one order."""
    if kind == Kind.LIST_TOKEN:
        judged = money.list_token(state, out, row)
    elif kind == Kind.LIST_MARKET:
        judged = listing.list_market(state, out, row)
    elif kind == Kind.OPEN_ACCOUNT:
        judged = money.open_account(state, out, row)
    elif kind == Kind.DEPOSIT:
        judged = money.deposit(state, out, row)
    elif kind == Kind.WITHDRAW:
        judged = money.withdraw(state, out, row)
    elif kind == Kind.EXIT_BEGIN:
        judged = money.exit_begin(state, out, row)
    elif kind == Kind.EXIT_END:
        judged = money.exit_end(state, out, row)
    elif kind == Kind.CANCEL_ALL:
        judged = money.cancel_all(state, out, row)
    elif kind == Kind.CANCEL_AFTER:
        judged = money.cancel_after(state, out, row)
    elif kind == Kind.BUST:
        judged = money.bust(state, out, row)
    else:
        judged = administer_market(state, out, row, kind)
    if judged != Outcome.ACCEPTED:
        refuse(state, out, judged, i64(row["account"]), row["order_id"])


@rare
def administer_market(state: State, out: Events, row: Any, kind: int) -> Outcome:
    """Carry out any command about a whole market; return ACCEPTED or why not."""
    if kind == Kind.SET_PHASE:
        if i64(row["market"]) < state.counters[0]["markets"]:
            recall_reach(state, i64(row["market"]))
        judged = listing.set_phase(state, out, row)
        if judged == Outcome.ACCEPTED:
            work_off_stops(state, out, i64(row["market"]))
        return judged
    if kind == Kind.SET_TERMS:
        return listing.set_terms(state, out, row)
    if kind == Kind.SET_BAND:
        return listing.set_band(state, out, row)
    if kind == Kind.DELIST:
        return listing.delist(state, out, row)
    if kind == Kind.POISON:
        listing.poison(state, out, row)
        return Outcome.ACCEPTED
    return Outcome.UNKNOWN_COMMAND
