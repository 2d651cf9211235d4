"""Charts: least, greatest and mean value of each bucket, so that no spike is ever left out."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ml_dash.reading.entries import Booleans, Floats
from ml_dash.server.problems import Problem
from ml_dash.server.streams.chunks import Piece, StoredStream
from ml_dash.server.streams.numbers import numbers
from ml_dash.server.streams.passes import EPISODE, Passes, find_passes, repeats
from ml_dash.server.streams.table import Table

MOST = 16_000_000
"""Rows that one chart goes through; more are asked for in parts."""

MOST_VALUES = 32_000_000
"""Rows times columns of one chart: what it holds while it is made is nine bytes of each."""

_LARGE = 2_000_000
_TIMES = 4  # as many buckets as were asked for, at most, of all passes together
_LEAST = 16  # buckets of a pass
_large = threading.BoundedSemaphore(2)  # charts of many values at once, so that memory suffices

Curve = dict[str, Any]
"""Arrays of one length: `x`, `min`, `max`, `mean`, `count`, `nonfinite`.

Where there are several lines, `passes` are the places at which they begin, and `names` theirs.
"""


@dataclass(frozen=True, slots=True)
class Axis:
    """What a chart is drawn over.

    Attributes:
        kind: `step`, `time`, or `relative`: seconds since `origin`.
        low: from where, inclusive; `None` for the beginning.
        high: up to where, inclusive.
        origin: seconds since 1970.
    """

    kind: str
    low: float | None = None
    high: float | None = None
    origin: float = 0.0


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn.

    Attributes:
        curves: by column.
        exact: whether every value is there by itself.
    """

    curves: dict[str, Curve]
    exact: bool


def find_pieces(stream: StoredStream, axis: Axis) -> list[Piece]:
    """The chunks that a chart is made of.

    Raises:
        Problem: 413, they have too many rows.
    """
    if axis.kind == "step":
        low = None if axis.low is None else int(np.ceil(axis.low))
        high = None if axis.high is None else int(np.floor(axis.high))
        pieces = stream.pieces(steps=(low, high))
    else:
        # A little wider, since seconds since 1970 are rounded when the origin is taken away
        start = None if axis.low is None else axis.low + axis.origin - 1e-3
        end = None if axis.high is None else axis.high + axis.origin + 1e-3
        pieces = stream.pieces(start, end)
    if sum(piece.chunk.rows for piece in pieces) > MOST:
        raise Problem(413, f"a chart goes through {MOST:,} rows at most; ask for a shorter range")
    return pieces


def make_chart(
    stream: StoredStream, pieces: Sequence[Piece], columns: Sequence[str], axis: Axis, buckets: int
) -> Chart:
    """The columns of a stream, as a chart shows them.

    A column of fewer than twice as many values as buckets is given value by value. Otherwise every
    bucket is there, also one in which there is nothing: its count is 0. Values that are not finite
    are counted and left out of the others.

    Raises:
        Problem: 413, it would take too much memory.
    """
    columns = list(dict.fromkeys(columns))
    size = sum(piece.chunk.rows for piece in pieces) * len(columns)
    if size > MOST_VALUES:
        raise Problem(
            413,
            f"a chart holds {MOST_VALUES:,} values at most, and this one {size:,}; ask for fewer"
            " columns or a shorter range",
        )
    if size < _LARGE:
        return _draw(stream, pieces, columns, axis, buckets)
    with _large:
        return _draw(stream, pieces, columns, axis, buckets)


def _draw(
    stream: StoredStream, pieces: Sequence[Piece], columns: Sequence[str], axis: Axis, buckets: int
) -> Chart:
    table = Table(numbers.load_all(stream, pieces, columns), pieces, stream.is_track)
    steps = table.steps()
    xs = steps if axis.kind == "step" else table.timestamps - axis.origin
    passes = None
    if repeats(steps):
        passes = find_passes(steps, _episodes(stream, pieces), axis.kind == "step")
    inside = ~np.isnan(xs)
    if axis.low is not None:
        inside &= xs >= axis.low
    if axis.high is not None:
        inside &= xs <= axis.high
    curves = {}
    exact = True
    for name in columns:
        data, present = table.column(name)
        kept = present & inside
        x, y = (xs, data) if kept.all() else (xs[kept], data[kept])
        own = None if passes is None else passes.of(present, steps)
        if own is not None:
            own = replace(own, number=own.number[inside[present]])
            curves[name], single = _of_passes(x, y, own, axis, buckets)
        else:
            single = len(x) < 2 * buckets
            curves[name] = _points(x, y) if single else _buckets(x, y, axis, buckets)
        exact &= single
    return Chart(curves, exact)


def _episodes(stream: StoredStream, pieces: Sequence[Piece]) -> tuple[Floats, Booleans] | None:
    """The episode of each row, and whether it has one; `None` where none is told."""
    _, first = numbers.load(stream, pieces[0], [EPISODE])
    if not first[EPISODE].present.any():
        return None
    named = Table(numbers.load_all(stream, pieces, [EPISODE]), pieces, stream.is_track)
    return named.column(EPISODE)


def _of_passes(
    x: Floats, y: Floats, passes: Passes, axis: Axis, buckets: int
) -> tuple[Curve, bool]:
    """A line for each pass, or what all have in common; and whether every value is there."""
    if not passes.many:
        return _lines(x, y, passes, buckets)
    if len(x) and (axis.kind != "step" or len(x) >= 2 * buckets):
        each = len(x) // len(passes.names)  # so that a bucket has values of all
        return _buckets(x, y, axis, min(buckets, max(_LEAST, each))), False
    return _united(_points(x, y)), len(np.unique(x)) == len(x)


def _lines(x: Floats, y: Floats, passes: Passes, buckets: int) -> tuple[Curve, bool]:
    """A line for each pass, one after another; and whether every value is there by itself."""
    found = [number for number in range(len(passes.names)) if np.any(passes.number == number)]
    if not found:
        return _points(x, y), True
    exact = len(x) < 2 * buckets
    share = min(buckets, max(_LEAST, _TIMES * buckets // len(found)))
    whole = float(x.max() - x.min()) or 1.0
    lines = []
    for number in found:
        a, b = x[passes.number == number], y[passes.number == number]
        ends = Axis("", float(a.min()), float(a.max()))
        fit = max(1, math.ceil(share * float(a.max() - a.min()) / whole))
        lines.append(_points(a, b) if exact or len(a) < 2 * fit else _buckets(a, b, ends, fit))
    curve: Curve = {key: np.concatenate([line[key] for line in lines]) for key in lines[0]}
    if len(found) > 1:
        begins = np.cumsum([0, *(len(line["x"]) for line in lines[:-1])])
        curve |= {"passes": begins, "names": [passes.names[number] for number in found]}
    return curve, exact


def _united(curve: Curve) -> Curve:
    """Values at one place as one bucket."""
    if not len(curve["x"]):
        return curve
    x, start, count = np.unique(curve["x"], return_index=True, return_counts=True)
    bad = np.add.reduceat(curve["nonfinite"], start)
    good = np.maximum(count - bad, 1)
    # Divided first: the sum of finite values may not be finite
    parts = np.nan_to_num(curve["mean"], nan=0.0) / np.repeat(good, count)
    return {
        "x": x,
        "min": np.fmin.reduceat(curve["min"], start),
        "max": np.fmax.reduceat(curve["max"], start),
        "mean": np.where(bad < count, np.add.reduceat(parts, start), np.nan),
        "count": count,
        "nonfinite": bad,
    }


def _points(x: Floats, y: Floats) -> Curve:
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    finite = np.isfinite(y)
    value = np.where(finite, y, np.nan)
    return {
        "x": x,
        "min": value,
        "max": value,
        "mean": value,
        "count": np.ones(len(x), np.int64),
        "nonfinite": (~finite).astype(np.int64),
    }


def _buckets(x: Floats, y: Floats, axis: Axis, count: int) -> Curve:
    low = float(x.min()) if axis.low is None else axis.low
    high = float(x.max()) if axis.high is None else axis.high
    width = (high - low) / count or 1.0
    place = np.clip(((x - low) / width).astype(np.int64), 0, count - 1)
    if np.any(place[1:] < place[:-1]):  # steps that go back, as after a resume
        order = np.argsort(place, kind="stable")
        place, y = place[order], y[order]
    finite = np.isfinite(y)
    total = np.bincount(place, minlength=count)
    good = total
    inside, value = place, y
    if not finite.all():
        inside, value = place[finite], y[finite]
        good = np.bincount(inside, minlength=count)
    least, greatest, mean = (np.full(count, np.nan) for _ in range(3))
    if len(value):
        starts = np.flatnonzero(np.concatenate([[True], inside[1:] != inside[:-1]]))
        filled = inside[starts]
        least[filled] = np.minimum.reduceat(value, starts)
        greatest[filled] = np.maximum.reduceat(value, starts)
        # Divided first: the sum of finite values may not be finite
        mean[filled] = np.add.reduceat(value / good[inside], starts)
    return {
        "x": low + (np.arange(count) + 0.5) * width,
        "min": least,
        "max": greatest,
        "mean": mean,
        "count": total,
        "nonfinite": total - good,
    }
