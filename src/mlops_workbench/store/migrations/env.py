"""Alembic's entry: runs on the connection that `Store` opened."""

from __future__ import annotations

from alembic import context

from mlops_workbench.store.engine import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
context.run_migrations()
