"""Rerun into a file: one `log` call for each row, frames compressed by it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import rerun
from work import QUALITY, main


class Rerun:
    """A recording."""

    picture = "JPEG"

    def start(self, folder: Path) -> None:
        """See `work.Logger`."""
        self.recording = rerun.RecordingStream("benchmarks")
        self.recording.save(folder / "run.rrd")

    def row(self, i: int, x: float, y: float, z: float) -> None:
        """See `work.Logger`."""
        self.recording.set_time("step", sequence=i)
        self.recording.log("robot/position", rerun.Scalars([i, x, y, z]))

    def image(self, i: int, pixels: Any) -> None:
        """See `work.Logger`."""
        self.recording.set_time("step", sequence=i)
        self.recording.log("frames", rerun.Image(pixels).compress(jpeg_quality=QUALITY))

    def close(self) -> None:
        """See `work.Logger`."""
        self.recording.flush()
        self.recording.disconnect()

    def rows(self, folder: Path) -> Iterable[int]:
        """See `work.Logger`."""
        return self._steps(folder, "robot/position")

    def images(self, folder: Path) -> Iterable[int]:
        """See `work.Logger`."""
        return self._steps(folder, "frames")

    def _steps(self, folder: Path, entity: str) -> Iterator[int]:
        from rerun.chunk import RrdReader

        try:
            for chunk in RrdReader(folder / "run.rrd").stream():
                if str(chunk.entity_path) == f"/{entity}":
                    yield from chunk.to_record_batch().column("step").to_pylist()
        except RuntimeError:  # a file that was cut short: what came before is what there is
            return


main(Rerun())
