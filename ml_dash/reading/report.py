"""How well aligned streams fit together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_dash.reading.entries import Integers
from ml_dash.reading.join import ABSENT

if TYPE_CHECKING:
    from ml_dash.reading.frames import Frames
    from ml_dash.reading.table import Table

SHOWN = 5
"""How many steps are named where more of them could be."""


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
        rows_dropped: how many rows were left out because a camera has no frame for them.
        frames_alone: how many of the rows are frames without a row, kept as they were asked to be.
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
    rows_dropped: int = 0
    frames_alone: int = 0

    @property
    def rows_without_frame(self) -> int:
        """In how many rows a camera is missing, over all cameras; those left out for it as well."""
        return sum(self.without[name] for name in self.cameras) + self.rows_dropped

    @property
    def frames_without_row(self) -> int:
        """How many frames belong to no row, over all cameras."""
        return sum(self.unused[name] for name in self.cameras) + self.frames_alone

    @property
    def is_whole(self) -> bool:
        """Whether everything has found its place: only frames that were not taken are missing."""
        stray = self.frames_gone or self.without_step or self.frames_alone
        return not (stray or (self.on == "step" and any(self.unused.values())))

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
        if self.rows_dropped:
            parts.append(f"{self.rows_dropped:,} rows without a frame left out")
        if self.frames_alone:
            parts.append(f"{self.frames_alone:,} are frames without a row")
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


def make_report(
    on: str,
    key: str,
    tables: Mapping[str, Table],
    cameras: Mapping[str, Frames],
    rows: Integers,
    **more: Any,
) -> AlignmentReport:
    """The report of a join. `rows` has for each row the number in each stream, or `ABSENT`."""
    without: dict[str, int] = {}
    unused: dict[str, int] = {}
    first_unused: dict[str, list[int]] = {}
    names = labels(tables, cameras)
    all_steps = [table.step_part for table in tables.values()]
    all_steps += [frames.facts.steps for frames in cameras.values()]
    for column, (name, steps) in enumerate(zip(names, all_steps, strict=True)):
        used = np.zeros(len(steps), np.bool_)
        has = rows[:, column] != ABSENT
        used[rows[has, column]] = True
        without[name] = int((~has).sum())
        unused[name] = int((~used).sum())
        first_unused[name] = np.unique(steps.data[~used & ~steps.gone])[:SHOWN].tolist()
    filmed = names[len(tables) :]
    return AlignmentReport(on, key, len(rows), filmed, without, unused, first_unused, **more)


def labels(tables: Mapping[str, Any], cameras: Mapping[str, Any]) -> list[str]:
    """What streams are called in reports: a camera may have the name of a track."""
    return [*tables, *(f"{name} (frames)" if name in tables else name for name in cameras)]
