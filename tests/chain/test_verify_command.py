"""``tillbook verify`` needs a directory and a node, and says in words what is wrong."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from engine.commands import COMMAND, Kind, command
from engine.journal import DirectoryReader, DirectoryStorage, Journal
from engine.journal.reader import Reader, limits_of
from engine.types import MoneyFlag, Side
from gateway.cli.main import app
from settlement.batches.acknowledgements import Acknowledger
from settlement.chain.dev.devchain import DevChain
from settlement.protocol.evidence import TradeBusted, WithdrawalReturned, encode
from tests.chain.conftest import Clock
from tests.chain.test_audit import Log, live
from tests.chain.test_refused_batches import settle
from tests.chain.venue import ACKNOWLEDGER, ALICE, BOB, CAROL, DELAYS, LANE, NS, Venue, as_one_batch

RECORDS_TRIED = 12


def verify(venue: Venue, log: Path, words: Path | None = None) -> tuple[int, str]:
    options = ["--rpc", str(venue.devchain.rpc_url), "--log", str(log)]
    options += ["--deployment", str(venue.directory / "deployment.json")]
    if words is not None:
        options += ["--acknowledgements", str(words)]
    result = CliRunner().invoke(app, ["verify", *options])
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture
def venue(anvil: DevChain, tmp_path: Path, clock: Clock):
    built = Venue(tmp_path, anvil, clock)
    live(built, clock)
    yield built
    built.close()


def test_the_log_of_an_honest_exchange_passes(venue: Venue):
    code, output = verify(venue, venue.directory / "journal")

    assert code == 0, output
    assert "9 batches on chain" in output and "20 trades in the log" in output
    assert "0 commands at its end are in no batch yet" in output
    assert output.endswith("The log is what was settled.")


def test_a_log_that_was_edited_and_hashed_anew_fails_at_its_batch(venue: Venue, tmp_path: Path):
    """What a forger with the operator's tools can do: every hash in the file is right again."""
    source = DirectoryReader(venue.directory / "journal")
    count = sum(len(batch.commands) for batch in Reader(source).batches())
    for at in range(1, count, count // RECORDS_TRIED):
        forge(source, tmp_path / f"forged{at}", at)
        code, output = verify(venue, tmp_path / f"forged{at}")
        assert code == 1 and "WRONG" in output, at
        assert "contradicts its own hashes" not in output, at


def test_a_flipped_bit_is_named_with_file_and_offset(venue: Venue, tmp_path: Path):
    log = tmp_path / "copy"
    shutil.copytree(venue.directory / "journal", log)
    (file,) = log.glob("*.journal")
    raw = bytearray(file.read_bytes())
    raw[len(raw.rstrip(b"\0")) // 2] ^= 4  # Not in the room that was set aside behind it.
    file.write_bytes(raw)

    code, output = verify(venue, log)
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


def written(source: DirectoryReader, target: Path, log: Log) -> Path:
    """Write ``log`` anew with the operator's own writer."""
    limits = limits_of(source)
    assert limits is not None
    storage = DirectoryStorage(target)
    journal = Journal(storage, limits)
    list(journal.recover())
    commands = np.array([row for row, _ in log], COMMAND)
    commands["sequence"] = np.arange(1, len(log) + 1)
    commands["time_ns"] = np.maximum.accumulate(commands["time_ns"])
    for at, (_, attachment) in enumerate(log):  # One at a time, as the venue did.
        journal.append(commands[at : at + 1], [attachment])
        journal.sync()
    journal.close()
    storage.close()
    return target


def words_of(venue: Venue, path: Path) -> Path:
    """Keep what clients hold: the operator's word on each order, one answer a line."""
    alone, together = (Acknowledger(venue.domain, ACKNOWLEDGER) for _ in range(2))
    batch = as_one_batch(venue.history())
    together.consume(batch)
    alone.consume(batch)
    alone.read()  # As after a restart: nobody asks who came with whom.
    lines: list[dict[str, object]] = []
    sequences = range(1, batch.last_sequence + 1)
    for word in filter(None, [*map(alone.of, sequences), *map(together.of, sequences)]):
        row: dict[str, object] = {
            name: "0x" + getattr(word, name).hex()
            for name in ("item", "head", "signer", "signature")
        }
        row |= {"sequence": word.sequence, "index": word.leaf_index, "count": word.leaf_count}
        row["siblings"] = ["0x" + sibling.hex() for sibling in word.siblings]
        # As the exchange answers an order, and the word alone.
        lines.append({"acknowledgement": row, "trade_ids": []} if len(lines) % 2 else row)
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def test_the_end_that_no_batch_covers_is_unproven_and_acknowledgements_prove_it(
    venue: Venue, tmp_path: Path
):
    """Found: a log whose end was cut off, swapped or added to was "what was settled"."""
    for owner in (BOB, CAROL):
        side, price = (Side.SELL, 2_900) if owner is BOB else (Side.BUY, 2_000)
        venue.place(owner, side, price, 1, nonce=90, lane=LANE + 9)
    resting = venue.place(ALICE, Side.BUY, 2_001, 1, nonce=90, lane=LANE + 9)
    alice, order_id = venue.account(ALICE.address), int(resting[-1]["order_id"])
    words = words_of(venue, tmp_path / "words")
    log = [
        (entry.row, entry.attachment)
        for committed in venue.history()
        for entry in committed.entries
    ]
    source = DirectoryReader(venue.directory / "journal")

    def judged(name: str, forged: Log, against: Path | None) -> tuple[int, str]:
        where = tmp_path / f"{name}{against is None}"
        return verify(venue, written(source, where, forged), against)

    code, output = judged("honest", log, words)
    assert code == 0 and "The last 3 are unproven" in output, output
    assert "acknowledgements held against the log" in output

    cancel = command(Kind.CANCEL, account=alice, order_id=order_id)
    cancel["time_ns"] = log[-1][0]["time_ns"]
    swapped = [*log[:-2], log[-1], log[-2]]
    for name, forged, unproven, fault in (
        ("cut", log[:-3], 0, f"acknowledged command {len(log)} is missing"),
        ("swapped", swapped, 3, f"acknowledged command {len(log)} is another command"),
        ("dropped", [*log[:-2], log[-1]], 2, f"acknowledged command {len(log) - 1} is another"),
    ):
        code, output = judged(name, forged, None)
        assert code == 0 and (unproven == 0 or f"last {unproven} are unproven" in output), name
        code, output = judged(name, forged, words)
        assert code == 1 and fault in output, (name, output)

    code, output = judged("cancelled", [*log, (cancel, b"")], words)
    assert code == 1 and f"command {len(log) + 1}: nobody asked for this CANCEL" in output


def test_busts_are_named_with_their_reasons_and_one_of_no_trade_is_wrong(
    venue: Venue, clock: Clock, tmp_path: Path
):
    """Found: what the operator logs without anybody's signature passed for honest."""
    trade = venue.trade(90)
    clock.ahead_ns += (DELAYS.horizon + 1_500) * NS
    assert settle(venue, clock) == [trade]

    code, output = verify(venue, venue.directory / "journal")
    assert code == 0, output
    assert "trades busted for reasons that are the operator's word: 1" in output
    assert f"busted: trade {trade} by command" in output and "expired before a batch" in output
    assert "who wanted these commands: 1 LIST_MARKET, 4 CLOCK, 1 BUST" in output

    log = [
        (entry.row, entry.attachment)
        for committed in venue.history()
        for entry in committed.entries
    ]
    alice, carol = venue.account(ALICE.address), venue.account(CAROL.address)
    taken = command(Kind.BUST, flags=MoneyFlag.ALWAYS, account=alice, fee_cap_ppm=carol)
    taken["price_ticks"], taken["amount"] = 1, 10**6
    minted = command(Kind.DEPOSIT, account=alice, amount=10**15)
    for name, row, evidence, words in (
        ("bust", taken, TradeBusted(777, "because"), "it busts trade 777, which never was"),
        ("return", minted, WithdrawalReturned(12_345, "never was"), "which is no open withdrawal"),
    ):
        forged = written(
            DirectoryReader(venue.directory / "journal"),
            tmp_path / name,
            [*log, (row, encode(evidence))],
        )
        code, output = verify(venue, forged)
        assert code == 1 and f"WRONG: command {len(log) + 1}: it" in output, output
        assert words in output, output


def test_a_forged_word_is_no_word(venue: Venue, tmp_path: Path):
    words = words_of(venue, tmp_path / "words")
    first = json.loads(words.read_text().splitlines()[0])
    forged = tmp_path / "forged"
    zeros, form = "0x" + "00" * 32, "is of a form that no bond takes"
    for changes, fault in (
        ({"item": "0x" + "ab" * 32}, "the signature is not the signer's"),
        ({"count": 2, "siblings": [zeros]}, "the signature is not the signer's"),
        ({"signature": first["signature"] + "00"}, "the signature is not the signer's"),
        ({"siblings": [zeros]}, form),
        ({"index": 1}, form),
        ({"count": 2**32, "siblings": [zeros] * 32}, form),
        ({"count": 2, "siblings": [zeros[:-2]]}, form),
        ({"item": zeros + "00"}, form),
        ({"sequence": 2**64}, form),
    ):
        forged.write_text(json.dumps(first | changes))
        code, output = verify(venue, venue.directory / "journal", forged)
        assert code == 1 and fault in output, (changes, output)

    for unreadable in ({}, {**first, "siblings": None}, {**first, "siblings": ["0xq"]}):
        forged.write_text(json.dumps(unreadable))
        code, output = verify(venue, venue.directory / "journal", forged)
        assert code == 2 and "line 1 is no acknowledgement" in output


def test_what_cannot_be_looked_at_ends_in_words(venue: Venue, tmp_path: Path):
    log = tmp_path / "far" / "export"
    shutil.copytree(venue.directory / "journal", log)
    options = ["--rpc", str(venue.devchain.rpc_url), "--log", str(log)]
    result = CliRunner().invoke(app, ["verify", *options])
    assert result.exit_code == 2 and "Nothing was verified" in result.output
    assert isinstance(result.exception, SystemExit)

    shutil.copy(venue.directory / "deployment.json", log)
    result = CliRunner().invoke(app, ["verify", *options])
    assert result.exit_code == 0, result.output
