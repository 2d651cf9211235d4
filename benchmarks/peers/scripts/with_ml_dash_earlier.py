"""The published ML-Dash before this one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from work import QUALITY, main

from ml_dash import Experiment


class Earlier:
    """A track and frames, in local mode."""

    picture = "JPEG"

    def start(self, folder: Path) -> None:
        """See `work.Logger`."""
        self.experiment = Experiment(
            prefix="somebody/benchmarks/recorded", dash_root=str(folder), dash_url=False
        )
        self.experiment.run.start()

    def row(self, i: int, x: float, y: float, z: float) -> None:
        """See `work.Logger`."""
        self.experiment.tracks("robot/position").append(step=i, x=x, y=y, z=z)

    def image(self, i: int, pixels: Any) -> None:
        """See `work.Logger`."""
        self.experiment.files("frames").save_image(pixels, to=f"{i:06d}.jpg", quality=QUALITY)

    def close(self) -> None:
        """See `work.Logger`."""
        self.experiment.run.complete()

    def rows(self, folder: Path) -> Iterable[int]:
        """See `work.Logger`."""
        lines = [
            line
            for file in folder.rglob("*.jsonl")
            if "position" in str(file)
            for line in file.read_text().splitlines()
        ]
        return [json.loads(line)["step"] for line in lines]

    def images(self, folder: Path) -> Iterable[int]:
        """See `work.Logger`."""
        return [int(path.stem) for path in folder.rglob("*.jpg")]


main(Earlier())
