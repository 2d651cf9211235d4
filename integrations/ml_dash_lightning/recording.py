"""How a logger gets its rows and files into the run: what all its methods stand on."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any
from weakref import ref

from ml_dash import Experiment, Moment, Recorder, check_path
from ml_dash_lightning import finished
from ml_dash_lightning.guard import count
from ml_dash_lightning.link import Link
from ml_dash_lightning.plain import short, whole


def checked_prefix(prefix: str | None) -> str:
    """A prefix of metrics, tracks and files without slashes around it.

    Raises:
        TypeError, ValueError: it is no text, or none that a run can have.
    """
    if not isinstance(prefix, str | None):
        raise TypeError(f"prefix is a {type(prefix).__name__}; give a text, such as 'teacher'")
    path = (prefix or "").strip("/")
    return path and check_path(path, "prefix")


class Recording:
    """A run that is started at the first use, and its recorder.

    Attributes:
        failures: what could not be recorded, counted by what it was.
    """

    _link: Link
    _prefix: str

    def _reset_recording(self) -> None:
        self.failures: dict[str, int] = {}
        self._recorder: Recorder | None = None
        self._recorder_of: Any = None
        self._ending = False
        self._last_step = -1  # of metrics

    def _running(self) -> Experiment:
        if self._ending:
            return self._link.experiment  # no longer RUNNING, but not to be started anew either
        experiment = self._link.running()
        handle = experiment.metrics
        if self._recorder_of is not handle:  # it has just been started, or started anew
            self._recorder_of = handle
            self._recorder = experiment.recorder(strict=False, format="png")
            experiment.run.before_end(partial(_close, ref(self)))
            finished.begin()
        finished.use(experiment)
        return experiment

    def _opened(self) -> Recorder:
        self._running()
        assert self._recorder is not None  # `_running` has seen to it
        return self._recorder

    def _record(self, step: int | Moment | None, **what: Any) -> int:
        recorder = self._opened()
        open_step = recorder.current() if type(step) is int else None
        if open_step is None or open_step.step == step:
            return recorder.record(step, **what)
        # Within somebody's `with recorder.step(…)`, of another number: it is a moment of its own.
        moment = recorder.begin(step)  # type: ignore[arg-type]  # it is an int
        try:
            return recorder.record(moment, **what)
        finally:
            recorder.end()

    def _number(self, what: str, step: Any) -> int | None:
        """The number of a step that is given to a call; one that is none is counted and told."""
        number = whole(step)
        if number is None and step is not None:
            shown = short({"step": step})["step"]
            problem = f"step is {shown!r}, no whole number; what has it is kept as if without step"
            count(self, what, ValueError(problem))
        return number

    def _moment(self, step: int | None) -> Moment:
        """A moment that several rows and files are recorded into.

        Its step is the one given, else that of an open moment, else that of the latest metrics.
        """
        recorder = self._opened()
        moment = recorder.current() if step is None else None
        if moment is None:
            moment = recorder.begin(max(0, self._last_step) if step is None else step)
            recorder.end()
        return moment

    def _new_name(self, moment: Moment, folder: str, kind: str) -> str:
        """A name, without its ending, that no file of this folder has, of whichever session."""
        name = self._opened().name_frames(moment, [folder])
        return f"{kind}{Path(name).stem.removeprefix('frame')}"

    def _path(self, kind: str, key: str = "") -> str:
        return "/".join(filter(None, (self._prefix, kind, key.strip("/"))))

    def _place(self, what: str, kind: str, key: Any) -> str:
        """Where what a user calls `key` is kept.

        Raises:
            TypeError, ValueError: it is no name, or none that a run can have.
        """
        if not isinstance(key, str):
            raise TypeError(f"{what}: key is a {type(key).__name__}; give a text, such as 'val/a'")
        if not key.strip("/"):
            raise ValueError(f"{what}: key is {key!r}; give a name, such as 'val/a'")
        return check_path(self._path(kind, key), f"{what}: key")

    def _finish(self, experiment: Experiment) -> None:
        raise NotImplementedError

    def _close(self) -> None:
        """Before the run ends, whatever ends it: what has been held back."""
        self._ending = True
        try:
            self._finish(self._link.experiment)
        finally:
            self._ending = False


def _close(logger: ref[Recording]) -> None:
    """Of a run that may have many loggers, one after the other: it keeps none of them alive."""
    one = logger()
    if one is not None:
        one._close()
