"""Aligning streams on timestamps: to each row of the first one the latest of each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ml_dash.reading.aligned import Aligned, of_one_run
from ml_dash.reading.aligned_parts import Streams
from ml_dash.reading.entries import Floats, Integers
from ml_dash.reading.join import ABSENT
from ml_dash.reading.parts import join, select
from ml_dash.reading.report import make_report
from ml_dash.reading.topic import AlignedTopic

if TYPE_CHECKING:
    from ml_dash.reading.frames import Frames
    from ml_dash.reading.table import Table


def align_on_timestamp(
    tables: Mapping[str, Table],
    cameras: Mapping[str, Frames],
    tolerance: float | None,
    keep: bool,
) -> Aligned:
    """To each row of the first stream the latest of each other one."""
    times = [table.timestamps for table in tables.values()]
    times += [frames.timestamps for frames in cameras.values()]
    base = times[0]
    rows = np.stack([_as_of(base, other, tolerance) for other in times], axis=1)
    rows[:, 0] = np.arange(len(base), dtype=np.int64)
    all_steps = [table.step_part for table in tables.values()]
    all_steps += [frames.facts.steps for frames in cameras.values()]
    steps, alone = all_steps[0], 0
    if keep and tables:
        for column in range(len(tables), len(times)):
            unused = np.ones(len(times[column]), np.bool_)
            unused[rows[rows[:, column] != ABSENT, column]] = False
            more = np.full((int(unused.sum()), len(times)), ABSENT, np.int64)
            more[:, column] = np.flatnonzero(unused)
            alone += len(more)
            rows, base = np.concatenate([rows, more]), np.append(base, times[column][unused])
            steps = join([steps, select(all_steps[column], more[:, column])])
        order = np.argsort(base, kind="stable")
        rows, base, steps = rows[order], base[order], select(steps, order)
    report = make_report("timestamp", "timestamp", tables, cameras, rows, frames_alone=alone)
    found = of_one_run(tables, cameras, rows, steps, base, report)
    others = list(cameras.items())[0 if tables else 1 :]
    streams = whole_streams(dict(list(tables.items())[1:]), dict(others), tolerance)
    found.parts = replace(found.parts, streams=streams)
    return found


def whole_streams(
    tables: Mapping[str, Table], cameras: Mapping[str, Frames], tolerance: float | None = None
) -> Streams:
    """Streams as they were recorded, to be taken by their own times."""
    tracks = {
        name: (AlignedTopic(name, table, np.arange(len(table), dtype=np.int64)), table.timestamps)
        for name, table in tables.items()
    }
    return Streams(tracks, {name: found.timestamps for name, found in cameras.items()}, tolerance)


def _slack(base: Floats, tolerance: float) -> float:
    """How much the rounding of clocks may add to a difference of times, in seconds.

    Timestamps are rounded to microseconds, and floats of today's epoch have steps of a quarter of
    one. A tolerance of 0 is for what has the very same timestamp.
    """
    if not tolerance:
        return 0.0
    return min(2e-6, 0.1 * tolerance) + 2 * float(np.spacing(np.abs(base).max(initial=0.0)))


def _as_of(base: Floats, other: Floats, tolerance: float | None) -> Integers:
    """For each time of `base` the last of `other` at or before it, `ABSENT` if there is none."""
    found = np.searchsorted(other, base, side="right") - 1
    if tolerance is not None and len(other):
        found[base - other[np.maximum(found, 0)] > tolerance + _slack(base, tolerance)] = ABSENT
    return found
