"""Where do journal bytes go, and when are they safe?

``Storage`` is the seam: the journal decides, the storage obeys. A simulated disk that loses and
tears unsynced writes takes the same verbs. Only what ``sync``, ``create``, ``rename``, ``remove``
or ``truncate`` has returned for survives a power cut.
"""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter_ns
from typing import Final, Protocol

LOCK_NAME: Final = "lock"
PPM: Final = 1_000_000
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What a file system says that has no room, for contents or for one more name."""


class ReadStorage(Protocol):
    """A flat directory of files, for those who only look."""

    def names(self) -> list[str]:
        """Return all file names, sorted."""

    def size(self, name: str) -> int:
        """Return how many bytes ``name`` has."""

    def read(self, name: str) -> bytes:
        """Return a whole file."""


class Storage(ReadStorage, Protocol):
    """A flat directory of files. Any OSError but ``StorageFull`` is final for the caller."""

    def create(self, name: str) -> None:
        """Make an empty file, durably named; one that is there already is emptied.

        Raises ``StorageFull`` when the directory has no room for the name.
        """

    def allocate(self, name: str, size: int) -> None:
        """See that ``name`` has at least ``size`` bytes of room; what is new reads as zeros.

        Raises ``StorageFull``, with the file as it was, when the disk has not that much left.
        """

    def write(self, name: str, offset: int, chunk: bytes) -> None:
        """Write the whole of ``chunk`` at ``offset``. Not durable before ``sync``."""

    def sync(self, name: str) -> None:
        """Return when everything written to ``name`` is on disk."""

    def truncate(self, name: str, size: int) -> None:
        """Cut ``name`` to ``size`` bytes, durably."""

    def rename(self, name: str, new_name: str) -> None:
        """Give a synced file another name, durably; one that has this name is replaced.

        Raises ``StorageFull``, with nothing renamed, when the directory has no room for it.
        """

    def remove(self, name: str) -> None:
        """Delete a file, durably."""

    def sync_names(self) -> None:
        """Return when every name there is now is on disk, whoever gave it."""

    def free_ppm(self) -> int:
        """Return how many millionths of the disk are free."""


class StorageFull(OSError):
    """The disk has no room for what was asked; nothing was written."""


class StorageInUse(Exception):
    """Another process holds this directory; two writers would fork history."""


class DirectoryReader:
    """The files of one directory, without a lock and without a way to change them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def names(self) -> list[str]:
        """Return all file names, sorted."""
        paths = self._directory.iterdir() if self._directory.is_dir() else ()
        return sorted(path.name for path in paths if path.is_file() and path.name != LOCK_NAME)

    def size(self, name: str) -> int:
        """Return how many bytes ``name`` has."""
        return self._directory.joinpath(name).stat().st_size

    def read(self, name: str) -> bytes:
        """Return a whole file."""
        return self._directory.joinpath(name).read_bytes()


def _unmeasured(_: int) -> None:
    """Tell nobody."""


class DirectoryStorage(DirectoryReader):
    """Files in one directory, guarded by an exclusive lock for the life of the process."""

    def __init__(self, directory: Path, synced: Callable[[int], None] = _unmeasured) -> None:
        """Open (or create) ``directory``. Raises ``StorageInUse`` when it is taken.

        ``synced`` is told how many nanoseconds each sync took, in the thread that waited for it.
        """
        super().__init__(directory)
        self._synced = synced
        directory.mkdir(parents=True, exist_ok=True)
        # Always, not only when it was made just now: whoever made it may have died before this.
        _sync_directory(directory.parent)
        self._lock = os.open(directory.joinpath(LOCK_NAME), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise StorageInUse(f"another process is using the journal {directory}") from None
        self._files: dict[str, int] = {}

    def create(self, name: str) -> None:
        """Make an empty file, durably named."""
        self._forget(name)
        path = self._directory.joinpath(name)
        with _full_is_no_failure(name):
            self._files[name] = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self.sync_names()

    def allocate(self, name: str, size: int) -> None:
        """See that ``name`` has at least ``size`` bytes of room."""
        file = self._open(name)
        before = os.fstat(file).st_size
        if before >= size:
            return
        try:
            with _full_is_no_failure(name):
                os.posix_fallocate(file, before, size - before)
        except StorageFull:
            os.ftruncate(file, before)  # A failed call may have got some of it.
            raise

    def write(self, name: str, offset: int, chunk: bytes) -> None:
        """Write the whole of ``chunk`` at ``offset``."""
        file = self._open(name)
        written = os.pwrite(file, chunk, offset)
        while written < len(chunk):
            written += os.pwrite(file, memoryview(chunk)[written:], offset + written)

    def sync(self, name: str) -> None:
        """Force ``name`` to disk. An error here must end the process: the kernel has already
        marked the pages clean, so a second try would succeed and lie."""
        file, began_ns = self._open(name), perf_counter_ns()
        os.fdatasync(file)
        self._synced(perf_counter_ns() - began_ns)

    def truncate(self, name: str, size: int) -> None:
        """Cut ``name`` to ``size`` bytes, durably."""
        file = self._open(name)
        os.ftruncate(file, size)
        os.fsync(file)

    def rename(self, name: str, new_name: str) -> None:
        """Give a synced file another name, durably."""
        self._forget(new_name)
        with _full_is_no_failure(new_name):
            self._directory.joinpath(name).replace(self._directory.joinpath(new_name))
        if name in self._files:
            self._files[new_name] = self._files.pop(name)
        self.sync_names()

    def remove(self, name: str) -> None:
        """Delete a file, durably."""
        self._forget(name)
        self._directory.joinpath(name).unlink()
        self.sync_names()

    def sync_names(self) -> None:
        """Force the directory to disk: a file whose name is not there is lost with its contents,
        synced or not."""
        _sync_directory(self._directory)

    def free_ppm(self) -> int:
        """Return how many millionths of the disk are free for us."""
        disk = os.statvfs(self._directory)
        return disk.f_bavail * PPM // max(1, disk.f_blocks)

    def close(self) -> None:
        """Close all files and let the lock go."""
        for file in self._files.values():
            os.close(file)
        self._files.clear()
        os.close(self._lock)

    def _open(self, name: str) -> int:
        if name not in self._files:
            self._files[name] = os.open(self._directory.joinpath(name), os.O_WRONLY)
        return self._files[name]

    def _forget(self, name: str) -> None:
        if name in self._files:
            os.close(self._files.pop(name))


@contextmanager
def _full_is_no_failure(name: str) -> Iterator[None]:
    """Tell a full disk, after which cancels go on, from one that fails, which ends the process."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise StorageFull(error.errno, "no room", name) from error


def _sync_directory(path: Path) -> None:
    # A file whose name is not on disk is lost with its contents, synced or not.
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
