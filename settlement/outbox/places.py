"""How far in the log is what settlement has decided?

Most of what it remembers is in snapshots, and what is decided is left out of them: it is in the
outbox. So a snapshot goes with an outbox that knows all that was decided before it, and an outbox
with a log that holds all that it has sealed.
"""

import sqlalchemy as sa

from engine.journal.reader import Position
from settlement.outbox import tables
from settlement.outbox.actions import ActionKind
from settlement.outbox.outbox import Outbox


def place_of(outbox: Outbox) -> Position | None:
    """Return the last command that ``outbox`` knows of; see ``FilingConsumer.place``."""
    with outbox.writing() as db:
        row = db.execute(sa.select(tables.log_place.c.sequence, tables.log_place.c.head)).first()
    if row is None:
        return None
    kept, last = Position(*row), outbox.last_batch()
    paid = int(outbox.last_key(ActionKind.WITHDRAWAL) or 0)
    sealed = max(paid, last.last_sequence if last else 0)
    return kept if kept.sequence >= sealed else Position(sealed, b"")


def keep_place(outbox: Outbox, place: Position) -> None:
    """Note that everything up to ``place`` was read, and what was decided of it is in here."""
    with outbox.writing() as db:
        db.execute(tables.log_place.delete())
        db.execute(tables.log_place.insert().values(**place._asdict()))
