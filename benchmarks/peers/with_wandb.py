"""Weights & Biases in offline mode: nothing leaves the machine."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from work import main


class WandB:
    """A run in its own file of records; frames as JPEG files beside it."""

    picture = "JPEG"

    def start(self, folder: Path) -> None:
        """See `work.Logger`."""
        os.environ |= {"WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false"}
        os.environ |= {"WANDB_SILENT": "true", "WANDB_DISABLE_GIT": "true"}
        import wandb

        self.wandb = wandb
        settings = wandb.Settings(mode="offline", x_disable_stats=True, console="off")
        self.run = wandb.init(project="benchmarks", dir=str(folder), settings=settings)

    def row(self, i: int, x: float, y: float, z: float) -> None:
        """See `work.Logger`."""
        self.run.log({"i": i, "x": x, "y": y, "z": z})

    def image(self, i: int, pixels: Any) -> None:
        """See `work.Logger`."""
        self.run.log({"frame": self.wandb.Image(pixels, file_type="jpg")})

    def close(self) -> None:
        """See `work.Logger`."""
        self.run.finish()

    def rows(self, folder: Path) -> int:
        """See `work.Logger`."""
        from wandb.proto import wandb_internal_pb2

        found = 0
        for path in folder.rglob("*.wandb"):
            for data in _records(path.read_bytes()):
                record = wandb_internal_pb2.Record.FromString(data)
                items = record.history.item
                found += any(item.key == "x" or "x" in item.nested_key for item in items)
        return found

    def images(self, folder: Path) -> int:
        """See `work.Logger`."""
        return len(list(folder.rglob("media/**/*.jpg")))


def _records(log: bytes) -> Iterator[bytes]:
    """The records of a log as LevelDB writes them, after a header of seven bytes.

    Blocks of 32 KiB hold pieces: checksum, length, kind (whole, first, middle, last), bytes.
    """
    block, at, record = 32768, 7, b""
    while at + 7 <= len(log):
        if block - at % block < 7:  # too little room for a piece: the rest is padding
            at += block - at % block
            continue
        _, size, kind = struct.unpack_from("<IHB", log, at)
        if kind == 0:
            return
        record += log[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):
            yield record
            record = b""


main(WandB())
