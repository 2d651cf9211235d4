"""Putting small chunks together, without anybody waiting for it.

Appends that come every few seconds leave chunks of a few rows each. Consecutive ones become one:
their lines are read and stored anew, as one object; then one transaction puts the new chunk in the
place of the old ones, if they are still there. Nobody is in the way of anybody: an append only
ever adds a chunk behind the last one, a reader looks up each next chunk by where the one before it
ended, and the old objects stay for as long as a reader may need.

An object is noted as garbage before it is written, and is no longer when its chunks are committed.
So a process that dies at any point leaves nothing that is not removed later, and nothing is lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sqlalchemy import delete, exists, func, insert, or_, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ml_dash import ids
from ml_dash.server.accounts.locks import hold
from ml_dash.server.database import Database
from ml_dash.server.segments import chunks
from ml_dash.server.segments.chunks import load_chunk, pack_chunk
from ml_dash.server.store import LostError, ObjectStore
from ml_dash.server.tables import Chunk, Garbage, Run, Segment

BATCH = 8 << 20
"""Bytes of lines that are put together at a time: what it takes of memory, twice."""

_ASKED = 500


@dataclass(frozen=True, slots=True)
class Merged:
    """A chunk that takes the place of others.

    Attributes:
        old: those, one behind the other.
        text: its lines.
        packed: as they are stored.
    """

    old: Sequence[Chunk]
    text: bytes
    packed: bytes


@dataclass(frozen=True, slots=True)
class Seen:
    """A segment whose chunks were all looked through.

    Attributes:
        segment_id: the segment.
        count: chunks that it had then and that had never been looked through.
    """

    segment_id: str
    count: int


class _TooLateError(Exception):
    """The new object was taken for garbage: it took longer than readers are given."""


def find_loose(
    data: Database, now: float, most: int, after: str = "", limit: int = 50
) -> list[str]:
    """Runs with chunks that should be put together: ended ones, and those with very many.

    Args:
        data: the database.
        now: by the server's clock.
        most: chunks of a segment that are left alone while its run lives.
        after: only runs whose id is greater.
        limit: so many at most.
    """
    many = exists().where(Segment.run_id == Run.id, Segment.chunks >= most)
    query = (
        select(Run.id)
        .where(Run.updated > func.coalesce(Run.compacted, 0.0), Run.id > after)
        .where(or_(func.coalesce(Run.lives_until, 0.0) < now, many))
        .order_by(Run.id)
        .limit(limit)
    )
    with data.reading() as session:
        return list(session.scalars(query))


def compact_run(data: Database, objects: ObjectStore, run_id: str, now: float) -> int:
    """Put the small chunks of a run together; how many fewer there are now.

    Args:
        data: the database.
        objects: the store.
        run_id: the run; nothing happens to one that is not there any more.
        now: by the server's clock.

    Raises:
        LostError: bytes of some chunks are lost; the others have been put together.
    """
    with data.reading() as session:
        updated = session.scalar(select(Run.updated).where(Run.id == run_id))
        query = select(Segment.id).where(Segment.run_id == run_id, Segment.chunks > 0)
        segments = list(session.scalars(query.order_by(Segment.id)))
    fewer = 0
    lost: list[LostError] = []
    for batch in _batches(_merge_all(data, objects, segments, lost)):
        fewer += _store(data, objects, run_id, batch, now)
    # As of what was seen: what has come since is another change
    data.transaction(
        lambda session: session.execute(
            update(Run).where(Run.id == run_id).values(compacted=updated)
        )
    )
    if lost:
        raise lost[0]
    return fewer


def _merge_all(
    data: Database, objects: ObjectStore, segments: Iterable[str], lost: list[LostError]
) -> Iterator[Merged | Seen]:
    """What is to be put together, segment by segment, and each of these behind it.

    Chunks of which the store has lost bytes are left alone, and noted in `lost`.
    """
    for segment_id in segments:
        with data.reading() as session:
            count = session.scalar(select(Segment.chunks).where(Segment.id == segment_id)) or 0
            query = select(Chunk).where(Chunk.segment_id == segment_id).order_by(Chunk.offset)
            found = session.scalars(query).all()
        for group in _groups(found):
            try:
                yield from _merge(objects, group)
            except FileNotFoundError:
                break  # another process has put these together meanwhile
            except LostError as error:
                lost.append(error)
        else:
            yield Seen(segment_id, count)


def _groups(found: Sequence[Chunk]) -> Iterator[list[Chunk]]:
    """Chunks that fit into one, where there are at least two of them."""
    group: list[Chunk] = []
    size = 0
    for chunk in found:
        follows = not group or group[-1].offset + group[-1].size == chunk.offset
        if size + chunk.size > chunks.CHUNK or not follows:
            if len(group) > 1:
                yield group
            group, size = [], 0
        group.append(chunk)
        size += chunk.size
    if len(group) > 1:
        yield group


def _merge(objects: ObjectStore, group: Sequence[Chunk]) -> Iterator[Merged]:
    """The chunks of a group as one; as several where a line is torn between two.

    Such a line is a row of neither; in one chunk it might become a row, and rows are counted.
    """
    part: list[Chunk] = []
    texts: list[bytes] = []
    for chunk in group:
        if texts and not texts[-1].endswith(b"\n"):
            yield from _joined(part, texts)
            part, texts = [], []
        part.append(chunk)
        texts.append(load_chunk(objects, chunk))
    yield from _joined(part, texts)


def _joined(old: Sequence[Chunk], texts: Sequence[bytes]) -> Iterator[Merged]:
    if len(old) > 1:
        text = b"".join(texts)
        yield Merged(old, text, pack_chunk(text))


def _batches(found: Iterable[Merged | Seen]) -> Iterator[list[Merged | Seen]]:
    batch: list[Merged | Seen] = []
    size = 0
    for each in found:
        batch.append(each)
        size += len(each.text) if isinstance(each, Merged) else 0
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _store(
    data: Database, objects: ObjectStore, run_id: str, batch: list[Merged | Seen], now: float
) -> int:
    """Store merged chunks as one object, and put them in the place of the old ones."""
    merged = [each for each in batch if isinstance(each, Merged)]
    done = [each for each in batch if isinstance(each, Seen)]
    key = f"runs/{run_id}/rows/{ids.new_id()}"
    if merged:
        data.transaction(lambda session: session.add(Garbage(object_key=key, since=now)))
        objects.put(key, b"".join(each.packed for each in merged))

    def work(session: Session) -> int:
        hold(session, f"compact:{run_id}")  # two would each think that the other needs an object
        fewer = place = 0
        for each in merged:
            if _replace(session, each, key, place):
                fewer += len(each.old) - 1
            place += len(each.packed)
        if fewer:
            noted = delete(Garbage).where(Garbage.object_key == key)
            if not session.execute(noted.returning(Garbage.object_key)).first():
                raise _TooLateError
            _discard(session, {chunk.object_key for each in merged for chunk in each.old}, now)
        _count(session, done)
        return fewer

    try:
        return data.transaction(work)
    except (IntegrityError, _TooLateError):  # the run was deleted, or the object swept meanwhile
        return 0


def _replace(session: Session, merged: Merged, key: str, place: int) -> bool:
    """Put a chunk in the place of those that it was made of, if they are all still there."""
    old = merged.old
    was = [(chunk.segment_id, chunk.offset, chunk.object_key) for chunk in old]
    identity = tuple_(Chunk.segment_id, Chunk.offset, Chunk.object_key)
    parts = [identity.in_(was[first : first + _ASKED]) for first in range(0, len(was), _ASKED)]
    locked = (select(Chunk.offset).where(part).with_for_update() for part in parts)
    if sum(len(session.execute(query).all()) for query in locked) != len(was):
        return False
    for part in parts:
        session.execute(delete(Chunk).where(part))
    session.execute(insert(Chunk).values(_describe(merged, key, place)))
    return True


def _describe(merged: Merged, key: str, place: int) -> dict[str, Any]:
    """What is known of its rows, from what was known of those before."""
    old = merged.old
    timed = [chunk for chunk in old if chunk.first_time is not None]
    steps = [(c.first_step, c.last_step) for c in old if c.first_step is not None]
    return {
        "segment_id": old[0].segment_id,
        "offset": old[0].offset,
        "size": len(merged.text),
        "first_row": old[0].first_row,
        "rows": sum(chunk.rows for chunk in old),
        "first_step": min((first for first, _ in steps), default=None),
        "last_step": max((last for _, last in steps if last is not None), default=None),
        "first_time": min((c.first_time for c in timed if c.first_time is not None), default=None),
        "last_time": max((c.last_time for c in timed if c.last_time is not None), default=None),
        "ordered": all(chunk.ordered for chunk in old)
        and all((a.last_time or 0.0) <= (b.first_time or 0.0) for a, b in pairwise(timed)),
        "sha256": hashlib.sha256(merged.text).hexdigest(),
        "object_key": key,
        "object_offset": place,
        "object_size": len(merged.packed),
    }


def _discard(session: Session, keys: set[str], now: float) -> None:
    """Note those objects as garbage that no chunk needs any longer."""
    wanted = sorted(keys)
    for first in range(0, len(wanted), _ASKED):
        part = wanted[first : first + _ASKED]
        needed = set(session.scalars(select(Chunk.object_key).where(Chunk.object_key.in_(part))))
        for key in part:
            if key not in needed:
                session.merge(Garbage(object_key=key, since=now))


def _count(session: Session, done: Iterable[Seen]) -> None:
    """Count what was looked through no longer; what came meanwhile still counts."""
    for seen in done:
        # Twice, where two processes looked through it: the second one finds it counted
        query = update(Segment).where(Segment.id == seen.segment_id, Segment.chunks >= seen.count)
        session.execute(query.values(chunks=Segment.chunks - seen.count))
