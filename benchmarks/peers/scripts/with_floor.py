"""No logger: plain files, written as directly as can be. What all others are held against."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import simplejpeg
from work import QUALITY, main


class Floor:
    """Rows through a buffered file, frames encoded in the caller."""

    picture = "JPEG"

    def start(self, folder: Path) -> None:
        """See `work.Logger`."""
        self.folder = folder
        self.file = (folder / "rows").open("wb", buffering=65536)

    def row(self, i: int, x: float, y: float, z: float) -> None:
        """See `work.Logger`."""
        row = {"step": i, "x": x, "y": y, "z": z}
        self.file.write(orjson.dumps(row, None, orjson.OPT_APPEND_NEWLINE))

    def image(self, i: int, pixels: Any) -> None:
        """See `work.Logger`."""
        data = simplejpeg.encode_jpeg(pixels, QUALITY, "RGB", "420")
        (self.folder / f"{i:06d}.jpg").write_bytes(data)

    def close(self) -> None:
        """See `work.Logger`."""
        self.file.close()

    def rows(self, folder: Path) -> Iterable[int]:
        """See `work.Logger`."""
        with (folder / "rows").open("rb") as lines:
            return [orjson.loads(line)["step"] for line in lines if line.endswith(b"\n")]

    def images(self, folder: Path) -> Iterable[int]:
        """See `work.Logger`."""
        return [int(path.stem) for path in folder.glob("*.jpg")]


main(Floor())
