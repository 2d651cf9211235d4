"""Whether the steps of frames and rows agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ml_dash.reading.files import Files, ends_of, is_image
from ml_dash.reading.lines import Block

_SHOWN = 5


@dataclass(slots=True)
class StepCheck:
    """How the frames of one camera fit to the rows of the run's tracks.

    Attributes:
        camera: the folder of the frames.
        frames: how many there are.
        with_step: how many of them have a step.
        matched: how many of these have the step of some row, or are named by one.
        first_unmatched: the first steps of the others.
    """

    camera: str
    frames: int = 0
    with_step: int = 0
    matched: int = 0
    first_unmatched: list[int] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The check as plain JSON types."""
        return {name: getattr(self, name) for name in self.__slots__}


class Steps:
    """Compares the rows of tracks, block after block, with the frames of a run."""

    def __init__(self, files: Files) -> None:
        self._frames: dict[str, int | None] = {}  # the step of each path
        self._ends: dict[str, list[str]] = {}  # the paths by each of their ends
        for row in filter(is_image, files.list()):
            step = row.get("step")
            path = row["path"]
            self._frames[path] = step if type(step) is int else None
            for end in ends_of(path):
                self._ends.setdefault(end, []).append(path)
        self._missing = {step for step in self._frames.values() if step is not None}
        self._named: set[str] = set()
        self._gone: list[tuple[Any, str]] = []
        self._other: list[tuple[int, str, int]] = []
        self._counts = {"gone": 0, "other": 0}

    def take(self, block: Block) -> None:
        """Take in rows of a track."""
        if not self._frames and b'"frame"' not in block.text:
            return
        # What another program calls a step may be anything, also what no set can hold
        steps = (row.get("step") for row in block.rows)
        self._missing.difference_update([step for step in steps if type(step) in (int, float)])
        if b'"frame"' in block.text:
            for row in block.rows:
                frame = row.get("frame")
                for name in frame.values() if isinstance(frame, Mapping) else (frame,):
                    if type(name) is str and name:
                        self._take_name(name.strip("/"), row.get("step"))

    def _take_name(self, name: str, step: Any) -> None:
        paths = self._ends.get(name)
        if paths is None:
            self._counts["gone"] += 1
            if len(self._gone) < _SHOWN:
                self._gone.append((step, name))
            return
        self._named.update(paths)
        steps = [self._frames[path] for path in paths]
        if type(step) is int and step not in steps and None not in steps:
            self._counts["other"] += 1
            if len(self._other) < _SHOWN:
                self._other.append((step, name, steps[0] or 0))

    def result(self) -> list[StepCheck]:
        """How each camera fits, once all rows were taken in."""
        found: dict[str, StepCheck] = {}
        unmatched: dict[str, set[int]] = {}
        for path, step in self._frames.items():
            camera = path.rpartition("/")[0]
            check = found.setdefault(camera, StepCheck(camera))
            check.frames += 1
            if step is not None:
                check.with_step += 1
                if step in self._missing and path not in self._named:
                    unmatched.setdefault(camera, set()).add(step)
                else:
                    check.matched += 1
        for camera, steps in unmatched.items():
            found[camera].first_unmatched = sorted(steps)[:_SHOWN]
        return [found[camera] for camera in sorted(found)]

    def findings(self, *, running: bool) -> Iterator[tuple[str, str, str]]:
        """What does not fit: severity, path, message."""
        if self._gone:
            listed = ", ".join(f"{name!r} (step {step})" for step, name in self._gone)
            count = self._counts["gone"]
            # While the run goes on, frames are on their way
            severity = "note" if running else "warning"
            yield severity, "tracks", f"{count:,} rows name a frame that never came: {listed}"
        if self._other:
            listed = ", ".join(f"step {row} names {n!r} of step {f}" for row, n, f in self._other)
            count = self._counts["other"]
            yield "warning", "tracks", f"{count:,} rows name a frame of another step: {listed}"
