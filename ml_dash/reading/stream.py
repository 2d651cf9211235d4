"""The rows of one stream: the segments of all its writers, merged by timestamp.

Merging is stable: rows with one timestamp stay in the order of their sessions and, within one, in
the order they were written. Rows are decoded as they are asked for.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import overload

from ml_dash.backends import Backend
from ml_dash.reading.lines import BLOCK, Block, Problems, Row, Segment, read_blocks
from ml_dash.reading.merge import EXPLICIT, merged, project
from ml_dash.reading.source import Source
from ml_dash.reading.timeline import Index, Timeline
from ml_dash.steps import as_time


class Stream:
    """One stream of a run, read row by row.

    Args:
        source: what to read from.
        name: the stream, such as `logs` or `tracks/robot/position`.
        merge: unite rows with the same explicit timestamp, as tracks do; by default those of
            tracks.
    """

    def __init__(self, source: Source, name: str, *, merge: bool | None = None) -> None:
        self.source = source
        self.name = name
        self.merge = name.startswith("tracks/") if merge is None else merge
        self._indexes: list[Index] = []
        self._listed: list[Segment] | None = None
        self._timeline = Timeline(source.backend, [])

    @property
    def segments(self) -> list[Segment]:
        """Its segments, in the order of their sessions."""
        return self.source.segments(self.name)

    def blocks(self) -> Iterator[tuple[int, Block]]:
        """All rows as they lie in the segments, not merged: the segment's number and the block."""
        for number, segment in enumerate(self.segments):
            for block in read_blocks(self.source.backend, segment, self.source.problems):
                yield number, block
                del block  # whoever asked is done with it: its memory serves for the next one

    def rows(
        self,
        start: float | None = None,
        end: float | None = None,
        columns: Sequence[str] | None = None,
    ) -> Iterator[Row]:
        """The rows in order of time.

        Args:
            start: leave out what is before, in seconds.
            end: leave out what is after, in seconds.
            columns: keep these fields only, beside `timestamp`; nested ones are written `a.b`, and
                a row that has none of them gives its timestamp alone.

        Raises:
            ValueError: `start` or `end` is no number.
        """
        start = None if start is None else as_time(start, "start")
        end = None if end is None else as_time(end, "end")
        timeline = self.timeline()
        first = 0 if start is None else bisect_left(timeline.times, start)
        last = len(timeline) if end is None else bisect_right(timeline.times, end, hi=len(timeline))
        rows = self._entries(timeline.rows(first, last))
        return rows if columns is None else (project(row, columns) for row in rows)

    def find(self, timestamp: float) -> Row | None:
        """The latest row at or before `timestamp`, or `None` when all are later.

        Raises:
            ValueError: `timestamp` is no number.
        """
        timestamp = as_time(timestamp, "timestamp")
        timeline = self.timeline()
        end = bisect_right(timeline.times, timestamp, hi=len(timeline))
        if end == 0:
            return None
        first = bisect_left(timeline.times, timeline.times[end - 1]) if self.merge else end - 1
        return list(self._entries(timeline.rows(first, end)))[-1]

    def slice(self, start: float | None = None, end: float | None = None) -> Slice:
        """The rows between two times, held: to go through again, index, and find in."""
        return Slice(list(self.rows(start, end)))

    def count(self) -> int:
        """How many rows there are, before any are united."""
        return len(self.timeline())

    def span(self) -> tuple[float, float] | None:
        """The first and the last timestamp, or `None` when there is no row."""
        timeline = self.timeline()
        return (timeline.times[0], timeline.times[len(timeline) - 1]) if len(timeline) else None

    def ends(self) -> dict[str, int]:
        """By segment how many of its bytes were taken in: up to its last whole line."""
        return {index.segment.path: index.end for index in self._indexes}

    def timeline(self) -> Timeline:
        """Where all rows are, after taking in what the segments grew by since."""
        segments = self.segments
        if segments is not self._listed:
            known = {i.segment.path: i for i in self._indexes if i.segment.data is None}
            self._indexes = [known.get(s.path) or Index(s) for s in segments]
            for index, segment in zip(self._indexes, segments, strict=True):
                index.extend(self.source, segment)
            self._timeline = Timeline(self.source.backend, self._indexes)
            self._listed = segments
        return self._timeline

    def _entries(self, rows: Iterator[Row]) -> Iterator[Row]:
        return merged(rows) if self.merge else _stripped(rows)


class FixedStream(Stream):
    """A stream as it is now, also after its run was refreshed."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream.source, stream.name, merge=stream.merge)
        self._fixed = stream.segments

    @property
    def segments(self) -> list[Segment]:
        """Its segments when it was made, as long as they were."""
        return self._fixed


class Slice(Sequence[Row]):
    """Rows in order of time that were read once and stay as they are."""

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Slice: ...
    def __getitem__(self, index: int | slice) -> Row | Slice:
        return Slice(self._rows[index]) if isinstance(index, slice) else self._rows[index]

    def __repr__(self) -> str:
        return f"<Slice of {len(self)} rows>"

    def find(self, timestamp: float) -> Row | None:
        """The latest row at or before `timestamp`, or `None` when all are later."""
        timestamp = as_time(timestamp, "timestamp")
        end = bisect_right(self._rows, timestamp, key=lambda row: float(row["timestamp"]))
        return self._rows[end - 1] if end else None


def read_rows(
    backend: Backend,
    stream: str,
    *,
    start: float | None = None,
    end: float | None = None,
    columns: Sequence[str] | None = None,
    problems: Problems | None = None,
) -> Iterator[Row]:
    """The rows of a stream in order of time, as they are on disk now. See `Stream.rows`.

    Args:
        backend: where the run is kept.
        stream: such as `params`, `metrics/train` or `tracks/robot/position`, encoded.
        start: leave out what is before, in seconds.
        end: leave out what is after, in seconds.
        columns: keep these fields only, beside `timestamp`.
        problems: takes what is unreadable.
    """
    source = Source(backend)
    if problems is not None:
        source.problems = problems
    return Stream(source, stream).rows(start, end, columns)


class Tail:
    """Follows a stream: `poll` gives the rows that have come since it was last called."""

    def __init__(self, backend: Backend, stream: str) -> None:
        self._source = Source(backend)
        self._stream = stream
        self._ends: dict[str, int] = {}

    def begin(self, count: int | None, keep: Callable[[Row], bool]) -> Iterator[Row]:
        """The rows that `keep` wants of those there are, in order of time; for once, before `poll`.

        Args:
            count: only so many, the last ones; what is long before them is not read.
            keep: whether a row is wanted.
        """
        if count is None:
            stream = Stream(self._source, self._stream, merge=False)
            rows = stream.rows()
            self._ends = stream.ends()
            return filter(keep, rows)
        found: list[Row] = []
        for segment in self._source.segments(self._stream):
            found += self._last_of(segment, count, keep)
        found.sort(key=lambda row: float(row["timestamp"]))
        return _stripped(iter(found[len(found) - min(count, len(found)) :]))

    def _last_of(self, segment: Segment, count: int, keep: Callable[[Row], bool]) -> Iterable[Row]:
        """The last rows that are wanted of a segment, whose writer wrote them in order of time."""
        size = BLOCK
        while True:
            begin = self._line_behind(segment, segment.size - size)
            rows: deque[Row] = deque(maxlen=count)
            for block in read_blocks(self._source.backend, segment, self._source.problems, begin):
                rows.extend(filter(keep, block.rows))
                self._ends[segment.path] = block.offset + len(block.text)
            if begin == 0 or (len(rows) == count and segment.path in self._ends):
                return rows
            size *= 4

    def _line_behind(self, segment: Segment, offset: int) -> int:
        """Where the first line begins that does not begin before `offset`."""
        if offset <= 0:
            return 0
        offset -= 1  # the newline before may be the last byte that is left out
        while data := segment.read(self._source.backend, offset, BLOCK):
            if b"\n" in data:
                return offset + data.index(b"\n") + 1
            offset += len(data)
        return segment.size

    def poll(self) -> list[Row]:
        """New rows in order of time; all there are when nothing was asked for before."""
        self._source.refresh()
        rows: list[Row] = []
        for segment in self._source.segments(self._stream):
            begin = self._ends.get(segment.path, 0)
            if segment.size <= begin:
                continue
            for block in read_blocks(self._source.backend, segment, self._source.problems, begin):
                rows += block.rows
                self._ends[segment.path] = block.offset + len(block.text)
        return list(_stripped(iter(sorted(rows, key=lambda row: float(row["timestamp"])))))


def _stripped(rows: Iterator[Row]) -> Iterator[Row]:
    for row in rows:
        row.pop(EXPLICIT, None)
        yield row
