"""No logger: plain files, written as directly as can be. What all others are held against."""

from __future__ import annotations

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

    def rows(self, folder: Path) -> int:
        """See `work.Logger`."""
        return (folder / "rows").read_bytes().count(b"\n")

    def images(self, folder: Path) -> int:
        """See `work.Logger`."""
        return len(list(folder.glob("*.jpg")))


main(Floor())
