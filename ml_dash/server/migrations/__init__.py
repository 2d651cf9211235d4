"""The versions of the database, and the way from each to the next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from ml_dash.server.tables import Table

if TYPE_CHECKING:
    from typing import Any

    from sqlalchemy import Connection

    from ml_dash.server.database import Database


def current(data: Database) -> str | None:
    """The version that a database has; `None` for one that is empty."""
    with data.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def newest() -> str:
    """The version that this program needs. Later ones come behind it in the order of text."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def has_tables(data: Database) -> bool:
    """Whether a database has tables with names of ours."""
    with data.engine.connect() as connection:
        return not Table.metadata.tables.keys().isdisjoint(inspect(connection).get_table_names())


def upgrade(data: Database) -> None:
    """Bring a database to the newest version. Of two processes that do, one waits for the other."""
    with _changing(data) as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def _changing(data: Database) -> Iterator[Connection]:
    """A transaction that changes tables, of which there is one at a time."""
    if not data.is_sqlite:
        with data.engine.begin() as connection:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7203417)")
            yield connection
        return
    with data.engine.connect() as connection:
        # SQLite changes a table by making another one and dropping it, and a table that is dropped
        # takes with it all that refers to its rows. This says nothing once a transaction has begun.
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            connection.commit()
        finally:
            connection.rollback()
            connection.exec_driver_sql("PRAGMA foreign_keys = ON")


def differences(data: Database) -> list[Any]:
    """How the tables of a database differ from those of this program."""
    with data.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, Table.metadata))


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config
