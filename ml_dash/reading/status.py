"""The life of a run, folded from the rows of its sessions.

A run is RUNNING while any of its sessions lives. Then the root session that ended last decides:
COMPLETED, FAILED or CANCELLED as it said, INTERRUPTED if its process is gone without a word. A
forked child, and a worker that only joined, never decide.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ml_dash.environment import process_alive

RUNNING = "RUNNING"
COMPLETED = "COMPLETED"
FAILED = "FAILED"
CANCELLED = "CANCELLED"
INTERRUPTED = "INTERRUPTED"
CLOSED = "CLOSED"
"""How a session ends that does not decide the run's status."""

STALE = 120.0
"""Seconds without a sign of life after which a session that cannot be looked at counts as gone.

Sessions give one every 15 seconds; network file systems may show it a minute late.
"""

_DETAILS = {"description": str, "tags": list, "bindrs": list, "metadata": dict}


@dataclass(slots=True)
class Session:
    """One process's part in a run.

    Attributes:
        id: the writer id that its segments are named after.
        root: whether its end decides the run's status.
        start: when it began, in seconds since 1970.
        end: when it said that it ended, or `None`.
        status: `RUNNING`, `COMPLETED`, `FAILED`, `CANCELLED`, `CLOSED` or `INTERRUPTED`.
        error: the text of what ended it.
        last_seen: the time of its latest sign of life.
        lost: what it could not write, by stream.
        host: where it ran.
        pid: its process id there.
        anchor: its clocks at one moment.
        ahead: seconds that its clock is ahead of ours, as far as a server can tell.
        environment: what was recorded of its surroundings.
    """

    id: str
    root: bool = False
    start: float = 0.0
    end: float | None = None
    status: str = RUNNING
    error: str | None = None
    last_seen: float = 0.0
    lost: dict[str, int] = field(default_factory=dict)
    host: str | None = None
    pid: int | None = None
    anchor: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    ahead: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The session as plain JSON types, without what is not known."""
        found = {name: getattr(self, name) for name in self.__slots__ if name != "ahead"}
        return {name: value for name, value in found.items() if value not in (None, {})}


@dataclass(slots=True)
class Life:
    """What the stream `run` says, folded.

    Attributes:
        id: the run's snowflake id, `""` if no row says it.
        prefix: the run's key, `""` if no row says it.
        status: see above.
        sessions: in the order they began.
        details: description, tags, bindrs, metadata, the latest of each.
    """

    id: str = ""
    prefix: str = ""
    status: str = INTERRUPTED
    sessions: list[Session] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def last_seen(self) -> float:
        """When one of its sessions last gave a sign of life."""
        return max((session.last_seen for session in self.sessions), default=0.0)

    @property
    def active(self) -> float:
        """For how many seconds sessions went on, as far as they were seen; without pauses."""
        return active_seconds((own.start, own.end or own.last_seen) for own in self.sessions)

    @property
    def lost(self) -> dict[str, int]:
        """What all sessions could not write, by stream."""
        total: dict[str, int] = {}
        for session in self.sessions:
            for stream, count in session.lost.items():
                total[stream] = total.get(stream, 0) + count
        return total

    @property
    def error(self) -> str | None:
        """Why the run failed, if it did."""
        last = _deciding(self.sessions)
        return last.error if last is not None else None


def active_seconds(spans: Iterable[tuple[float, float]]) -> float:
    """For how long at least one session of a run went on; pauses between them do not count.

    Args:
        spans: of each session when it began, and when it ended or was last seen.
    """
    total = 0.0
    covered = float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, covered))
        covered = max(covered, end)
    return total


def fold_life(
    rows: Iterable[Mapping[str, Any]],
    now: float | None = None,
    ask: Callable[[], Mapping[str, tuple[float, float]]] | None = None,
) -> Life:
    """Fold the rows of the stream `run`, which come in order of time.

    Args:
        rows: from all sessions.
        now: seconds since 1970, by default the present, for the age of a sign of life.
        ask: what a server heard of the sessions, as `HttpBackend.sessions` has it; asked where one
            has not said its end.
    """
    life = Life()
    sessions: dict[str, Session] = {}
    identities: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        name = row.get("session")
        if isinstance(name, str):
            session = sessions.setdefault(name, Session(name, start=row["timestamp"]))
            _take(session, row)
            if row.get("event") == "start":
                identities.setdefault(name, row)
                life.id = life.id or _text(row.get("id"))
                life.prefix = life.prefix or _text(row.get("prefix"))
        if row.get("event") in ("start", "update"):
            # Rows may come from anywhere: what is of another type than ours says nothing.
            life.details |= {
                key: row[key] for key, kind in _DETAILS.items() if type(row.get(key)) is kind
            }
    now = time.time() if now is None else now
    open_ = [session for session in sessions.values() if session.end is None]
    heard = ask() if ask is not None and open_ else {}
    for session in open_:
        if session.id in heard:
            last_seen, silent = heard[session.id]
            session.last_seen = max(session.last_seen, last_seen)
            session.ahead = last_seen + silent - now
        if not _lives(session, identities.get(session.id), now):
            session.status = INTERRUPTED
    life.sessions = sorted(sessions.values(), key=lambda session: session.start)
    if any(session.status == RUNNING for session in life.sessions):
        life.status = RUNNING
    elif (last := _deciding(life.sessions)) is not None:
        life.status = last.status
    return life


def _take(session: Session, row: Mapping[str, Any]) -> None:
    """Take in one row of a session."""
    session.last_seen = max(session.last_seen, row["timestamp"])
    event = row.get("event")
    if event == "start":
        session.root = session.root or row.get("root") is True
        session.host = _text(row.get("host")) or session.host
        pid = row.get("pid")
        session.pid = pid if type(pid) is int else session.pid
        session.anchor = _dict(row.get("anchor")) or session.anchor
    elif event == "end":
        session.end = row["timestamp"]
        session.status = _text(row.get("status")) or INTERRUPTED
        session.error = _text(row.get("error")) or None
    if "lost" in row:
        session.lost = {k: v for k, v in _dict(row["lost"]).items() if type(v) is int}
    if "environment" in row:
        session.environment = _dict(row["environment"])


def _lives(session: Session, identity: Mapping[str, Any] | None, now: float) -> bool:
    """Whether a session that has not said its end is still there."""
    alive = process_alive(identity) if identity is not None else None
    if alive is None:  # of another host or container: only its signs of life tell
        return now + session.ahead - session.last_seen < STALE
    return alive


def _deciding(sessions: Iterable[Session]) -> Session | None:
    """The root session that ended last; one that was interrupted ended when it was last seen."""
    roots = [s for s in sessions if s.root and s.status not in (RUNNING, CLOSED)]
    return max(roots, key=lambda s: s.last_seen if s.end is None else s.end, default=None)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _dict(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}
