"""Numeric columns of chunks, kept for the next look: a chunk never changes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from ml_dash.server.streams.chunks import Piece, StoredStream
from ml_dash.server.streams.values import Base, Loaded, Values, read_numbers

CACHED = 256 << 20
"""Bytes of columns that a process keeps."""

_pool = ThreadPoolExecutor(4, thread_name_prefix="ml-dash-numbers")


class NumberCache:
    """Columns that were read last, by the hash of the lines they are from.

    So what is kept is never stale, wherever a chunk is stored. Safe to use from any thread.

    Attributes:
        held: bytes that are kept.
        reads: how many chunks had to be read.
    """

    def __init__(self, limit: int = CACHED) -> None:
        self._limit = limit
        self.held = 0
        self.reads = 0
        self._kept: OrderedDict[tuple[str, str | None], Base | Values] = OrderedDict()
        self._lock = threading.Lock()

    def load_all(
        self, stream: StoredStream, pieces: Sequence[Piece], columns: Sequence[str]
    ) -> list[Loaded]:
        """The rows of some chunks; those that must be read first are read several at a time."""
        found = [self._find(piece, columns) for piece in pieces]
        lacking = [number for number, loaded in enumerate(found) if loaded is None]
        read = _pool.map(lambda number: self._read(stream, pieces[number], columns), lacking)
        for number, loaded in zip(lacking, read, strict=True):
            found[number] = loaded
        return [loaded for loaded in found if loaded is not None]

    def load(self, stream: StoredStream, piece: Piece, columns: Sequence[str] = ()) -> Loaded:
        """The rows of a chunk."""
        return self._find(piece, columns) or self._read(stream, piece, columns)

    def _find(self, piece: Piece, columns: Sequence[str]) -> Loaded | None:
        sha256 = piece.chunk.sha256
        base = self._get(sha256, None)
        found = {name: self._get(sha256, name) for name in columns}
        if not isinstance(base, Base) or None in found.values():
            return None
        return base, {name: v for name, v in found.items() if isinstance(v, Values)}

    def _read(self, stream: StoredStream, piece: Piece, columns: Sequence[str]) -> Loaded:
        text = stream.load(piece)
        whole = text[: text.rfind(b"\n") + 1]
        base, found = read_numbers(whole, columns, piece.chunk.rows)
        with self._lock:
            self.reads += 1
        self._put(piece.chunk.sha256, None, base)
        for name, values in found.items():
            self._put(piece.chunk.sha256, name, values)
        return base, found

    def _get(self, sha256: str, column: str | None) -> Base | Values | None:
        with self._lock:
            kept = self._kept.get((sha256, column))
            if kept is not None:
                self._kept.move_to_end((sha256, column))
            return kept

    def _put(self, sha256: str, column: str | None, kept: Base | Values) -> None:
        with self._lock:
            if (sha256, column) not in self._kept:
                self._kept[sha256, column] = kept
                self.held += _size(kept)
            while self.held > self._limit and len(self._kept) > 1:
                self.held -= _size(self._kept.popitem(last=False)[1])


def _size(kept: Base | Values) -> int:
    if isinstance(kept, Values):
        return kept.data.nbytes + kept.present.nbytes + 400
    return 26 * len(kept.times) + 400


numbers = NumberCache()
"""The cache of this process."""
