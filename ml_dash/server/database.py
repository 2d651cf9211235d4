"""The database: sessions, transactions that are tried again, and its version."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

T = TypeVar("T")

_TRIES = 8
_QUIET: dict[str, Any] = {"hide_parameters": True}  # errors are logged, with no values in them
_POOL = {**_QUIET, "pool_size": 20, "max_overflow": 30}  # as many as there are threads, and some
_AGAIN = ("40001", "40P01")  # a serialization failure, a deadlock


class Database:
    """One database, used by many threads.

    Args:
        url: of SQLAlchemy.
    """

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _make_engine(url, self.is_sqlite)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        # SQLite has one writer at a time and lets the others sleep and try again, some for seconds
        self._turn = threading.Lock() if self.is_sqlite else nullcontext()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session to read with; nothing is committed."""
        with self._sessions() as session:
            yield session

    def transaction(self, work: Callable[[Session], T]) -> T:
        """Do `work` in a transaction; again, when another one was in its way.

        Args:
            work: given a session; may be called several times, so it must do nothing else.
        """
        for attempt in range(_TRIES):
            try:
                with self._turn, self._sessions() as session:
                    if self.is_sqlite:
                        session.execute(text("BEGIN IMMEDIATE"))
                    result = work(session)
                    session.commit()
                    return result
            except DBAPIError as error:
                if attempt == _TRIES - 1 or not _passes(error):
                    raise
                time.sleep(random.uniform(0, 0.02 * 2**attempt))
        raise AssertionError("unreachable")

    def ping(self) -> None:
        """Raise unless the database answers."""
        with self.engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _passes(error: DBAPIError) -> bool:
    """Whether the same work may succeed right afterwards."""
    if getattr(error.orig, "sqlstate", None) in _AGAIN:
        return True
    if error.connection_invalidated:
        return False  # it may have been committed: who asked must look
    return isinstance(error, OperationalError) and "locked" in str(error.orig)


def _make_engine(url: str, is_sqlite: bool) -> Engine:
    if not is_sqlite:
        return create_engine(url, **_POOL, pool_pre_ping=True)
    # what is in memory has a pool of its own kind
    pool = _POOL if make_url(url).database not in (None, "", ":memory:") else _QUIET
    engine = create_engine(url, **pool, connect_args={"timeout": 30, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, record: object) -> None:
        connection.isolation_level = None  # transactions begin where `transaction` says so
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")  # what was answered survives a power cut
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA busy_timeout = 30000")
        cursor.close()

    return engine
