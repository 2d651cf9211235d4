"""Trackio: rows through a local server into SQLite, frames as PNG."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from work import main


class Trackio:
    """A project with one run."""

    picture = "PNG"

    def start(self, folder: Path) -> None:
        """See `work.Logger`."""
        os.environ["TRACKIO_DIR"] = str(folder)
        import trackio

        self.trackio = trackio
        trackio.init("benchmarks", name="run", auto_log_gpu=False, auto_log_cpu=False)

    def row(self, i: int, x: float, y: float, z: float) -> None:
        """See `work.Logger`."""
        self.trackio.log({"i": i, "x": x, "y": y, "z": z}, step=i)

    def image(self, i: int, pixels: Any) -> None:
        """See `work.Logger`."""
        self.trackio.log({"frame": self.trackio.Image(pixels)}, step=i)

    def close(self) -> None:
        """See `work.Logger`."""
        self.trackio.finish()

    def rows(self, folder: Path) -> Iterable[int]:
        """See `work.Logger`."""
        return (step for step, values in self._records(folder) if {*"ixyz"} <= values.keys())

    def images(self, folder: Path) -> Iterable[int]:
        """See `work.Logger`."""
        for step, values in self._records(folder):
            if "frame" in values and (folder / "media" / values["frame"]["file_path"]).exists():
                yield step

    def _records(self, folder: Path) -> Iterator[tuple[int, dict[str, Any]]]:
        for path in folder.glob("*.db"):
            database = sqlite3.connect(path)
            if database.execute("SELECT name FROM sqlite_master WHERE name='metrics'").fetchone():
                for step, values in database.execute("SELECT step, metrics FROM metrics"):
                    yield step, json.loads(values)


main(Trackio())
