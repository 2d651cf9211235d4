"""Run folders written by hand, row by row, for tests of reading."""

import hashlib
from pathlib import Path

from ml_dash.backends import LocalBackend
from ml_dash.names import encode_path
from ml_dash.rows import encode_row

A, B, C = "aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"


def line(timestamp, step=None, explicit=False, **fields):
    """One row as a line."""
    head = {"timestamp": timestamp}
    if step is not None:
        head["step"] = step
    if explicit:
        head["_explicit"] = True
    return encode_row(fields, head=head, where="test")


class Written:
    """A run's folder in the making."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.backend = LocalBackend(self.folder)
        self._ids = 0

    def put(self, stream, *lines, writer=A, part=""):
        """Add bytes to a segment; its path."""
        path = self.folder / stream / f"{writer}{part}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(b"".join(lines))
        return path

    def start(self, at=1.0, writer=A, root=True, **fields):
        """Say that a session began."""
        row = {"event": "start", "session": writer, "root": root, **fields}
        self.put("run", line(at, **row), writer=writer)
        return self

    def end(self, at=100.0, writer=A, status="COMPLETED", **fields):
        """Say that a session ended."""
        row = {"event": "end", "session": writer, "status": status, **fields}
        self.put("run", line(at, **row), writer=writer)
        return self

    def file(self, path, data, at=None, timestamp=None, writer=A, **fields):
        """Save a file and index it; its place."""
        self._ids += 1
        place = encode_path(path.split("/"), "file", fold_case=False)
        target = self.folder / "files/data" / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        row = {
            "op": "save",
            "id": str(self._ids),
            "path": path,
            "data": place,
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "at": at,
            **fields,
        }
        timestamp = float(self._ids) if timestamp is None else timestamp
        row = {key: value for key, value in row.items() if value is not None}
        self.put("files/index", line(timestamp, **row), writer=writer)
        return target

    def frame(self, path, at, step=None, shade=0, **fields):
        """Save a small PNG, all of one shade of gray, as a frame."""
        return self.file(path, png(shade), at=at, step=step, content_type="image/png", **fields)


def png(shade):
    """A PNG of 2x3 pixels of one gray."""
    import numpy as np

    from ml_dash import image

    return image.encode(np.full((2, 3), shade, np.uint8), "png")
