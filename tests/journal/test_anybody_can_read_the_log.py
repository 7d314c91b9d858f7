"""``tillbook journal``, ``export`` and ``replay`` over real files: they tell all of the truth."""

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from engine.core import Engine
from engine.journal import DirectoryReader, DirectoryStorage, Journal, SnapshotFiles
from engine.journal.reader import Position, journal_names
from engine.journal.snapshot import write_snapshot
from engine.sequencer.sequencer import Sequencer
from engine.sequencer.snapshotter import keep
from engine.types import Side
from gateway.cli.main import app
from merchants.records.database import move_cursor, place_in, transaction
from merchants.service import open_merchants_database
from settlement.audit import journal_tool
from settlement.audit.export import read_manifest
from settlement.batches.log_leaves import leaf_of
from settlement.protocol import merkle
from tests.journal.fixtures import ROOM_STEP, batches_of
from tests.journal.test_a_poisoned_command_halts_one_market import (
    LIMITS,
    VENOM,
    Allergic,
    commit,
    opening,
    order,
)

ROUNDS = 8


class Told:
    """What one run of ``tillbook`` said."""

    def __init__(self, *arguments):
        found = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
        self.code, self.text = found.exit_code, found.output


@pytest.fixture
def stopped(tmp_path):
    """A data directory: some files, a snapshot, one poisoned command; returns it and its end."""
    storage = DirectoryStorage(tmp_path / "data" / "journal")
    journal = Journal(storage, LIMITS, file_size_max=4096, room_step=ROOM_STEP)
    sequencer = Sequencer(Allergic, journal, lambda: 7)
    assert list(sequencer.recover()) == []
    commit(sequencer, opening())
    for number in range(ROUNDS):
        commit(
            sequencer,
            [
                order(number % 2, Side.SELL, lots=3),
                order(number % 2, Side.BUY, lots=VENOM if number == 5 else 2, account=1),
            ]
            * 5,
        )
        if number == 3:
            keep(sequencer, {}, tmp_path / "data" / "snapshots", Engine)
    journal.close()
    storage.close()
    return tmp_path / "data", sequencer


def files(directory):
    return sorted(directory.glob("*.journal"))


def test_verify_says_that_all_is_well(stopped):
    directory, sequencer = stopped

    told = Told("journal", "verify", "--data", directory, "--deep")

    assert told.code == 0, told.text
    assert f"{sequencer.sequence} commands in {ROUNDS + 1} batches" in told.text
    assert ": sound" in told.text
    assert all(f"command {sequence} is poisoned" in told.text for sequence in sequencer.poisoned)


def test_verify_names_file_and_offset_of_a_flipped_bit(stopped):
    directory, _ = stopped
    path = files(directory / "journal")[0]
    raw = bytearray(path.read_bytes())
    raw[700] ^= 1
    path.write_bytes(raw)

    told = Told("journal", "verify", "--data", directory)

    assert (told.code, f"{path.name} at byte 512" in told.text) == (1, True), told.text


def test_verify_finds_a_snapshot_of_another_state(stopped, tmp_path):
    """Sound in itself, of the right place, and not what the journal comes to."""
    directory, _ = stopped
    storage = DirectoryStorage(directory / "snapshots")
    kept = SnapshotFiles(storage)
    snapshot = kept.read(kept.names()[0])
    write_snapshot(storage, snapshot._replace(state_hash=bytes(32)))
    storage.close()

    assert Told("journal", "verify", "--data", directory).code == 0, "only a replay can tell"
    told = Told("journal", "verify", "--data", directory, "--deep")
    assert told.code == 1 and "a replay comes to another state" in told.text


def test_dump_prints_commands_by_sequence(stopped):
    directory, _ = stopped

    told = Told("journal", "dump", "--data", directory, "--from", 4, "--count", 3)

    rows = [json.loads(line) for line in told.text.splitlines()]
    assert [row["sequence"] for row in rows] == [4, 5, 6]
    assert [row["kind"] for row in rows] == ["LIST_MARKET", "LIST_MARKET", "OPEN_ACCOUNT"]
    assert rows[0]["evidence"] == "None"


def test_an_export_is_replayed_by_the_reference_engine_to_the_same_end(stopped, tmp_path):
    directory, sequencer = stopped
    there = tmp_path / "export"
    (directory / "deployment.json").write_text("{}")

    told = Told("export", "--to", there, "--data", directory)
    assert told.code == 0, told.text
    assert (there / "deployment.json").exists(), "whoever verifies it needs the contracts"
    again = Told("replay", *files(there), "--events", tmp_path / "events.jsonl")

    assert again.code == 0, again.text
    state = sequencer.machine.state_hash().hex()
    assert f"state {state}" in told.text and f"state_hash {state}" in again.text
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    manifest = read_manifest(there)
    assert [event["index"] for event in events] == list(range(1, manifest.events + 1))
    assert manifest.poisoned == sequencer.poisoned


def test_each_segment_has_the_root_over_its_items(stopped, tmp_path):
    directory, sequencer = stopped
    there = tmp_path / "export"
    assert Told("export", "--to", there, "--data", directory).code == 0

    storage = DirectoryStorage(directory / "journal")
    again = Sequencer(Engine, Journal(storage, LIMITS), lambda: 7)
    items = [leaf_of(frame) for batch in again.recover() for frame in batch.entries]
    storage.close()
    manifest = read_manifest(there)
    assert len(manifest.segments) == len(files(there)) > 2
    for segment in manifest.segments:
        own = items[segment.first_sequence - 1 : segment.last_sequence]
        assert merkle.root(own).hex() == segment.items_root
    assert len(items) == manifest.last_sequence == sequencer.sequence


@pytest.mark.parametrize("change", ["edited", "dropped", "other events", "poison hidden"])
def test_a_forged_export_does_not_replay(stopped, tmp_path, change):
    directory, _ = stopped
    there = tmp_path / "export"
    assert Told("export", "--to", there, "--data", directory).code == 0
    first, *_, last = files(there)
    match change:
        case "edited":
            raw = bytearray(first.read_bytes())
            raw[800] ^= 1
            first.write_bytes(raw)
        case "dropped":
            last.unlink()
        case "other events":
            manifest = json.loads((there / "manifest.json").read_text())
            manifest["events_hash"] = "00" * 32
            (there / "manifest.json").write_text(json.dumps(manifest))
        case "poison hidden":
            (there / "poisoned").unlink()

    assert Told("replay", *files(there)).code == 1


def test_an_export_of_a_running_exchange_is_of_whole_batches(stopped, tmp_path):
    """The last batch is on its way to disk while we read: it is left out."""
    directory, _ = stopped
    path = files(directory / "journal")[-1]
    (directory / "journal" / "durable").unlink()
    _, offset, header = batches_of(DirectoryReader(directory / "journal"))[-1]
    raw = bytearray(path.read_bytes())
    raw[offset + header.size - 512 : offset + header.size] = bytes(512)
    path.write_bytes(raw)

    there = tmp_path / "export"
    assert Told("export", "--to", there, "--data", directory).code == 0
    assert read_manifest(there).last_sequence == header.first_sequence - 1
    assert Told("replay", *files(there)).code == 0


def test_repair_tail_prints_what_may_have_been_acknowledged_until_it_is_accepted(stopped):
    directory, _ = stopped
    path = files(directory / "journal")[-1]
    (directory / "journal" / "durable").unlink()
    _, offset, header = batches_of(DirectoryReader(directory / "journal"))[-1]
    raw = bytearray(path.read_bytes())
    raw[offset + header.size - 200] ^= 2
    path.write_bytes(raw)

    assert Told("journal", "verify", "--data", directory).code == 1
    told = Told("journal", "repair-tail", "--data", directory)
    assert told.code == 1
    rows = [json.loads(line) for line in told.text.splitlines() if line.startswith("{")]
    assert [row["sequence"] for row in rows] == list(
        range(header.first_sequence, header.last_sequence + 1)
    )
    shops = open_merchants_database(directory)
    with transaction(shops) as session:
        move_cursor(session, Position(header.last_sequence, header.head))
    shops.dispose()
    accepted = Told("journal", "repair-tail", "--data", directory, "--accept")
    assert accepted.code == 0 and "reviewed" in accepted.text
    end = header.first_sequence - 1
    assert f"up to {header.last_sequence}: it goes on after {end}" in accepted.text
    with transaction(shops) as session:
        assert place_in(session) == journal_tool.end_of(directory)
    shops.dispose()
    assert Told("journal", "verify", "--data", directory).code == 0


def test_repair_tail_of_a_sound_journal_changes_nothing(stopped):
    directory, _ = stopped
    before = {path.name: path.read_bytes() for path in files(directory / "journal")}

    assert Told("journal", "repair-tail", "--data", directory).code == 0
    assert before == {path.name: path.read_bytes() for path in files(directory / "journal")}


def test_nothing_is_trimmed_that_is_not_exported_covered_and_settled(stopped, tmp_path):
    directory, _ = stopped
    there = tmp_path / "export"
    assert Told("export", "--to", there, "--data", directory).code == 0

    told = Told("journal", "trim", "--data", directory, "--exported", there)
    assert (told.code, "there are 1 snapshots" in told.text) == (1, True)


def test_what_the_tools_cannot_do_they_say_in_a_sentence(stopped, tmp_path):
    directory, _ = stopped
    storage = DirectoryStorage(directory / "journal")
    told = Told("journal", "repair-tail", "--data", directory)
    storage.close()
    assert (told.code, "another process" in told.text) == (1, True)

    nowhere = Told("export", "--to", tmp_path / "x", "--data", tmp_path / "none")
    assert (nowhere.code, "no exchange" in nowhere.text) == (1, True)


def test_a_copy_with_a_missing_first_file_is_refused(stopped, tmp_path):
    directory, _ = stopped
    copy = tmp_path / "copy"
    shutil.copytree(directory, copy)
    names = journal_names(DirectoryReader(copy / "journal"))
    (copy / "journal" / names[0]).unlink()

    told = Told("journal", "verify", "--data", copy)
    assert told.code == 1 and "no snapshot covers" in told.text
    assert np.array_equal([path.name for path in files(copy / "journal")], names[1:])
