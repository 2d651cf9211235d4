"""The streams of a run, and what is known of each without reading it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from ml_dash.server.database import Database
from ml_dash.server.streams.clocks import Clocks, Span, find_clocks
from ml_dash.server.tables import Segment


def list_streams(data: Database, run_id: str) -> list[dict[str, Any]]:
    """Every stream by name: rows, bytes, segments, and from where to where it goes.

    `origin` is from when on its seconds count.
    """
    columns = (
        func.sum(Segment.rows),
        func.sum(Segment.size),
        func.count(),
        func.min(Segment.first_step),
        func.max(Segment.last_step),
        func.min(Segment.first_time),
        func.max(Segment.last_time),
        func.max(Segment.updated),
    )
    query = select(Segment.stream, *columns).where(Segment.run_id == run_id)
    clocks = find_clocks(data, run_id)
    with data.reading() as session:
        found = session.execute(query.group_by(Segment.stream).order_by(Segment.stream)).all()
    return [
        {
            "name": name,
            "rows": int(rows),
            "size": int(size),
            "segments": count,
            "steps": None if first_step is None else [first_step, last_step],
            "times": None if first_time is None else [first_time, last_time],
            "origin": _origin(clocks, first_time, last_time),
            "updated": updated,
        }
        for name, rows, size, count, first_step, last_step, first_time, last_time, updated in found
    ]


def _origin(clocks: Clocks, first: float | None, last: float | None) -> float | None:
    return None if first is None or last is None else clocks.origin(Span(first, last))
