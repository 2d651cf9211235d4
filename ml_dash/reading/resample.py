"""A fixed-rate grid over aligned rows: what a recorder of that rate would have written."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ml_dash.reading.entries import Booleans, Floats, Integers
from ml_dash.reading.report import AlignmentReport, labels
from ml_dash.reading.topic import AlignedTopic, BlendedTopic

if TYPE_CHECKING:
    from ml_dash.reading.aligned import Aligned
    from ml_dash.reading.aligned_parts import Streams

METHODS = ("hold", "nearest", "linear")
MOST = 100_000_000
"""More ticks than this are a mistake: two clocks in one track, most likely."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The ticks of a fixed rate, and how they lie to the rows.

    Attributes:
        times: of each tick, in seconds.
        at: for each tick the last row at or before it, as a place in `order`.
        order: the rows, episode after episode, each in order of time.
        begin, last: for each tick the first and the last place of its episode.
        row_times: of the rows, by place.
        slack: how late a row may be and still be on its tick, in seconds.
    """

    times: Floats
    at: Integers
    order: Integers
    begin: Integers
    last: Integers
    row_times: Floats
    slack: float

    def before(self, present: Booleans) -> Integers:
        """For each tick the row at or before it, of those `present`; -1 where there is none."""
        places = np.arange(len(self.order), dtype=np.int64)
        latest = np.maximum.accumulate(np.where(present[self.order], places, -1))
        found = latest[self.at]
        return self._rows(np.where(found >= self.begin, found, -1))

    def after(self, present: Booleans) -> Integers:
        """For each tick the first row behind it, of those `present`; -1 where there is none."""
        count = len(self.order)
        places = np.arange(count, dtype=np.int64)
        turned = np.where(present[self.order], places, count)[::-1]
        nearest = np.append(np.minimum.accumulate(turned)[::-1], count)
        found = nearest[self.at + 1]
        return self._rows(np.where(found <= self.last, found, -1))

    def around(self, times: Floats, tolerance: float | None) -> tuple[Integers, Integers]:
        """For each tick the numbers of the times at or before it, and of those behind it.

        One behind a tick is of the same episode, as far as the rows tell; -1 where there is none.

        Args:
            times: of a stream of its own, ascending.
            tolerance: how far one may be from the tick, in seconds.
        """
        before = np.searchsorted(times, self.times + self.slack, side="right") - 1
        after = np.where(before + 1 < len(times), before + 1, -1)
        if len(times):
            next_one = np.append(self.row_times, np.inf)[self.last + 1]
            after[times[after] >= next_one] = -1
            most = np.inf if tolerance is None else tolerance + self.slack
            before[self.times - times[before] > most] = -1
            after[times[after] - self.times > most] = -1
        return before, after

    def chosen(self, method: str, before: Integers, after: Integers, times: Floats) -> Integers:
        """For each tick the one before it, or with `nearest` that behind it where it is nearer."""
        if method != "nearest" or not len(times):
            return before
        nearer = times[after] - self.times < self.times - times[before] - self.slack
        return np.where((after >= 0) & ((before < 0) | nearer), after, before)

    def weight(self, before: Integers, after: Integers, times: Floats) -> Floats:
        """How far each tick is from its row before to the one after, 0 to 1; 0 without both."""
        both = (before >= 0) & (after >= 0)
        first, second = times[before[both]], times[after[both]]
        found = np.zeros(len(before))
        passed, whole = self.times[both] - first, second - first
        # A row that is on the tick as far as its clock can tell, is the tick's own
        found[both] = np.where(passed > self.slack, passed / whole, 0.0)
        return np.clip(found, 0.0, 1.0)

    def _rows(self, places: Integers) -> Integers:
        return np.where(places < 0, -1, self.order[places])


def make_grid(times: Floats, episodes: Integers, hz: float) -> Grid:
    """The ticks from the first to the last row of each episode, `hz` of them a second.

    Args:
        times: of the rows, in seconds, ascending within each episode.
        episodes: the number of each row's episode.
        hz: how many ticks a second.

    Raises:
        ValueError: there would be more ticks than anybody can want.
    """
    order = np.argsort(episodes, kind="stable")
    row_times, grouped = times[order], episodes[order]
    new = np.concatenate([[True], grouped[1:] != grouped[:-1]])[: len(order)]
    begins = np.flatnonzero(new)
    ends = np.append(begins[1:], len(order))[: len(begins)]
    spans = row_times[ends - 1] - row_times[begins]
    slack = _slack(times, hz)
    with np.errstate(over="ignore"):  # infinitely many are too many, too
        counts = np.floor((spans + slack) * hz) + 1
    if counts.sum() > MOST:
        raise ValueError(
            f"hz is {hz!r}: that gives {counts.sum():,.0f} rows over {spans.max():,.0f} seconds;"
            " do all rows have the same clock?"
        )
    counts = counts.astype(np.int64)
    starts = np.cumsum(counts) - counts
    ticks = np.arange(int(counts.sum()), dtype=np.int64) - np.repeat(starts, counts)
    grid = np.repeat(row_times[begins], counts) + ticks / hz
    at = np.empty(len(grid), np.int64)
    for begin, end, start, count in zip(begins, ends, starts, counts, strict=True):
        of = slice(start, start + count)
        at[of] = begin + np.searchsorted(row_times[begin:end], grid[of] + slack, "right") - 1
    first, last = np.repeat(begins, counts), np.repeat(ends - 1, counts)
    return Grid(grid, at, order, first, last, row_times, slack)


def resample(
    aligned: Aligned, hz: float, method: str, by_episode: bool | None, clock: str | None
) -> Aligned:
    """Bring aligned rows to a fixed rate. See `Aligned.resample`."""
    if isinstance(hz, bool) or not isinstance(hz, (int, float)) or not 0 < hz < math.inf:
        raise ValueError(f"hz is {hz!r}; it must be a number of rows a second above 0")
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; it must be one of {', '.join(METHODS)}")
    pieces = aligned.parts.pieces
    if pieces is not None and clock is None:
        return pieces.join([resample(rows, hz, method, by_episode, None) for rows in pieces.runs])
    groups = aligned.run_index if by_episode is False else aligned.episode_index
    times = aligned.timestamps if clock is None else _seconds(aligned, clock)
    _check_forward(times, groups, clock)
    grid = make_grid(times, groups, float(hz))
    topics, frames = _placed(aligned, grid, method, times, clock is None)
    starts = None
    if clock is not None:
        _, first = np.unique(aligned.run_index, return_index=True)
        starts = aligned.parts.starts.copy()
        starts[aligned.run_index[first]] = times[first]
    everywhere = np.ones(len(times), np.bool_)
    rows = grid.chosen(method, grid.before(everywhere), grid.after(everywhere), times)
    found = aligned.brought_to(rows, grid.times, topics, frames, starts)
    found.parts = replace(found.parts, hz=float(hz))
    if aligned.parts.streams is not None and clock is None:
        found.report = _with_all_of(found, aligned.parts.streams)
    return found


def _with_all_of(found: Aligned, streams: Streams) -> AlignmentReport:
    """The report of a grid that takes streams by their own times: nothing of them is left out."""
    report = found.report
    names = {*streams.tracks, *labels(found.parts.topics, streams.cameras)[len(found.topics) :]}
    return replace(
        report,
        unused={name: 0 if name in names else n for name, n in report.unused.items()},
        first_unused={n: [] if n in names else first for n, first in report.first_unused.items()},
        without_step={name: n for name, n in report.without_step.items() if name not in names},
    )


def _placed(
    aligned: Aligned, grid: Grid, method: str, times: Floats, by_time: bool
) -> tuple[dict[str, AlignedTopic], dict[str, Integers]]:
    """Tracks and frames at the ticks: by their own times what belongs to the rows by time."""
    streams = aligned.parts.streams if by_time else None
    topics: dict[str, AlignedTopic] = {}
    for name, topic in aligned.parts.topics.items():
        if streams is not None and name in streams.tracks:
            whole, own = streams.tracks[name]
            before, after = grid.around(own, streams.tolerance)
        else:
            whole, own = topic, times
            before, after = grid.before(topic.present), grid.after(topic.present)
        if method == "linear":
            weight = grid.weight(before, after, own)
            topics[name] = BlendedTopic(whole, before, after, weight)
        else:
            topics[name] = whole.take(grid.chosen(method, before, after, own))
    frames: dict[str, Integers] = {}
    for camera in aligned.cameras:
        if streams is not None and camera in streams.cameras:
            own = streams.cameras[camera]
            frames[camera] = grid.chosen(method, *grid.around(own, streams.tolerance), own)
        else:
            present = aligned.has_frame(camera)
            rows = grid.chosen(method, grid.before(present), grid.after(present), times)
            frames[camera] = aligned.frames_of(camera, rows)
    return topics, frames


def _seconds(aligned: Aligned, clock: str) -> Floats:
    """A column that tells the time."""
    topic, column = aligned.place(clock)
    part = None if column is None else topic.part(column)
    if part is None or part.kind not in ("float", "int") or part.data.ndim != 1:
        raise ValueError(f"clock is {clock!r}; it must be a column of seconds")
    times = part.data.astype(np.float64)
    unknown = ~np.isfinite(times) if part.missing is None else part.missing | ~np.isfinite(times)
    if unknown.any():
        raise ValueError(
            f"clock is {clock!r}: {np.count_nonzero(unknown):,} of {len(times):,} rows have no"
            f" time; leave them out with rows.take(~rows.missing({clock!r}))"
        )
    return times


def _check_forward(times: Floats, groups: Integers, clock: str | None) -> None:
    """Refuse times that go back within an episode, from which no grid can be made."""
    order = np.argsort(groups, kind="stable")
    back = np.flatnonzero((np.diff(times[order]) < 0) & (np.diff(groups[order]) == 0))
    if not len(back):
        return
    row = order[back[0] + 1]
    if clock is None:  # rows that were taken in another order
        raise ValueError(
            f"row {row:,} is earlier than the one before it; a grid needs rows in order of time"
        )
    raise ValueError(
        f"clock is {clock!r}: it goes back at {len(back):,} of {len(times):,} rows, first at row"
        f" {row:,}; record an 'episode' with every row, or choose another clock"
    )


def _slack(times: Floats, hz: float) -> float:
    """By how much a row may be late and still be on its tick, in seconds.

    Timestamps are rounded to microseconds, and floats of today's epoch have steps of a quarter of
    one; a tick is counted from one such, and compared with another.
    """
    size = float(np.abs(times).max(initial=0.0))
    return max(min(2e-6, 0.1 / hz), 2 * float(np.spacing(size)))
