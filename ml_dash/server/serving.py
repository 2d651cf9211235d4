"""Starts a server: its folder, the version of its database, its first user, and its process."""

from __future__ import annotations

import json
import logging
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import uvicorn
from obstore.exceptions import BaseError as StoreError
from sqlalchemy import URL
from sqlalchemy.exc import ArgumentError, DBAPIError

from ml_dash.server import migrations
from ml_dash.server.accounts.users import ensure_admin
from ml_dash.server.app import create_app
from ml_dash.server.database import Database
from ml_dash.server.process import PatientProtocol, Server, listen
from ml_dash.server.settings import ServerSettings

GRACE = 20
"""Seconds that requests which are under way get when the server is told to end."""

IDLE = 75
"""Seconds that a connection without requests is kept: clients send something every few."""

Say = Callable[[str], None]


class OutdatedError(Exception):
    """The database has another version than this program needs; the text says what to do."""


class UnreachableError(Exception):
    """Database, store or port cannot be used; the text says which, and why."""


class JsonLines(logging.Formatter):
    """Log records as one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        row: dict[str, object] = {
            "timestamp": record.created,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            row["exception"] = self.formatException(record.exc_info)
        return json.dumps(row, default=str)


def serve(settings: ServerSettings, say: Say) -> None:
    """Serve until SIGTERM or Ctrl-C; then requests that are under way are answered still.

    Args:
        settings: settled ones.
        say: tells the user how to get in.

    Raises:
        OutdatedError: the database must be brought to this version first.
        UnreachableError: the folder, the database, the store or the port cannot be used.
    """
    try:
        listening = listen(settings.host, settings.port)  # first: else nothing is made, or changed
    except OSError as error:
        raise UnreachableError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; --port 0 takes a"
            " port that is free"
        ) from None
    try:
        _serve(settings, say, listening)
    finally:
        for each in listening:
            each.close()


def _serve(settings: ServerSettings, say: Say, listening: list[socket.socket]) -> None:
    reach(settings)
    prepare(settings)
    app = create_app(settings)
    try:
        app.state.store.ping()
    except (OSError, StoreError) as error:
        why = str(error).partition("\n")[0]
        raise UnreachableError(f"the store {settings.store} cannot be used: {why}") from None
    address = _address(settings.host, listening[0].getsockname()[1])
    url = settings.url or address
    link = ensure_admin(app.state.database, time.time())
    say(f"ML-Dash serves {url}; {_kept_in(settings, app.state.database)}")
    if link is not None:
        say(f"its administrator sets a password here, once, within a day: {url}{link}")
    config = uvicorn.Config(
        app,
        proxy_headers=False,  # whom to believe is decided for each request
        server_header=False,
        http=PatientProtocol,
        ws="none",
        timeout_keep_alive=IDLE,
        access_log=False,  # the gate writes a line for each request
        timeout_graceful_shutdown=GRACE,
        log_config=_logging(),
    )
    try:
        Server(config, app, address).run(listening)
    finally:
        app.state.database.close()


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def reach(settings: ServerSettings) -> None:
    """Make the folder, and see whether the database answers.

    Raises:
        UnreachableError: it does not.
    """
    try:
        Path(settings.folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnreachableError(f"the folder {settings.folder} cannot be used: {error}") from None
    try:
        data = Database(settings.database)
    except (ArgumentError, ImportError) as error:
        raise UnreachableError(f"the database is not given as it must be: {error}") from None
    try:
        data.ping()
    except DBAPIError as error:
        where = shown(data.url)
        raise UnreachableError(f"the database {where} cannot be used: {error.orig}") from None
    finally:
        data.close()


def shown(url: URL) -> str:
    """The address of a database without passwords: drivers take one in the query, too."""
    secret = {name: "***" for name in url.query if "pass" in name.lower()}
    return url.update_query_dict(secret).render_as_string(hide_password=True)


def _kept_in(settings: ServerSettings, data: Database) -> str:
    """Where its data is, without a password."""
    if data.is_sqlite and settings.store.startswith("file:"):
        return f"its data is in {settings.folder}"
    return f"its data is in {shown(data.url)} and {settings.store}"


def prepare(settings: ServerSettings) -> None:
    """See to the version of the database: an empty one is made, a SQLite one brought to it.

    Raises:
        OutdatedError: another one is older, or any is newer.
    """
    data = Database(settings.database)
    try:
        found, needed = migrations.current(data), migrations.newest()
        if found == needed:
            return
        _refuse_foreign(data, found)
        if found is None or data.is_sqlite:
            upgrade(data)
            return
        raise OutdatedError(
            f"the database has version {found}, and this program needs {needed}: stop all servers,"
            " make a backup, and run `ml-dash server upgrade`"
        )
    finally:
        data.close()


def upgrade(data: Database) -> None:
    """Bring a database to the version of this program.

    Raises:
        OutdatedError: it is of a newer program, or another's.
    """
    from alembic.util import CommandError

    found = migrations.current(data)
    _refuse_foreign(data, found)
    try:
        migrations.upgrade(data)
    except CommandError:
        raise OutdatedError(
            f"the database has version {found}, from which no way leads to {migrations.newest()}"
        ) from None


def _refuse_foreign(data: Database, found: str | None) -> None:
    """Leave alone what no version of this program, or a newer one, has made."""
    if found is not None and found > migrations.newest():
        raise OutdatedError(
            f"the database has version {found}, of a newer ML-Dash: upgrade this program"
        )
    # Another process may be making it just now: looked at again once there are tables.
    if found is None and migrations.has_tables(data) and migrations.current(data) is None:
        raise OutdatedError(
            "the database has tables with names of ours, and does not say of which version: it is"
            " another program's, or was restored in part; give an empty one, or restore all of it"
        )


def _logging() -> dict[str, object]:
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"()": JsonLines}},
        "handlers": {
            "lines": {
                "class": "logging.StreamHandler",
                "formatter": "lines",
                "stream": sys.stderr,
            }
        },
        "loggers": {
            "uvicorn": {"handlers": ["lines"], "level": "INFO", "propagate": False},
            "ml_dash.server": {"handlers": ["lines"], "level": "INFO", "propagate": False},
        },
    }
