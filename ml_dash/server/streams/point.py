"""The entry of a stream at a step or a time, or just before it: what a player shows there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ml_dash.reading.entries import Booleans
from ml_dash.reading.lines import Row, decode_line
from ml_dash.reading.merge import EXPLICIT, merged
from ml_dash.server.streams.chunks import Piece, StoredStream, decode
from ml_dash.server.streams.numbers import numbers
from ml_dash.server.streams.values import Base


def find_by_time(stream: StoredStream, time: float) -> Row | None:
    """The latest entry at or before a time; of several at that time the last."""
    best = None
    pieces = [piece for piece in stream.pieces(None, time) if piece.first <= time]
    for piece in sorted(pieces, key=lambda p: min(p.last, time), reverse=True):
        if best is not None and min(piece.last, time) < best:
            break
        times = numbers.load(stream, piece)[0].times
        before = times[times <= time]
        if len(before) and (best is None or before.max() > best):
            best = float(before.max())
    if best is None:
        return None
    return _entries(stream, best)[-1]


def find_by_step(stream: StoredStream, step: int) -> Row | None:
    """The entry of the greatest step up to `step`; of several of that step the latest."""
    best: tuple[int, float] | None = None
    pieces = [p for p in stream.pieces() if p.chunk.first_step is not None]
    for piece in sorted(pieces, key=lambda p: _end(p, step), reverse=True):
        if best is not None and _end(piece, step) < best[0]:
            break
        base = numbers.load(stream, piece)[0]
        kept: Booleans = base.stepped & (base.steps <= step)
        if not kept.any():
            continue
        greatest = int(base.steps[kept].max())
        time = float(base.times[kept & (base.steps == greatest)].max())
        if best is None or (greatest, time) > best:
            best = greatest, time
    if best is None:
        return None
    rows = _entries(stream, best[1])
    return next((row for row in reversed(rows) if row.get("step") == best[0]), rows[-1])


def has_steps(stream: StoredStream) -> bool:
    """Whether any row of a stream has a step."""
    return any(piece.chunk.first_step is not None for piece in stream.pieces())


def _end(piece: Piece, step: int) -> int:
    """The greatest step up to `step` that a chunk may have; least where it begins behind it."""
    first, last = piece.chunk.first_step, piece.chunk.last_step
    if first is None or last is None or first > step:
        return -(2**63)
    return min(last, step)


def _entries(stream: StoredStream, time: float) -> list[Row]:
    """The entries at a time, united where they belong together; at least one."""
    found: list[tuple[int, int, Row]] = []
    for piece in stream.pieces(time, time):
        base = numbers.load(stream, piece)[0]
        places = np.flatnonzero(base.times == time).tolist()
        if places:
            rows = _rows(stream, piece, base, places)
            found += [
                (piece.rank, piece.chunk.first_row + number, row)
                for number, row in zip(places, rows, strict=True)
            ]
    rows = [row for _, _, row in sorted(found, key=lambda entry: entry[:2])]
    if stream.is_track:
        return list(merged(rows))
    for row in rows:
        row.pop(EXPLICIT, None)
    return rows


def _rows(stream: StoredStream, piece: Piece, base: Base, places: Sequence[int]) -> list[Row]:
    """Some rows of a chunk by their numbers; the others are not decoded, where that may be."""
    text = stream.text(piece)
    ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
    if len(ends) == len(base.times):
        lines = (text[ends[n - 1] + 1 if n else 0 : ends[n]] for n in places)
        rows = [row for row, _ in map(decode_line, lines) if row is not None]
        if len(rows) == len(places):
            return rows
    rows = decode(text).rows
    return [rows[number] for number in places]


Finder = Callable[[StoredStream], Row | None]
"""Finds the entry of a stream."""
