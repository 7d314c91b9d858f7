"""What has happened on the development chain, so that it can happen again after a crash?

A text file, one line for each thing that changed the chain, on disk before the node hears of it.
"""

import io
import os
from pathlib import Path
from typing import Literal, NamedTuple, cast

NodeName = Literal["anvil", "eth-tester"]


class Entry(NamedTuple):
    """One line of the transaction file; no ``raw`` means an empty block."""

    timestamp: int
    raw: str | None


class TransactionFile:
    """Everything that changed the chain, in order, each line on disk before it happens.

    First line: ``genesis <timestamp> <node>``. Others: ``<timestamp> <raw hex>`` or
    ``<timestamp> mine``. Raises ValueError for a file of another kind.
    """

    def __init__(self, path: Path, genesis: int, node: NodeName) -> None:
        self._file = path.open("a+b", buffering=0)
        lines = self._whole_lines()
        if not lines:
            self._append(f"genesis {genesis} {node}")
            sync_directory(path.parent)
            lines = [f"genesis {genesis} {node}"]
        word, timestamp, name = lines[0].split()
        if word != "genesis" or name not in ("anvil", "eth-tester"):
            raise ValueError(f"{path} does not begin with a genesis line")
        self.genesis = int(timestamp)
        self.node: NodeName = cast(NodeName, name)
        self.entries = [_entry(line) for line in lines[1:]]

    def _whole_lines(self) -> list[str]:
        self._file.seek(0)
        content = self._file.read()
        # A last line without its end was never executed: its fsync had not returned.
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            self._file.truncate(whole)
            os.fsync(self._file.fileno())
        self._file.seek(0, io.SEEK_END)
        return content[:whole].decode().splitlines()

    def _append(self, line: str) -> None:
        self._file.write(line.encode() + b"\n")
        os.fsync(self._file.fileno())

    def append(self, entry: Entry) -> None:
        """Put ``entry`` on disk."""
        self._append(f"{entry.timestamp} {entry.raw or 'mine'}")
        self.entries.append(entry)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _entry(line: str) -> Entry:
    timestamp, rest = line.split()
    return Entry(int(timestamp), None if rest == "mine" else rest)


def sync_directory(path: Path) -> None:
    """Make renames and new names in ``path`` durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
