"""A world whose files can be copied and put back."""

from contextlib import closing
from sqlite3 import connect

from engine.core import Engine
from engine.journal.snapshot import write_snapshot
from tests.merchants.fixtures import CONFIRMATIONS, TOKEN, World, address_bytes, due_raw


class Files:
    """A world whose files can be copied and put back."""

    def __init__(self, directory):
        self.path = directory / "merchants.sqlite"
        self.world = World(directory, machine=Engine)

    @property
    def venue(self):
        return self.world.venue

    @property
    def sequencer(self):
        return self.venue.trading.sequencer

    def copy(self):
        """Copy ``merchants.sqlite`` as it is now; return where to."""
        copy = self.path.with_name(f"merchants.{self.sequencer.sequence}")
        with closing(connect(self.path)) as database, closing(connect(copy)) as to:
            database.backup(to)
        return copy

    def put_back(self, copy):
        """Let the file be what it was."""
        self.venue.database.dispose()
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        copy.rename(self.path)

    def snapshot(self):
        """Keep one as the snapshotter does."""
        self.venue.pipeline.prepare()
        memories = self.venue.pipeline.checkpoints()
        write_snapshot(self.world.snapshots, self.sequencer.snapshot(memories))
        return self.sequencer.applied

    def pay(self, invoice):
        """Let a customer pay, and the payment be swept and booked."""
        raw = due_raw(invoice)
        self.world.transfer(address_bytes(invoice.deposit_address), raw, TOKEN, CONFIRMATIONS)
        for _ in range(2):
            self.venue.watch()
            self.venue.tick()
            self.venue.settle_sweeps()

    def restart(self):
        self.venue.database.dispose()
        self.world.restart()
