"""MCAP: rows as JSON messages, frames as the JPEG that its user encodes, all in the caller."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mcap.exceptions import McapError
from mcap.records import Channel, Message
from mcap.stream_reader import StreamReader
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

    def rows(self, folder: Path) -> Iterable[int]:
        """See `work.Logger`."""
        return self._steps(folder, "robot/position")

    def images(self, folder: Path) -> Iterable[int]:
        """See `work.Logger`."""
        return self._steps(folder, "frames")

    def _steps(self, folder: Path, topic: str) -> Iterator[int]:
        """Record for record, as far as a file goes that may have no end."""
        channels: dict[int, str] = {}
        with (folder / "run.mcap").open("rb") as file:
            try:
                for record in StreamReader(file).records:
                    if isinstance(record, Channel):
                        channels[record.id] = record.topic
                    elif isinstance(record, Message) and channels[record.channel_id] == topic:
                        yield record.sequence
            except (McapError, EOFError):
                return


main(MCAP())
