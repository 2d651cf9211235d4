"""MLflow: each scalar a line in a file of its own or a record of SQLite, frames as PNG."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from work import main


class MLflow:
    """A run in a folder.

    Args:
        store: `files`, or `sqlite`, which is what MLflow takes by default.
    """

    picture = "PNG"

    def __init__(self, store: str) -> None:
        self.store = store

    def open(self, folder: Path) -> Any:
        """MLflow, with its data in this folder."""
        os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
        os.environ |= {"MLFLOW_ALLOW_FILE_STORE": "true"}
        import mlflow

        database = f"sqlite:///{folder / 'mlflow.db'}"
        mlflow.set_tracking_uri(database if self.store == "sqlite" else folder.as_uri())
        return mlflow

    def start(self, folder: Path) -> None:
        """See `work.Logger`."""
        if self.store == "sqlite":
            self._prepare(folder / "mlflow.db")
        self.mlflow = self.open(folder)
        artifacts = (folder / "artifacts").as_uri()
        self.mlflow.create_experiment("benchmarks", artifact_location=artifacts)
        self.mlflow.set_experiment("benchmarks")
        self.mlflow.start_run()

    def _prepare(self, database: Path) -> None:
        """Put an empty database there: making one takes long, and is done once, not per run."""
        empty = Path(sys.prefix) / "empty.db"
        if not empty.exists():
            client = self.open(database.parent).MlflowClient()
            client.search_experiments()  # makes the tables
            shutil.copy(database, empty)
        shutil.copy(empty, database)

    def row(self, i: int, x: float, y: float, z: float) -> None:
        """See `work.Logger`."""
        self.mlflow.log_metrics({"i": i, "x": x, "y": y, "z": z}, step=i)

    def image(self, i: int, pixels: Any) -> None:
        """See `work.Logger`."""
        self.mlflow.log_image(pixels, f"frames/{i:06d}.png")

    def close(self) -> None:
        """See `work.Logger`."""
        self.mlflow.end_run()

    def rows(self, folder: Path) -> Iterable[int]:
        """See `work.Logger`."""
        client = self.open(folder).MlflowClient()
        experiment = client.get_experiment_by_name("benchmarks")
        (run,) = client.search_runs([experiment.experiment_id])
        histories = (client.get_metric_history(run.info.run_id, name) for name in "ixyz")
        return set.intersection(*({metric.step for metric in history} for history in histories))

    def images(self, folder: Path) -> Iterable[int]:
        """See `work.Logger`."""
        return [int(path.stem) for path in folder.rglob("frames/*.png")]


main(MLflow(sys.argv.pop()))
