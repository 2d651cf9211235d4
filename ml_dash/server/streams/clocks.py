"""From when on the seconds of a run are counted: once for each clock that its rows go by.

Most rows go by the clock of the machine that records, and their seconds count from the start of the
run. Others have a clock of their own, such as that of a simulation or of a recording that is played
again: their seconds count from the first row that goes by it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import func, select

from ml_dash.reading.files import INDEX
from ml_dash.server.database import Database
from ml_dash.server.tables import Run, Segment

EARLY = 60.0
"""Seconds that a row may be older than its run: another machine's clock may be behind."""

FAR = 86_400.0
"""Seconds between rows beyond which they do not go by one clock."""


class Span(NamedTuple):
    """From when to when the rows of a stream go."""

    first: float
    last: float


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks of a run.

    Attributes:
        started: when the run began; `None` if that is not known.
        until: up to when rows of the run may begin that go by its own clock.
        own: the clocks that are not that of the run, from when to when.
    """

    started: float | None
    until: float
    own: tuple[Span, ...]

    def origin(self, span: Span) -> float:
        """From when on the seconds of rows count."""
        if self.started is not None and self._is_of_run(span):
            return self.started
        return next((c.first for c in self.own if _is_near(span, c)), span.first)

    def joined(self, spans: Iterable[Span]) -> Clocks:
        """The same with those of other rows, which change none of these."""
        others = [
            span
            for span in spans
            if not self._is_of_run(span) and not any(_is_near(span, clock) for clock in self.own)
        ]
        return Clocks(self.started, self.until, (*self.own, *_united(others)))

    def _is_of_run(self, span: Span) -> bool:
        return self.started is not None and self.started - EARLY <= span.first <= self.until


def find_clocks(data: Database, run_id: str) -> Clocks:
    """The clocks that the streams of a run go by."""
    query = (
        select(Segment.stream, func.min(Segment.first_time), func.max(Segment.last_time))
        .where(Segment.run_id == run_id, Segment.first_time.is_not(None))
        .group_by(Segment.stream)
    )
    with data.reading() as session:
        run = session.execute(select(Run.started, Run.ended).where(Run.id == run_id)).first()
        rows = session.execute(query).all()
    started, ended = run or (None, None)
    found = {
        s: Span(first, last) for s, first, last in rows if first is not None and last is not None
    }
    return clocks_of(found, started, time.time() if ended is None else ended)


def clocks_of(spans: Mapping[str, Span], started: float | None, ended: float) -> Clocks:
    """The clocks that streams go by.

    Args:
        spans: from when to when each stream goes.
        started: when the run began.
        ended: when it ended; of one that did not, and may be resumed any time, now.
    """
    known = [span for stream, span in spans.items() if stream != INDEX]  # of all cameras' clocks
    return Clocks(started, max(ended, started or ended) + FAR, ()).joined(known)


def _united(spans: Iterable[Span]) -> list[Span]:
    """Spans without those between which is less than a day."""
    found: list[Span] = []
    for span in sorted(spans):
        if found and span.first <= found[-1].last + FAR:
            found[-1] = Span(found[-1].first, max(found[-1].last, span.last))
        else:
            found.append(span)
    return found


def _is_near(span: Span, clock: Span) -> bool:
    return span.first <= clock.last + FAR and span.last >= clock.first - FAR
