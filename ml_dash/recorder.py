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

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ml_dash import lazy
from ml_dash.buffer import Buffer
from ml_dash.files import Files
from ml_dash.frame_names import new_name
from ml_dash.metrics import Metrics
from ml_dash.metrics.metric import Metric
from ml_dash.moment import BLOCKS, Moment, OwnClock, begin, block, current, in_block, joined
from ml_dash.pace import Pace
from ml_dash.steps import as_step, as_timestamp
from ml_dash.track import Track, Tracks, as_fields, the_one
from ml_dash.values import kind_name

WHERE = "recorder"
FORMATS = ("jpg", "jpeg", "png")
_LONGEST_NAME = f"frame_{'x' * 44}.jpeg"  # of a repeat, in a run that is continued

Frame = Any  # an array, or a callable that makes one


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
        self._cameras: dict[str, Files] = {}  # those whose names were found good
        self._next_step = 0
        self._clock = OwnClock(buffer, since=buffer.since)
        self._check_options()

    def record(
        self,
        step: int | Moment | None = None,
        timestamp: float | None = None,
        *,
        tracks: Mapping[str, Mapping[str, Any]] | None = None,
        metrics: Mapping[str, Mapping[str, Any]] | None = None,
        frames: Mapping[str, Frame | Callable[[], Frame]] | None = None,
    ) -> int:
        """Record rows and frames of one moment.

        Args:
            step: its number, or a moment (see `begin`); by default the one that is open (see `step`
                and `begin`), else one more than the last.
            timestamp: seconds on any clock; by default now.
            tracks: rows by topic. `step` and `timestamp` among a row's fields must be the call's.
            metrics: rows by name, likewise.
            frames: arrays by camera, the folder that they are saved in; or callables, which are
                called only when a frame is due. One that returns `None` has no picture this time,
                which is said once for each camera; a camera without a callable is left out then.

        Returns:
            The step.

        Raises:
            TypeError, ValueError: a value, name or image that cannot be recorded. Nothing of the
                call was recorded then.
        """
        moment = self._moment(step, timestamp)
        if self._pace.always:
            frames_due = True
        else:
            rows_due, frames_due = self._due(moment)
            if not rows_due:
                return moment.step
        due = _mapping(frames, "frames") if frames_due else {}
        shots = self._snapshots(due) if due else {}
        name = self._frame_name(moment, shots) if shots else ""
        lines = self._encode(moment, _mapping(tracks, "tracks"), _mapping(metrics, "metrics"), name)
        # Rows first: killed in between, a row names a frame that never came, which readers know of;
        # a frame without its rows would belong to nothing.
        for handle, line in lines:
            handle.put(line)
        for camera, shot in shots.items():
            self._cameras[camera].save_image(
                shot, to=name, step=moment.step, timestamp=moment.timestamp, **self._options
            )
        return moment.step

    @contextmanager
    def step(self, step: int | None = None, timestamp: float | None = None) -> Iterator[int]:
        """Open a step: what is recorded inside belongs to it.

        Recorders of this run join it; so do rows of tracks and metrics, files and log messages that
        are given no step and no timestamp of their own. So several writers, such as a simulator's
        hook and an environment's wrapper, record one step together, without knowing of each other.
        Other threads do not join.
        """
        moment = self._moment(step, timestamp)
        with block(moment):
            yield moment.step

    def begin(self, step: int | None = None, timestamp: float | None = None) -> Moment:
        """Begin a step that lasts until this recorder begins its next one, or until `end`.

        For adapters, whose steps begin in one call and end in another. Until then, recorders of
        this run that are given no step and no timestamp join it, in this thread.

        Args:
            step: by default one more than the last.
            timestamp: seconds on any clock; by default that of the first record.

        Returns:
            The moment. Given to `record` as its step, also later, it is recorded into.
        """
        moment = joined(self._buffer, step) if timestamp is None else None
        if moment is None:
            moment = self._new_moment(step, timestamp)
        begin(self, moment)
        return moment

    def end(self) -> None:
        """Let nobody join the step that was begun last."""
        begin(self, None)

    def current(self, concerns: Callable[[object], bool] | None = None) -> Moment | None:
        """The moment that `record` would join if it were given no step and no timestamp.

        Args:
            concerns: leaves out those that were begun and are of something else, such as of another
                environment: is called with that, and says whether it concerns the caller.
        """
        return current(self._buffer, concerns)

    def name_frames(self, moment: Moment, cameras: Iterable[str]) -> str:
        """Give out now the name of frames that come later, such as those rendered after the run.

        Args:
            moment: whose frames they are.
            cameras: the folders that they go to.

        Returns:
            The name, for the rows' field `frame`. The frames are to be saved under it with
            `files(camera).save_image(…, to=name, step=…, timestamp=…)`, by whichever process.
        """
        return self._frame_name(moment, dict.fromkeys(cameras))

    def _moment(self, step: int | Moment | None, timestamp: float | None) -> Moment:
        """The moment given, the one to join, or a new one."""
        if type(step) is Moment:
            if not step.belongs_to(self._buffer):
                raise ValueError(f"recorder: {step!r} belongs to another run")
            self._check_timestamp(timestamp, step)
            self._next_step = max(self._next_step, step.step + 1)
            return step
        moment = in_block(self._buffer) if BLOCKS else None
        if moment is not None:
            if step is not None and as_step(step, WHERE) != moment.step:
                raise ValueError(
                    f"recorder: step {step} was given while step {moment.step} is open;"
                    " leave step out, or leave the `with recorder.step(…)` block first"
                )
            self._check_timestamp(timestamp, moment)
        elif step is None and timestamp is None:
            moment = current(self._buffer)
        if moment is None:
            return self._new_moment(step, timestamp)
        self._next_step = moment.step + 1
        return moment

    def _new_moment(self, step: int | None, timestamp: float | None) -> Moment:
        number = self._next_step if step is None else as_step(step, WHERE)
        at = None if timestamp is None else as_timestamp(timestamp, WHERE)
        self._next_step = number + 1
        return self._clock.moment(number, at)

    @staticmethod
    def _check_timestamp(timestamp: float | None, moment: Moment) -> None:
        if timestamp is not None and as_timestamp(timestamp, WHERE) != moment.timestamp:
            raise ValueError(
                f"recorder: timestamp {timestamp} was given while a step at {moment.timestamp} is"
                " open; leave timestamp out"
            )

    def _due(self, moment: Moment) -> tuple[bool, bool]:
        """Whether rows and frames are due; decided once for each step."""
        if moment.due is None:
            moment.due = {}
        known = moment.due.get(id(self))
        if known is None:
            known = moment.due[id(self)] = self._pace.due(moment.timestamp)
        return known

    def _encode(
        self,
        moment: Moment,
        tracks: Mapping[str, Mapping[str, Any]],
        metrics: Mapping[str, Mapping[str, Any]],
        frame: str,
    ) -> list[tuple[Track | Metric, bytes]]:
        lines: list[tuple[Track | Metric, bytes]] = []
        strict = self._strict
        for topic, data in tracks.items():
            track = self._tracks(topic)
            lines.append((track, track.encode(data, moment, frame=frame, strict=strict)))
        for name, data in metrics.items():
            metric = self._metrics(name)
            fields = _fields(data, moment, f"metric {name!r}")
            line = metric.encode(fields, at=moment.timestamp, step=moment.step, strict=strict)
            lines.append((metric, line))
        return lines

    def _snapshots(self, frames: Mapping[str, Any]) -> dict[str, Any]:
        """Copies of all frames by camera: all made and checked before one is saved."""
        image = lazy.images()
        size = self._options.get("size")
        for camera in frames:
            if camera not in self._cameras:
                files = self._files(camera)
                files.check(_LONGEST_NAME)
                self._cameras[camera] = files
        taken = {}
        for camera, frame in frames.items():
            where = f"frame {camera!r}"
            try:
                pixels = frame() if callable(frame) else frame
                if pixels is None:
                    self._check_no_picture(frame, where)
                    continue
                taken[camera] = image.snapshot(pixels, format=self._kind, size=size, where=where)
            except (TypeError, ValueError) as error:
                if self._strict:
                    raise
                self._buffer.lose(f"frames {camera}", str(error))
        return taken

    def _check_no_picture(self, frame: Any, where: str) -> None:
        if frame is None:
            raise ValueError(
                f"{where}: None is no picture; leave the camera out where it has none, or give a"
                " function, which may return None"
            )
        # Said, because a function that lacks its `return` would else record nothing in silence.
        self._buffer.warn_once(where, f"{where}: None was returned, no picture is kept of it")

    def _frame_name(self, moment: Moment, cameras: Mapping[str, Any]) -> str:
        """A name that no frame of these cameras has yet; all cameras of a step share it."""
        writer = self._buffer.writer
        if moment.writer != writer or not moment.cameras.isdisjoint(cameras):
            moment.frame = new_name(self._buffer, moment.step)
            moment.writer = writer
            moment.cameras = frozenset()
        moment.cameras |= cameras.keys()
        return f"{moment.frame}.{self._format}"

    def _check_options(self) -> None:
        image = lazy.images()
        self._kind = image.check_format(f"frame.{self._format}", self._options["quality"])
        if "size" in self._options:
            self._options["size"] = image.check_size(self._options["size"])


def _fields(data: Any, moment: Moment, where: str) -> dict[str, Any]:
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
