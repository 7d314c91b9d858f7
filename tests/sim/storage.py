"""How does the journal's ``Storage`` look over a disk that can fail?"""

import errno

from engine.journal import StorageFull
from tests.sim.disk import Disk


class SimStorage:
    """``engine.journal.Storage`` over ``Disk``, as ``DirectoryStorage`` is over a real one."""

    def __init__(self, disk: Disk, syncs_directory: bool = True) -> None:
        """``syncs_directory`` False is a planted bug: names are not made durable."""
        self.disk = disk
        self._syncs_directory = syncs_directory

    def names(self) -> list[str]:
        return self.disk.names()

    def size(self, name: str) -> int:
        return self.disk.size(name)

    def read(self, name: str) -> bytes:
        return self.disk.read(name)

    def create(self, name: str) -> None:
        self.disk.create(name)
        self.sync_names()

    def allocate(self, name: str, size: int) -> None:
        if self.disk.size(name) < size:
            try:
                self.disk.resize(name, size)
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    raise StorageFull(error.errno, f"no room for {size} bytes", name) from error
                raise

    def write(self, name: str, offset: int, chunk: bytes) -> None:
        self.disk.write(name, offset, chunk)

    def sync(self, name: str) -> None:
        self.disk.sync(name)

    def truncate(self, name: str, size: int) -> None:
        self.disk.resize(name, size)
        self.disk.sync(name)

    def rename(self, name: str, new_name: str) -> None:
        self.disk.rename(name, new_name)
        self.sync_names()

    def remove(self, name: str) -> None:
        self.disk.remove(name)
        self.sync_names()

    def free_ppm(self) -> int:
        return max(0, self.disk.free()) * 10**6 // self.disk.room

    def sync_names(self) -> None:
        if self._syncs_directory:
            self.disk.sync_directory()
