"""A journal says by which limits it was begun; one that came later does not bound it."""

import pytest

from engine.commands import Kind, command
from engine.journal import Journal
from engine.journal.format import FileHeader, genesis, unpack_file_header
from engine.journal.reader import journal_names
from engine.reference import Engine
from engine.sequencer.sequencer import Sequencer, Submission
from engine.types import UNBOUNDED, Limits
from tests.journal.fixtures import LIMITS, ROOM_STEP, MemoryStorage

OLD = LIMITS._replace(**dict.fromkeys(Limits._fields[6:], UNBOUNDED))
"""What a release that knew six limits has written."""


@pytest.mark.parametrize("limits", [LIMITS, OLD, Limits(), LIMITS._replace(trades=UNBOUNDED)])
def test_what_was_written_is_read(limits: Limits) -> None:
    header = FileHeader(3, 77, genesis(limits), limits)

    assert unpack_file_header(header.pack(), "a file") == header
    assert Limits.read(limits.written()) == limits


def test_an_older_journal_has_the_head_and_the_header_it_always_had() -> None:
    assert OLD.written() == tuple(OLD)[:6]
    assert genesis(OLD) != genesis(LIMITS)


def test_an_older_journal_goes_on_without_new_limits() -> None:
    storage = MemoryStorage()
    venue = Sequencer(Engine, Journal(storage, OLD, room_step=ROOM_STEP), lambda: 7)
    assert list(venue.recover()) == []
    venue.commit([Submission(command(Kind.LIST_TOKEN))])

    again = Sequencer(Engine, Journal(storage, Limits(), room_step=ROOM_STEP), lambda: 7)
    assert len(list(again.recover())) == 1
    again.commit([Submission(command(Kind.LIST_TOKEN, token=1))])

    for name in journal_names(storage):
        assert unpack_file_header(storage.read(name), name).limits == OLD
