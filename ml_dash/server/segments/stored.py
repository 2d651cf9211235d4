"""A run on the server as the reading code takes it: the reading half of a backend."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NoReturn

from sqlalchemy import select

from ml_dash.backends import SegmentInfo
from ml_dash.server.database import Database
from ml_dash.server.segments.chunks import load_chunk
from ml_dash.server.store import LostError, ObjectStore
from ml_dash.server.tables import Chunk, Segment

CACHED = 64 << 20
"""Bytes of lines that a process keeps; a chunk never changes, so what is kept is never stale."""


class ChunkCache:
    """The lines of chunks that were read last. Safe to use from any thread."""

    def __init__(self, limit: int = CACHED) -> None:
        self._limit = limit
        self._held = 0
        self._lines: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def load(self, objects: ObjectStore, chunk: Chunk) -> bytes:
        """The lines of a chunk. They are known by their hash, wherever they are stored.

        Raises:
            OSError: the store has lost or changed them.
        """
        with self._lock:
            text = self._lines.get(chunk.sha256)
            if text is not None:
                self._lines.move_to_end(chunk.sha256)
                return text
        text = load_chunk(objects, chunk)
        with self._lock:
            if chunk.sha256 not in self._lines:
                self._lines[chunk.sha256] = text
                self._held += len(text)
            while self._held > self._limit and len(self._lines) > 1:
                self._held -= len(self._lines.popitem(last=False)[1])
        return text


_cache = ChunkCache()


def read_segment(
    data: Database, objects: ObjectStore, segment_id: str, offset: int, size: int
) -> bytes:
    """Bytes of a segment from `offset`; fewer than `size` where it ends."""
    return b"".join(iterate_segment(data, objects, segment_id, offset, size))


def iterate_segment(
    data: Database, objects: ObjectStore, segment_id: str, offset: int, size: int
) -> Iterator[bytes]:
    """The same, a chunk at a time.

    Chunks may be put together with others meanwhile: each next one is looked up anew, by where the
    last one ended.
    """
    end = offset + size
    while offset < end:
        with data.reading() as session:
            chunk = session.scalar(
                select(Chunk)
                .where(Chunk.segment_id == segment_id, Chunk.offset <= offset)
                .order_by(Chunk.offset.desc())
                .limit(1)
            )
        if chunk is None or chunk.offset + chunk.size <= offset:
            return
        try:
            text = _cache.load(objects, chunk)
        except FileNotFoundError:  # put together with others, and the old object is gone already
            with data.reading() as session:
                again = session.get(Chunk, (segment_id, chunk.offset))
            if again is not None and again.object_key == chunk.object_key:
                raise LostError(f"the object {chunk.object_key!r} is gone") from None
            continue
        piece = text[offset - chunk.offset : end - chunk.offset]
        yield piece
        offset += len(piece)


class StoredRun:
    """The segments of one run, for `ml_dash.reading`. Nothing can be written through it.

    Args:
        data: the database.
        objects: the store.
        run_id: the run.
    """

    def __init__(self, data: Database, objects: ObjectStore, run_id: str) -> None:
        self._data = data
        self._objects = objects
        self._run_id = run_id
        self._ids: dict[str, str] = {}

    def size(self, segment: str) -> int:
        """See `Backend.size`."""
        with self._data.reading() as session:
            found = session.scalar(
                select(Segment.size).where(Segment.run_id == self._run_id, Segment.path == segment)
            )
        return found or 0

    def read(self, path: str, offset: int = 0, size: int | None = None) -> bytes:
        """See `Backend.read`."""
        segment_id = self._id(path)
        if segment_id is None:
            return b""
        size = (1 << 62) if size is None else size
        return read_segment(self._data, self._objects, segment_id, offset, size)

    def list(self, prefix: str = "") -> Iterator[SegmentInfo]:
        """See `Backend.list`: the segments."""
        query = select(Segment.path, Segment.size, Segment.id).where(Segment.run_id == self._run_id)
        if prefix:
            query = query.where(Segment.path.startswith(f"{prefix}/", autoescape=True))
        with self._data.reading() as session:
            found = session.execute(query.order_by(Segment.path)).all()
        for path, size, segment_id in found:
            self._ids[path] = segment_id
            yield SegmentInfo(path, size)

    def open_blob(self, path: str) -> BinaryIO:
        """Files are had by their hash, not through this."""
        raise FileNotFoundError(path)

    def append(self, segment: str, offset: int, data: Sequence[bytes | memoryview]) -> None:
        """Refused."""
        self._refuse()

    def sync(self, segments: Sequence[str]) -> None:
        """Nothing to do: what is stored is on the disk."""

    def put_blob(self, path: str, data: bytes | bytearray | memoryview) -> None:
        """Refused."""
        self._refuse()

    def put_blob_file(self, path: str, source: Path) -> tuple[int, str]:
        """Refused."""
        self._refuse()

    def delete_blob(self, path: str) -> None:
        """Refused."""
        self._refuse()

    def close(self) -> None:
        """Nothing is open."""

    def _id(self, path: str) -> str | None:
        if path not in self._ids:
            with self._data.reading() as session:
                found = session.scalar(
                    select(Segment.id).where(Segment.run_id == self._run_id, Segment.path == path)
                )
            if found is None:
                return None
            self._ids[path] = found
        return self._ids[path]

    @staticmethod
    def _refuse() -> NoReturn:
        raise io.UnsupportedOperation("a run on the server is read here, not written")
