"""ML-Dash, as it lies in this repository."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from work import QUALITY, main

from ml_dash import Experiment, open_run

PREFIX = "benchmarks/recorded"


class MLDash:
    """A track and frames."""

    picture = "JPEG"

    def start(self, folder: Path) -> None:
        """See `work.Logger`."""
        self.experiment = Experiment(PREFIX, dash_root=folder, echo=False).run.start()

    def row(self, i: int, x: float, y: float, z: float) -> None:
        """See `work.Logger`."""
        self.experiment.track("robot/position").append({"step": i, "x": x, "y": y, "z": z})

    def image(self, i: int, pixels: Any) -> None:
        """See `work.Logger`."""
        self.experiment.files("frames").save_image(pixels, to=f"{i:06d}.jpg", quality=QUALITY)

    def close(self) -> None:
        """See `work.Logger`."""
        self.experiment.run.complete()

    def rows(self, folder: Path) -> Iterable[int]:
        """See `work.Logger`."""
        tracks = open_run(folder / PREFIX).tracks
        return tracks["robot/position"]["step"] if "robot/position" in tracks else ()

    def images(self, folder: Path) -> Iterable[int]:
        """See `work.Logger`."""
        return open_run(folder / PREFIX).frames("frames").steps


main(MLDash())
