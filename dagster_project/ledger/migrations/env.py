"""Run by Alembic: migrates the connection that `database` hands over, inside its transaction."""

from __future__ import annotations

from alembic import context

from dagster_project.ledger.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
