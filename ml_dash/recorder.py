"""One step: frames and rows together, under one step number and one timestamp.

    recorder = experiment.recorder(frames_every=4)
    for step in range(1000):
        recorder.record(
            step,
            tracks={"robot/position": {"x": x, "y": y}},
            frames={"robot/frames": lambda: renderer.render()},
        )

Everything that a call records can be joined again: its rows and its frames share step and
timestamp, and its rows name their frame in the field `frame`. Names of frames are never used twice
in a run, also when steps repeat or go back and when a run is continued.

- A call is kept whole or refused whole: all rows and frames are checked before one is written.
- A frame is never written without the rows of its call.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from ml_dash import clock, lazy, rows
from ml_dash.buffer import Buffer
from ml_dash.files import Files
from ml_dash.metrics import Metrics
from ml_dash.pace import Pace
from ml_dash.steps import as_step, as_timestamp
from ml_dash.track import Tracks, as_fields, the_one
from ml_dash.values import kind_name

WHERE = "recorder"
FORMATS = ("jpg", "jpeg", "png")

Frame = Any  # an array, or a callable that makes one


@dataclass(slots=True, eq=False)
class _Open:
    """A step that is being recorded."""

    buffer: Buffer
    step: int
    timestamp: float
    explicit: bool
    name: str = ""
    due: dict[int, tuple[bool, bool]] = field(default_factory=dict)


@dataclass(slots=True)
class _Names:
    """Which names of frames this process has given out, of one run."""

    writer: str
    highest: int = -(2**63)
    repeats: int = 0


_open_steps: ContextVar[tuple[_Open, ...]] = ContextVar("ml_dash_open_steps", default=())
_names: WeakKeyDictionary[Buffer, _Names] = WeakKeyDictionary()
_lock = threading.Lock()


class Recorder:
    """Records steps. `experiment.recorder(...)` makes one; any number may write one run.

    Args:
        every: record each n-th call only, rows and frames.
        frames_every: take frames at each n-th call only.
        hz: take frames at most this often a second, by the calls' timestamps. After a gap one
            frame is taken, not as many as were missed.
        size: height and width in pixels that frames are scaled to.
        format: `jpg` or `png`.
        quality: of JPEG frames, 1–100.
        strict: when false, a value that cannot be stored is kept as its `repr`, and a frame that
            cannot is left out, with one warning; for adapters, which take what they are given.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        buffer: Buffer,
        *,
        every: int = 1,
        frames_every: int | None = None,
        hz: float | None = None,
        size: tuple[int, int] | None = None,
        format: str = "jpg",
        quality: int = 95,
        strict: bool = True,
    ) -> None:
        if format not in FORMATS:
            raise ValueError(f"recorder: format is {format!r}; it must be 'jpg' or 'png'")
        self._buffer = buffer
        self._tracks = Tracks(buffer)
        self._metrics = Metrics(buffer)
        self._files = Files(buffer)
        self._pace = Pace(every, frames_every, hz)
        self._format = format
        self._options: dict[str, Any] = {"quality": quality}
        if size is not None:
            self._options["size"] = size
        self._strict = strict
        self._next_step = 0
        self._check_options()

    def record(
        self,
        step: int | None = None,
        timestamp: float | None = None,
        *,
        tracks: Mapping[str, Mapping[str, Any]] | None = None,
        metrics: Mapping[str, Mapping[str, Any]] | None = None,
        frames: Mapping[str, Frame | Callable[[], Frame]] | None = None,
    ) -> int:
        """Record rows and frames of one moment.

        Args:
            step: by default the one that is open (see `step`), else one more than the last.
            timestamp: seconds on any clock; by default now.
            tracks: rows by topic. `step` and `timestamp` among a row's fields must be the call's.
            metrics: rows by name, likewise.
            frames: arrays by camera, the folder that they are saved in; or callables, which are
                called only when a frame is due.

        Returns:
            The step.

        Raises:
            TypeError, ValueError: a value, name or image that cannot be recorded. Nothing of the
                call was recorded then.
        """
        if timestamp is None and not _open_steps.get() and self._pace.skips():
            number = self._next_step if step is None else as_step(step, WHERE)
            self._next_step = number + 1
            return number
        moment = self._moment(step, timestamp)
        rows_due, frames_due = self._due(moment)
        if not rows_due:
            return moment.step
        due = _mapping(frames, "frames") if frames_due else {}
        name = self._frame_name(moment) if due else ""
        shots = self._snapshots(due, name)
        named = name if shots else ""
        lines = self._encode(
            moment, _mapping(tracks, "tracks"), _mapping(metrics, "metrics"), named
        )
        # Rows first: killed in between, a row names a frame that never came, which readers know of;
        # a frame without its rows would belong to nothing.
        for stream, line in lines:
            self._buffer.put(stream, line)
        for files, shot in shots:
            files.save_image(
                shot, to=name, step=moment.step, timestamp=moment.timestamp, **self._options
            )
        return moment.step

    @contextmanager
    def step(self, step: int | None = None, timestamp: float | None = None) -> Iterator[int]:
        """Open a step: what any recorder of this run records inside belongs to it.

        So several writers, such as a simulator's hook and an environment's wrapper, record one
        step together, without knowing of each other.
        """
        moment = self._moment(step, timestamp)
        token = _open_steps.set((*_open_steps.get(), moment))
        try:
            yield moment.step
        finally:
            _open_steps.reset(token)

    def _moment(self, step: int | None, timestamp: float | None) -> _Open:
        """The open step of this run, or a new one."""
        number = None if step is None else as_step(step, WHERE)
        at = None if timestamp is None else as_timestamp(timestamp, WHERE)
        for moment in reversed(_open_steps.get()):
            if moment.buffer is self._buffer:
                if number is not None and number != moment.step:
                    raise ValueError(
                        f"recorder: step {number} was given while step {moment.step} is open;"
                        " leave step out, or leave the `with recorder.step(…)` block first"
                    )
                if at is not None and at != moment.timestamp:
                    raise ValueError(
                        f"recorder: timestamp {at} was given while a step at {moment.timestamp} is"
                        " open; leave timestamp out"
                    )
                self._next_step = moment.step + 1
                return moment
        number = self._next_step if number is None else number
        self._next_step = number + 1
        return _Open(self._buffer, number, clock.now() if at is None else at, at is not None)

    def _due(self, moment: _Open) -> tuple[bool, bool]:
        """Whether rows and frames are due; decided once for each step."""
        known = moment.due.get(id(self))
        if known is not None:
            return known
        moment.due[id(self)] = result = self._pace.due(moment.timestamp)
        return result

    def _head(self, moment: _Open) -> dict[str, Any]:
        head = {"timestamp": moment.timestamp, "step": moment.step}
        if moment.explicit:
            head["_explicit"] = True
        return head

    def _encode(
        self,
        moment: _Open,
        tracks: Mapping[str, Mapping[str, Any]],
        metrics: Mapping[str, Mapping[str, Any]],
        frame: str,
    ) -> list[tuple[str, bytes]]:
        lines = []
        head = self._head(moment)
        for topic, data in tracks.items():
            where = f"track {topic!r}"
            track = self._tracks(topic)
            fields = _fields(data, moment, where)
            if frame:
                fields.setdefault("frame", frame)
            line = rows.encode_row(fields, head=head, where=where, strict=self._strict)
            lines.append((track.stream_name, line))
        for name, data in metrics.items():
            metric = self._metrics(name)
            fields = _fields(data, moment, f"metric {name!r}")
            line = metric.encode(fields, at=moment.timestamp, step=moment.step, strict=self._strict)
            lines.append((metric.stream_name, line))
        return lines

    def _snapshots(self, frames: Mapping[str, Any], name: str) -> list[tuple[Files, Any]]:
        """Copies of all frames, and where they go: all made and checked before one is saved."""
        if not frames:
            return []
        image = lazy.images()
        size = self._options.get("size")
        kind = image.check_format(name, self._options["quality"])
        targets = {camera: self._files(camera) for camera in frames}
        for files in targets.values():
            files.check(name)
        taken = []
        for camera, frame in frames.items():
            try:
                pixels = frame() if callable(frame) else frame
                shot = image.snapshot(pixels, format=kind, size=size, where=f"frame {camera!r}")
                taken.append((targets[camera], shot))
            except (TypeError, ValueError) as error:
                if self._strict:
                    raise
                self._buffer.lose(f"frames {camera}", str(error))
        return taken

    def _frame_name(self, moment: _Open) -> str:
        """A name that no frame of the run has yet; all cameras of a step share it."""
        if moment.name:
            return moment.name
        with _lock:
            names = _names.get(self._buffer)
            if names is None or names.writer != self._buffer.writer:
                names = _names[self._buffer] = _Names(self._buffer.writer)
            # Sessions after the first one, and other processes, put their own mark in the names.
            mark = "" if self._buffer.first else f"{names.writer}_"
            if moment.step <= names.highest:
                names.repeats += 1
                mark += f"r{names.repeats}_"
            names.highest = max(names.highest, moment.step)
        moment.name = f"frame_{mark}{moment.step:08d}.{self._format}"
        return moment.name

    def _check_options(self) -> None:
        image = lazy.images()

        image.check_format(f"frame.{self._format}", self._options["quality"])
        if "size" in self._options:
            self._options["size"] = image.check_size(self._options["size"])


def _fields(data: Any, moment: _Open, where: str) -> dict[str, Any]:
    """A row's fields; a step and timestamp among them are checked and taken out."""
    fields = as_fields(data, where)
    the_one("step", as_step, moment.step, fields, where)
    the_one("timestamp", as_timestamp, moment.timestamp, fields, where)
    return fields


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        what = "images by camera" if name == "frames" else "rows by name"
        raise TypeError(f"recorder: {name} must be a dict of {what}, not {kind_name(value)}")
    return value


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()  # a thread that is not here may hold the parent's


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
