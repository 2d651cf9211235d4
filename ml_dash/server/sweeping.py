"""What a server does beside answering: small chunks put together, and what is not needed removed.

Each process has a thread for it. A lease in the database lets one process at a time do each kind;
it runs out by itself, so that another goes on where a process died. Nothing depends on it: all of
this is safe to be done by two at once, and to be broken off anywhere.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from typing import Protocol

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from ml_dash.server.accounts.attempts import WINDOW
from ml_dash.server.accounts.locks import hold
from ml_dash.server.accounts.secrets import KEPT, forget_ended
from ml_dash.server.blobs import uploads
from ml_dash.server.database import Database
from ml_dash.server.segments.compaction import compact_run, find_loose
from ml_dash.server.settings import ServerSettings
from ml_dash.server.store import LostError, ObjectStore
from ml_dash.server.tables import (
    Attempt,
    Blob,
    Chunk,
    DeviceGrant,
    Garbage,
    Lease,
    Run,
    Upload,
)

EVERY = 20.0
"""Seconds between two rounds, more or less."""

COMPACTING, SWEEPING, SEARCHING = 120.0, 600.0, 86_400.0
"""Seconds for which one process does a kind of work for all."""

UNKNOWN = 6 * 3600.0
"""Age of an object at which it is removed, if nothing speaks of it: an append writes it first."""

_AT_ONCE = 500

logger = logging.getLogger("ml_dash.server.sweeping")


class Stop(Protocol):
    """Says whether to stop; a `threading.Event` does."""

    def is_set(self) -> bool:
        """Whether to stop."""
        ...


class Sweeper:
    """Does all of it, round after round, in a thread of its own.

    Args:
        data: the database.
        objects: the store.
        settings: when chunks are put together, and how long readers are given.
        now: the time, in seconds since 1970.
    """

    def __init__(
        self,
        data: Database,
        objects: ObjectStore,
        settings: ServerSettings,
        now: Callable[[], float],
    ) -> None:
        self._data = data
        self._objects = objects
        self._settings = settings
        self._now = now
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """End, between two steps; what is left for later is harmless."""
        self._stop.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stop.wait(EVERY * random.uniform(0.5, 1.5)):
            self.work()

    def work(self) -> None:
        """One round; what fails is told, and tried again once its lease is over."""
        for step in (self._compact, self._sweep, self._search):
            try:
                step()
            except Exception as error:  # noqa: BLE001 - database or store are away; they come back
                logger.warning("%s failed: %s", step.__name__.strip("_"), type(error).__name__)

    def _compact(self) -> None:
        if not claim(self._data, "compact", self._now(), COMPACTING):
            return
        after = ""
        while not self._stop.is_set():
            now = self._now()
            found = find_loose(self._data, now, self._settings.compact_chunks, after)
            if not found:
                break
            for run_id in found:
                if self._stop.is_set():
                    break
                try:
                    compact_run(self._data, self._objects, run_id, self._now())
                except LostError as error:  # of one run is no other run's harm
                    logger.warning("the run %s cannot be compacted: %s", run_id, error)
                after = run_id
        release(self._data, "compact")

    def _sweep(self) -> None:
        now = self._now()
        if claim(self._data, "sweep", now, SWEEPING):
            sweep_garbage(self._data, self._objects, now - self._settings.grace_seconds, self._stop)
            while not self._stop.is_set() and uploads.sweep(self._data, self._objects, now):
                pass
            sweep_secrets(self._data, now)

    def _search(self) -> None:
        now = self._now()
        if claim(self._data, "search", now, SEARCHING):
            before = now - max(UNKNOWN, self._settings.grace_seconds)
            sweep_unknown(self._data, self._objects, before, self._stop)


def claim(data: Database, name: str, now: float, seconds: float) -> bool:
    """Take a lease, if nobody has it."""

    def work(session: Session) -> bool:
        hold(session, f"lease:{name}")
        lease = session.get(Lease, name)
        if lease is not None and now < lease.until <= now + seconds:
            return False  # one that is further ahead was taken by a clock that was wrong
        session.merge(Lease(name=name, until=now + seconds))
        return True

    return data.transaction(work)


def release(data: Database, name: str) -> None:
    """Give a lease back before it ends."""
    data.transaction(lambda session: session.execute(delete(Lease).where(Lease.name == name)))


def sweep_garbage(data: Database, objects: ObjectStore, before: float, stop: Stop) -> int:
    """Remove objects that have been garbage since `before`; how many."""
    removed = 0
    while not stop.is_set():
        with data.reading() as session:
            query = select(Garbage.object_key).where(Garbage.since <= before).limit(_AT_ONCE)
            keys = list(session.scalars(query))
        if not keys:
            break
        for key in keys:
            if key.endswith("/"):  # of a run that was deleted: nothing can come to need them
                below = [found for found, _, _ in objects.list(key)]
                objects.delete(below)
                removed += len(below)
        taken = data.transaction(partial(_take, keys=keys))
        objects.delete(taken)
        removed += len(taken)
    return removed


def _take(session: Session, keys: list[str]) -> list[str]:
    """Forget garbage, and tell which of it is to be removed.

    This comes before it is removed: who wants to use such an object after all finds it gone here.
    """
    query = delete(Garbage).where(Garbage.object_key.in_(keys)).returning(Garbage.object_key)
    gone = [key for key in session.scalars(query) if not key.endswith("/")]
    needed = set(session.scalars(select(Chunk.object_key).where(Chunk.object_key.in_(gone))))
    return [key for key in gone if key not in needed]


def sweep_secrets(data: Database, now: float) -> None:
    """Delete tokens, sessions, devices and tries that ended long ago. API tokens stay."""

    def work(session: Session) -> None:
        forget_ended(session, now)
        session.execute(delete(DeviceGrant).where(DeviceGrant.expires < now - KEPT))
        session.execute(delete(Attempt).where(Attempt.at < now - WINDOW))

    data.transaction(work)


def sweep_unknown(data: Database, objects: ObjectStore, before: float, stop: Stop) -> int:
    """Remove objects of runs, written before `before`, that nothing speaks of; how many.

    A process that died between writing an object and committing what it is for left them.
    """
    removed = 0
    old = (key for key, _, at in objects.list("runs/") if at < before and key.count("/") > 2)
    for part in _parted(old):
        if stop.is_set():
            break
        for run_id, keys in groupby(sorted(part), lambda key: key.split("/")[1]):
            unknown = _unknown(data, run_id, list(keys))
            objects.delete(unknown)
            removed += len(unknown)
    return removed


def _parted(keys: Iterator[str]) -> Iterator[list[str]]:
    while part := [key for _, key in zip(range(_AT_ONCE), keys, strict=False)]:
        yield part


def _unknown(data: Database, run_id: str, keys: list[str]) -> list[str]:
    with data.reading() as session:
        if session.scalar(select(Run.id).where(Run.id == run_id)) is None:
            return keys
        needed = set(session.scalars(select(Chunk.object_key).where(Chunk.object_key.in_(keys))))
        needed |= set(
            session.scalars(select(Garbage.object_key).where(Garbage.object_key.in_(keys)))
        )
        if len(needed) < len(keys):
            for table in (Blob, Upload):
                query = select(table.parts).where(table.run_id == run_id)
                for parts in session.scalars(query.execution_options(yield_per=1000)):
                    needed.update(parts)
    return [key for key in keys if key not in needed]
