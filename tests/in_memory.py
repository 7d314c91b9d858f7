"""Where do tests keep files that are not about the disk? In memory, where there is some.

SQLite and the embedded chain promise their own durability, and ``tests/crash``, ``tests/journal``
and ``tests/e2e`` hold what we promise ourselves against a real disk. A merchants' test commits some
fifty times, and each time waited three milliseconds for one.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

MEMORY = Path("/dev/shm")


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A directory of the test's own, gone when it ends."""
    there = MEMORY.is_dir() and os.access(MEMORY, os.W_OK)
    with TemporaryDirectory(
        prefix="tillbook-", dir=MEMORY if there else None, ignore_cleanup_errors=True
    ) as directory:
        yield Path(directory)
