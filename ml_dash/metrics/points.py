"""A metric's rows as its handle gives them back: page by page, and summed up."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml_dash.backends import Backend
    from ml_dash.reading import Stream


def page(stored: Stream, start: int, limit: int | None) -> dict[str, Any]:
    """Up to `limit` rows from number `start` on. See `Metric.read` for what is in it."""
    end = None if limit is None else start + limit
    points = [
        {"index": index, **_point(row)}
        for index, row in enumerate(islice(stored.rows(), start, end), start)
    ]
    return {
        "data": points,
        "startIndex": start,
        "endIndex": start + len(points) - 1,
        "total": len(points),
        "hasMore": end is not None and end < stored.count(),
    }


def overview(stored: Stream) -> dict[str, Any]:
    """How many rows there are, from when to when, and statistics of each column of numbers."""
    columns: dict[str, Column] = {}
    for row in stored.rows():
        for key, value in row.items():
            if type(value) in (float, int) and key not in ("timestamp", "step"):
                columns.setdefault(key, Column()).add(value)
    return {**extent(stored), "columns": {key: c.to_json() for key, c in columns.items()}}


def extent(stored: Stream) -> dict[str, Any]:
    """How many rows there are, and from when to when."""
    first, last = stored.span() or (None, None)
    return {
        "totalDataPoints": stored.count(),
        "firstDataAt": _iso(first),
        "lastDataAt": _iso(last),
    }


def descriptions(backend: Backend, name: str) -> Iterator[dict[str, Any]]:
    """What was said of the metric `name`, the latest last."""
    from ml_dash.reading import read_rows

    for row in read_rows(backend, "run"):
        if row.get("event") == "metric" and row.get("name") == name:
            yield {key: row[key] for key in ("description", "tags", "metadata") if key in row}


class Column:
    """Running statistics of one column, in constant memory."""

    def __init__(self) -> None:
        self.count = self.nan = 0
        self.min, self.max = math.inf, -math.inf
        self.sum = 0.0
        self.last = math.nan

    def add(self, value: float) -> None:
        """Take in one value; NaN is only counted."""
        try:
            value = float(value)
        except OverflowError:  # an integer beyond all floats
            value = math.inf if value > 0 else -math.inf
        if value != value:
            self.nan += 1
            return
        self.count += 1
        self.min = min(self.min, value)
        self.max = max(self.max, value)
        self.sum += value
        self.last = value

    def to_json(self) -> dict[str, float]:
        """The statistics by name; without any number they are NaN."""
        some = self.count > 0
        found: dict[str, float] = {
            "count": self.count,
            "min": self.min if some else math.nan,
            "max": self.max if some else math.nan,
            "mean": self.sum / self.count if some else math.nan,
            "last": self.last,
        }
        return found | ({"nan": self.nan} if self.nan else {})


def _point(row: dict[str, Any]) -> dict[str, Any]:
    timestamp = row.pop("timestamp")
    return {"timestamp": timestamp, "createdAt": _iso(timestamp), "data": row}


def _iso(timestamp: float | None) -> str | None:
    """ISO 8601 in UTC; `None` also for what is no date, as a clock that began somewhere else."""
    try:
        return None if timestamp is None else datetime.fromtimestamp(timestamp, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None
