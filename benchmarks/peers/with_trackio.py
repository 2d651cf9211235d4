"""Trackio: rows through a local server into SQLite, frames as PNG."""

from __future__ import annotations

import os
import sqlite3
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

    def rows(self, folder: Path) -> int:
        """See `work.Logger`."""
        query = """SELECT count(DISTINCT step) FROM metrics
                   WHERE CAST(metrics AS TEXT) LIKE '%"x"%'"""
        databases = map(sqlite3.connect, folder.glob("*.db"))
        return sum(database.execute(query).fetchone()[0] for database in databases)

    def images(self, folder: Path) -> int:
        """See `work.Logger`."""
        return len(list(folder.rglob("*.png")))


main(Trackio())
