"""The index of a run's files: one row for each save and delete, the latest row of a path wins.

    {"timestamp": 1763687000.1, "op": "save", "id": "7043…", "path": "robot/frames/frame_00012.jpg",
     "data": "robot/frames/frame_00012.jpg", "size": 40213, "sha256": "9f86…",
     "content_type": "image/jpeg", "at": 1763687000.05, "step": 12, "step_from": "name", …}

`timestamp` is when the row was written, which orders the saves of one path; `at` is the time that
the file belongs to: what the user gave as `timestamp=`, else the moment of the call. `data` is
where the bytes are, below `files/data`; it may differ from `path`, so always read `data`.

A file that is replaced is announced by its row right before it takes its place. If the process dies
in between, or two processes save one path at once, the file at `data` is not that of the latest row
but of another one of the same path: it is whole, and its hash tells which. So a file is damaged
only if no `save` row of its path has its hash.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ml_dash.backends import Backend
from ml_dash.rows import decode_row, encode_row

if TYPE_CHECKING:
    from ml_dash.reading.lines import Block

STREAM = "files/index"
MAX_NOTED = 10_000
"""Rows of this process remembered before anybody asked for the index."""


def encode_entry(timestamp: float, fields: Mapping[str, Any]) -> bytes:
    """One line of the index; `fields` are its values but the timestamp."""
    return encode_row(fields, head={"timestamp": timestamp}, where=f"file {fields['path']!r}")


class FileIndex:
    """The rows of every writer, folded by path. Reads on from where it stopped the last time.

    Keeps a row as its line, about 300 bytes, until it is asked for. Safe to use from any thread.
    Nobody waits here for a thread that reads: a signal's handler may stop that one anywhere.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._offsets: dict[str, int] = {}
        self._rows: dict[str, tuple[float, bytes | None]] = {}
        self._loaded = False
        self._complete = True  # whether every row of this process is in a segment or noted

    def _current(self) -> threading.RLock:
        # A forked child must not wait for a lock that a thread of its parent held.
        if self._process != os.getpid():
            self._process = os.getpid()
            self._lock = threading.RLock()
        return self._lock

    def note(self, path: str, timestamp: float, line: bytes | None) -> None:
        """Take in a row of this process at once, before it is in a segment.

        Args:
            path: the file.
            timestamp: the row's.
            line: the row, `None` for a delete.
        """
        many = not self._loaded and len(self._rows) >= MAX_NOTED
        if many and (lock := self._current()).acquire(blocking=False):
            try:
                if not self._loaded:
                    self._rows.clear()
                    self._complete = False
            finally:
                lock.release()
        self._take(path, timestamp, line)

    def begin(self) -> bool:
        """Keep all rows noted from now on; whether some from before are in no segment yet.

        Then flush before `refresh`.
        """
        with self._current():
            self._loaded = True
            complete, self._complete = self._complete, True
            return not complete

    def refresh(self, backend: Backend) -> None:
        """Read what has been added to the segments since the last time."""
        from ml_dash.reading.lines import Problems, Segment, read_blocks

        # Two threads at once may read the same rows: taken twice they do no harm.
        for info in backend.list(STREAM):
            start = self._offsets.get(info.path, 0)
            if info.size < start:
                start = 0  # removed and begun anew
            if info.size > start:
                segment = Segment(info.path, info.size)
                for block in read_blocks(backend, segment, Problems(), start):
                    self._take_block(block)
                    self._offsets[info.path] = block.offset + len(block.text)

    def get(self, path: str) -> dict[str, Any] | None:
        """The row of a file, `None` if there is no such file or it was deleted."""
        _, line = self._rows.get(path, (0.0, None))
        return None if line is None else decode_row(line)

    def under(self, prefix: str) -> Iterator[dict[str, Any]]:
        """The rows of all files whose path lies below `prefix` (all, when empty), by path."""
        found = [
            (path, line)
            for path, (_, line) in list(self._rows.items())
            if line is not None and (not prefix or path.startswith(f"{prefix}/"))
        ]
        return (decode_row(line) for _, line in sorted(found))

    def _take_block(self, block: Block) -> None:
        from ml_dash.reading.files import changes

        for path, timestamp, line in changes(block):
            self._take(path, timestamp, line)

    def _take(self, path: str, timestamp: float, line: bytes | None) -> None:
        # No call between looking the row up and setting it, so under the interpreter lock neither
        # another thread nor a signal's handler comes in between.
        rows = self._rows
        if path not in rows or timestamp >= rows[path][0]:
            rows[path] = timestamp, line


def rows_of(backend: Backend, path: str) -> list[dict[str, Any]]:
    """Every save of one path in every segment. Reads the whole index: for rare cases."""
    from ml_dash.reading.lines import Problems, Segment, read_blocks

    return [
        row
        for info in backend.list(STREAM)
        for block in read_blocks(backend, Segment(info.path, info.size), Problems())
        for row in block.rows
        if row.get("path") == path and row.get("op") == "save"
    ]
