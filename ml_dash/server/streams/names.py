"""Which numeric columns streams have, from the first and last lines of each."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, or_, select

from ml_dash.reading.lines import Row
from ml_dash.server.database import Database
from ml_dash.server.segments.chunks import load_chunk
from ml_dash.server.segments.stored import read_segment
from ml_dash.server.store import ObjectStore
from ml_dash.server.streams.chunks import decode
from ml_dash.server.streams.parse import ITEMS
from ml_dash.server.tables import Chunk, Segment

MOST = 1000
"""Columns that are told of a stream."""

_LINES = 50  # from the beginning of a chunk, and from its end
_SEGMENTS = 6  # of a stream that are looked at: half of them the first, half the last
_KEPT = 20_000
_ASKED = 500

_known: OrderedDict[str, tuple[str, ...]] = OrderedDict()
_lock = threading.Lock()


def list_columns(
    data: Database, objects: ObjectStore, run_id: str, streams: Sequence[str] = ()
) -> dict[str, list[str]]:
    """The numeric columns of streams by their names, as charts take them.

    Numbers, booleans, and the elements of flat lists of at most 64 numbers; without `step` and
    `timestamp`. Taken from the first and the last lines: what only rows in between have is not
    found.

    Args:
        data: the database.
        objects: the store.
        run_id: the run.
        streams: which; by default all metrics and tracks.
    """
    found: dict[str, dict[str, None]] = {}
    for name, chunks in _ends(data, run_id, streams).items():
        columns = found.setdefault(name, {})
        for chunk in chunks:
            columns.update(dict.fromkeys(_columns_of(data, objects, chunk)))
    return {name: list(columns)[:MOST] for name, columns in sorted(found.items())}


def _ends(data: Database, run_id: str, streams: Sequence[str]) -> dict[str, list[Chunk]]:
    """By stream, the first and last chunks of some of its segments."""
    query = select(Segment.stream, Segment.id).where(Segment.run_id == run_id)
    if streams:
        query = query.where(Segment.stream.in_(streams[:_ASKED]))
    else:
        query = query.where(
            or_(Segment.stream.startswith("metrics/"), Segment.stream.startswith("tracks/"))
        )
    segments: dict[str, list[str]] = {}
    with data.reading() as session:
        for name, segment_id in session.execute(query.order_by(Segment.first_time, Segment.id)):
            segments.setdefault(name, []).append(segment_id)
        owner: dict[str, str] = {}
        for name, ids in segments.items():
            half = _SEGMENTS // 2
            owner |= dict.fromkeys(ids if len(ids) <= 2 * half else ids[:half] + ids[-half:], name)
        wanted = list(owner)
        found: dict[str, list[Chunk]] = {name: [] for name in segments}
        for at in range(0, len(wanted), _ASKED):
            part = wanted[at : at + _ASKED]
            last = (
                select(Chunk.segment_id, func.max(Chunk.offset).label("at"))
                .where(Chunk.segment_id.in_(part))
                .group_by(Chunk.segment_id)
                .subquery()
            )
            chunks = session.scalars(
                select(Chunk)
                .join(last, last.c.segment_id == Chunk.segment_id)
                .where(or_(Chunk.offset == 0, Chunk.offset == last.c.at))
                .order_by(Chunk.segment_id, Chunk.offset)
            )
            for chunk in chunks:
                found[owner[chunk.segment_id]].append(chunk)
    return found


def _columns_of(data: Database, objects: ObjectStore, chunk: Chunk) -> tuple[str, ...]:
    with _lock:
        known = _known.get(chunk.sha256)
        if known is not None:
            _known.move_to_end(chunk.sha256)
            return known
    try:
        text = load_chunk(objects, chunk)
    except FileNotFoundError:  # put together with others meanwhile
        text = read_segment(data, objects, chunk.segment_id, chunk.offset, chunk.size)
    found: dict[str, None] = {}
    for row in decode(_excerpt(text)).rows:
        _gather(row, "", found)
    with _lock:
        _known[chunk.sha256] = tuple(found)
        while len(_known) > _KEPT:
            _known.popitem(last=False)
    return tuple(found)


def _excerpt(text: bytes) -> bytes:
    """The first and the last lines of a chunk."""
    begin = end = -1
    for _ in range(_LINES):
        begin = text.find(b"\n", begin + 1)
        if begin < 0:
            return text
    end = len(text) - 1
    for _ in range(_LINES):
        end = text.rfind(b"\n", 0, end)
        if end <= begin:
            return text
    return text[: begin + 1] + text[end + 1 :]


def _gather(row: Row, prefix: str, found: dict[str, None]) -> None:
    for key, value in row.items():
        if not prefix and (key[:1] == "_" or key in ("timestamp", "step")):
            continue
        if len(found) >= MOST:
            return
        name = prefix + key
        if type(value) in (int, float, bool):
            found[name] = None
        elif type(value) is dict:
            _gather(value, f"{name}.", found)
        elif _is_numeric(value):
            found.update(dict.fromkeys(f"{name}[{number}]" for number in range(len(value))))


def _is_numeric(value: Any) -> bool:
    return (
        type(value) is list
        and 0 < len(value) <= ITEMS
        and all(type(item) in (int, float, bool) for item in value)
    )
