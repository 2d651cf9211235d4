"""The one interface between recording and a place that keeps bytes.

- A segment only grows, at its end, by its one writer; `append` says where it believes the end is.
- After an exception from `append`, `size` tells how much arrived; continue from there.
- A blob is whole or absent: `put_blob` shows it under its name only when all of it is there.

Paths are relative, with `/`, already checked and encoded. Errors are `OSError`s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """A stored file: its path relative to the run, and its size in bytes."""

    path: str
    size: int


class SegmentGoneError(FileNotFoundError):
    """A segment that was being written has been removed from outside."""

    def __init__(self, segment: str) -> None:
        super().__init__(f"segment {segment!r} was removed while it was being written")
        self.segment = segment


@runtime_checkable
class Backend(Protocol):
    """Keeps the segments and blobs of one run."""

    def append(self, segment: str, offset: int, data: Sequence[bytes | memoryview]) -> None:
        """Add `data`, piece after piece, to the end of `segment`, which is at `offset`.

        The segment is made when `offset` is 0 and there is none.

        Raises:
            SegmentGoneError: somebody removed the segment.
            OSError: the bytes, or the rest of them, could not be written.
        """
        ...

    def size(self, segment: str) -> int:
        """The segment's length in bytes; 0 when there is none."""
        ...

    def read(self, path: str, offset: int = 0, size: int | None = None) -> bytes:
        """Bytes of a file from `offset`, `size` of them or all; empty when there is none."""
        ...

    def list(self, prefix: str = "") -> Iterator[SegmentInfo]:
        """Every file below the folder `prefix`, in no particular order."""
        ...

    def sync(self, segments: Sequence[str]) -> None:
        """Ask the operating system to put these segments and blobs on the disk itself."""
        ...

    def put_blob(self, path: str, data: bytes | bytearray | memoryview) -> None:
        """Store `data` whole under `path`, in place of what was there."""
        ...

    def put_blob_file(self, path: str, source: Path) -> tuple[int, str]:
        """Store a copy of the file `source` under `path`; its size and SHA-256 as hex."""
        ...

    def open_blob(self, path: str) -> BinaryIO:
        """Open a stored file for reading. Raises `FileNotFoundError`."""
        ...

    def delete_blob(self, path: str) -> None:
        """Remove a stored file, if it is there."""
        ...

    def close(self) -> None:
        """Close what is open. The backend opens again what it needs, should it be used again."""
        ...
