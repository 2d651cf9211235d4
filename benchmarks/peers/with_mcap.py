"""MCAP: rows as JSON messages, frames as the JPEG that its user encodes, all in the caller."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

from mcap.reader import make_reader
from mcap.writer import Writer
from PIL import Image
from work import QUALITY, main


class MCAP:
    """One file with two channels."""

    picture = "JPEG"

    def start(self, folder: Path) -> None:
        """See `work.Logger`."""
        self.file = (folder / "run.mcap").open("wb")
        self.writer = Writer(self.file)
        self.writer.start()
        schema = self.writer.register_schema("row", "jsonschema", b'{"type":"object"}')
        self.row_channel = self.writer.register_channel("robot/position", "json", schema)
        self.image_channel = self.writer.register_channel("frames", "jpeg", 0)

    def row(self, i: int, x: float, y: float, z: float) -> None:
        """See `work.Logger`."""
        data = json.dumps({"step": i, "x": x, "y": y, "z": z}).encode()
        now = time.time_ns()
        self.writer.add_message(self.row_channel, now, data, now, i)

    def image(self, i: int, pixels: Any) -> None:
        """See `work.Logger`."""
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY)
        now = time.time_ns()
        self.writer.add_message(self.image_channel, now, file.getvalue(), now, i)

    def close(self) -> None:
        """See `work.Logger`."""
        self.writer.finish()
        self.file.close()

    def rows(self, folder: Path) -> int:
        """See `work.Logger`."""
        return self._count(folder, "robot/position")

    def images(self, folder: Path) -> int:
        """See `work.Logger`."""
        return self._count(folder, "frames")

    def _count(self, folder: Path, topic: str) -> int:
        with (folder / "run.mcap").open("rb") as file:
            messages = make_reader(file).iter_messages([topic])
            return len({message.sequence for _, _, message in messages})


main(MCAP())
