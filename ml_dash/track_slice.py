"""A track's entries as its handle gives them back: whole, between two times, at one time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ml_dash.rows import encode_row
from ml_dash.steps import as_time

if TYPE_CHECKING:
    from ml_dash.reading import Stream

FORMATS = ("json", "jsonl", "numpy")

Entry = dict[str, Any]
"""A row as it is read: `timestamp`, `step` where there is one, and its fields."""


class TrackSlice:
    """The entries of a track between two times, as they were when it was made.

    Iterating goes through them in order of time, and never holds all of them in memory.
    """

    def __init__(self, stored: Stream, start: float | None, end: float | None) -> None:
        self._stored = stored
        self._start = None if start is None else as_time(start, "start_timestamp")
        self._end = None if end is None else as_time(end, "end_timestamp")
        self._count: int | None = None

    def __iter__(self) -> Iterator[Entry]:
        return self._stored.rows(self._start, self._end)

    def __len__(self) -> int:
        if self._count is None:
            self._count = sum(1 for _ in self)
        return self._count

    def __repr__(self) -> str:
        return f"<TrackSlice of {self._stored.name!r} from {self._start} to {self._end}>"

    def find(self, timestamp: float) -> Entry | None:
        """The latest entry at or before `timestamp`, `None` if there is none in the slice.

        Raises:
            ValueError: it is no number.
        """
        timestamp = as_time(timestamp, "timestamp")
        if self._end is not None:
            timestamp = min(timestamp, self._end)
        entry = self._stored.find(timestamp)
        if entry is None or (self._start is not None and entry["timestamp"] < self._start):
            return None
        return entry

    def findByTime(  # noqa: N802 - the published spelling
        self, timestamp: float | Sequence[float]
    ) -> Entry | list[Entry]:
        """`find`, for one time or each of several.

        Raises:
            KeyError: there is no entry at or before one of them.
        """
        if isinstance(timestamp, Sequence):
            return [self._found(time) for time in timestamp]
        return self._found(timestamp)

    def _found(self, timestamp: float) -> Entry:
        entry = self.find(timestamp)
        if entry is None:
            raise KeyError(f"no entry of {self._stored.name!r} at or before {timestamp}")
        return entry


def read(
    stored: Stream,
    start: float | None,
    end: float | None,
    columns: Sequence[str] | None,
    format: str,
) -> Any:
    """The entries between two times in one of `FORMATS`. See `Track.read`."""
    if format not in FORMATS:
        raise ValueError(
            f"stream {stored.name!r}: format is {format!r}; it must be one of {', '.join(FORMATS)}"
        )
    if isinstance(columns, str):
        raise TypeError(f"stream {stored.name!r}: columns must be a list, such as [{columns!r}]")
    start = None if start is None else as_time(start, "start_timestamp")
    end = None if end is None else as_time(end, "end_timestamp")
    if format == "numpy":
        from ml_dash.reading.table import Table

        return Table(stored, stored.name).read(start, end, columns, format)
    entries = stored.rows(start, end, columns)
    if columns is not None:
        entries = _checked(stored, columns, list(entries))
    if format == "jsonl":
        return b"".join(encode_row(entry, where=f"stream {stored.name!r}") for entry in entries)
    listed = list(entries)
    return {"entries": listed, "count": len(listed)}


def _checked(stored: Stream, columns: Sequence[str], entries: list[Entry]) -> Iterator[Entry]:
    """Refuse columns that no entry of the track has, at whatever time.

    Raises:
        KeyError: there is such a one; it names those that are spelled alike.
    """
    absent = set(columns).difference(*entries)
    if absent:
        from ml_dash.reading.table import Table

        table = Table(stored, stored.name)
        for name in absent:
            if not any(known.startswith(f"{name}.") for known in table.columns):
                table.part(name)
    return iter(entries)
