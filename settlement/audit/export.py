"""How does the log get out of the house, and how is it replayed there?

An export is a copy of the journal's files, the list of poisoned commands and a manifest: for each
file its commands, its last head and the Merkle root over its items
(``settlement.batches.log_leaves``), and what a replay must come to. Anybody with the copy and the
reference engine can check all of it.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import orjson

from engine.core import Engine
from engine.events import Events
from engine.journal import DirectoryReader, JournalCorrupt
from engine.journal.format import FORMAT_VERSION
from engine.journal.poison import POISON_NAME
from engine.journal.reader import first_sequence_of, journal_names
from engine.log_entries import Committed
from engine.reference import Engine as Reference
from engine.sequencer.replay import Replay
from settlement.batches.log_leaves import leaf_of
from settlement.protocol import merkle

MANIFEST: Final = "manifest.json"


class Segment(msgspec.Struct):
    """One journal file of an export; hashes as hexadecimal text."""

    name: str
    first_sequence: int
    last_sequence: int
    head: str
    sha256: str
    items_root: str


class Manifest(msgspec.Struct):
    """What an export holds and what a replay of it comes to."""

    format: int
    limits: list[int]
    last_sequence: int
    head: str
    events: int
    events_hash: str
    state_hash: str
    poisoned: list[int]
    segments: list[Segment]


class Replayed(NamedTuple):
    """What a replay has come to."""

    commands: int
    events: int
    events_hash: str
    state_hash: str
    head: str


class FileList:
    """Journal files named one by one, with the list of poisoned commands beside the first."""

    def __init__(self, paths: Sequence[Path]) -> None:
        beside = paths[0].parent / POISON_NAME
        self._paths = {path.name: path for path in (*paths, beside) if path.is_file()}

    def names(self) -> list[str]:
        """Return all file names, sorted."""
        return sorted(self._paths)

    def size(self, name: str) -> int:
        """Return how many bytes ``name`` has."""
        return self._paths[name].stat().st_size

    def read(self, name: str) -> bytes:
        """Return a whole file."""
        return self._paths[name].read_bytes()


class EventLog:
    """A running hash over events, and how many there were."""

    def __init__(self) -> None:
        self.count = 0
        self._hash = sha256()

    def add(self, events: Events) -> None:
        """Take more events."""
        self.count += len(events)
        self._hash.update(events.tobytes())

    def digest(self) -> str:
        """Return the hash over all of them."""
        return self._hash.hexdigest()


def export(journal: Path, to: Path, say: Callable[[str], None]) -> Manifest:
    """Copy the journal in ``journal`` to ``to`` with a manifest; return that.

    Every hash is checked and the core engine replays everything on the way. An unfinished last
    batch of a running exchange is left out. Raises ``JournalCorrupt`` and OSError.
    """
    to.mkdir(parents=True, exist_ok=True)
    storage = DirectoryReader(journal)
    replay, log = Replay(storage, Engine), EventLog()
    items: dict[int, bytes] = {}
    heads: dict[int, bytes] = {}
    last = 0
    for committed in replay.batches():
        log.add(committed.events)
        items |= {entry.sequence: leaf_of(entry) for entry in committed.entries}
        heads |= dict(enumerate(committed.heads, committed.first_sequence))
        last = committed.last_sequence
    segments = []
    for name, first, end in _spans(journal_names(storage), last):
        raw = storage.read(name)
        if name == replay.reader.name:
            raw = raw[: replay.reader.end]
        Path(to, name).write_bytes(raw)
        root = merkle.root([items[sequence] for sequence in range(first, end + 1)])
        head = heads[end].hex()
        segments.append(Segment(name, first, end, head, sha256(raw).hexdigest(), root.hex()))
        say(f"{name}: commands {first} to {end}")
    if POISON_NAME in storage.names():
        shutil.copy(Path(journal, POISON_NAME), Path(to, POISON_NAME))
    manifest = Manifest(
        FORMAT_VERSION,
        list(replay.limits.written()),
        last,
        replay.reader.head.hex(),
        log.count,
        log.digest(),
        replay.machine.state_hash().hex(),
        replay.poison.sequences,
        segments,
    )
    Path(to, MANIFEST).write_bytes(orjson.dumps(msgspec.to_builtins(manifest), option=_PRETTY))
    return manifest


def replay_files(
    paths: Sequence[Path], show_events: Callable[[list[dict[str, Any]]], None] | None
) -> Replayed:
    """Replay journal files with the reference engine; ``show_events`` gets every event.

    Raises ``JournalCorrupt``.
    """
    replay, log = Replay(FileList(paths), Reference), EventLog()
    commands = 0
    for committed in replay.batches():
        log.add(committed.events)
        commands += len(committed.commands)
        if show_events is not None:
            show_events(list(_readable(committed)))
    if replay.reader.tail is not None:
        raise JournalCorrupt(
            replay.reader.tail.name, replay.reader.tail.offset, "the last batch is damaged"
        )
    state_hash = replay.machine.state_hash().hex()
    return Replayed(commands, log.count, log.digest(), state_hash, replay.reader.head.hex())


def differences(replayed: Replayed, manifest: Manifest) -> list[str]:
    """Return in what a replay is not what its manifest says, in words; empty if in nothing."""
    pairs = (
        ("commands", replayed.commands, manifest.last_sequence),
        ("events", replayed.events, manifest.events),
        ("events_hash", replayed.events_hash, manifest.events_hash),
        ("state_hash", replayed.state_hash, manifest.state_hash),
        ("head", replayed.head, manifest.head),
    )
    return [f"{what} is {found}, not {said}" for what, found, said in pairs if found != said]


def read_manifest(directory: Path) -> Manifest | None:
    """Return the manifest of the export in ``directory``; None when there is none."""
    path = directory / MANIFEST
    return msgspec.json.decode(path.read_bytes(), type=Manifest) if path.exists() else None


_PRETTY: Final = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


def _spans(names: list[str], last: int) -> Iterator[tuple[str, int, int]]:
    """Yield (name, first sequence, last sequence) of each file that has commands."""
    starts = [*(first_sequence_of(name) for name in names), last + 1]
    for name, first, following in zip(names, starts, starts[1:], strict=False):
        if following > first:
            yield name, first, following - 1


def _readable(committed: Committed) -> Iterator[dict[str, Any]]:
    names = committed.events.dtype.names
    assert names is not None
    for values in committed.events.tolist():
        yield dict(zip(names, values, strict=True))
