"""Who writes a run: whose rows may still grow, who is gone, and who sends its rows itself."""

from __future__ import annotations

import os
import time

from ml_dash.backends import LocalBackend
from ml_dash.reading.status import RUNNING, Session, fold_life


def live_writers(backend: LocalBackend) -> set[str]:
    """The writers of a run whose sessions live."""
    live = {session.id for session in _sessions(backend) if session.status == RUNNING}
    # One that has not come to say so yet: its rows are in its ring, and their order is its own.
    return live | {path.stem for path in (backend.folder / ".buffer").glob("*.ring")}


def silent_writers(backend: LocalBackend) -> dict[str, float]:
    """The writers of a run that are gone, and the seconds since their last signs of life."""
    from ml_dash.reading.last_seen import see_last_rows
    from ml_dash.reading.source import Source

    now = time.time()
    sessions = _sessions(backend, now)
    see_last_rows(Source(backend, recover=False), sessions)
    return {s.id: max(0.0, now - s.last_seen) for s in sessions if s.status != RUNNING}


def other_senders(backend: LocalBackend) -> set[str]:
    """The writers of a run that live in other processes and send what the folder has.

    Forked children and workers that joined send nothing themselves, so they are none.
    """
    sessions = _sessions(backend)
    return {s.id for s in sessions if s.status == RUNNING and s.root and s.pid != os.getpid()}


def _sessions(backend: LocalBackend, now: float | None = None) -> list[Session]:
    from ml_dash.reading import read_rows

    return fold_life(read_rows(backend, "run"), now).sessions
