"""Keeps the database of a folder at its present: finds runs, and reads what is added to them."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from ml_dash import ids
from ml_dash.backends import LocalBackend
from ml_dash.buffer.recovery import rings
from ml_dash.names import prefix_of
from ml_dash.reading.locate import run_folders
from ml_dash.reading.source import Source
from ml_dash.server.database import Database
from ml_dash.server.folder.contents import Contents
from ml_dash.server.folder.store import FolderStore
from ml_dash.server.tables import Project, Run

LOOKED_AT = 30.0
"""Seconds that a run is kept at its present after it was asked for."""

PAUSE = 0.5
"""Seconds between two looks at the runs that are looked at."""

SCAN = 3.0
"""Seconds between two looks at the whole folder."""

COUNT = 20.0
"""Seconds between two looks at the rows of a run that goes on; a few MiB of them at a time."""

ODD = 60.0
"""Seconds after which a run that could not be taken in is tried again."""

_AT_ONCE = 100
_log = logging.getLogger("uvicorn.error")


class Watch:
    """The runs of a folder, as the database has them.

    Args:
        root: the folder.
        data: the database, empty.
        objects: what gives the bytes of their files.
        namespace_id: what they are kept in.
    """

    def __init__(self, root: Path, data: Database, objects: FolderStore, namespace_id: str) -> None:
        self.root = root
        self._data = data
        self._objects = objects
        self._namespace_id = namespace_id
        self._runs: dict[Path, Contents] = {}
        self._by_id: dict[str, Contents] = {}
        self._projects: dict[str, str] = {}
        self._odd: dict[Path, float] = {}  # what could not be taken in, and when that was tried
        self._asked: dict[str, float] = {}
        self._waiting: deque[str] = deque()
        self._lock = threading.RLock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._go, name="ml-dash-folder", daemon=True)

    def start(self) -> None:
        """Find the runs, and go on in the background."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._end.set()
        self._thread.join()

    def prepare(self, run_id: str) -> None:
        """Bring a run to its present, all of it, because somebody looks at it now."""
        now = time.time()
        fresh = now - self._asked.get(run_id, 0.0) < LOOKED_AT
        self._asked[run_id] = now
        contents = self._by_id.get(run_id)
        if contents is not None and not fresh:
            _recover(contents.backend)
            self._bring(contents)

    def folder_of(self, run_id: str) -> Path:
        """Where a run is.

        Raises:
            KeyError: it is gone.
        """
        return self._by_id[run_id].backend.folder

    def write(self, run_id: str, segment: str, line: bytes) -> None:
        """Add a row to a segment that nobody else writes."""
        with self._lock:
            contents = self._by_id[run_id]
            backend = contents.backend
            backend.append(segment, backend.size(segment), [line])
            backend.sync([segment])
            with self._taking([backend.folder]):
                self._data.transaction(partial(contents.tell, now=time.time()))

    def scan(self) -> None:
        """Find runs that are new and those that are gone; bring the rows of all to the present."""
        found = [path.absolute() for path in run_folders(self.root)]
        if gone := self._runs.keys() - set(found):
            self.forget([self._runs[folder].run_id for folder in gone])
        good = [folder for folder in found if folder not in self._odd]
        for first in range(0, len(good), _AT_ONCE):
            if self._end.is_set():
                return
            self._tell_all(good[first : first + _AT_ONCE])
        self._odd = {folder: at for folder, at in self._odd.items() if folder in found}
        for folder, at in list(self._odd.items()):
            if time.monotonic() - at > ODD:
                self._tell_all([folder])
                if folder in self._runs:
                    del self._odd[folder]

    def count(self) -> None:
        """Take in rows of runs that go on, though nobody looks at them: the table counts them.

        Of those that have ended since, what came after the last look is read to its end.
        """
        for contents in list(self._runs.values()):
            now = time.time()
            if contents.pulse.alive and now - contents.counted > COUNT:
                with self._taking([contents.backend.folder]):
                    self._data.transaction(partial(contents.take, now=now))
            elif contents.counted and contents.behind and not contents.pulse.alive:
                self._waiting.appendleft(contents.run_id)  # one that was never read waits already

    def forget(self, run_ids: list[str]) -> None:
        """Runs that are gone from the folder."""
        with self._lock:
            self._runs = {f: c for f, c in self._runs.items() if c.run_id not in run_ids}
            for run_id in run_ids:
                self._by_id.pop(run_id, None)
            self._data.transaction(
                lambda session: session.execute(delete(Run).where(Run.id.in_(run_ids)))
            )
            self._objects.remove(run_ids)

    @contextmanager
    def _taking(self, folders: list[Path]) -> Iterator[None]:
        """Take something of runs in. Where that fails, all of them is read anew next time.

        The database forgets what was begun then, and so must we.
        """
        with self._lock:
            try:
                yield
            except BaseException:  # whatever ended it: what the database forgot, we may not keep
                self.forget([self._id(folder) for folder in folders])
                with self._data.reading() as session:
                    known = session.execute(select(Project.name, Project.id)).all()
                self._projects = {row.name: row.id for row in known}
                raise

    def _tell_all(self, folders: list[Path]) -> None:
        """Bring the rows of some runs to the present; what cannot be taken in is left out."""
        try:
            with self._taking(folders):
                self._data.transaction(partial(self._tell, folders=folders))
            return
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one, the others are told
            trouble = error
        if len(folders) > 1:
            middle = len(folders) // 2
            self._tell_all(folders[:middle])
            self._tell_all(folders[middle:])
            return
        (folder,) = folders
        if folder.is_dir() and folder not in self._odd:  # else it was removed, or that is said
            _log.error("the run in %s cannot be shown", folder, exc_info=trouble)
        self._odd[folder] = time.monotonic()

    def _tell(self, session: Session, folders: list[Path]) -> None:
        for folder in folders:
            contents = self._runs.get(folder)
            if contents is None:
                contents = self._add(session, folder)
            contents.tell(session, time.time())

    def _add(self, session: Session, folder: Path) -> Contents:
        project, name = self._named(folder)
        now = time.time()
        if project not in self._projects:
            self._projects[project] = ids.new_id()
            session.add(
                Project(
                    id=self._projects[project],
                    namespace_id=self._namespace_id,
                    name=project,
                    created=now,
                )
            )
            session.flush()
        run = Run(
            id=self._id(folder),
            project_id=self._projects[project],
            name=name,
            created=now,
            updated=folder.stat().st_mtime,
        )
        session.add(run)
        session.flush()
        made = Contents(run.id, self._objects.add(run.id, folder))
        self._runs[folder] = self._by_id[run.id] = made
        self._waiting.append(run.id)
        return made

    def _id(self, folder: Path) -> str:
        return ids.stable_id("/".join(self._named(folder)))

    def _named(self, folder: Path) -> tuple[str, str]:
        inside = folder.relative_to(self.root.absolute())
        if inside == Path():
            return "default", folder.name
        first, _, rest = prefix_of(inside).partition("/")
        return (first, rest) if rest else ("default", first)

    def _go(self) -> None:
        scanned = 0.0
        while not self._end.is_set():
            try:
                if time.monotonic() - scanned > SCAN or not scanned:
                    self.scan()
                    self.count()
                    scanned = time.monotonic()
                self.look()
            except Exception:  # noqa: BLE001 - it is read anew; the others are looked at again soon
                _log.exception("a look at %s failed", self.root)
            self._end.wait(PAUSE if not self._waiting else 0.0)

    def look(self) -> None:
        """Read what was added to runs that are looked at; else the next that was never read."""
        now = time.time()
        for run_id, asked in list(self._asked.items()):
            contents = self._by_id.get(run_id)
            if contents is None or now - asked > LOOKED_AT:
                del self._asked[run_id]
                continue
            self._bring(contents)
        if self._waiting and (contents := self._by_id.get(self._waiting.popleft())):
            self._read(contents)

    def _bring(self, contents: Contents) -> None:
        """Bring a run to its present: first what its row tells, then the rows of its streams."""
        with self._taking([contents.backend.folder]):
            self._data.transaction(partial(contents.tell, now=time.time()))
        self._read(contents)

    def _read(self, contents: Contents) -> None:
        with self._taking([contents.backend.folder]):
            while self._data.transaction(lambda session: contents.take(session, time.time())):
                if self._end.is_set():
                    return


def _recover(backend: LocalBackend) -> None:
    """Rows that a process which was killed left behind become part of the segments."""
    if rings(backend.folder):
        Source(backend).recover()
