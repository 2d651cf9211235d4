"""Whether a run in a folder goes on: asked of its processes, as whoever reads the folder does.

A server hears of a run when rows arrive. Here nobody sends any, and a heartbeat comes every 15
seconds: between two of them a process of this machine can be looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ml_dash.backends import Backend
from ml_dash.reading.last_seen import see_last_rows
from ml_dash.reading.source import Source
from ml_dash.reading.status import RUNNING, STALE, fold_life
from ml_dash.server.tables import Run

Row = Mapping[str, Any]


class Pulse:
    """The sessions of one run.

    Attributes:
        alive: whether one of them went on when it was last asked.
        open: whether there is one that did not say its end.
    """

    def __init__(self) -> None:
        self.alive = False
        self.open = False
        self._rows: list[Row] = []
        self._beats: dict[Any, Row] = {}  # the latest alone: a long run has very many
        # When the last was seen of those that are gone, and for how long they went on
        self._gone: tuple[float, float] | None = None

    def take(self, rows: Iterable[Row]) -> None:
        """Take in rows of the stream `run`."""
        for row in rows:
            if row.get("event") == "heartbeat":
                self._beats[row.get("session")] = row
            else:
                self._rows.append(row)

    def settle(self, run: Run, now: float, backend: Backend, *, grown: bool) -> bool:
        """Have the row of the run say whether it goes on, and when it was last seen.

        Args:
            run: its row.
            now: by the clock of this machine.
            backend: the run's folder.
            grown: whether rows of any stream have come since the last time.

        Returns:
            Whether that is new.
        """
        rows = sorted([*self._rows, *self._beats.values()], key=lambda row: row["timestamp"])
        life = fold_life(rows, now)
        self.open = any(session.end is None for session in life.sessions)
        self.alive = life.status == RUNNING
        if not life.sessions:
            return False
        if self.alive or grown:
            self._gone = None
        if not self.alive and self._gone is None:  # as whoever reads the folder finds it
            see_last_rows(Source(backend, recover=False), life.sessions)
            self._gone = life.last_seen, life.active
        run.heartbeat, run.active = self._gone or (life.last_seen, life.active)
        if not self.open:
            return False
        before = run.lives_until
        if not self.alive:
            run.lives_until = None
        elif (before or 0.0) < now + STALE / 2:
            run.lives_until = now + STALE
        return run.lives_until != before
