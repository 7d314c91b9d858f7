"""``tillbook verify`` needs a directory and a node, and says in words what is wrong."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.journal import DirectoryReader, DirectoryStorage, Journal
from engine.journal.reader import Reader, limits_of
from gateway.cli import app
from settlement.devchain import DevChain
from tests.chain.conftest import Clock
from tests.chain.road import Road
from tests.chain.test_audit import live

RECORDS_TRIED = 12


def verify(road: Road, log: Path) -> tuple[int, str]:
    options = ["--rpc", str(road.devchain.rpc_url), "--log", str(log)]
    record = ["--deployment", str(road.directory / "deployment.json")]
    result = CliRunner().invoke(app, ["verify", *options, *record])
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture
def road(anvil: DevChain, tmp_path: Path, clock: Clock):
    built = Road(tmp_path, anvil, clock)
    live(built, clock)
    yield built
    built.close()


def test_the_log_of_an_honest_exchange_passes(road: Road):
    code, output = verify(road, road.directory / "journal")

    assert code == 0, output
    assert "9 batches on chain" in output and "20 trades in the log" in output
    assert "0 commands at its end are in no batch yet" in output
    assert output.endswith("The log is what was settled.")


def test_a_log_that_was_edited_and_hashed_anew_fails_at_its_batch(road: Road, tmp_path: Path):
    """What a forger with the operator's tools can do: every hash in the file is right again."""
    source = DirectoryReader(road.directory / "journal")
    count = sum(len(batch.commands) for batch in Reader(source).batches())
    for at in range(1, count, count // RECORDS_TRIED):
        forge(source, tmp_path / f"forged{at}", at)
        code, output = verify(road, tmp_path / f"forged{at}")
        assert code == 1 and "WRONG" in output, at
        assert "contradicts its own hashes" not in output, at


def test_a_flipped_bit_is_named_with_file_and_offset(road: Road, tmp_path: Path):
    log = tmp_path / "copy"
    shutil.copytree(road.directory / "journal", log)
    (file,) = log.glob("*.journal")
    raw = bytearray(file.read_bytes())
    raw[len(raw.rstrip(b"\0")) // 2] ^= 4  # Not in the room that was set aside behind it.
    file.write_bytes(raw)

    code, output = verify(road, log)
    assert code == 1 and f"contradicts its own hashes: {file.name} at byte" in output


def forge(source: DirectoryReader, target: Path, at: int) -> None:
    """Write the log anew with one bit changed in its record number ``at``, counted from 0."""
    limits = limits_of(source)
    assert limits is not None
    storage = DirectoryStorage(target)
    journal = Journal(storage, limits)
    list(journal.recover())
    for batch in Reader(source).batches():
        commands, attachments = batch.commands.copy(), list(batch.attachments)
        row = at + 1 - int(commands["sequence"][0])
        if 0 <= row < len(commands) and attachments[row]:
            edited = bytearray(attachments[row])
            edited[40] ^= 1
            attachments[row] = bytes(edited)
        elif 0 <= row < len(commands):
            commands["time_ns"][row] ^= 1
        journal.append(commands, attachments)
        journal.sync()
    journal.close()
    storage.close()
