"""The files of a run compared with its index, and what lies there besides."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_dash.backends.blobs import CHUNK, TEMPORARY
from ml_dash.reading.files import DATA, INDEX, Files, open_data
from ml_dash.reading.lines import Block, Row
from ml_dash.reading.source import ROOMS, SUFFIX
from ml_dash.reading.stream import Stream

if TYPE_CHECKING:
    from ml_dash.reading.check_report import CheckReport
    from ml_dash.reading.run_view import RunView

Fault = tuple[str, str, str]
"""Severity, path, message."""

_NEEDED: dict[str, type] = {"path": str, "data": str, "size": int, "sha256": str}
_TRIES = 3  # readings of a file that somebody keeps saving


def index_faults(block: Block) -> Iterator[tuple[int, str]]:
    """The rows of the index that lack what an index row has: offset and message."""
    starts: list[int] | None = None
    for number, row in enumerate(block.rows):
        missing = _missing(row) if row.get("op") == "save" else []
        if row.get("op") not in ("save", "delete"):
            missing.append("op")
        if "path" not in missing and type(row.get("path")) is not str:
            missing.append("path")
        if missing:
            starts = starts or block.spans()[0]
            yield starts[number], f"an index row without {', '.join(missing)}"


def _missing(row: Row) -> list[str]:
    return [key for key, kind in _NEEDED.items() if type(row.get(key)) is not kind]


def check_files(run: RunView, report: CheckReport, tell: Callable[[], None]) -> Iterator[Fault]:
    """Compare each file of the index with its size and checksum; `tell` is called after each."""
    for path in run.files:
        fault, size = _fault_of(run, path)
        report.files += 1
        report.file_bytes += size
        tell()
        if fault is not None:
            yield fault


def _fault_of(run: RunView, path: str) -> tuple[Fault | None, int]:
    """What is wrong with one file, and its size."""
    files: Files = run.files
    row = files[path]
    fault: Fault | None = None
    size = 0
    for _ in range(_TRIES):
        place = f"{DATA}/{row['data']}"
        if _missing(row):
            return None, 0  # told of the index already
        try:
            size, digest = _measure(run, row)
        except FileNotFoundError:
            fault, size = ("error", place, f"the file of {path!r} is gone"), 0
        except (OSError, ValueError) as error:
            return ("error", place, f"the file of {path!r} cannot be read: {error}"), 0
        else:
            if size == row.get("size") and digest == row.get("sha256"):
                return None, size
            fault = _differs(run, row, size, digest)
        # It may have been saved again, or deleted, since the index was read
        files = Files(run.source.now())
        if not files.exists(path):
            return None, 0
        latest = files[path]
        if latest.get("id") == row.get("id"):
            break
        row = latest
    return fault, size


def _differs(run: RunView, row: Row, size: int, digest: str) -> Fault:
    path, place = row["path"], f"{DATA}/{row['data']}"
    for _, block in Stream(run.source, INDEX, merge=False).blocks():
        for other in block.rows:
            if (other.get("path"), other.get("sha256")) == (path, digest):
                message = f"{path!r} holds an earlier save; the process died replacing it"
                return "warning", place, message
    if size != row.get("size"):
        return "error", place, f"{path!r} is {size:,} bytes long and should be {row['size']:,}"
    return "error", place, f"{path!r} is not what was saved: its checksum differs"


def _measure(run: RunView, row: Row) -> tuple[int, str]:
    """Size and SHA-256 of a file, in bounded memory."""
    digest = hashlib.sha256(usedforsecurity=False)
    size = 0
    with open_data(run.source, str(row["data"])) as file:
        while data := file.read(CHUNK):
            digest.update(data)
            size += len(data)
    return size, digest.hexdigest()


def leftovers(folder: Path, files: Files, *, running: bool) -> Iterator[Fault]:
    """What lies in the run's folder and belongs to nothing.

    While the run goes on, files on their way are none.
    """
    known = {f"{DATA}/{row['data']}" for row in files.list()}
    for place, is_link in _walk(folder):
        if is_link:
            yield "warning", place, "a link inside the run; it is not followed"
        elif place.endswith(TEMPORARY):
            if not running:
                yield "note", place, "left by a process that died while writing it; may be deleted"
        elif place.startswith(f"{DATA}/"):
            if place not in known and not running:
                yield "warning", place, "a file that the index does not name"
        elif not place.endswith(SUFFIX) and not place.startswith(".buffer/"):
            yield "warning", place, "not a file of ML-Dash"


def _walk(folder: Path) -> Iterator[tuple[str, bool]]:
    """All files in the rooms of a run, relative to it, and whether each is a link."""
    rooms = {room.partition("/")[0] for room in ROOMS} | {".buffer"}
    waiting = sorted(rooms)
    while waiting:
        inside = waiting.pop()
        if (folder / inside).is_symlink():
            yield inside, True
            continue
        try:
            entries: list[os.DirEntry[Any]] = list(os.scandir(folder / inside))
        except OSError:
            continue  # not there
        for entry in entries:
            place = f"{inside}/{entry.name}"
            if entry.is_symlink():
                yield place, True
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(place)
            else:
                yield place, False
