"""The row of a segment: where its copy ends, and how chunks that come behind it move that end."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import insert
from sqlalchemy.orm import Session

from ml_dash import ids
from ml_dash.server.segments.chunks import Draft
from ml_dash.server.tables import Chunk, Segment
from ml_dash.wire import TAIL


class Stored(NamedTuple):
    """A chunk and where its bytes are: `size` of them at `offset` of the object `key`."""

    chunk: Draft
    key: str
    offset: int
    size: int


def new_segment(session: Session, run_id: str, path: str) -> Segment:
    """Add the row of a segment that has nothing yet. Flush it before chunks refer to it."""
    made = Segment(id=ids.new_id(), run_id=run_id, path=path, stream=path.rpartition("/")[0])
    made.size = made.crc = made.rows = made.chunks = 0
    made.tail, made.updated = b"", 0.0
    session.add(made)
    return made


def extend(session: Session, segment: Segment, stored: Iterable[Stored], now: float) -> None:
    """Add chunks behind the end of a segment.

    Args:
        session: of a transaction in which nobody else moves that end.
        segment: its row.
        stored: the chunks, one behind the other.
        now: by the server's clock.
    """
    rows = []
    for chunk, key, offset, size in stored:
        row = _row(segment, chunk) | {
            "object_key": key,
            "object_offset": offset,
            "object_size": size,
        }
        rows.append(row)
        segment.size += len(chunk.text)
        segment.rows += chunk.count
        segment.crc = zlib.crc32(chunk.text, segment.crc)
        segment.tail = (segment.tail + chunk.text[-TAIL:])[-TAIL:]
        segment.first_step = _least(segment.first_step, row["first_step"])
        segment.last_step = _greatest(segment.last_step, row["last_step"])
        segment.first_time = _least(segment.first_time, row["first_time"])
        segment.last_time = _greatest(segment.last_time, row["last_time"])
    segment.chunks += len(rows)
    segment.updated = now
    session.execute(insert(Chunk), rows)


def _row(segment: Segment, chunk: Draft) -> dict[str, Any]:
    steps, times = chunk.steps or (None, None), chunk.times or (None, None)
    return {
        "segment_id": segment.id,
        "offset": segment.size,
        "size": len(chunk.text),
        "first_row": segment.rows,
        "rows": chunk.count,
        "first_step": steps[0],
        "last_step": steps[1],
        "first_time": times[0],
        "last_time": times[1],
        "ordered": chunk.ordered,
        "sha256": chunk.sha256,
    }


def _least(a: Any, b: Any) -> Any:
    return min((value for value in (a, b) if value is not None), default=None)


def _greatest(a: Any, b: Any) -> Any:
    return max((value for value in (a, b) if value is not None), default=None)
