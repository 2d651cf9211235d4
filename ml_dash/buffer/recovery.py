"""Finishes what a dead process left in its ring.

The rows that are not in its segments go into `<writer>-r.jsonl`: a dead writer's own segments are
never touched. What is written is decided by the ring and the segments alone, so that two who do it
at once, or one who does it again after being killed, write the same bytes to the same names.
"""

from __future__ import annotations

import mmap
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml_dash.backends.folders import FolderTree
from ml_dash.buffer.ring import SIZE, Piece
from ml_dash.buffer.ring_file import is_own
from ml_dash.buffer.ring_reading import read_identity, read_records, read_slots, read_tail
from ml_dash.environment import process_alive

DRAFT_SECONDS = 3600.0
"""Age at which a ring that is still being made is one that nobody makes any more."""


@dataclass(slots=True)
class RecoveryReport:
    """What was found in the rings of dead processes.

    Attributes:
        rows: rows written into segments, by stream.
        rings: how many rings were finished.
        alive: how many belong to processes that still run.
        problems: what could not be finished, and why.
        unread: those of them whose rows nobody has seen, by the name of the ring.
    """

    rows: dict[str, int] = field(default_factory=dict)
    rings: int = 0
    alive: int = 0
    problems: list[str] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)


def drain_dead(folder: Path) -> RecoveryReport:
    """Write what dead processes left in the run `folder` into segments, and remove their rings.

    Never raises `OSError`: what cannot be finished is told in the report and stays for later.
    """
    report = RecoveryReport()
    _remove_drafts(folder)
    for path in rings(folder):
        seen = False
        try:
            if is_own(path):
                report.alive += 1
                continue
            with _DeadRing(path) as ring:
                if ring.alive:
                    report.alive += 1
                    continue
                pending = ring.pending(folder)
                seen = True
                for stream, lines in pending.items():
                    target = folder / stream / f"{ring.writer}-r.jsonl"
                    _make_folders(folder, target.parent)
                    _write_whole(target, b"".join(lines), ring.mode)
                    report.rows[stream] = report.rows.get(stream, 0) + len(lines)
                path.unlink(missing_ok=True)
                report.rings += 1
        except FileNotFoundError:
            continue  # another reader finished it meanwhile
        except (OSError, ValueError) as error:
            report.problems.append(f"{path.name}: {error}")
            if not seen:
                report.unread[path.name] = getattr(error, "strerror", None) or str(error)
    return report


def pending_rows(folder: Path) -> dict[str, list[bytes]]:
    """The rows that dead processes left in rings, by stream: for readers of a read-only folder."""
    found: dict[str, list[bytes]] = {}
    for path in rings(folder):
        try:
            if is_own(path):
                continue
            with _DeadRing(path) as ring:
                if not ring.alive:
                    for stream, lines in ring.pending(folder).items():
                        found.setdefault(stream, []).extend(lines)
        except (OSError, ValueError):
            continue  # `drain_dead` reports it
    return found


def rings(folder: Path) -> list[Path]:
    """The ring files of a run."""
    return sorted((folder / ".buffer").glob("*.ring"))


def _remove_drafts(folder: Path) -> None:
    """Remove what was left by who was killed while it made a ring; it takes as much room."""
    for path in (folder / ".buffer").glob("*.tmp"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > DRAFT_SECONDS:
                path.unlink()


class _DeadRing:
    """A ring file, opened to be read."""

    def __init__(self, path: Path) -> None:
        self.file = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        try:
            if os.fstat(self.file).st_size != SIZE:
                raise ValueError("not a ring of this version")
            self.map = mmap.mmap(self.file, SIZE, access=mmap.ACCESS_READ)
            self.mode = stat.S_IMODE(os.fstat(self.file).st_mode)  # of the segments, too
        except (OSError, ValueError):
            os.close(self.file)
            raise
        self.view = memoryview(self.map)
        self.identity: Mapping[str, Any] = read_identity(self.view) or {}
        self.writer = str(self.identity.get("writer") or path.stem)
        self.alive = self._alive()

    def _alive(self) -> bool:
        alive = process_alive(self.identity) if self.identity else None
        if alive is not None:
            return alive
        # Another host or another process namespace: there only the lock can tell.
        try:
            import fcntl

            fcntl.flock(self.file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except (ImportError, OSError):
            return True
        return False

    def pending(self, folder: Path) -> dict[str, list[bytes]]:
        """The whole rows that are in no segment, by stream, in order."""
        found: dict[str, list[Piece]] = {}
        for piece in self._pieces():
            _check_place(folder, f"{piece.path}/{self.writer}")
            found.setdefault(piece.path, []).append(piece)
        result = {}
        for stream, pieces in found.items():
            pieces.sort(key=lambda piece: (piece.segment, piece.offset))
            lines = [line for piece in pieces for line in self._unwritten(folder, piece)]
            if lines:
                result[stream] = lines
        return result

    def _pieces(self) -> Iterator[Piece]:
        yield from read_records(self.view, read_tail(self.view))
        yield from read_slots(self.map, self.view)

    def _unwritten(self, folder: Path, piece: Piece) -> list[bytes]:
        suffix = f"-{piece.segment + 1}" if piece.segment else ""
        path = folder / piece.path / f"{self.writer}{suffix}.jsonl"
        written = (path.stat().st_size if path.exists() else 0) - piece.offset
        data = bytes(piece.data)
        if written >= len(data):
            return []
        # A line that was cut is written again, whole; readers skip the beginning of it.
        start = 0 if written <= 0 else data.rfind(b"\n", 0, written) + 1
        return data[start:].splitlines(keepends=True)

    def __enter__(self) -> _DeadRing:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.view.release()
            self.map.close()
        except BufferError:
            pass  # an error left pieces that look at it: the memory goes when they do
        os.close(self.file)


def _check_place(folder: Path, place: str) -> None:
    """A ring may be anybody's, such as that of a copied run: it must not lead out of the folder.

    Raises:
        ValueError: it names no place of ours.
        LinkError: a link stands on the way.
    """
    parts = place.split("/")
    if any(part in ("", ".", "..") or not set("\0\\:").isdisjoint(part) for part in parts):
        raise ValueError(f"{place!r} is not a place inside the run")
    FolderTree(folder).check(parts[:-1])


def _make_folders(folder: Path, wanted: Path) -> None:
    """Make those on the way for whoever the run is for: another user may have a stricter umask."""
    missing = [place for place in (wanted, *wanted.parents) if not place.exists()]
    wanted.mkdir(parents=True, exist_ok=True)
    for place in missing:
        _allow(place, folder.stat().st_mode)


def _allow(place: Path, mode: int) -> None:
    """Let those at it whom `mode` lets, beside those who may already."""
    with suppress(OSError):
        place.chmod(stat.S_IMODE(place.stat().st_mode | mode))


def _write_whole(target: Path, data: bytes, mode: int) -> None:
    temporary = target.with_name(f"{target.name}.{os.urandom(4).hex()}.tmp")
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(file, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        _allow(temporary, mode)
        temporary.replace(target)
    except BaseException:  # an interrupt, too, must leave nothing half-written
        temporary.unlink(missing_ok=True)
        raise
