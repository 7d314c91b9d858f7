"""The append-only, hash-chained record of every command; acknowledged means it is in here."""

from engine.journal.format import Batch, Heads, JournalCorrupt
from engine.journal.journal import Journal
from engine.journal.snapshot import SnapshotFiles
from engine.journal.storage import DirectoryReader, DirectoryStorage, Storage, StorageFull

__all__ = [
    "Batch",
    "DirectoryReader",
    "DirectoryStorage",
    "Heads",
    "Journal",
    "JournalCorrupt",
    "SnapshotFiles",
    "Storage",
    "StorageFull",
]
