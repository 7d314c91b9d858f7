"""The append-only, hash-chained record of every command; acknowledged means it is in here."""

from engine.journal.format import JournalCorrupt, Record
from engine.journal.journal import Journal
from engine.journal.storage import DirectoryStorage, Storage

__all__ = ["DirectoryStorage", "Journal", "JournalCorrupt", "Record", "Storage"]
