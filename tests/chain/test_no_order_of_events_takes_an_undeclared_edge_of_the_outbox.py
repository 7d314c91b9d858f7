"""Whatever comes in whatever order, an action takes no edge that is not declared, and what would
take one leaves no trace."""

import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.chain.chain import Receipt
from settlement.outbox.actions import ACTION_EDGES, ActionKind, ActionState, Batch, Call
from settlement.outbox.outbox import Outbox

BATCH: Final = Batch(1, 1, 9, 1, 9, bytes(32), b"\x01" * 32, 5, bytes(32), bytes(32))
CALL: Final = Call(ActionKind.BATCH, "1", b"\x01" * 20, b"", 1)
LANDED: Final = Receipt(b"\xa0" * 32, 7, b"\x0b" * 32, True, 21_000, 10**9, None)

Event = Callable[[Outbox, int, int], None]
"""(outbox, action, which event it is)"""


def signed(outbox: Outbox, action_id: int, count: int) -> None:
    outbox.signed(action_id, count, b"raw", count.to_bytes(32, "big"), 100, 10, count)


def voided(outbox: Outbox, action_id: int, count: int) -> None:
    void = Call(ActionKind.VOID, str(count), b"\x01" * 20, b"", 21_000)
    outbox.voided(action_id, "too large", count, void, count)


EVENTS: Final[list[tuple[ActionState, Event]]] = [
    (ActionState.SIGNED, signed),
    (ActionState.BROADCAST, lambda outbox, action, at: outbox.broadcast(action, at)),
    (ActionState.MINED, lambda outbox, action, at: outbox.mined(action, LANDED, at)),
    (ActionState.FINAL, lambda outbox, action, at: outbox.final(action, at)),
    (ActionState.FAILED, lambda outbox, action, at: outbox.rejected(action, "no", at)),
    (ActionState.FAILED, lambda outbox, action, at: outbox.failed(action, LANDED, "no", at)),
    (ActionState.FAILED, voided),
    (ActionState.SEALED, lambda outbox, action, at: outbox.unsigned(action, "taken", at)),
    (ActionState.ABANDONED, lambda outbox, action, at: outbox.abandon(1, at)),
]

ROADS: Final = {
    ActionState.SEALED: [],
    ActionState.SIGNED: [0],
    ActionState.BROADCAST: [0, 1],
    ActionState.MINED: [0, 1, 2],
    ActionState.FINAL: [0, 1, 2, 3],
    ActionState.FAILED: [4],
    ActionState.ABANDONED: [8],
}
"""How an action comes into a state, by the shortest venue."""


def happen(outbox: Outbox, action_id: int, number: int, count: int) -> None:
    """Let an event happen, or see that it cannot."""
    then, event = EVENTS[number]
    before, changes = outbox.action(action_id), outbox.changes(0, 999)
    if then in ACTION_EDGES[before.state]:
        event(outbox, action_id, count)
        assert outbox.action(action_id).state is then
        assert next(change.state for change in outbox.changes(changes[-1].id, 9)) is then
        return
    if then is ActionState.ABANDONED and before.state is then:
        event(outbox, action_id, count)  # Whoever gives up what is given up gives up nothing.
    else:
        with pytest.raises(AssertionError, match=f"no edge to {then}"):
            event(outbox, action_id, count)
    assert outbox.action(action_id) == before and outbox.changes(0, 999) == changes


@pytest.mark.parametrize("number", range(len(EVENTS)))
@pytest.mark.parametrize("now", ActionState)
def test_an_event_is_an_edge_or_an_assertion(tmp_path: Path, now: ActionState, number: int):
    outbox = Outbox(tmp_path / "outbox.sqlite")
    action_id = outbox.seal(BATCH, CALL, 1)
    for count, step in enumerate(ROADS[now], 1):
        happen(outbox, action_id, step, count)
    assert outbox.action(action_id).state is now
    happen(outbox, action_id, number, 9)
    outbox.close()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, len(EVENTS) - 1), max_size=30))
def test_random_events(numbers: list[int]):
    with tempfile.TemporaryDirectory() as directory:
        outbox = Outbox(Path(directory) / "outbox.sqlite")
        action_id = outbox.seal(BATCH, CALL, 1)
        for count, number in enumerate(numbers, 1):
            happen(outbox, action_id, number, count)
        taken = [change.state for change in outbox.changes(0, 999) if change.action_id == action_id]
        for now, then in pairwise(taken):
            assert then in ACTION_EDGES[now]
        outbox.close()
