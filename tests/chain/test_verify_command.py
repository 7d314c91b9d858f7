"""``tillbook verify`` needs a directory and a node, and says in words what is wrong."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.journal.format import (
    COMMAND_SIZE,
    FILE_HEADER,
    GENESIS,
    RECORD_HEAD,
    pack_record,
    record_size,
    unpack_record,
)
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
    (source,) = (road.directory / "journal").glob("*.journal")
    records = list(read(source))
    step = len(records) // RECORDS_TRIED
    for at in range(1, len(records), step):
        payload = bytearray(records[at])
        payload[48 if len(payload) == COMMAND_SIZE else COMMAND_SIZE + 40] ^= 1
        forged = tmp_path / f"forged{at}"
        forged.mkdir()
        edited = [*records[:at], bytes(payload), *records[at + 1 :]]
        (forged / source.name).write_bytes(write(source.read_bytes()[: FILE_HEADER.size], edited))
        code, output = verify(road, forged)
        assert code == 1 and "WRONG" in output, at
        assert "contradicts its own hashes" not in output, at


def test_a_flipped_bit_is_named_with_file_and_offset(road: Road, tmp_path: Path):
    log = tmp_path / "copy"
    shutil.copytree(road.directory / "journal", log)
    (file,) = log.glob("*.journal")
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 4
    file.write_bytes(raw)

    code, output = verify(road, log)
    assert code == 1 and f"contradicts its own hashes: {file.name} at byte" in output


def read(path: Path):
    raw, head, offset = path.read_bytes(), GENESIS, FILE_HEADER.size
    while offset < len(raw):
        size = record_size(raw, offset, path.name)
        found = unpack_record(raw, offset, size, head)
        head = found[0].head
        yield raw[offset + RECORD_HEAD.size : offset + size - 32]
        offset += size


def write(header: bytes, payloads: list[bytes]) -> bytes:
    chunks, head = [header], GENESIS
    for i, payload in enumerate(payloads):
        chunk, head = pack_record(1, i + 1, i, payload, head)
        chunks.append(chunk)
    return b"".join(chunks)
