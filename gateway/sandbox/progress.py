"""What must the story remember, so that a killed teller can go on where it stopped?

One small JSON file, written aside and renamed. A transaction is in it before it is sent; the start
time is in it because orders signed with the same expiry are the same orders.
"""

import os
from pathlib import Path
from typing import Self

import msgspec


class Memory(msgspec.Struct):
    """Empty strings and zeros mean: not reached yet."""

    started_at: int
    shop_port: int = 0
    store_id: str = ""
    api_key: str = ""
    webhook_secret: str = ""
    grant_id: str = ""
    grant: dict[str, str] = {}
    payment_raw: str = ""

    @classmethod
    def load(cls, path: Path, started_at: int) -> Self:
        """Read the file at ``path``, or begin a new story at ``started_at`` (unix seconds)."""
        if path.exists():
            return msgspec.json.decode(path.read_bytes(), type=cls)
        memory = cls(started_at)
        memory.save(path)
        return memory

    def save(self, path: Path) -> None:
        """Replace the file at ``path``, durably."""
        aside = path.with_suffix(".new")
        with aside.open("wb") as file:
            file.write(msgspec.json.encode(self))
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
