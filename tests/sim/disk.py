"""What is left on a disk after the power went, the write tore, the sector rotted?

``Disk`` keeps two pictures of each file and of the directory: what processes see (the page cache)
and what would be there after a power cut. A write changes the first; only a sync moves it to the
second. ``lose_power`` settles for each unsynced sector, file size and directory change on its own
whether it got there, which is all that POSIX promises. Every operation passes ``Faults.before``,
where a test may cut the power, kill the process or fail the call.
"""

import errno
from collections.abc import Callable, Iterator
from enum import StrEnum
from itertools import product
from typing import Final, NamedTuple, Protocol

SECTOR: Final = 512


class PowerCut(BaseException):
    """The machine is dark. Not an Exception: nothing in the product may catch it."""


class Killed(BaseException):
    """The process is gone and the page cache lives. Not an Exception either."""


class Op(StrEnum):
    """What a process asks of a disk."""

    CREATE = "create"
    WRITE = "write"
    RESIZE = "resize"
    SYNC = "sync"
    SYNC_DIRECTORY = "sync directory"
    RENAME = "rename"
    REMOVE = "remove"
    READ = "read"


class Trouble(NamedTuple):
    """How one operation fails. ``done_ppm`` is how much of a write happens before it does."""

    raises: Callable[[], BaseException]
    done_ppm: int = 0
    happens: bool = False
    """Whether the whole operation takes effect before it fails."""


class Faults(Protocol):
    """Who decides what goes wrong."""

    def before(self, op: Op, name: str, size: int) -> Trouble | None:
        """Return how this operation fails, None if it works; ``size`` in bytes."""


class Healthy:
    """A disk that works."""

    def before(self, op: Op, name: str, size: int) -> Trouble | None:
        """Nothing goes wrong."""
        return None


def eio() -> OSError:
    return OSError(errno.EIO, "simulated I/O error")


def enospc() -> OSError:
    return OSError(errno.ENOSPC, "simulated full disk")


class Inode:
    """One file's content, twice, and what was written in between."""

    def __init__(self) -> None:
        self.seen = bytearray()
        self.stable = bytearray()
        self.unsynced: list[tuple[int, bytes] | int] = []
        """(offset, chunk) of a write or the new size of a resize, oldest first."""

    def write(self, offset: int, chunk: bytes) -> None:
        _put(self.seen, offset, chunk)
        self.unsynced.append((offset, chunk))

    def resize(self, size: int) -> None:
        _resize(self.seen, size)
        self.unsynced.append(size)

    def sync(self) -> None:
        for change in self.unsynced:
            if isinstance(change, int):
                _resize(self.stable, change)
            else:
                _put(self.stable, *change)
        self.unsynced.clear()

    def versions(self) -> tuple[list[int], dict[int, list[bytes]]]:
        """Return every size and every content of each sector that the disk may have kept."""
        picture, sizes, sectors = bytearray(self.stable), [len(self.stable)], {}
        for change in self.unsynced:
            if isinstance(change, int):
                _resize(picture, change)
                touched = range(0)
            else:
                offset, chunk = change
                _put(picture, offset, chunk)
                touched = range(offset // SECTOR, -(-(offset + len(chunk)) // SECTOR))
            if len(picture) != sizes[-1]:
                sizes.append(len(picture))
            for at in touched:
                known = sectors.setdefault(at, [self._stable_sector(at)])
                known.append(bytes(picture[at * SECTOR : (at + 1) * SECTOR]))
        return sizes, sectors

    def _stable_sector(self, at: int) -> bytes:
        return bytes(self.stable[at * SECTOR : (at + 1) * SECTOR])

    def settle(self, size: int, sectors: dict[int, bytes]) -> None:
        """Let this be what the disk kept."""
        for at, content in sectors.items():
            # An older version may be shorter: what follows it in the sector was never written.
            _put(self.stable, at * SECTOR, content.ljust(SECTOR, b"\0"))
        _resize(self.stable, size)
        self.unsynced.clear()
        self.seen = bytearray(self.stable)


def _put(picture: bytearray, offset: int, chunk: bytes) -> None:
    if len(picture) < offset:
        picture.extend(bytes(offset - len(picture)))
    picture[offset : offset + len(chunk)] = chunk


def _resize(picture: bytearray, size: int) -> None:
    if size < len(picture):
        del picture[size:]
    else:
        picture.extend(bytes(size - len(picture)))


class Choice(NamedTuple):
    """One thing that a power cut settles; ``count`` ways, 0 is the oldest."""

    inode: Inode | None
    sector: int | None
    count: int


class Disk:
    """A flat directory of files on a disk that can fail."""

    def __init__(self, faults: Faults | None = None, room: int = 1 << 40) -> None:
        self.faults: Faults = faults or Healthy()
        self.room = room
        """Bytes that all files together may take."""
        self.entries: dict[str, Inode] = {}
        self._stable_entries: dict[str, Inode] = {}
        self._unsynced_entries: list[dict[str, Inode | None]] = []
        """Changes in their order; each says what names mean from then on."""

    # What a process can do.

    def names(self) -> list[str]:
        return sorted(self.entries)

    def size(self, name: str) -> int:
        return len(self.entries[name].seen)

    def create(self, name: str) -> None:
        """Make an empty file, or empty the one that is there."""
        self._try(Op.CREATE, name, 0, lambda: self._enter({name: Inode()}))

    def write(self, name: str, offset: int, chunk: bytes) -> None:
        inode = self.entries[name]
        grows = offset + len(chunk) - len(inode.seen)
        if grows > 0 and grows > self.free():
            inode.write(offset, chunk[: max(0, len(chunk) - grows + self.free())])
            raise enospc()
        trouble = self.faults.before(Op.WRITE, name, len(chunk))
        if trouble is None:
            inode.write(offset, chunk)
            return
        done = len(chunk) if trouble.happens else len(chunk) * trouble.done_ppm // 10**6
        if done:
            inode.write(offset, chunk[:done])
        raise trouble.raises()

    def resize(self, name: str, size: int) -> None:
        inode = self.entries[name]
        if size - len(inode.seen) > self.free():
            raise enospc()
        self._try(Op.RESIZE, name, size, lambda: inode.resize(size))

    def sync(self, name: str) -> None:
        """Put a file's content on disk. A failing sync leaves the pages clean and not written."""
        inode = self.entries[name]
        trouble = self.faults.before(Op.SYNC, name, 0)
        if trouble is None or trouble.happens:
            inode.sync()
        elif not isinstance(trouble.raises(), PowerCut | Killed):
            inode.unsynced.clear()
        if trouble is not None:
            raise trouble.raises()

    def sync_directory(self) -> None:
        self._try(Op.SYNC_DIRECTORY, "", 0, self._sync_directory)

    def rename(self, name: str, new_name: str) -> None:
        def change() -> None:
            self._enter({new_name: self.entries[name], name: None})

        self._try(Op.RENAME, name, 0, change)

    def remove(self, name: str) -> None:
        assert name in self.entries, name
        self._try(Op.REMOVE, name, 0, lambda: self._enter({name: None}))

    def read(self, name: str) -> bytes:
        inode = self.entries[name]
        trouble = self.faults.before(Op.READ, name, len(inode.seen))
        if trouble is not None:
            raise trouble.raises()
        return bytes(inode.seen)

    def free(self) -> int:
        return self.room - sum([len(inode.seen) for inode in self.entries.values()])

    def _try(self, op: Op, name: str, size: int, change: Callable[[], None]) -> None:
        trouble = self.faults.before(op, name, size)
        if trouble is None or trouble.happens:
            change()
        if trouble is not None:
            raise trouble.raises()

    def _enter(self, change: dict[str, Inode | None]) -> None:
        _rename(self.entries, change)
        self._unsynced_entries.append(change)

    def sync_directory_now(self) -> None:
        """As ``sync_directory``, from outside: nothing can go wrong."""
        self._sync_directory()

    def _sync_directory(self) -> None:
        self._stable_entries = dict(self.entries)
        self._unsynced_entries.clear()

    # What happens to it.

    def choices(self) -> list[Choice]:
        """Return what is not settled: directory first, then each file's size and sectors."""
        found = []
        if self._unsynced_entries:
            found.append(Choice(None, None, len(self._unsynced_entries) + 1))
        for inode in self._inodes():
            sizes, sectors = inode.versions()
            if len(sizes) > 1:
                found.append(Choice(inode, None, len(sizes)))
            found += [Choice(inode, at, len(kept)) for at, kept in sorted(sectors.items())]
        return found

    def lose_power(self, pick: Callable[[int], int]) -> None:
        """Settle every choice by ``pick(count)``, which returns 0 .. count - 1.

        Directory changes are kept as far as one of them, in order: file systems journal them.
        """
        self.settle([pick(choice.count) for choice in self.choices()])

    def settle(self, picks: list[int]) -> None:
        """Lose power; ``picks`` answers ``choices()`` one by one."""
        answers = dict(zip(map(_key, self.choices()), picks, strict=True))
        inodes = list(self._inodes())
        for change in self._unsynced_entries[: answers.get((None, None), 0)]:
            _rename(self._stable_entries, change)
        self._unsynced_entries.clear()
        for inode in inodes:
            sizes, sectors = inode.versions()
            kept = {at: known[answers[id(inode), at]] for at, known in sectors.items()}
            inode.settle(sizes[answers.get((id(inode), None), 0)], kept)
        self.entries = dict(self._stable_entries)

    def all_losses(self) -> Iterator[list[int]]:
        """Yield every answer to ``choices()``: all subsets of what was not synced."""
        return map(list, product(*(range(choice.count) for choice in self.choices())))

    def copy(self) -> "Disk":
        """Return an equal disk without faults, so that one moment can end in many ways."""
        twin = Disk(room=self.room)
        twins: dict[int, Inode] = {}
        for inode in self._inodes():
            same = twins[id(inode)] = Inode()
            same.seen, same.stable = bytearray(inode.seen), bytearray(inode.stable)
            same.unsynced = list(inode.unsynced)
        twin.entries = {name: twins[id(inode)] for name, inode in self.entries.items()}
        twin._stable_entries = {n: twins[id(i)] for n, i in self._stable_entries.items()}
        twin._unsynced_entries = [
            {name: None if inode is None else twins[id(inode)] for name, inode in change.items()}
            for change in self._unsynced_entries
        ]
        return twin

    def rot(self, name: str, bit: int) -> None:
        """Turn one bit of what is on disk and in the cache."""
        inode = self.entries[name]
        for picture in (inode.seen, inode.stable):
            if bit >> 3 < len(picture):
                picture[bit >> 3] ^= 1 << (bit & 7)

    def misdirect(self, name: str, sector: int, to_name: str, to_sector: int) -> None:
        """A sector's last write went elsewhere: there it stands, here is nothing."""
        content = bytes(self.entries[name].stable[sector * SECTOR : (sector + 1) * SECTOR])
        for target, at, chunk in (
            (to_name, to_sector, content),
            (name, sector, bytes(len(content))),
        ):
            inode = self.entries[target]
            size = len(inode.stable)
            for picture in (inode.seen, inode.stable):
                _put(picture, at * SECTOR, chunk)
                del picture[size:]

    def _inodes(self) -> Iterator[Inode]:
        """Every file that has or may keep a name, each once."""
        named = [*self.entries.values(), *self._stable_entries.values()]
        for change in self._unsynced_entries:
            named += [inode for inode in change.values() if inode is not None]
        return iter({id(inode): inode for inode in named}.values())


def _rename(entries: dict[str, Inode], change: dict[str, Inode | None]) -> None:
    for name, inode in change.items():
        if inode is None:
            entries.pop(name, None)
        else:
            entries[name] = inode


def _key(choice: Choice) -> tuple[int | None, int | None]:
    return None if choice.inode is None else id(choice.inode), choice.sector
