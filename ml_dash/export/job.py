"""One export: of what, how, and how far it has got."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ml_dash.export.columns import Column, scan
from ml_dash.export.pictures import Shots, Size
from ml_dash.export.recording import Images, Recording, Together
from ml_dash.export.samples import Samples
from ml_dash.hints import hint

Progress = Callable[[int, int], None]
"""Called with how many samples, rows or frames are done, and of how many."""

Item = TypeVar("Item")

_LONGEST = 200  # bytes of a dataset's name; file names have up to 255


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export made.

    Attributes:
        path: the folder or file. The report itself can be used as a path, too.
        format: such as `npy`.
        samples: how many aligned samples, or rows of all tracks together.
        frames: how many pictures, over all cameras.
        files: what was written, below `path`, sorted.
        notes: what there is to know: what was left out, made even, or rounded.
    """

    path: Path
    format: str
    samples: int
    frames: int
    files: list[str]
    notes: list[str]

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        found = f"{self.path}: {self.format}, {self.samples:,} samples, {self.frames:,} frames"
        return "; ".join([found, *self.notes])


class Entry(NamedTuple):
    """One row of a track: its time in seconds, its step where it has one, its fields nested."""

    timestamp: float
    step: int | None
    fields: dict[str, Any]


class Stills(NamedTuple):
    """Frames of one camera: the number, time and step (masked where it has none) of each."""

    numbers: NDArray[np.int64]
    timestamps: NDArray[np.float64]
    steps: NDArray[Any]

    def step(self, index: int) -> int | None:
        """The step of one of them."""
        step = self.steps[index]
        return None if step is np.ma.masked else int(step)


@dataclass
class Job:
    """What a format is given to write.

    Attributes:
        run: where it comes from.
        topics: the tracks.
        cameras: the folders of frames.
        hz: the fixed rate to bring everything to, or `None`: as it was recorded.
        size: height and width that frames are scaled to, or `None`.
        joining: `on`, `tolerance` and `repeats` of `RunView.aligned`.
        options: those of the format.
        notes: what the user should know of the outcome.
        counts: how many `samples` and `frames` were written.
        is_aligned: whether the run is aligned rows, at the rate `hz` if they have one.
        join: in place of `run.aligned`, logs nothing.
        check_interrupt: raises the Ctrl-C that Python dropped, if there was one.
        untimed: the tracks that are in no sample for want of steps; known with the samples.
    """

    run: Recording
    topics: list[str]
    cameras: list[str]
    hz: float | None = None
    size: Size | None = None
    joining: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    progress: Progress | None = None
    notes: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: {"samples": 0, "frames": 0})
    is_aligned: bool = False
    join: Callable[..., Together] | None = None
    check_interrupt: Callable[[], None] = lambda: None
    untimed: list[str] = field(default_factory=list)
    _images: dict[str, Images] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the dataset is called: the run's prefix with `_` for `/`.

        A long one is cut, so that the names of its files are no longer than a file system takes.
        """
        name = self.run.prefix.replace("/", "_") or "run"
        whole = name.encode("utf-8", "surrogatepass")
        if len(whole) <= _LONGEST:
            return name
        mark = hashlib.sha256(whole).hexdigest()[:8]
        return f"{whole[: _LONGEST - 9].decode('utf-8', 'ignore')}_{mark}"

    @cached_property
    def columns(self) -> dict[str, dict[str, Column]]:
        """The columns of each track. Takes one look at every row."""
        if not self.is_aligned:
            return {topic: scan(self.run.tracks[topic].rows()) for topic in self.topics}
        return {topic: scan(entry.fields for entry in self.series(topic)) for topic in self.topics}

    @property
    def is_recorded(self) -> bool:
        """Whether tracks and cameras are written as they were recorded, each on its own."""
        return self.hz is None and not self.is_aligned

    @property
    def about(self) -> dict[str, Any]:
        """The run, as plain JSON types: what it is, and its parameters."""
        found = self.run.to_json()
        kept = ("id", "prefix", "status", "description", "tags", "metadata", "started", "ended")
        return {
            **{key: found[key] for key in kept if found.get(key)},
            "parameters": dict(self.run.params),
        }

    @cached_property
    def samples(self) -> Samples:
        """The tracks and cameras, aligned, and at a fixed rate if one was asked for.

        Raises:
            ValueError: nothing belongs together, or there is nothing.
        """
        join = self.join or self.run.aligned
        together = join(*self.topics, frames=self.cameras, **self.joining)
        resampled = together
        if self.hz is not None and not self.is_aligned and len(together):
            resampled = together.resample(self.hz)
        self._tell(resampled.report)
        if not len(together) and self.is_aligned:
            raise ValueError("there are no rows to export")
        if not len(together):
            raise ValueError(
                f"no rows of {self.run.prefix!r} belong together: {together.report}; join them by"
                " time with on='timestamp', or name the tracks with topics="
            )
        return Samples(
            resampled,
            {topic: self.run.tracks[topic] for topic in self.topics},
            {camera: self.images(camera) for camera in self.cameras},
            hz=self.hz,
        )

    def _tell(self, report: Any) -> None:
        """Note what does not fit together, and log it where joining did not."""
        if ";" in str(report):
            self.notes.append(str(report))
        if self.join is not None and not report.is_whole:
            logger = logging.getLogger(__name__)
            logger.warning("exported %s: %s", self.run.prefix, report)
        if self.hz is not None:
            return
        lost = [name for name in report.without_step if report.without[name] == report.rows]
        if lost:
            self.notes.append(
                f"{', '.join(lost)} left out, for want of steps: hz= or on='timestamp' takes"
                " what has none by its time"
            )
        self.untimed = [name for name in lost if name in self.topics]

    def series(self, topic: str) -> Iterator[Entry]:
        """The rows of one track on its own: as they were recorded, or at the fixed rate."""
        if self.is_recorded:
            for row in self.run.tracks[topic].rows():
                timestamp, step = row.pop("timestamp"), row.pop("step", None)
                yield Entry(float(timestamp), step, row)
            return
        for sample in self.samples.only(topic):
            fields = sample.rows[topic]
            if fields is not None:
                yield Entry(sample.timestamp, sample.step, fields)

    def stills(self, camera: str) -> Stills:
        """The frames of one camera on its own: as they were recorded, or at the fixed rate."""
        if self.is_recorded:
            images = self.images(camera)
            return Stills(np.arange(len(images)), images.timestamps, images.steps)
        samples = self.samples.with_frame(camera)
        return Stills(samples.frame_numbers(camera), samples.timestamps, samples.steps)

    def count(self, topic: str) -> int:
        """How many rows `series` gives."""
        if self.is_recorded:
            return len(self.run.tracks[topic])
        return int((self.samples.of(topic) >= 0).sum())

    def shots(self, camera: str) -> Shots:
        """The frames of a camera, all of one size."""
        return Shots(camera, self.images(camera), self.size)

    def images(self, camera: str) -> Images:
        """The frames of a camera, looked up once."""
        if camera not in self._images:
            self._images[camera] = self.run.frames(camera)
        return self._images[camera]

    def told(self, items: Iterable[Item], total: int, done: int = 0) -> Iterator[Item]:
        """Pass items on, telling after each one how far it is."""
        for item in items:
            yield item
            self.check_interrupt()
            done += 1
            if self.progress is not None:
                self.progress(done, total)


def choose(given: str | Sequence[str] | None, there: Sequence[str], what: str) -> list[str]:
    """What a user chose of the tracks or cameras there are; all of them for `None`.

    Raises:
        KeyError: one is not there; it names similar ones.
        TypeError: not names.
    """
    if given is None:
        return list(there)
    names = [given] if isinstance(given, str) else list(given)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"a {what} is given by its name, not {name!r}")
        if name.strip("/") not in there:
            raise KeyError(f"no {what} {name!r} in this run; {hint(name.strip('/'), there)}")
    return list(dict.fromkeys(name.strip("/") for name in names))


def check_hz(hz: Any) -> float | None:
    """A rate in samples a second. Raises ValueError for what is none."""
    if hz is None:
        return None
    if isinstance(hz, bool) or not isinstance(hz, (int, float)) or not 0 < hz < math.inf:
        raise ValueError(f"hz={hz!r}: give a rate in samples a second, such as 10")
    return float(hz)


def check_options(format: str, known: Mapping[str, str], given: Mapping[str, Any]) -> None:
    """Refuse options that a format does not have."""
    for name in given:
        if name not in known:
            listed = f"it takes {', '.join(known)}" if known else "it takes none"
            raise TypeError(f"the format {format!r} has no option {name!r}; {listed}")
