"""Samples: what belongs together of a run at one moment, one after the other.

No more than one row of a track is held at a time, however long the run is. What grows with it is
the index that aligning makes: some ten bytes a row and stream.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml_dash.dotted import groups_of, unflatten
from ml_dash.export.columns import OWN
from ml_dash.export.recording import Images, Placed, Series, Together

Integers = NDArray[np.int64]

_LOOK_BACK = 4096  # rows that are kept for those out of order: of forked processes, of episodes


class Sample(NamedTuple):
    """One moment.

    Attributes:
        number: counted from 0.
        episode: a number that is the same for all moments of an episode.
        step: `None` where it is not known.
        timestamp: in seconds.
        rows: the fields of each track, nested as they were recorded; `None` where it has none.
        frames: for each camera the number of its frame, -1 where it has none.
    """

    number: int
    episode: int
    step: int | None
    timestamp: float
    rows: Mapping[str, dict[str, Any] | None]
    frames: Mapping[str, int]


class Samples:
    """Aligned rows, to go through once or more.

    Attributes:
        topics: the tracks.
        cameras: the frames of each camera.
        timestamps: of each sample, in seconds, ascending.
        steps: of each sample; masked where it has none.
        hz: the fixed rate that they were brought to, or `None`.
    """

    def __init__(
        self,
        together: Together,
        tracks: Mapping[str, Series],
        cameras: Mapping[str, Images],
        *,
        hz: float | None = None,
        rows: Integers | None = None,
    ) -> None:
        self.topics = list(tracks)
        self.cameras = dict(cameras)
        self.hz = hz
        self._together = together
        self._tracks = dict(tracks)
        self._rows = np.arange(len(together), dtype=np.int64) if rows is None else rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Sample]:
        together, rows = self._together, self._rows
        cursors = {
            topic: _Cursor(table, together[topic], rows) for topic, table in self._tracks.items()
        }
        numbers = {camera: self.frame_numbers(camera) for camera in self.cameras}
        steps, times = np.ma.asarray(self.steps), self.timestamps
        masked = np.ma.getmaskarray(steps)
        episodes = self._together.episode_index[rows]
        for number in range(len(rows)):
            yield Sample(
                number,
                int(episodes[number]),
                None if masked[number] else int(steps.data[number]),
                float(times[number]),
                {topic: cursor.row(number) for topic, cursor in cursors.items()},
                {camera: int(found[number]) for camera, found in numbers.items()},
            )

    @property
    def timestamps(self) -> NDArray[np.float64]:
        """The time of each sample in seconds: shape (samples,), float64."""
        return self._together.timestamps[self._rows]

    @property
    def steps(self) -> NDArray[Any]:
        """The step of each sample: shape (samples,), int64, masked where it has none."""
        found: NDArray[Any] = self._together.steps[self._rows]
        return found

    def frame_numbers(self, camera: str) -> Integers:
        """For each sample the number of its frame, -1 where it has none."""
        return self._together.frame_index(camera)[self._rows]

    def with_frame(self, camera: str) -> Samples:
        """Those samples that have a frame of this camera."""
        return self.where(self.frame_numbers(camera) >= 0)

    def where(self, kept: NDArray[np.bool_]) -> Samples:
        """Those samples for which `kept` is true."""
        return Samples(
            self._together, self._tracks, self.cameras, hz=self.hz, rows=self._rows[kept]
        )

    def by_episode(self) -> Samples:
        """The same, episode after episode, also where a clock laid them among one another."""
        episodes = self._together.episode_index[self._rows]
        rows = self._rows[np.argsort(episodes, kind="stable")]
        return Samples(self._together, self._tracks, self.cameras, hz=self.hz, rows=rows)

    def only(self, topic: str) -> Samples:
        """The same samples with this track alone, and no frames."""
        tracks = {topic: self._tracks[topic]}
        return Samples(self._together, tracks, {}, hz=self.hz, rows=self._rows)

    def of(self, topic: str) -> Integers:
        """For each sample the number of the track's entry, -1 where it has none."""
        placed: Placed = self._together[topic]
        return placed.index[self._rows]

    @property
    def rate(self) -> float | None:
        """How many samples a second: the fixed rate, else that of the usual interval."""
        return self.hz or usual_rate(self.timestamps)


def usual_rate(timestamps: NDArray[np.float64]) -> float | None:
    """One over the median interval; `None` where there is none, or no time passed."""
    intervals = np.diff(timestamps)
    intervals = intervals[intervals > 0]
    return float(1 / np.median(intervals)) if len(intervals) else None


class _Cursor:
    """Walks forward through the rows of a track, as the samples do."""

    def __init__(self, table: Series, placed: Placed, rows: Integers) -> None:
        self._wanted = placed.index[rows]
        self._placed = placed
        self._rows = rows
        self._table = table
        known = self._wanted[self._wanted >= 0]
        behind = np.maximum.accumulate(known) - known if len(known) else known
        self._back = int(behind.max(initial=0))
        self._kept: deque[dict[str, Any]] = deque(maxlen=self._back + 1)
        self._source: Iterator[dict[str, Any]] | None = None
        self._read = 0

    def row(self, number: int) -> dict[str, Any] | None:
        wanted = int(self._wanted[number])
        if wanted < 0:
            return None
        if self._back > _LOOK_BACK:
            # Far out of order, such as long episodes of simulated time: held in memory as columns
            return _nested(self._placed.row(int(self._rows[number])) or {})
        if self._source is None:
            self._source = self._table.rows()
        while self._read <= wanted:
            row = next(self._source, None)
            if row is None:
                raise OSError("a track was cut or removed while it was exported; open the run anew")
            self._kept.append(row)
            self._read += 1
        found = self._kept[wanted - self._read]
        row = {key: value for key, value in found.items() if key not in OWN}
        if not self._placed.is_blended:
            return row
        return _blended(row, self._placed.row(int(self._rows[number])) or {})


def _nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields by dotted name, of numpy's types, as rows have them: nested, of plain values."""
    plain = {
        name: value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
        for name, value in fields.items()
    }
    # Keys may have dots of their own
    clash = any(group in plain for name in plain for group in groups_of(name))
    return plain if clash else unflatten(plain)


def _blended(row: Mapping[str, Any], numbers: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    """A row with the numbers by dotted name in place of its own."""
    found = {}
    for key, value in row.items():
        name = f"{at}{key}"
        if type(value) is dict:
            found[key] = _blended(value, numbers, f"{name}.")
        else:
            other = numbers.get(name)
            if isinstance(other, (np.ndarray, np.generic)) and other.dtype.kind == "f":
                found[key] = other.tolist()
            else:
                found[key] = value
    return found
