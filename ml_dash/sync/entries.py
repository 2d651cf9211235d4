"""Files on their way to a server: what their rows in the index say, and what stands against it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from ml_dash import wire
from ml_dash.rows import decode_row


@dataclass(slots=True)
class Entry:
    """A file as its row in the index has it.

    Attributes:
        path: what the user calls it.
        timestamp: of its row: of two rows of a path, the later one counts.
        place: where its bytes are, below `files/data`.
        sha256: of its bytes.
        size: of its bytes.
        reason: why it was not sent, after an attempt.
        seen: what the file looked like then.
        sent: bytes of it that the server has taken, while it is sent in parts.
        part: bytes of a part that the server was asked for, 0 before that.
        stuck: bytes of the part that did not get through.
        taken: bytes that the server has taken since the connection broke the last time.
        cuts: times that it broke since anything was taken.
        again: when to try it again, by `time.monotonic()`, though it is what it was.
    """

    path: str
    timestamp: float
    place: str
    sha256: str
    size: int
    reason: str = ""
    seen: tuple[int, ...] = ()
    sent: int = 0
    part: int = 0
    stuck: int = 0
    taken: int = 0
    cuts: int = 0
    again: float = math.inf


class ReplacedError(Exception):
    """The file is not, or not yet, what its row says."""


def entry_of(line: bytes, timestamp: float) -> Entry | None:
    """What a row of the index says of a file; `None` if it names no content."""
    row: dict[str, Any] = decode_row(line)
    sha256, size, place = row.get("sha256"), row.get("size"), row.get("data")
    if type(sha256) is not str or type(size) is not int or type(place) is not str:
        return None
    return Entry(str(row["path"]), timestamp, place, sha256, size)


def signature(file: BinaryIO) -> tuple[int, ...]:
    """What tells an open file from another that takes its place."""
    found = os.fstat(file.fileno())
    return found.st_ino, found.st_size, found.st_mtime_ns


def unreadable(error: Exception) -> ReplacedError:
    """Why a file cannot be sent that could not be opened or read."""
    if isinstance(error, FileNotFoundError):
        return ReplacedError("the file is gone from the run")
    return ReplacedError(f"it cannot be read: {error}")


def batches(entries: Iterable[Entry], limit: int = wire.SEND_LIMIT) -> Iterator[list[Entry]]:
    """Small files, as many as go into one request of about `limit` bytes."""
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        if batch and (size + entry.size > limit or len(batch) >= 1000):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += entry.size
    if batch:
        yield batch
