"""Aligned rows: what belongs together of several tracks and cameras, as one table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ml_dash.hints import nearest
from ml_dash.reading.aligned_parts import AlignedParts
from ml_dash.reading.dataset import Dataset
from ml_dash.reading.entries import Booleans, Floats, Integers
from ml_dash.reading.episodes import number_episodes
from ml_dash.reading.parts import Array, Part, finish, read_only, select
from ml_dash.reading.report import AlignmentReport
from ml_dash.reading.topic import AlignedTopic, missing, picked

if TYPE_CHECKING:
    from ml_dash.reading.frames import Frames
    from ml_dash.reading.table import Table


class Aligned(Dataset):
    """Rows of several tracks and cameras that belong together, in order of time.

    `aligned["robot/position"]["x"]` or `aligned["robot/position.x"]` is a column, and
    `aligned["x"]` where one track alone has it; where a track has no row it is missing, marked as
    in the tracks' own columns, and like these it cannot be written to. `aligned.frame(i)` decodes
    the frame of a row. Iterating gives a dict for each row, as does `aligned[i]`;
    `aligned[100:200]` are some of the rows.

    Attributes:
        report: how well the streams fit together.
        parts: what it is made of.
    """

    def __init__(self, parts: AlignedParts, report: AlignmentReport) -> None:
        self.parts = parts
        self.report = report
        self._episodes: Integers | None = None
        self._from: tuple[Aligned, Integers] | None = None

    def __len__(self) -> int:
        return len(self.parts.timestamps)

    def __repr__(self) -> str:
        return f"<Aligned: {self.report}>"

    @property
    def steps(self) -> Array:
        """The step of each row: shape (rows,), int64; a masked array where one has none."""
        return finish(self.parts.steps)

    @property
    def timestamps(self) -> Floats:
        """The time of each row in seconds, that of its first track: shape (rows,), float64."""
        return read_only(self.parts.timestamps)

    @property
    def timestamps_ms(self) -> Floats:
        """Milliseconds since the first row of the run: shape (rows,), float64."""
        found: Floats = (self.timestamps - self.parts.starts[self.run_index]) * 1000.0
        return found

    @property
    def run_index(self) -> Integers:
        """The number of each row's run: shape (rows,), int64; all 0 unless runs were joined."""
        return read_only(self.parts.runs)

    @property
    def episode_index(self) -> Integers:
        """The number of each row's episode, from 0 in order of appearance: shape (rows,), int64.

        Rows of one run that share a value of the column `episode` are an episode, unless the
        program was started again or the step went back between them. Without such a column one
        begins where a run begins, and where its step goes back. Rows that were taken from others
        keep the numbers they had there.
        """
        if self._episodes is None and self._from is not None:
            whole, rows = self._from
            self._episodes = whole.episode_index[rows]
        elif self._episodes is None:
            parts = self.parts
            self._episodes = number_episodes(parts.topics.values(), parts.steps, parts.runs)
        return read_only(self._episodes)

    @property
    def topics(self) -> list[str]:
        """The tracks."""
        return list(self.parts.topics)

    @property
    def cameras(self) -> list[str]:
        """The cameras."""
        return list(self.parts.cameras)

    @property
    def columns(self) -> list[str]:
        """All columns, as `robot/position.x`."""
        return [f"{name}.{c}" for name, topic in self.parts.topics.items() for c in topic.columns]

    def __getitem__(self, name: Any) -> Any:
        if isinstance(name, str):
            topic, column = self.place(name)
            return topic if column is None else topic[column]
        if isinstance(name, (int, np.integer)):
            return self.row(int(name))
        if isinstance(name, (slice, np.ndarray, list)):
            return self.take(name)
        raise TypeError(f"{name!r}: give a track, a column, the number of a row, or a slice")

    def place(self, name: str) -> tuple[AlignedTopic, str | None]:
        """The track and the column that a name means; no column where it is a track's name.

        Raises:
            KeyError: there is none, or several tracks have a column of that name.
        """
        topics = self.parts.topics
        if name in topics:
            return topics[name], None
        for topic in sorted(topics, key=len, reverse=True):
            if name.startswith(f"{topic}."):
                return topics[topic], name[len(topic) + 1 :]
        having = [topic for topic in topics.values() if topic.optional(name).kind != "none"]
        having = having or [topic for topic in topics.values() if name in topic]
        if len(having) == 1:
            return having[0], name
        if having:
            listed = ", ".join(f"'{topic.name}.{name}'" for topic in having)
            raise KeyError(f"several tracks have a column {name!r}: say which of {listed}")
        near = nearest(name, [*topics, *self.columns]) or f"it has {self.topics}"
        raise KeyError(f"no track or column {name!r} among the aligned; {near}")

    def missing(self, name: str) -> Booleans:
        """Which rows have no value in a column: shape (rows,); tells them from a recorded NaN.

        Raises:
            KeyError: there is no such column.
        """
        topic, column = self.place(name)
        return ~topic.present if column is None else topic.part(column).gone.copy()

    def load(self, names: Iterable[str]) -> None:
        """Read columns, by the names that `place` takes, in one go for each track: it is faster."""
        names = list(names)
        topics = tuple(f"{topic}." for topic in self.parts.topics)
        for topic, table in self.parts.topics.items():
            inside = [name[len(topic) + 1 :] for name in names if name.startswith(f"{topic}.")]
            table.load([*inside, *(name for name in names if not name.startswith(topics))])

    # -- rows ------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self.row(index) for index in range(len(self)))

    def row(self, index: int) -> dict[str, Any]:
        """One row.

        Returns:
            `step`, `timestamp` (seconds) and `timestamp_ms` (since the run's first row), by topic a
            dict of its fields (without those that are missing; `None` where the track has no row),
            and `frame`, the decoded frame or `None`; with several cameras `frames` instead, these
            by camera. `row["robot/position.x"]` is `row["robot/position"]["x"]`.
        """
        index = range(len(self))[index]
        parts = self.parts
        step = None if missing(parts.steps, index) else int(parts.steps.data[index])
        timestamp = float(parts.timestamps[index])
        since = (timestamp - float(parts.starts[parts.runs[index]])) * 1000.0
        found = AlignedRow(step=step, timestamp=timestamp, timestamp_ms=since)
        found |= {name: topic.row(index) for name, topic in parts.topics.items()}
        if len(parts.cameras) == 1:
            found["frame"] = self.frame(index)
        elif parts.cameras:
            found["frames"] = {name: self.frame(index, name) for name in parts.cameras}
        return found

    def take(self, rows: slice | NDArray[Any] | list[Any]) -> Aligned:
        """Some of the rows, in this order.

        Args:
            rows: their numbers, a slice, or for each row whether to take it.

        Raises:
            IndexError: there is no such row.
        """
        numbers = np.arange(len(self), dtype=np.int64)[rows]
        topics = {name: topic.take(numbers) for name, topic in self.parts.topics.items()}
        frames = {camera: self.frames_of(camera, numbers) for camera in self.cameras}
        found = self.brought_to(numbers, self.timestamps[numbers], topics, frames)
        streams = self.parts.streams if self.report.on == "step" else None  # in none of the rows
        found.parts = replace(found.parts, streams=streams)
        return found

    def resample(
        self,
        hz: float = 10.0,
        method: str = "hold",
        *,
        by_episode: bool | None = None,
        clock: str | None = None,
    ) -> Aligned:
        """The rows that a recorder of a fixed rate would have written.

        There is a row every 1/hz seconds from the first to the last timestamp of each episode.

        Args:
            hz: rows a second.
            method: `hold`: of each track and camera the latest row at or before each tick, as it
                is; `nearest`: the one nearest in time, the earlier of two; `linear`: numbers
                between the row before and the one after, which makes integers to floats, and all
                else, frames among it, as with `hold`. Columns called `episode`, `episode_step` and
                `step` are held always.
            by_episode: by default a grid for each episode, so that nothing is carried over from one
                to the next (see `episode_index`); with False one grid for the whole run.
            clock: a column of seconds to go by in place of the timestamps, such as the time of a
                simulation, `robot/joints.time`; it must not go back within an episode.

        Returns:
            Rows whose timestamps are the ticks. A track or camera that has nothing yet is missing;
            one that has a row less often than others is held from the row that has it, or where
            rows were joined by time, from its own time, as is what has no steps at all. A row's
            step is that of the row it was taken from.

        Raises:
            ValueError: an argument has no such value.
        """
        from ml_dash.reading.resample import resample

        return resample(self, hz, method, by_episode, clock)

    # -- frames ----------------------------------------------------------------------------------

    def frame(self, index: int, camera: str | None = None) -> Array | None:
        """Decode the frame of a row: an array (H, W[, C]), or `None` where there is none.

        Args:
            index: the row.
            camera: which, when there are several.

        Raises:
            ValueError: the camera must be named, or no frames were aligned.
        """
        camera = self._camera(camera)
        number = int(self.parts.frames[camera][index])
        return None if number < 0 else self.parts.cameras[camera][number]

    def frame_bytes(self, index: int, camera: str | None = None) -> bytes | None:
        """The file of a row's frame as it was saved, `None` where there is none."""
        camera = self._camera(camera)
        number = int(self.parts.frames[camera][index])
        return None if number < 0 else self.parts.cameras[camera].read_bytes(number)

    def frame_index(self, camera: str | None = None) -> Integers:
        """For each row the number of its frame in `run.frames(camera)`, -1 where there is none."""
        return read_only(self.parts.frames[self._camera(camera)])

    def has_frame(self, camera: str | None = None) -> Booleans:
        """Which rows have a frame: shape (rows,), bool."""
        return self.frame_index(camera) >= 0

    def _camera(self, camera: str | None) -> str:
        cameras = self.parts.cameras
        if camera is None and len(cameras) == 1:
            return next(iter(cameras))
        if camera is None or camera not in cameras:
            listed = ", ".join(map(repr, cameras)) or "none; give frames= to run.aligned"
            raise ValueError(f"camera is {camera!r}; there are {listed}")
        return camera

    # -- for what is made of it --------------------------------------------------------------------

    def frames_of(self, camera: str, rows: Integers) -> Integers:
        """The numbers of the frames of these rows, -1 where there is no row or no frame."""
        return picked(self.parts.frames[camera], rows)

    def number_episodes_as(self, runs: Sequence[Integers]) -> None:
        """Take over the numbers of the episodes of several runs, so that none is of two runs."""
        start, numbers = 0, [np.empty(0, np.int64)]
        for found in runs:
            numbers.append(found + start)
            start += int(found.max(initial=-1)) + 1
        self._episodes = np.concatenate(numbers)

    def brought_to(
        self,
        rows: Integers,
        timestamps: Floats,
        topics: Mapping[str, AlignedTopic],
        frames: Mapping[str, Integers],
        starts: Floats | None = None,
    ) -> Aligned:
        """Other rows made of these.

        Args:
            rows: of each new row the one that it has step, run and episode from.
            timestamps: of the new rows.
            topics: the tracks at the new rows.
            frames: by camera the number of each new row's frame.
            starts: of each run the time that its milliseconds count from, if that changed.
        """
        parts = replace(
            self.parts,
            topics=topics,
            frames=frames,
            steps=select(self.parts.steps, rows),
            timestamps=timestamps,
            runs=self.parts.runs[rows],
            starts=self.parts.starts if starts is None else starts,
            hz=None,
            streams=None,
            pieces=None,
        )
        absent = [~topic.present for topic in topics.values()]
        absent += [number < 0 for number in frames.values()]
        counts = (int(np.count_nonzero(gone)) for gone in absent)
        without = dict(zip(self.report.without, counts, strict=True))
        found = Aligned(parts, replace(self.report, rows=len(rows), without=without))
        found._from = (self, rows)  # part of an episode is still that episode
        return found


class AlignedRow(dict[str, Any]):
    """A row as a dict. `row["robot/position.x"]` is `row["robot/position"]["x"]`."""

    def __missing__(self, key: str) -> Any:
        for topic in sorted(self, key=len, reverse=True):
            fields = self[topic]
            if str(key).startswith(f"{topic}.") and isinstance(fields, dict):
                return fields[key[len(topic) + 1 :]]
        raise KeyError(key)


def of_one_run(
    tables: Mapping[str, Table],
    cameras: Mapping[str, Frames],
    rows: Integers,
    steps: Part,
    timestamps: Floats,
    report: AlignmentReport,
) -> Aligned:
    """Aligned rows of one run. `rows` has for each the number in each stream, or -1."""
    parts = AlignedParts(
        {
            name: AlignedTopic(name, table, rows[:, i])
            for i, (name, table) in enumerate(tables.items())
        },
        dict(cameras),
        {name: rows[:, i] for i, name in enumerate(cameras, start=len(tables))},
        steps,
        timestamps,
        np.zeros(len(rows), np.int64),
        timestamps[:1] if len(timestamps) else np.zeros(1),
    )
    return Aligned(parts, report)
