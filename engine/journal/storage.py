"""Where do journal bytes go, and when are they safe?

``Storage`` is the seam: the journal decides, the storage obeys. A simulated disk that loses and
tears unsynced writes takes the same five verbs.
"""

import fcntl
import os
from pathlib import Path
from typing import Protocol


class Storage(Protocol):
    """A flat directory of append-only files. Any OSError is final for the caller."""

    def names(self) -> list[str]:
        """Return all file names, sorted."""

    def read(self, name: str) -> bytes:
        """Return a whole file."""

    def append(self, name: str, chunk: bytes) -> None:
        """Write ``chunk`` at the end; creates the file (durably named) when it is missing."""

    def sync(self, name: str) -> None:
        """Return when everything appended to ``name`` is on disk."""

    def truncate(self, name: str, size: int) -> None:
        """Cut ``name`` to ``size`` bytes, durably."""


class StorageInUse(Exception):
    """Another process holds this journal; two writers would fork history."""


class DirectoryStorage:
    """Files in one directory, guarded by an exclusive lock for the life of the process."""

    def __init__(self, directory: Path) -> None:
        """Open (or create) ``directory``. Raises ``StorageInUse`` when it is taken."""
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(directory.joinpath("lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise StorageInUse(f"another process is using the journal {directory}") from None
        self._files: dict[str, int] = {}

    def names(self) -> list[str]:
        """Return all journal file names, sorted."""
        return sorted(path.name for path in self._directory.iterdir() if path.name != "lock")

    def read(self, name: str) -> bytes:
        """Return a whole file."""
        return self._directory.joinpath(name).read_bytes()

    def append(self, name: str, chunk: bytes) -> None:
        """Write ``chunk`` at the end of ``name``, whole."""
        file = self._open(name)
        written = 0
        while written < len(chunk):
            written += os.write(file, memoryview(chunk)[written:])

    def sync(self, name: str) -> None:
        """Force ``name`` to disk. An error here must end the process: the kernel has already
        marked the pages clean, so a second try would succeed and lie."""
        os.fdatasync(self._open(name))

    def truncate(self, name: str, size: int) -> None:
        """Cut ``name`` to ``size`` bytes, durably."""
        file = self._open(name)
        os.ftruncate(file, size)
        os.fsync(file)

    def close(self) -> None:
        """Close all files and let the lock go."""
        for file in self._files.values():
            os.close(file)
        self._files.clear()
        os.close(self._lock)

    def _open(self, name: str) -> int:
        if name not in self._files:
            path = self._directory.joinpath(name)
            fresh = not path.exists()
            self._files[name] = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            if fresh:
                self._sync_directory()
        return self._files[name]

    def _sync_directory(self) -> None:
        # A file whose name is not on disk is lost with its contents, synced or not.
        directory = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
