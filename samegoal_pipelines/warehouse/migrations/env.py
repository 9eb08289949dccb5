"""Alembic's entry: run the migrations on the connection and in the transaction that `migrate` hands over."""

from alembic import context

from samegoal_pipelines.tables.warehouse import SCHEMA, metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table_schema=SCHEMA
)
context.run_migrations()
