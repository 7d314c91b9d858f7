"""In which tables does the outbox keep its decisions?

One SQLite file in write-ahead mode, fully synchronised: a commit that has returned is on disk.
"""

from pathlib import Path
from typing import Final

import sqlalchemy as sa

from settlement.storage.database import open_file

WATCHED: Final = "watcher"
"""Name of a stored position: the first block whose logs have not been dealt with."""

tables = sa.MetaData()

actions = sa.Table(
    "actions",
    tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("key", sa.String, nullable=False),
    sa.Column("to", sa.LargeBinary, nullable=False),
    sa.Column("calldata", sa.LargeBinary, nullable=False),
    sa.Column("gas_limit", sa.Integer, nullable=False),
    sa.Column("state", sa.String, nullable=False, index=True),
    sa.Column("nonce", sa.Integer),
    sa.Column("raw", sa.LargeBinary),
    sa.Column("fee_max", sa.Integer),
    sa.Column("tip_max", sa.Integer),
    sa.Column("sent_ns", sa.Integer),
    sa.Column("block_number", sa.Integer, index=True),
    sa.Column("block_hash", sa.LargeBinary),
    sa.Column("mined_hash", sa.LargeBinary),
    sa.Column("gas_used", sa.Integer),
    sa.Column("error", sa.String),
    sa.Column("sealed_ns", sa.Integer, nullable=False),
    sa.Column("mined_ns", sa.Integer),
    sa.Column("final_ns", sa.Integer),
    sa.UniqueConstraint("kind", "key"),
    sqlite_autoincrement=True,
)

by_state_and_kind = sa.Index("actions_by_state_and_kind", actions.c.state, actions.c.kind)

transmissions = sa.Table(
    "transmissions",
    tables,
    sa.Column("tx_hash", sa.LargeBinary, primary_key=True),
    sa.Column("id", sa.Integer, nullable=False),
    sa.Column("action_id", sa.ForeignKey("actions.id"), nullable=False, index=True),
    sa.Column("nonce", sa.Integer, nullable=False),
)

batches = sa.Table(
    "batches",
    tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False, index=True),
    sa.Column("is_abandoned", sa.Boolean, nullable=False, default=False),
    sa.Column("first_trade", sa.Integer, nullable=False, index=True),
    sa.Column("last_trade", sa.Integer, nullable=False, index=True),
    sa.Column("first_sequence", sa.Integer, nullable=False),
    sa.Column("last_sequence", sa.Integer, nullable=False),
    sa.Column("prev_head", sa.LargeBinary, nullable=False),
    sa.Column("head", sa.LargeBinary, nullable=False, index=True),
    sa.Column("close_time", sa.Integer, nullable=False),
    sa.Column("log_root", sa.LargeBinary, nullable=False),
    sa.Column("trades_root", sa.LargeBinary, nullable=False),
    sa.Column("action_id", sa.ForeignKey("actions.id"), nullable=False, unique=True),
)

changes = sa.Table(
    "changes",
    tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("action_id", sa.Integer, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("key", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("at_ns", sa.Integer, nullable=False),
    sqlite_autoincrement=True,
)

cursors = sa.Table(
    "cursors",
    tables,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("value", sa.Integer, nullable=False),
)

unbooked = sa.Table(
    "unbooked",
    tables,
    sa.Column("tx_hash", sa.LargeBinary, primary_key=True),
    sa.Column("likeness", sa.LargeBinary, primary_key=True),
    sa.Column("rank", sa.Integer, primary_key=True),
    sa.Column("block_number", sa.Integer, nullable=False),
    sa.Column("log_index", sa.Integer, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("value", sa.LargeBinary, nullable=False),
    sa.Column("outcome", sa.String, nullable=False),
)
"""Money that moved on chain and that the ledger could not take; see
``settlement.watching.unbooked``."""

sweeps = sa.Table(
    "sweeps",
    tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("account", sa.LargeBinary, nullable=False),
    sa.Column("ref", sa.LargeBinary, nullable=False),
    sa.Column("token", sa.LargeBinary, nullable=False),
    sa.Column("asked_ns", sa.Integer, nullable=False),
    sa.Column("action_id", sa.ForeignKey("actions.id"), index=True),
    sa.Index("sweeps_by_place", "ref", "token", "account"),
    sqlite_autoincrement=True,
)
"""Which places are to be swept, and by which action; see ``settlement.outbox.sweeps``."""

log_place = sa.Table(
    "log_place",
    tables,
    sa.Column("sequence", sa.Integer, primary_key=True),
    sa.Column("head", sa.LargeBinary, nullable=False),
)
"""How far the log was read, in one row; none in a file from before it was kept until it is moved.
See ``settlement.outbox.places``."""


VERSION = 2
"""Of these tables, kept in the file: a file of another version is refused."""


class WrongOutboxError(Exception):
    """The file was written by another version of the outbox."""


def open_database(path: Path) -> sa.Engine:
    """Open (or create) the file with all tables. Raises ``WrongOutboxError``."""
    engine = open_file(path, writers_take_turns=True)
    with engine.begin() as db:
        version = db.execute(sa.text("PRAGMA user_version")).scalar_one()
        is_new = not sa.inspect(db).has_table("actions")
        if version != VERSION and not is_new:
            raise WrongOutboxError(f"{path} has tables of version {version}, this is {VERSION}")
        tables.create_all(db)
        if is_new:
            db.execute(log_place.insert().values(sequence=0, head=b""))
        by_state_and_kind.create(db, checkfirst=True)  # An older file has the table without it.
        db.execute(sa.text(f"PRAGMA user_version = {VERSION}"))
    return engine
