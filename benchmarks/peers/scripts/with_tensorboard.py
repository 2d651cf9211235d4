"""TensorBoard, through tensorboardX: each scalar an event, frames as PNG."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from work import main


class TensorBoard:
    """An event file; a row is as many events as it has scalars."""

    picture = "PNG"

    def start(self, folder: Path) -> None:
        """See `work.Logger`."""
        from tensorboardX import SummaryWriter

        self.writer = SummaryWriter(str(folder))

    def row(self, i: int, x: float, y: float, z: float) -> None:
        """See `work.Logger`."""
        add = self.writer.add_scalar
        add("i", i, i)
        add("x", x, i)
        add("y", y, i)
        add("z", z, i)

    def image(self, i: int, pixels: Any) -> None:
        """See `work.Logger`."""
        self.writer.add_image("frame", pixels, i, dataformats="HWC")

    def close(self) -> None:
        """See `work.Logger`."""
        self.writer.close()

    def rows(self, folder: Path) -> Iterable[int]:
        """See `work.Logger`."""
        steps = [self._steps(folder, tag) for tag in "ixyz"]
        return set.intersection(*steps)

    def images(self, folder: Path) -> Iterable[int]:
        """See `work.Logger`."""
        return self._steps(folder, "frame")

    def _steps(self, folder: Path, tag: str) -> set[int]:
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

        return {
            event.step
            for path in folder.glob("events*")
            for event in EventFileLoader(str(path)).Load()
            if any(value.tag == tag for value in event.summary.value)
        }


main(TensorBoard())
