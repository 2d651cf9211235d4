"""The entry of a stream at a step or a time, or just before it: what a player shows there."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ml_dash.reading.entries import Booleans
from ml_dash.reading.lines import Row, decode_line
from ml_dash.reading.merge import EXPLICIT, merged
from ml_dash.server.streams.chunks import Piece, StoredStream, decode, digest
from ml_dash.server.streams.clocks import FAR
from ml_dash.server.streams.numbers import numbers
from ml_dash.server.streams.passes import goes_back
from ml_dash.server.streams.values import Base

_LAG = 2.0
"""Seconds within which all streams have written their entry of a step."""

_MOST = 300_000
"""Rows of a stream that is looked through."""

_KEPT = 1000
_lock = threading.Lock()
_known: dict[str, bool] = {}
"""Whether steps go back, by the hashes of chunks: they never change."""


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


def find_at(stream: StoredStream, step: int, time: float, nth: int | None = None) -> Row | None:
    """The entry at a step, and where steps go back, as in each episode, the one at that time.

    Streams of one step are written one after another, so where its steps only rise, a stream's
    entry of the step counts, though it may be later than `time`.

    Args:
        stream: where to look.
        step: the step.
        time: about when.
        nth: which of several entries of that step and time, from 0, or the last that there is.
    """
    pieces = stream.pieces()
    if not pieces or not _is_near(pieces, time):
        return find_by_step(stream, step)
    if nth is None and not steps_go_back(stream, pieces):
        return find_by_step(stream, step)
    timed = find_by_time(stream, time)
    if timed is not None and nth is not None:
        rows = _entries(stream, float(timed["timestamp"]))
        same = [row for row in rows if row.get("step") == step] or [
            row for row in rows if row.get("step") == timed.get("step")
        ]
        timed = same[min(nth, len(same) - 1)] if same else timed
    if timed is not None and timed.get("step") == step:
        return timed
    for moment, own in _moments(stream, time, time + _LAG):
        if moment > time and own >= step:
            if own > step:
                break
            rows = _entries(stream, moment)
            return next((row for row in reversed(rows) if row.get("step") == step), rows[-1])
    return timed


def steps_go_back(stream: StoredStream, pieces: Sequence[Piece]) -> bool:
    """Whether the steps of a stream go back anywhere; of a long one, from one chunk to another."""
    if sum(piece.chunk.rows for piece in pieces) > _MOST:
        stepped = sorted(
            (p for p in pieces if p.chunk.first_step is not None), key=lambda p: p.first
        )
        return any(
            (after.chunk.first_step or 0) < (before.chunk.last_step or 0)
            for before, after in pairwise(stepped)
        )
    key = digest(pieces)
    with _lock:
        found = _known.get(key)
    if found is None:
        found = _look_through(stream, pieces)
        with _lock:
            _known[key] = found
            if len(_known) > _KEPT:
                del _known[next(iter(_known))]
    return found


def _look_through(stream: StoredStream, pieces: Sequence[Piece]) -> bool:
    bases = [base for base, _ in numbers.load_all(stream, pieces, ())]
    stepped = np.concatenate([base.stepped for base in bases])
    times = np.concatenate([base.times for base in bases])[stepped]
    steps = np.concatenate([base.steps for base in bases])[stepped]
    return goes_back(steps[np.argsort(times, kind="stable")].astype(np.float64))


def _is_near(pieces: Sequence[Piece], time: float) -> bool:
    """Whether a time may be one of the clock that rows go by."""
    return min(p.first for p in pieces) - FAR <= time <= max(p.last for p in pieces) + FAR


def _moments(stream: StoredStream, start: float, end: float) -> list[tuple[float, int]]:
    """Time and step of the rows from one time to another, in order of time."""
    found: list[tuple[float, int]] = []
    for piece in stream.pieces(start, end):
        base = numbers.load(stream, piece)[0]
        kept: Booleans = base.stepped & (base.times >= start) & (base.times <= end)
        found += zip(base.times[kept].tolist(), base.steps[kept].tolist(), strict=True)
    return sorted(found, key=lambda row: row[0])


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
