"""The rows of a stream by number, step or time, as `ml_dash.reading.Stream.rows` gives them.

Only chunks whose statistics overlap what is asked for are read.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson

from ml_dash.reading.lines import Row
from ml_dash.reading.merge import EXPLICIT, merged, project
from ml_dash.rows import encode_row
from ml_dash.server.streams.chunks import Piece, StoredStream, digest
from ml_dash.server.streams.merge import Placed, ascending, clusters

_GATHERED = 1 << 18


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows are asked for; bounds are inclusive.

    Attributes:
        first: number of the first one, after rows were united.
        limit: how many at most.
        steps: from which to which step; rows without one are left out then.
        start: seconds.
        end: seconds.
        columns: fields beside `timestamp`; `None` for all.
    """

    first: int = 0
    limit: int | None = None
    steps: tuple[int | None, int | None] = (None, None)
    start: float | None = None
    end: float | None = None
    columns: Sequence[str] | None = None


class Counts:
    """How many entries groups of chunks have; a chunk never changes. Safe from any thread."""

    def __init__(self, limit: int = 100_000) -> None:
        self._limit = limit
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> int | None:
        """The count, if it is known."""
        with self._lock:
            return self._counts.get(key)

    def put(self, key: str, count: int) -> None:
        """Keep a count; the oldest goes for it."""
        with self._lock:
            self._counts[key] = count
            while len(self._counts) > self._limit:
                self._counts.popitem(last=False)


_counts = Counts()


def read_rows(stream: StoredStream, wanted: Wanted) -> Iterator[Row]:
    """The rows that are asked for, in order of time; they are read as they are taken."""
    pieces = stream.pieces(wanted.start, wanted.end, wanted.steps)
    skip = wanted.first
    is_part = wanted.steps != (None, None) or wanted.start is not None or wanted.end is not None
    if skip and not is_part:
        pieces, skip = _behind(stream, pieces, skip)
    rows = _entries(stream, pieces, wanted.start, wanted.end)
    if wanted.steps != (None, None):
        rows = (row for row in rows if _has_step(row, *wanted.steps))
    rows = islice(rows, skip, None if wanted.limit is None else skip + wanted.limit)
    columns = wanted.columns
    return rows if columns is None else (project(row, columns) for row in rows)


def encode(row: Row) -> bytes:
    """A row as a line, with what is not finite marked as in a segment."""
    try:
        body = orjson.dumps(row)
        if b"null" not in body:
            return body + b"\n"
    except TypeError:
        pass  # an integer over 64 bits, or half a surrogate pair
    own = {key: value for key, value in row.items() if key[:1] == "_"}
    rest = {key: value for key, value in row.items() if key[:1] != "_"}
    return encode_row(rest, head=own, where="row", strict=False)


def lines(rows: Iterator[Row]) -> Iterator[bytes]:
    """Rows as JSON Lines, some hundred KiB at a time."""
    gathered = bytearray()
    for row in rows:
        gathered += encode(row)
        if len(gathered) >= _GATHERED:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


def _entries(
    stream: StoredStream, pieces: Sequence[Piece], start: float | None, end: float | None
) -> Iterator[Row]:
    low = float("-inf") if start is None else start
    high = float("inf") if end is None else end
    rows = _ordered(stream, pieces, low, high)
    return merged(rows) if stream.is_track else _stripped(rows)


def _ordered(
    stream: StoredStream, pieces: Sequence[Piece], low: float, high: float
) -> Iterator[Row]:
    for cluster in clusters(pieces):
        if len(cluster) == 1:
            block = stream.block(cluster[0])
            pairs: Any = zip(block.timestamps, block.rows, strict=True)
            if not cluster[0].chunk.ordered:
                pairs = sorted(pairs, key=lambda pair: pair[0])
            yield from (row for time, row in pairs if low <= time <= high)
        else:
            for placed in ascending(cluster, lambda piece: _placed(stream, piece)):
                if low <= placed.key[0] <= high:
                    yield placed.row


def _placed(stream: StoredStream, piece: Piece) -> list[Placed]:
    block = stream.block(piece)
    first = piece.chunk.first_row
    return [
        Placed((time, piece.rank, number), row)
        for number, (time, row) in enumerate(zip(block.timestamps, block.rows, strict=True), first)
    ]


def _behind(stream: StoredStream, pieces: Sequence[Piece], skip: int) -> tuple[list[Piece], int]:
    """Leave out the groups of chunks that end before a row: what is left, and rows to skip of it.

    Groups share no moment, so rows are united in one of them, never across. How many entries a
    group of a track has is known once it has been read.
    """
    groups = clusters(pieces)
    for number, group in enumerate(groups):
        count = _count(stream, group)
        if count > skip:
            return [piece for rest in groups[number:] for piece in rest], skip
        skip -= count
    return [], 0


def _count(stream: StoredStream, group: Sequence[Piece]) -> int:
    rows = sum(piece.chunk.rows for piece in group)
    if not stream.is_track:
        return rows
    key = digest(group)
    known = _counts.get(key)
    if known is None:
        if any(f'"{EXPLICIT}"'.encode() in stream.text(piece) for piece in group):
            known = sum(1 for _ in _entries(stream, group, None, None))
        else:
            known = rows
        _counts.put(key, known)
    return known


def _has_step(row: Row, first: int | None, last: int | None) -> bool:
    step = row.get("step")
    if type(step) is not int:
        return False
    return (first is None or step >= first) and (last is None or step <= last)


def _stripped(rows: Iterator[Row]) -> Iterator[Row]:
    for row in rows:
        row.pop(EXPLICIT, None)
        yield row
