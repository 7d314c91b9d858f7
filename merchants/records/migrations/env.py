"""In which transaction do revisions run? In the caller's: ``merchants.records.schema`` has it."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
