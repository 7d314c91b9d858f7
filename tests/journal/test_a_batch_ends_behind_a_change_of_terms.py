"""Does nobody see two meanings of a tick in one batch, and who is answered by which event?"""

import numpy as np
import pytest

from engine.commands import Commands, Kind, batch_of, command, set_terms
from engine.events import EVENT, EventKind, Events
from engine.log_entries import Committed, LogEntry
from engine.types import Outcome

TERMS = set_terms(0, lot_pips=1, tick_pips=1, maker_fee_ppm=0, taker_fee_ppm=0)
CLOCK = command(Kind.CLOCK)


def committed(rows: list[np.void], first: int = 7) -> Committed:
    """Return a batch in which each command has caused two events."""
    commands: Commands = batch_of(rows)
    commands["sequence"] = np.arange(first, first + len(rows))
    events = np.zeros(2 * len(rows), EVENT)
    events["sequence"] = np.repeat(commands["sequence"], 2)
    notes = [b"note %d" % i for i in range(len(rows))]
    return Committed(first, commands, notes, events, [bytes([i]) * 32 for i in range(len(rows))])


@pytest.mark.parametrize(
    ("kinds", "sizes"),
    [("ccc", [3]), ("t", [1]), ("cct", [3]), ("tcc", [1, 2]), ("ctctt", [2, 2, 1]), ("", [])],
)
def test_a_part_ends_behind_each_change(kinds: str, sizes: list[int]) -> None:
    whole = committed([TERMS if kind == "t" else CLOCK for kind in kinds])

    parts = list(whole.segments())

    assert [len(part.commands) for part in parts] == sizes
    entries = [entry for part in parts for entry in part.entries]
    for found, expected in zip(entries, whole.entries, strict=True):
        assert found.sequence == expected.sequence
        assert found.attachment == expected.attachment
        assert np.array_equal(found.events, expected.events)
    assert [head for part in parts for head in part.heads] == whole.heads


def test_what_deadlines_did_is_not_the_commands_answer() -> None:
    events = np.zeros(4, EVENT)
    events["kind"] = [
        EventKind.CANCELLED,
        EventKind.CANCELLED_ALL,
        EventKind.REJECTED,
        EventKind.REJECTED,
    ]
    events["outcome"][:2] = Outcome.CANCELLED_AFTER

    assert [event.kind for event in _one(events).answer] == [EventKind.REJECTED] * 2
    assert _one(events).answer_row["kind"] == EventKind.REJECTED
    assert not _one(events[:2]).answer
    assert not _one(events[:0]).answer


def _one(events: Events) -> LogEntry:
    """Return the only entry of a batch with ``events``."""
    events = events.copy()
    events["sequence"] = 1
    (entry,) = Committed(1, batch_of([CLOCK]), [b""], events, [b""]).entries
    return entry
