"""Aligned rows: what belongs together of several tracks and cameras, as one table."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_dash.reading.entries import Booleans, Floats, Integers
from ml_dash.reading.parts import Array, Part, finish, select

if TYPE_CHECKING:
    from ml_dash.reading.frames import Frames
    from ml_dash.reading.table import Table


@dataclass(frozen=True, slots=True)
class AlignmentReport:
    """How well streams fit together.

    Attributes:
        on: `step` or `timestamp`.
        key: what rows were joined on: `step`, `episode, step` or `timestamp`.
        rows: how many aligned rows there are.
        cameras: which of the streams are frames.
        without: by stream, in how many rows it is missing. That is normal for frames that were
            taken at every fourth step.
        unused: by stream, how many of its rows or frames are in no aligned row.
        first_unused: by stream, the first steps of these.
        without_step: by stream, how many have no step and could not take part.
        frames_gone: how many rows name a frame that never came.
    """

    on: str
    key: str
    rows: int
    cameras: list[str]
    without: dict[str, int]
    unused: dict[str, int]
    first_unused: dict[str, list[int]]
    without_step: dict[str, int] = field(default_factory=dict)
    frames_gone: int = 0

    @property
    def rows_without_frame(self) -> int:
        """In how many rows a camera is missing, over all cameras."""
        return sum(self.without[name] for name in self.cameras)

    @property
    def frames_without_row(self) -> int:
        """How many frames belong to no row, over all cameras."""
        return sum(self.unused[name] for name in self.cameras)

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON types."""
        found = {name: getattr(self, name) for name in self.__slots__}
        found["rows_without_frame"] = self.rows_without_frame
        found["frames_without_row"] = self.frames_without_row
        return found

    def __str__(self) -> str:
        parts = [f"{self.rows:,} rows joined on {self.key}"]
        for name, count in self.without.items():
            if count:
                parts.append(f"{count:,} without {name}")
        for name, count in self.unused.items():
            if count:
                steps = ", ".join(map(str, self.first_unused[name]))
                where = f" (first steps: {steps})" if steps else ""
                parts.append(f"{count:,} of {name} in no row{where}")
        for name, count in self.without_step.items():
            parts.append(f"{count:,} of {name} without a step")
        if self.frames_gone:
            parts.append(f"{self.frames_gone:,} name a frame that never came")
        return "; ".join(parts)


class Aligned:
    """Rows of several tracks and cameras that belong together, in order of time.

    `aligned["robot/position"]["x"]` or `aligned["robot/position.x"]` is a column; where a track has
    no row it is missing, marked as in the tracks' own columns. `aligned.frame(i)` decodes the frame
    of a row. Iterating gives a dict for each row.

    Attributes:
        report: how well the streams fit together.
    """

    def __init__(
        self,
        tables: Mapping[str, Table],
        cameras: Mapping[str, Frames],
        rows: Integers,
        steps: Part,
        timestamps: Floats,
        report: AlignmentReport,
    ) -> None:
        self.report = report
        self._topics = {
            name: AlignedTopic(table, rows[:, column])
            for column, (name, table) in enumerate(tables.items())
        }
        self._cameras = dict(cameras)
        self._frames = {
            name: rows[:, column] for column, name in enumerate(cameras, start=len(tables))
        }
        self._steps = steps
        self._timestamps = timestamps

    def __len__(self) -> int:
        return len(self._timestamps)

    def __repr__(self) -> str:
        return f"<Aligned: {self.report}>"

    @property
    def steps(self) -> Array:
        """The step of each row: shape (rows,), int64; a masked array where one has none."""
        return finish(self._steps)

    @property
    def timestamps(self) -> Floats:
        """The time of each row in seconds, that of its first track: shape (rows,), float64."""
        return self._timestamps

    @property
    def topics(self) -> list[str]:
        """The tracks."""
        return list(self._topics)

    @property
    def cameras(self) -> list[str]:
        """The cameras."""
        return list(self._cameras)

    @property
    def columns(self) -> list[str]:
        """All columns, as `robot/position.x`."""
        return [f"{name}.{c}" for name, topic in self._topics.items() for c in topic.columns]

    def __getitem__(self, name: str) -> Any:
        if name in self._topics:
            return self._topics[name]
        for topic in sorted(self._topics, key=len, reverse=True):
            if name.startswith(f"{topic}."):
                return self._topics[topic][name[len(topic) + 1 :]]
        near = difflib.get_close_matches(str(name), [*self._topics, *self.columns], n=3)
        hint = f"did you mean {', '.join(map(repr, near))}?" if near else f"it has {self.topics}"
        raise KeyError(f"no track or column {name!r} among the aligned; {hint}")

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self.row(index) for index in range(len(self)))

    def row(self, index: int) -> dict[str, Any]:
        """One row.

        Returns:
            `step`, `timestamp`, by topic a dict of its fields (without those that are missing;
            `None` where the track has no row), and `frame`, the decoded frame or `None`; with
            several cameras `frames` instead, these by camera.
        """
        index = range(len(self))[index]
        step = None if _missing(self._steps, index) else int(self._steps.data[index])
        found: dict[str, Any] = {"step": step, "timestamp": float(self._timestamps[index])}
        found |= {name: topic.row(index) for name, topic in self._topics.items()}
        if len(self._cameras) == 1:
            found["frame"] = self.frame(index)
        elif self._cameras:
            found["frames"] = {name: self.frame(index, name) for name in self._cameras}
        return found

    def frame(self, index: int, camera: str | None = None) -> Array | None:
        """Decode the frame of a row: an array (H, W[, C]), or `None` where there is none.

        Args:
            index: the row.
            camera: which, when there are several.

        Raises:
            ValueError: the camera must be named, or no frames were aligned.
        """
        camera = self._camera(camera)
        number = int(self._frames[camera][index])
        return None if number < 0 else self._cameras[camera][number]

    def frame_index(self, camera: str | None = None) -> Integers:
        """For each row the number of its frame in `run.frames(camera)`, -1 where there is none."""
        return self._frames[self._camera(camera)]

    def has_frame(self, camera: str | None = None) -> Booleans:
        """Which rows have a frame: shape (rows,), bool."""
        return self.frame_index(camera) >= 0

    def _camera(self, camera: str | None) -> str:
        if camera is None and len(self._cameras) == 1:
            return next(iter(self._cameras))
        if camera is None or camera not in self._cameras:
            listed = ", ".join(map(repr, self._cameras)) or "none; give frames= to run.aligned"
            raise ValueError(f"camera is {camera!r}; there are {listed}")
        return camera


class AlignedTopic:
    """One track, brought to the rows of an `Aligned`.

    Attributes:
        index: for each row the number of the track's entry, -1 where it has none.
    """

    def __init__(self, table: Table, index: Integers) -> None:
        self.index = index
        self._table = table
        self._parts: dict[str, Part] = {}

    def __getitem__(self, column: str) -> Array:
        return finish(self._part(column))

    def __contains__(self, column: object) -> bool:
        return column in self._table

    def __repr__(self) -> str:
        return f"<AlignedTopic {self._table.name!r}>"

    @property
    def columns(self) -> list[str]:
        """The names of the track's columns."""
        return self._table.columns

    @property
    def present(self) -> Booleans:
        """Which rows the track has an entry for: shape (rows,), bool."""
        return self.index >= 0

    def to_numpy(self) -> dict[str, Array]:
        """All columns by name."""
        self._table.to_numpy()
        return {name: self[name] for name in self.columns}

    def row(self, index: int) -> dict[str, Any] | None:
        """The fields of one row, `None` when the track has no entry for it."""
        if self.index[index] < 0:
            return None
        if not self._parts:
            self.to_numpy()  # all columns in one go
        return {
            name: part.data[index]
            for name, part in self._parts.items()
            if not _missing(part, index) and name not in ("step", "timestamp")
        }

    def _part(self, column: str) -> Part:
        if column not in self._parts:
            self._parts[column] = select(self._table.part(column), self.index)
        return self._parts[column]


def _missing(part: Part, index: int) -> bool:
    return part.missing is not None and bool(np.asarray(part.missing)[index])
