"""Revision 0001: the schema of the last version without migrations."""

from alembic import op

from merchants.records.migrations.first import SCHEMA

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make all tables in an empty database; an older file is brought here by ``before``."""
    SCHEMA.create_all(op.get_bind())
