"""What is new in a run, as server-sent events, for those who look on while it trains.

The database is asked again and again, so it does not matter which process took the rows. One event
says that streams grew, and how far; what was added is then read as any rows are. An event's id is
the run's size and the time of its last change: whoever resumes from it is told all if it moved on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import orjson
from sqlalchemy import func, select

from ml_dash.server.database import Database
from ml_dash.server.problems import Problem
from ml_dash.server.tables import Member, Project, Run, Segment

PAUSE = 1.0
"""Seconds between two looks."""

HEARTBEAT = 15.0
"""Seconds after which a comment shows that the connection lives."""

LONGEST = 600.0
"""Seconds after which the stream ends; browsers come back by themselves, with their token."""

Pause = Callable[[float], Awaitable[None]]


class Seats:
    """How many may follow at once in this process: each keeps a connection, and others need some.

    Args:
        limit: how many.

    Attributes:
        used: how many follow now.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    @classmethod
    def of(cls, state: Any) -> Seats:
        """Those of a server: half of its connections."""
        found: Seats | None = getattr(state, "seats", None)
        if found is None:
            found = state.seats = cls(max(1, state.settings.concurrency // 2))
        return found

    def taken(self, events: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """The same events, with a seat taken from the first of them to the last.

        Raises:
            Problem: 503, all are taken.
        """
        if self.used >= self.limit:
            raise Problem(503, "too many follow runs here already; ask later", retry_after=10.0)
        return self._hold(events)

    async def _hold(self, events: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        self.used += 1
        try:
            async for event in events:
                yield event
        finally:
            self.used -= 1
            await events.aclose()


class Watch:
    """Looks at one run.

    Args:
        data: the database.
        run_id: the run.
        show: gives the run as the API shows it.
        after: the id of the last event that was seen, or empty.
    """

    def __init__(
        self, data: Database, run_id: str, show: Callable[[], dict[str, Any]], after: str = ""
    ) -> None:
        self._data = data
        self._run_id = run_id
        self._show = show
        self._last = after
        self._sizes: dict[str, int] = {}
        self._status: Any = None

    def look(self, thorough: bool = False) -> list[bytes] | None:
        """Events of what has changed; `None` once the run has been deleted.

        Args:
            thorough: notice also that the run is taken to be dead by now, for which nothing came.
        """
        with self._data.reading() as session:
            found = session.execute(
                select(Run.size, Run.updated).where(Run.id == self._run_id)
            ).first()
            if found is None:
                return None
            mark = f"{found[0]}-{found[1]!r}"
            if mark == self._last:
                return self._look_again(mark) if thorough else []
            rows = session.execute(
                select(Segment.stream, func.sum(Segment.size))
                .where(Segment.run_id == self._run_id)
                .group_by(Segment.stream)
            )
            sizes = {stream: int(size) for stream, size in rows}
        grown = {s: size for s, size in sizes.items() if self._sizes.get(s) != size}
        self._sizes, self._last = sizes, mark
        events = [_event("segments", {"paths": grown})] if grown else []
        # The id goes with the last of them: whoever is cut off in between is told both again
        return [*events, self._run_event(mark)]

    def _look_again(self, mark: str) -> list[bytes]:
        if self._status is None or self._show().get("status") == self._status:
            return []
        return [self._run_event(mark)]

    def _run_event(self, mark: str) -> bytes:
        shown = self._show()
        self._status = shown.get("status")
        return f"id: {mark}\n".encode() + _event("run", shown)


async def follow(
    look: Callable[[bool], Awaitable[list[bytes] | None]],
    alive: Callable[[], Awaitable[bool]],
    stopping: Callable[[], bool],
    pause: Pause = asyncio.sleep,
) -> AsyncGenerator[bytes, None]:
    """Events, and comments in between, until the run, its server or whoever looks on is gone.

    Args:
        look: gives new events, `None` at the end; given whether to be thorough.
        alive: whether the reader may still read; asked at each heartbeat.
        stopping: whether the server ends.
        pause: waits some seconds.
    """
    yield b"retry: 2000\n\n"
    silent = total = checked = 0.0
    while total < LONGEST and not stopping():
        is_due = checked >= HEARTBEAT
        if is_due:
            checked = 0.0
            if not await alive():
                return
        events = await look(is_due)
        if events is None:
            return
        for event in events:
            yield event
            silent = 0.0
        if silent >= HEARTBEAT:
            yield b": still here\n\n"
            silent = 0.0
        await pause(PAUSE)
        silent += PAUSE
        checked += PAUSE
        total += PAUSE


def may_read(data: Database, run_id: str, user_id: str) -> bool:
    """Whether a user is still a member of the namespace that a run is in."""
    query = (
        select(Member.role)
        .select_from(Run)
        .join(Project, Project.id == Run.project_id)
        .join(Member, Member.namespace_id == Project.namespace_id)
        .where(Run.id == run_id, Member.user_id == user_id)
    )
    with data.reading() as session:
        return session.scalar(query) is not None


def _event(name: str, content: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(content, default=str))
