"""ML-Dash, as it lies in this repository."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from work import QUALITY, main

from ml_dash import Experiment

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

    def rows(self, folder: Path) -> int:
        """See `work.Logger`."""
        segments = (folder / PREFIX / "tracks/robot/position").glob("*.jsonl")
        lines = (line for segment in segments for line in segment.open("rb"))
        return len({orjson.loads(line)["step"] for line in lines})

    def images(self, folder: Path) -> int:
        """See `work.Logger`."""
        return len(list((folder / PREFIX / "files/data/frames").glob("*.jpg")))


main(MLDash())
