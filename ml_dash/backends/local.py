"""A run's folder on a file system."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from ml_dash.backends.base import SegmentGoneError, SegmentInfo
from ml_dash.backends.blobs import copy_in, write_in
from ml_dash.backends.folders import FolderTree

MAX_OPEN = 128
"""How many segments are kept open at once: thousands of topics must not use up the descriptors."""

_OPEN = os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
_OPEN |= getattr(os, "O_BINARY", 0)
_WRITEV = hasattr(os, "writev")
_PIECES = 512  # fewer than any system's IOV_MAX
_SYNC_SECONDS = 5.0


class LocalBackend:
    """Keeps a run in the folder `folder`, which it makes when something is first written.

    Appending is for one thread at a time; reading and blobs are for any.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tree = FolderTree(folder)
        self._files: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def append(self, segment: str, offset: int, data: Sequence[bytes | memoryview]) -> None:
        """See `Backend.append`."""
        file = self._open(segment, offset)
        for start in range(0, len(data), _PIECES):
            _write_all(file, data[start : start + _PIECES])

    def check(self, stream: str) -> None:
        """Raise `LinkError` where a link stands on the way to the segments of a stream."""
        self._tree.check(stream.split("/"))

    def size(self, segment: str) -> int:
        """See `Backend.size`."""
        try:
            return (self.folder / segment).stat().st_size
        except FileNotFoundError:
            return 0

    def read(self, path: str, offset: int = 0, size: int | None = None) -> bytes:
        """See `Backend.read`."""
        try:
            with (self.folder / path).open("rb") as file:
                file.seek(offset)
                return file.read(-1 if size is None else size)
        except FileNotFoundError:
            return b""

    def list(self, prefix: str = "") -> Iterator[SegmentInfo]:
        """See `Backend.list`. Links are left out: a run holds files of its own only."""
        folders = [prefix]
        if prefix and any((self.folder / part).is_symlink() for part in _ways(prefix)):
            return
        while folders:
            folder = folders.pop()
            try:
                entries = os.scandir(self.folder / folder)
            except (FileNotFoundError, NotADirectoryError):
                continue
            with entries:
                for entry in entries:
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    try:
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(path)
                        elif entry.is_file(follow_symlinks=False):
                            yield SegmentInfo(path, entry.stat(follow_symlinks=False).st_size)
                    except FileNotFoundError:
                        continue  # removed since it was listed

    def sync(self, segments: Sequence[str]) -> None:
        """See `Backend.sync`. Bounded in time: of thousands some are left to the system."""
        deadline = time.monotonic() + _SYNC_SECONDS
        for segment in segments:
            if time.monotonic() > deadline:
                return
            with contextlib.suppress(FileNotFoundError):
                file = os.open(self.folder / segment, os.O_RDWR)
                try:
                    os.fsync(file)
                finally:
                    os.close(file)

    def put_blob(self, path: str, data: bytes | bytearray | memoryview) -> None:
        """See `Backend.put_blob`."""
        write_in(self.folder, path, data)

    def put_blob_file(self, path: str, source: Path) -> tuple[int, str]:
        """See `Backend.put_blob_file`."""
        return copy_in(self.folder, path, source)

    def open_blob(self, path: str) -> BinaryIO:
        """See `Backend.open_blob`."""
        return (self.folder / path).open("rb")

    def delete_blob(self, path: str) -> None:
        """See `Backend.delete_blob`."""
        (self.folder / path).unlink(missing_ok=True)

    def close(self) -> None:
        """See `Backend.close`."""
        with self._lock:
            while self._files:
                os.close(self._files.popitem()[1])

    def after_fork(self) -> None:
        """In a forked child: let go of the parent's descriptors, whose offsets are shared."""
        self._lock = threading.Lock()
        self.close()

    def _open(self, segment: str, offset: int) -> int:
        with self._lock:
            file = self._files.get(segment)
            if file is None:
                file = self._open_anew(segment, offset)
                self._files[segment] = file
                if len(self._files) > MAX_OPEN:
                    os.close(self._files.popitem(last=False)[1])
            else:
                self._files.move_to_end(segment)
            if os.fstat(file).st_nlink == 0:
                os.close(self._files.pop(segment))
                raise SegmentGoneError(segment)
            return file

    def _open_anew(self, segment: str, offset: int) -> int:
        path = self.folder / segment
        self.check(segment.rpartition("/")[0])  # it may have come after the stream was first used
        if offset == 0:
            try:
                return os.open(path, _OPEN | os.O_CREAT | os.O_EXCL, 0o666)
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                return os.open(path, _OPEN | os.O_CREAT | os.O_EXCL, 0o666)
            except FileExistsError:
                pass  # made by an attempt of ours that got no further, else the size tells
        try:
            file = os.open(path, _OPEN)
        except FileNotFoundError:
            raise SegmentGoneError(segment) from None
        if (size := os.fstat(file).st_size) != offset:
            os.close(file)
            raise OSError(
                errno.EIO, f"segment is {size} bytes long where its writer left {offset}", str(path)
            )
        return file


def _ways(path: str) -> list[str]:
    """The folders on the way to `path`, and itself."""
    parts = path.split("/")
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def _write_all(file: int, pieces: Sequence[bytes | memoryview]) -> None:
    """Write every byte; a short write goes on where it ended, so that lines come out whole."""
    views = [memoryview(piece) for piece in pieces]
    while views:
        written = os.writev(file, views) if _WRITEV else os.write(file, views[0])
        if written == 0:
            raise OSError(errno.EIO, "the file system took no byte and gave no error")
        while views and written >= len(views[0]):
            written -= len(views.pop(0))
        if views and written:
            views[0] = views[0][written:]
