"""What Alembic runs: the migrations, over the connection that `upgrade` gives."""

from __future__ import annotations

from alembic import context

from ml_dash.server.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    render_as_batch=True,  # SQLite changes a table by making another one
    transaction_per_migration=False,
)
context.run_migrations()
