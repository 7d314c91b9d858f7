"""What can an operator do with a journal while the exchange is stopped?

Look whether it is whole, read what is in it, put its end in order after a crash, and let go of
files that nobody needs any more. Nothing here guesses: what is not certain is said and left alone.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from engine.commands import COMMAND, Kind
from engine.core import Engine
from engine.journal import DirectoryReader, DirectoryStorage, Journal, SnapshotFiles
from engine.journal.format import BATCH_HEAD_SIZE, RECORD
from engine.journal.journal import AMBIGUOUS, REVIEWED, truncate
from engine.journal.poison import PoisonList
from engine.journal.reader import (
    Position,
    Reader,
    Tail,
    first_sequence_of,
    journal_names,
    limits_of,
)
from engine.journal.snapshot import SNAPSHOTS_KEPT, SnapshotDamaged, sequence_of
from engine.sequencer.replay import Replay
from engine.types import Limits
from settlement.audit.export import read_manifest
from settlement.outbox.outbox import Outbox
from settlement.protocol.evidence import decode


class Verdict(NamedTuple):
    """What ``verify`` has found; everything before the tail is whole."""

    files: int
    batches: int
    commands: int
    head: str
    tail: Tail | None
    ambiguous: list[str]
    poisoned: list[int]
    snapshots: dict[str, str]
    """What each snapshot is: ``sound``, or why not."""


class NotTrimmed(Exception):
    """These files are still needed, or nobody can tell that they are not."""


def verify(data: Path, deep: bool) -> Verdict:
    """Check every hash of the journal and each snapshot; with ``deep`` replay everything and hold
    the snapshots' state hashes against it. Raises ``JournalCorrupt``."""
    storage = DirectoryReader(data / "journal")
    reader, batches, commands = Reader(storage), 0, 0
    for batch in reader.batches():
        batches += 1
        commands += batch.header.record_count
    names = storage.names()
    snapshots = _snapshots(data, storage if deep and commands else None)
    return Verdict(
        len(journal_names(storage)),
        batches,
        commands,
        reader.head.hex(),
        reader.tail,
        [name for name in names if name.endswith(AMBIGUOUS)],
        PoisonList(storage).sequences,
        snapshots,
    )


def _snapshots(data: Path, journal: DirectoryReader | None) -> dict[str, str]:
    """Return what each snapshot is; with ``journal`` by replaying it up to each of them."""
    files = SnapshotFiles(DirectoryReader(data / "snapshots"))
    found, wanted = {}, {}
    for name in files.names():
        try:
            wanted[sequence_of(name)] = files.read(name).state_hash
            found[name] = "sound"
        except SnapshotDamaged as why:
            found[name] = str(why)
    if journal is None:
        return found
    replay = Replay(journal, Engine)
    for committed in replay.batches(ends=frozenset(wanted)):
        state_hash = wanted.get(committed.last_sequence)
        if state_hash is not None and replay.machine.state_hash() != state_hash:
            name = next(name for name in found if sequence_of(name) == committed.last_sequence)
            found[name] = "a replay comes to another state"
    return found


def dump(data: Path, first: int, count: int) -> Iterator[dict[str, Any]]:
    """Yield commands from sequence ``first`` on as they can be read by people."""
    for batch in Reader(DirectoryReader(data / "journal")).batches():
        if batch.header.last_sequence < first:
            continue
        pairs = zip(batch.commands, batch.attachments, strict=True)
        for row, (command, attachment) in enumerate(pairs, batch.header.first_sequence):
            if row < first:
                continue
            if row >= first + count:
                return
            yield _readable(command, batch.header.epoch) | {"evidence": repr(decode(attachment))}


def repair_tail(data: Path) -> list[dict[str, Any]]:
    """Mend the journal's end as a start would; return the commands that may have been answered.

    A torn batch is cut off, an ambiguous one set aside. Raises ``JournalCorrupt`` for anything
    else, and ``StorageInUse`` while the exchange runs.
    """
    storage = DirectoryStorage(data / "journal")
    try:
        journal = Journal(storage, limits_of(storage) or Limits())
        for _ in journal.recover():
            pass
        journal.close()
        names = journal.ambiguous_names()
        return [row for name in names for row in _doubtful(name, storage.read(name))]
    finally:
        storage.close()


def accept_tail(data: Path) -> list[str]:
    """Note that an operator has reviewed the batches set aside; return their files' new names.

    They stay on disk. The next start takes orders again.
    """
    storage = DirectoryStorage(data / "journal")
    try:
        reviewed = []
        for name in storage.names():
            if name.endswith(AMBIGUOUS):
                reviewed.append(name.removesuffix(AMBIGUOUS) + REVIEWED)
                storage.rename(name, reviewed[-1])
        return reviewed
    finally:
        storage.close()


def end_of(data: Path) -> Position:
    """Return where the journal ends."""
    reader = Reader(DirectoryReader(data / "journal"))
    for _ in reader.batches():
        pass
    return Position(reader.sequence, reader.head)


def trim(data: Path, exported: Path) -> list[str]:
    """Delete journal files that nothing needs; return their names.

    A file goes only when the oldest of three sound snapshots covers all of it, its trades are
    final on chain, and ``exported`` holds the very same bytes. Raises ``NotTrimmed`` when one of
    these can never be told, ``StorageInUse`` while the exchange runs.
    """
    storage = DirectoryStorage(data / "journal")
    try:
        manifest = read_manifest(exported)
        if manifest is None:
            raise NotTrimmed(f"{exported} holds no export")
        upto, bound = 0, min(_covered(data), _settled(data))
        for name, following in pairwise(journal_names(storage)):
            last, copy = first_sequence_of(following) - 1, Path(exported, name)
            if last > bound or not copy.is_file() or copy.read_bytes() != storage.read(name):
                break
            upto = last
        return truncate(storage, upto)
    finally:
        storage.close()


def _covered(data: Path) -> int:
    files = SnapshotFiles(DirectoryReader(data / "snapshots"))
    sound = [files.read(name).sequence for name in files.names()[:SNAPSHOTS_KEPT]]
    if len(sound) < SNAPSHOTS_KEPT:
        raise NotTrimmed(f"there are {len(sound)} snapshots; files go when there are three")
    return min(sound)


def _settled(data: Path) -> int:
    path = data / "settlement.sqlite"
    if not path.exists():
        raise NotTrimmed("without settlement.sqlite nobody can tell what is settled")
    outbox = Outbox(path)
    try:
        final = outbox.last_final_batch()
        return final.batch.last_sequence if final is not None else 0
    finally:
        outbox.close()


_WORD: Final = {kind.value: kind.name for kind in Kind}


def _readable(command: np.void, epoch: int) -> dict[str, Any]:
    names = COMMAND.names
    assert names is not None
    fields = {name: int(command[name]) for name in names if int(command[name])}
    return {"epoch": epoch, **fields, "kind": _WORD.get(int(command["kind"]), "unknown")}


def _doubtful(name: str, raw: bytes) -> Iterator[dict[str, Any]]:
    """Yield what can be made out of a damaged batch; each row may itself be wrong."""
    sequence, epoch = (int(part) for part in name.partition(".")[0].split("-"))
    offset = BATCH_HEAD_SIZE
    while offset + RECORD.itemsize <= len(raw):
        record = np.frombuffer(raw, RECORD, 1, offset)[0]
        if record["command"]["sequence"] != sequence:
            return
        yield _readable(record["command"], epoch)
        sequence += 1
        offset += RECORD.itemsize + int(record["size"])
