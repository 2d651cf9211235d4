"""Aligned rows as exporting looks at them: a run that has these tracks and frames, and no other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ml_dash.reading.aligned import Aligned
    from ml_dash.reading.files import Files
    from ml_dash.reading.run_view import RunView
    from ml_dash.reading.table import Table


class Excerpt:
    """Aligned rows of one run as `ml_dash.export.recording.Recording`.

    Args:
        rows: what is exported, in order of time.

    Raises:
        ValueError: they are of several runs, or not in order of time.
    """

    def __init__(self, rows: Aligned) -> None:
        run = rows.parts.run
        if run is None:
            raise ValueError("these rows are of several runs; export those of each run by itself")
        back = np.flatnonzero(np.diff(rows.timestamps) < 0)
        if len(back) and rows.parts.hz is None:
            raise ValueError(
                f"row {back[0] + 1:,} is earlier than the one before it; export rows in order of"
                " time"
            )
        self._rows = rows
        self._run: RunView = run
        self.folder: Path | None = run.folder
        self.prefix = run.prefix
        self.params: Mapping[str, Any] = run.params
        self.files: Files = run.files
        self.cameras = rows.cameras
        self.tracks: dict[str, Table] = {
            name: topic.table for name, topic in rows.parts.topics.items()
        }

    def frames(self, prefix: str) -> Any:
        """The frames of one camera."""
        return self._rows.parts.cameras[prefix]

    def aligned(self, *topics: str, **joining: Any) -> Aligned:
        """The rows, which are aligned already."""
        return self._rows

    def to_json(self) -> dict[str, Any]:
        """What the run is."""
        return self._run.to_json()
