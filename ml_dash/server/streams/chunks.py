"""The chunks of a stream: listed with what is known of their rows, and decoded."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import select

from ml_dash.reading.lines import Block, Problems, decode_block
from ml_dash.reading.source import Source
from ml_dash.server.database import Database
from ml_dash.server.patience import in_a_thread
from ml_dash.server.problems import Problem
from ml_dash.server.segments.chunks import clamp, load_chunk
from ml_dash.server.segments.stored import StoredRun, read_segment
from ml_dash.server.store import LostError, ObjectStore
from ml_dash.server.tables import Chunk, Segment

_ASKED = 500


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk of a stream.

    Attributes:
        rank: its segment's place among those of the stream, as the local reader orders them.
        path: of its segment.
        first: the least time of its rows.
        last: the greatest.
        chunk: what is stored of it.
    """

    rank: int
    path: str
    first: float
    last: float
    chunk: Chunk


class StoredStream:
    """One stream of a run on the server.

    Args:
        data: the database.
        objects: the store.
        run_id: the run.
        name: the stream, as its segments' paths have it.

    Attributes:
        has_begun: whether its rows are being sent already: then a full store is waited for.

    Raises:
        Problem: 404, the run has no such stream.
    """

    def __init__(self, data: Database, objects: ObjectStore, run_id: str, name: str) -> None:
        self.name = name
        self.is_track = name.startswith("tracks/")
        self.has_begun = False
        self._data = data
        self._objects = objects
        source = Source(StoredRun(data, objects, run_id), recover=False)
        paths = [segment.path for segment in source.segments(name)] if "\0" not in name else []
        if not paths:
            raise Problem(404, f"there is no stream {name!r:.200} in this run")
        self._segments = self._listed(run_id, paths)

    def _listed(self, run_id: str, paths: Sequence[str]) -> dict[str, tuple[int, str]]:
        """By id of a segment: its rank and its path."""
        ranks = {path: rank for rank, path in enumerate(paths)}
        with self._data.reading() as session:
            found = session.execute(
                select(Segment.id, Segment.path).where(
                    Segment.run_id == run_id, Segment.stream == self.name
                )
            ).all()
        return {name: (ranks[path], path) for name, path in found if path in ranks}

    def pieces(
        self,
        start: float | None = None,
        end: float | None = None,
        steps: tuple[int | None, int | None] = (None, None),
    ) -> list[Piece]:
        """The chunks that have rows between two times, or rows that belong to entries of steps."""
        found = self._query(start, end, (None, None))
        if steps == (None, None):
            return found
        first, last = steps
        wanted = [p for p in found if _overlaps(p.chunk, first, last)]
        if not self.is_track:
            return wanted
        # Rows without a step, or that repeat it, may be a part of an entry at the same time
        spans = sorted((piece.first, piece.last) for piece in wanted)
        return [p for p in found if any(a <= p.last and p.first <= b for a, b in spans)]

    def _query(
        self, start: float | None, end: float | None, steps: tuple[int | None, int | None]
    ) -> list[Piece]:
        names = list(self._segments)
        found: list[Piece] = []
        with self._data.reading() as session:
            for at in range(0, len(names), _ASKED):
                query = select(Chunk).where(
                    Chunk.segment_id.in_(names[at : at + _ASKED]), Chunk.first_time.is_not(None)
                )
                if start is not None:
                    query = query.where(Chunk.last_time >= start)
                if end is not None:
                    query = query.where(Chunk.first_time <= end)
                for chunk in session.scalars(query):
                    first, last = chunk.first_time, chunk.last_time
                    if first is not None and last is not None:
                        rank, path = self._segments[chunk.segment_id]
                        found.append(Piece(rank, path, first, last, chunk))
        return sorted(found, key=lambda piece: (piece.rank, piece.chunk.offset))

    def text(self, piece: Piece) -> bytes:
        """The lines of a chunk.

        They are read by where they are in the segment, so that a chunk that was put together with
        others meanwhile is still found.
        """
        chunk = piece.chunk
        read = partial(
            read_segment, self._data, self._objects, chunk.segment_id, chunk.offset, chunk.size
        )
        text = in_a_thread(read) if self.has_begun else read()
        if len(text) != chunk.size:
            raise LostError(f"the segment {piece.path!r} has lost bytes")
        return text

    def load(self, piece: Piece) -> bytes:
        """The same, not kept for the next reader: for those who keep what they make of it."""
        try:
            return load_chunk(self._objects, piece.chunk)
        except FileNotFoundError:
            return self.text(piece)

    def block(self, piece: Piece) -> Block:
        """The rows of a chunk."""
        return decode(self.text(piece))


def decode(text: bytes) -> Block:
    """The rows of whole lines; a torn one at the end is left out, as it was when they came."""
    whole = text[: text.rfind(b"\n") + 1]
    return decode_block(whole, 0, "", Problems()) if whole else Block([], [], b"", 0, [])


def digest(pieces: Sequence[Piece]) -> str:
    """A name for the contents of some chunks."""
    return hashlib.sha256("".join(piece.chunk.sha256 for piece in pieces).encode()).hexdigest()


def _overlaps(chunk: Chunk, first: int | None, last: int | None) -> bool:
    if chunk.first_step is None or chunk.last_step is None:
        return False
    return (first is None or chunk.last_step >= clamp(first)) and (
        last is None or chunk.first_step <= clamp(last)
    )
