"""The aligned rows of several runs as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ml_dash.reading.aligned import Aligned
from ml_dash.reading.aligned_parts import AlignedParts, Pictures, Pieces
from ml_dash.reading.entries import Integers
from ml_dash.reading.frame_files import FrameFiles
from ml_dash.reading.parts import Array, join
from ml_dash.reading.report import SHOWN, AlignmentReport
from ml_dash.reading.topic import JoinedTopic


class JoinedFrames:
    """The frames of one camera of several runs, one after the other."""

    def __init__(self, cameras: Sequence[Pictures]) -> None:
        self._cameras = list(cameras)
        self.starts: Integers = np.cumsum([0, *map(len, cameras)], dtype=np.int64)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, index: int, /) -> Array:
        camera, number = self._place(index)
        return camera[number]

    def read_bytes(self, index: int) -> bytes:
        """The file of one frame as it was saved."""
        camera, number = self._place(index)
        return camera.read_bytes(number)

    def files(self) -> FrameFiles:
        """The same frames for the workers of a data loader."""
        return FrameFiles.joined([camera.files() for camera in self._cameras])

    def _place(self, index: int) -> tuple[Pictures, int]:
        index = range(len(self))[index]
        which = int(np.searchsorted(self.starts, index, side="right")) - 1
        return self._cameras[which], index - int(self.starts[which])


def join_aligned(runs: Sequence[Aligned]) -> Aligned:
    """The rows of all, one after the other. See `concat_runs`."""
    first = runs[0]
    if len(runs) == 1:
        return first
    for run in runs[1:]:
        if set(run.topics) != set(first.topics) or set(run.cameras) != set(first.cameras):
            raise ValueError(
                f"runs: the first has the tracks {first.topics} and cameras {first.cameras},"
                f" another one {run.topics} and {run.cameras}; align all of them alike"
            )
    count = sum(map(len, runs))
    everything = np.arange(count, dtype=np.int64)
    topics = {
        name: JoinedTopic(name, [run.parts.topics[name] for run in runs], everything)
        for name in first.topics
    }
    cameras = {
        name: JoinedFrames([run.parts.cameras[name] for run in runs]) for name in first.cameras
    }
    frames = {
        name: _joined(
            np.where(numbers < 0, -1, numbers + start)
            for numbers, start in zip(
                [run.frame_index(name) for run in runs], camera.starts, strict=False
            )
        )
        for name, camera in cameras.items()
    }
    before = np.cumsum([0, *(len(run.parts.starts) for run in runs)])
    apart = any(run.parts.streams or run.parts.pieces for run in runs)
    parts = AlignedParts(
        topics,
        cameras,
        frames,
        join([run.parts.steps for run in runs]),
        np.concatenate([run.timestamps for run in runs]),
        _joined(run.run_index + start for run, start in zip(runs, before, strict=False)),
        np.concatenate([run.parts.starts for run in runs]),
        pieces=Pieces(runs, join_aligned) if apart else None,
    )
    found = Aligned(parts, _report([run.report for run in runs]))
    found.number_episodes_as([run.episode_index for run in runs])
    return found


def _joined(parts: Iterable[Integers]) -> Integers:
    return np.concatenate([np.empty(0, np.int64), *parts])


def _report(reports: Sequence[AlignmentReport]) -> AlignmentReport:
    """The sums of several reports."""

    def summed(of: Callable[[AlignmentReport], dict[str, int]]) -> dict[str, int]:
        found: dict[str, int] = {}
        for report in reports:
            for name, count in of(report).items():
                found[name] = found.get(name, 0) + count
        return found

    first = reports[0]
    return AlignmentReport(
        first.on,
        " / ".join(dict.fromkeys(report.key for report in reports)),
        sum(report.rows for report in reports),
        first.cameras,
        summed(lambda report: report.without),
        summed(lambda report: report.unused),
        {
            name: [step for report in reports for step in report.first_unused.get(name, [])][:SHOWN]
            for name in first.first_unused
        },
        summed(lambda report: report.without_step),
        sum(report.frames_gone for report in reports),
        sum(report.rows_dropped for report in reports),
        sum(report.frames_alone for report in reports),
    )
