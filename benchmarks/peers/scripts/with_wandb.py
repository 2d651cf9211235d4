"""Weights & Biases in offline mode: nothing leaves the machine."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterable, Iterator
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
        frame = self.wandb.Image(pixels, file_type="jpg")
        self.run.log({"frame": frame, "number": i})

    def close(self) -> None:
        """See `work.Logger`."""
        self.run.finish()

    def rows(self, folder: Path) -> Iterable[int]:
        """See `work.Logger`."""
        return (row["i"] for _, row in self._history(folder) if {*"ixyz"} <= row.keys())

    def images(self, folder: Path) -> Iterable[int]:
        """See `work.Logger`."""
        for run, row in self._history(folder):
            if "number" in row and any(run.glob(f"files/{row['path']}")):
                yield row["number"]

    def _history(self, folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Rows by the names of their values, `path` being that of a picture; and the run's folder.

        What `wandb sync` would send, which is all that reads these files.
        """
        from wandb.proto import wandb_internal_pb2

        for path in folder.rglob("*.wandb"):
            for data in _records(path.read_bytes()):
                items = wandb_internal_pb2.Record.FromString(data).history.item
                names = (item.key or item.nested_key[-1] for item in items)
                yield (
                    path.parent,
                    dict(zip(names, (json.loads(item.value_json) for item in items), strict=True)),
                )


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
