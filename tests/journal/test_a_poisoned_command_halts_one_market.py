"""A command that the engine cannot carry out halts its market, for ever and everywhere the same."""

import numpy as np
import pytest

from engine.commands import Kind, batch_of, command, list_market
from engine.core import Engine
from engine.events import EventKind
from engine.journal import Journal, JournalCorrupt, SnapshotFiles
from engine.journal.poison import POISON_NAME
from engine.journal.snapshot import write_snapshot
from engine.reference import Engine as Reference
from engine.sequencer.sequencer import OutOfMemory, Sequencer, Submission
from engine.types import Limits, Outcome, Phase, Side
from tests.journal.fixtures import ROOM_STEP, MemoryStorage

LIMITS = Limits(tokens=3, markets=2, accounts=4, orders=64, ladder_ticks=128)
VENOM = 666


class Allergic(Engine):
    """An engine that fails an assertion on any order of ``VENOM`` lots."""

    failed = None

    @property
    def sequence(self):
        return super().sequence if self.failed is None else self.failed

    def apply(self, commands):
        bad = np.flatnonzero((commands["kind"] == Kind.PLACE) & (commands["amount"] == VENOM))
        if bad.size:
            super().apply(commands[: bad[0]])
            self.failed = int(commands["sequence"][bad[0]])
            raise AssertionError("a bug of the engine")
        return super().apply(commands)


def venue(storage, machine_type=Allergic, snapshots=None):
    journal = Journal(storage, LIMITS, room_step=ROOM_STEP)
    return Sequencer(machine_type, journal, lambda: 7, snapshots)


def opening():
    """Two markets, two accounts with money."""
    rows = [command(Kind.LIST_TOKEN, token=token) for token in range(3)]
    rows += [
        list_market(
            number, number + 1, 0, lot_pips=1, tick_pips=1, maker_fee_ppm=0, taker_fee_ppm=0
        )
        for number in range(2)
    ]
    for account in range(2):
        rows.append(command(Kind.OPEN_ACCOUNT, account=account))
        rows += [
            command(Kind.DEPOSIT, account=account, token=token, amount=10**6) for token in range(3)
        ]
    return rows


def order(market, side, lots=5, account=0, ticks=50):
    return command(
        Kind.PLACE,
        market=market,
        account=account,
        side=side,
        price_ticks=ticks,
        amount=lots,
        expiry_ns=10**18,
    )


def commit(sequencer, rows):
    return sequencer.commit([Submission(row) for row in rows])


def events_of(batch, sequence):
    return batch.events[batch.events["sequence"] == sequence]


@pytest.fixture
def started():
    storage = MemoryStorage()
    sequencer = venue(storage)
    assert list(sequencer.recover()) == []
    commit(sequencer, opening())
    commit(sequencer, [order(0, Side.SELL), order(1, Side.SELL)])
    return storage, sequencer


def poisoned_batch(sequencer):
    return commit(
        sequencer,
        [
            order(0, Side.BUY, lots=2, account=1),
            order(0, Side.BUY, lots=VENOM, account=1),
            order(0, Side.BUY, lots=1, account=1),
            order(1, Side.BUY, lots=3, account=1),
        ],
    )


def test_the_market_halts_and_everything_else_goes_on(started):
    _, sequencer = started
    batch = poisoned_batch(sequencer)
    first = batch.first_sequence

    assert batch.commands["kind"].tolist() == [Kind.PLACE, Kind.POISON, Kind.PLACE, Kind.PLACE]
    assert EventKind.TRADE in events_of(batch, first)["kind"], "before it: as ever"
    [row] = events_of(batch, first + 1)
    assert (row["kind"], row["outcome"]) == (EventKind.POISONED, Outcome.POISONED)
    [row] = events_of(batch, first + 2)
    assert (row["kind"], row["outcome"]) == (EventKind.REJECTED, Outcome.MARKET_HALTED)
    assert EventKind.TRADE in events_of(batch, first + 3)["kind"], "another market trades"
    assert sequencer.poisoned == [first + 1]
    sequencer.machine.check()


def test_after_a_restart_it_is_the_same_history(started):
    storage, sequencer = started
    whole = [poisoned_batch(sequencer), commit(sequencer, [order(1, Side.BUY, account=1)])]

    for machine_type in (Allergic, Engine, Reference):
        again = venue(storage.copy(), machine_type)
        events = np.concatenate([batch.events for batch in again.recover()])
        wanted = np.concatenate([batch.events for batch in whole])
        assert (events[-len(wanted) :] == wanted).all()
        assert again.machine.state_hash() == sequencer.machine.state_hash()
        assert again.poisoned == sequencer.poisoned


def test_a_crash_before_it_was_remembered_finds_it_again(started):
    storage, sequencer = started
    poisoned_batch(sequencer)
    storage.remove(POISON_NAME)

    again = venue(storage)
    assert len(list(again.recover())) == 1
    assert again.poisoned == sequencer.poisoned
    assert again.machine.state_hash() == sequencer.machine.state_hash()


def test_it_is_remembered_durably_before_anything_follows(started):
    storage, sequencer = started
    poisoned_batch(sequencer)

    assert storage.synced[POISON_NAME] == bytes(storage.files[POISON_NAME])


def test_the_engine_is_made_anew_from_the_newest_snapshot_before_it(started):
    storage, _ = started
    disk = MemoryStorage()
    sequencer = venue(storage.copy(), snapshots=SnapshotFiles(disk))
    assert len(list(sequencer.recover())) == 1
    name = write_snapshot(disk, sequencer.snapshot({}))
    restored = []

    class Counting(Allergic):
        @classmethod
        def restore(cls, limits, image):
            restored.append(int(image["counters"][0]["sequence"]))
            return super().restore(limits, image)

    sequencer = venue(storage, Counting, SnapshotFiles(disk))
    assert sequencer.resume([]) is not None and list(sequencer.recover()) == []
    poisoned_batch(sequencer)

    assert restored == [int(name[:16])] * 2
    whole = venue(storage)
    assert len(list(whole.recover())) == 1
    assert whole.machine.state_hash() == sequencer.machine.state_hash()


def test_two_in_one_batch_are_both_passed_over(started):
    _, sequencer = started
    batch = commit(sequencer, [order(market, Side.BUY, lots=VENOM) for market in (0, 1)])

    assert batch.events["kind"].tolist() == [EventKind.POISONED] * 2
    assert len(sequencer.poisoned) == 2
    refused = commit(sequencer, [order(market, Side.BUY) for market in (0, 1)])
    assert refused.events["outcome"].tolist() == [Outcome.MARKET_HALTED] * 2


def test_memory_that_rotted_is_found_by_an_assertion_and_made_anew(started):
    """A real assertion of the kernels, on a state that somebody has overwritten."""
    storage, _ = started
    sequencer = venue(storage, Engine)
    assert len(list(sequencer.recover())) == 1
    sequencer.machine._state.orders["account"][1] = -1

    batch = commit(sequencer, [order(0, Side.BUY, lots=2, account=1)])

    assert batch.events["kind"].tolist() == [EventKind.POISONED]
    sequencer.machine.check()
    commit(sequencer, [command(Kind.SET_PHASE, market=0, amount=Phase.OPEN)])
    traded = commit(sequencer, [order(0, Side.BUY, lots=2, account=1)])
    assert EventKind.TRADE in traded.events["kind"], "an operator may open it again"


@pytest.mark.parametrize("bit", [3, 100, 200, 400])
def test_a_damaged_list_refuses_to_start(started, bit):
    storage, sequencer = started
    poisoned_batch(sequencer)
    storage.files[POISON_NAME][bit // 8] ^= 1 << bit % 8

    with pytest.raises(JournalCorrupt) as found:
        venue(storage)
    assert found.value.name == POISON_NAME


def test_the_list_of_another_journal_refuses_to_start(started):
    storage, sequencer = started
    other = storage.copy()
    poisoned_batch(sequencer)
    elsewhere = venue(other)
    assert len(list(elsewhere.recover())) == 1
    commit(elsewhere, [order(1, Side.BUY, lots=n, account=1) for n in range(1, 5)])
    other.files[POISON_NAME] = storage.files[POISON_NAME]

    with pytest.raises(JournalCorrupt):
        assert list(venue(other).recover())


def test_an_assertion_about_no_command_is_not_hidden(started):
    _, sequencer = started
    rows = batch_of([command(Kind.CLOCK)])
    written = sequencer.write(rows, [b""])
    sequencer.apply(written)

    with pytest.raises(AssertionError, match="where the last one ended"):
        sequencer.apply(written)
    assert sequencer.poisoned == []


class OutOfRange(Allergic):
    """An engine that reads past the end of an array, as one with every index checked would say."""

    def apply(self, commands):
        try:
            return super().apply(commands)
        except AssertionError as bug:
            raise IndexError("index 40 is out of bounds") from bug


def test_an_index_out_of_range_is_poison_like_an_assertion():
    storage = MemoryStorage()
    sequencer = venue(storage, OutOfRange)
    assert list(sequencer.recover()) == []
    commit(sequencer, opening())
    batch = poisoned_batch(sequencer)

    assert sequencer.poisoned == [batch.first_sequence + 1]


class Starved(Engine):
    """An engine on a machine that has no memory for an order of ``VENOM`` lots."""

    def apply(self, commands):
        bad = np.flatnonzero((commands["kind"] == Kind.PLACE) & (commands["amount"] == VENOM))
        if bad.size:
            super().apply(commands[: bad[0]])
            raise MemoryError("Unable to allocate 25.5 GiB")
        return super().apply(commands)


def test_found_a_start_without_enough_memory_says_at_which_command_and_is_no_poison():
    storage = MemoryStorage()
    sequencer = venue(storage, Starved)
    assert list(sequencer.recover()) == []
    commit(sequencer, opening())
    first = sequencer.sequence + 1

    with pytest.raises(OutOfMemory, match=rf"sequence {first + 1} needs .* 25.5 GiB"):
        poisoned_batch(sequencer)
    with pytest.raises(OutOfMemory, match=rf"sequence {first + 1} needs"):
        list(venue(storage.copy(), Starved).recover())

    larger = venue(storage, Engine)
    assert sum(len(batch.commands) for batch in larger.recover()) == sequencer.sequence
    assert larger.poisoned == []
