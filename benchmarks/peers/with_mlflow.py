"""MLflow with its file store: each scalar a line in a file of its own, frames as PNG."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from work import main


class MLflow:
    """A run in a folder."""

    picture = "PNG"

    def start(self, folder: Path) -> None:
        """See `work.Logger`."""
        os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
        os.environ |= {"MLFLOW_ALLOW_FILE_STORE": "true"}
        import mlflow

        self.mlflow = mlflow
        mlflow.set_tracking_uri(folder.as_uri())
        mlflow.set_experiment("benchmarks")
        mlflow.start_run()

    def row(self, i: int, x: float, y: float, z: float) -> None:
        """See `work.Logger`."""
        self.mlflow.log_metrics({"i": i, "x": x, "y": y, "z": z}, step=i)

    def image(self, i: int, pixels: Any) -> None:
        """See `work.Logger`."""
        self.mlflow.log_image(pixels, f"frames/{i:06d}.png")

    def close(self) -> None:
        """See `work.Logger`."""
        self.mlflow.end_run()

    def rows(self, folder: Path) -> int:
        """See `work.Logger`."""
        files = [path for path in folder.rglob("metrics/*") if path.is_file()]
        return min(path.read_bytes().count(b"\n") for path in files)

    def images(self, folder: Path) -> int:
        """See `work.Logger`."""
        return len(list(folder.rglob("frames/*.png")))


main(MLflow())
