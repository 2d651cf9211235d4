"""Taking anew what the store has lost, from who still has it.

Nothing is taken that differs from what was there: of contents and of lines the hash is known.
Nothing is replaced that the store still has, so a client that is wrong about it does no harm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session

from ml_dash import ids
from ml_dash.server.blobs.content import ends_of, lock_run
from ml_dash.server.database import Database
from ml_dash.server.problems import Problem
from ml_dash.server.segments.chunks import pack_chunk
from ml_dash.server.store import ObjectStore
from ml_dash.server.tables import Blob, Chunk, Segment, Upload
from ml_dash.wire import WireError, check_segment

_ASKED = 500  # hashes in one query


@dataclass(frozen=True, slots=True)
class _Again:
    """The lines of a lost chunk, packed anew."""

    segment_id: str
    offset: int
    lost_key: str
    packed: bytes


def forget_lost(
    data: Database, objects: ObjectStore, run_id: str, hashes: Iterable[str]
) -> list[str]:
    """Forget those of some contents whose objects are gone, so that they can be sent again.

    Returns:
        Their hashes.
    """
    wanted = list(dict.fromkeys(hashes))
    gone: dict[str, list[str]] = {}
    for first in range(0, len(wanted), _ASKED):
        query = select(Blob).where(
            Blob.run_id == run_id, Blob.sha256.in_(wanted[first : first + _ASKED])
        )
        with data.reading() as session:
            found = session.scalars(query).all()
        gone |= {blob.sha256: list(blob.parts) for blob in found if not _is_there(objects, blob)}

    def work(session: Session) -> list[str]:
        lock_run(session, run_id)
        return [sha256 for sha256, parts in gone.items() if _forget(session, run_id, sha256, parts)]

    return data.transaction(work) if gone else []


def _forget(session: Session, run_id: str, sha256: str, parts: list[str]) -> bool:
    blob = session.get(Blob, (run_id, sha256))
    if blob is None or blob.parts != parts:
        return False  # another one has sent it again meanwhile
    session.delete(blob)
    ended = select(Upload).where(Upload.run_id == run_id, Upload.sha256 == sha256)
    for upload in session.scalars(ended.with_for_update()):
        if not upload.parts:  # it says that all has come, and its parts were the content's
            session.delete(upload)
    return True


def _is_there(objects: ObjectStore, blob: Blob) -> bool:
    """Whether the store has every object of a content, as long as it must be."""
    needed = ends_of(blob.parts, blob.size, blob.part_size, blob.object_offset)
    return all(objects.size(key) >= end for key, end in needed)


def restore_rows(
    data: Database,
    objects: ObjectStore,
    run_id: str,
    pieces: Sequence[Mapping[str, Any]],
    parts: Sequence[memoryview],
) -> int:
    """Store the lines of chunks again that the store has lost; how many chunks were.

    Args:
        data: the database.
        objects: the store.
        run_id: the run, which the caller may write.
        pieces: of each chunk its `segment` and `offset`.
        parts: their lines. What is no chunk, differs, or is not lost is left as it is.

    Raises:
        Problem: 422, a piece has no segment or no offset, or what cannot be a segment.
    """
    lost: list[_Again] = []
    for piece, part in zip(pieces, parts, strict=True):
        if (again := _lost_chunk(data, objects, run_id, piece, bytes(part))) is not None:
            lost.append(again)
    if not lost:
        return 0
    key = f"runs/{run_id}/rows/{ids.new_id()}"
    objects.put(key, b"".join(each.packed for each in lost))
    stored = data.transaction(lambda session: _put_back(session, run_id, lost, key))
    if not stored:
        objects.delete([key])
    return stored


def _lost_chunk(
    data: Database, objects: ObjectStore, run_id: str, piece: Mapping[str, Any], text: bytes
) -> _Again | None:
    path, offset = piece.get("segment"), piece.get("offset")
    if not isinstance(path, str) or type(offset) is not int or not 0 <= offset < 2**63:
        raise Problem(422, "a piece has a segment and an offset")
    try:
        check_segment(path)  # a database takes no text that has a NUL character, for example
    except WireError as error:
        raise Problem(422, str(error)) from None
    query = (
        select(Chunk)
        .join(Segment, Chunk.segment_id == Segment.id)
        .where(Segment.run_id == run_id, Segment.path == path, Chunk.offset == offset)
    )
    with data.reading() as session:
        chunk = session.scalar(query)
    if chunk is None or hashlib.sha256(text).hexdigest() != chunk.sha256:
        return None
    if objects.size(chunk.object_key) >= chunk.object_offset + chunk.object_size:
        return None
    return _Again(chunk.segment_id, offset, chunk.object_key, pack_chunk(text))


def _put_back(session: Session, run_id: str, lost: Sequence[_Again], key: str) -> int:
    """Have the chunks be in a new object, unless another one did so meanwhile."""
    lock_run(session, run_id)
    stored = place = 0
    for each in lost:
        query = update(Chunk).where(
            Chunk.segment_id == each.segment_id,
            Chunk.offset == each.offset,
            Chunk.object_key == each.lost_key,
        )
        changed = session.execute(
            query.values(object_key=key, object_offset=place, object_size=len(each.packed))
        )
        stored += cast("CursorResult[Any]", changed).rowcount
        place += len(each.packed)
    return stored
