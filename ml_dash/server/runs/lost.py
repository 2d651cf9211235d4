"""What of a run the store has lost: objects that the database needs and that are gone, or short.

Nothing is read of them: the store's list tells which there are and how long. Bytes that changed and
kept their number are found only by reading, as `ml-dash clean` and `ml-dash download` do.
"""

from __future__ import annotations

from collections.abc import Iterator

import orjson
from sqlalchemy import Text, cast, func, select
from typing_extensions import TypedDict

from ml_dash.server.blobs.content import ends_of
from ml_dash.server.database import Database
from ml_dash.server.store import ObjectStore
from ml_dash.server.tables import Blob, Chunk, File, Segment

NAMED = 100
"""Segments, and files, that are named at most."""

TOLD = 20_000
"""Chunks, and contents, that are told at most: when these are there again, the next are."""

_ASKED = 500  # objects in one query
_AT_ONCE = 5000  # rows of the database that are held: a run may have a million frames

_Need = tuple[str, str, str, int]  # what it is, its name or hash, an object, bytes of that


class LostChunk(TypedDict):
    """Lines of a segment that are stored together."""

    segment: str
    offset: int
    size: int


class Lost(TypedDict):
    """What the store has lost of a run: how many, and the first of them by name.

    `chunks` and `contents`, by their hashes, are what can be sent again.
    """

    count: int
    segments: list[str]
    files: list[str]
    chunks: list[LostChunk]
    contents: list[str]


def find_lost(data: Database, objects: ObjectStore, run_id: str) -> Lost:
    """Segments and contents whose objects are gone or too short."""
    if _is_whole(data, objects, run_id):
        return {"count": 0, "segments": [], "files": [], "chunks": [], "contents": []}
    seen = _look(data, objects, run_id)
    if seen:  # what came after the list was made is not lost, nor what was put together meanwhile
        seen &= _look(data, objects, run_id)
    found = {(kind, name) for kind, name, _ in seen}
    keys = sorted({key for kind, _, key in seen if kind == "segment"})
    hashes = sorted(name for kind, name in found if kind == "blob")
    return {
        "count": len(found),
        "segments": sorted(name for kind, name in found if kind == "segment")[:NAMED],
        "files": _paths(data, run_id, hashes[:NAMED]),
        "chunks": _chunks(data, run_id, keys),
        "contents": hashes[:TOLD],
    }


def _is_whole(data: Database, objects: ObjectStore, run_id: str) -> bool:
    """Whether every object is there that anything needs.

    The database puts together what needs one object: small contents share some, by the thousand.
    """
    there = objects.of_run(run_id)
    rows = (
        select(Chunk.object_key, func.max(Chunk.object_offset + Chunk.object_size))
        .join(Segment, Chunk.segment_id == Segment.id)
        .where(Segment.run_id == run_id)
        .group_by(Chunk.object_key)
    )
    parts = cast(Blob.parts, Text)
    contents = (
        select(parts, func.max(Blob.object_offset + Blob.size), func.max(Blob.part_size))
        .where(Blob.run_id == run_id)
        .group_by(parts)
    )
    whole = True  # to the end of each answer: one that is left half read stays open
    with data.reading() as session:
        for key, end in session.execute(rows.execution_options(yield_per=_AT_ONCE)):
            whole &= there.get(key, -1) >= end
        for text, end, part_size in session.execute(contents.execution_options(yield_per=_AT_ONCE)):
            keys = orjson.loads(text)
            for number, key in enumerate(keys):
                # What has an object with others is whole in it, whatever the size of its parts
                last = end if len(keys) == 1 else min(part_size, end - number * part_size)
                whole &= there.get(key, -1) >= last
    return whole


def _look(data: Database, objects: ObjectStore, run_id: str) -> set[tuple[str, str, str]]:
    """What seems to be lost, and of which object."""
    there = objects.of_run(run_id)
    needs = _needs(data, run_id)
    return {(kind, name, key) for kind, name, key, end in needs if there.get(key, -1) < end}


def _needs(data: Database, run_id: str) -> Iterator[_Need]:
    rows = (
        select(Segment.path, Chunk.object_key, func.max(Chunk.object_offset + Chunk.object_size))
        .join(Chunk, Chunk.segment_id == Segment.id)
        .where(Segment.run_id == run_id)
        .group_by(Segment.path, Chunk.object_key)
    )
    contents = select(Blob.sha256, Blob.size, Blob.parts, Blob.part_size, Blob.object_offset).where(
        Blob.run_id == run_id
    )
    with data.reading() as session:
        for path, key, end in session.execute(rows.execution_options(yield_per=_AT_ONCE)):
            yield "segment", path, key, end
        contents = contents.execution_options(yield_per=_AT_ONCE)
        for sha256, size, parts, part_size, shift in session.execute(contents):
            for key, end in ends_of(parts, size, part_size, shift):
                yield "blob", sha256, key, end


def _chunks(data: Database, run_id: str, keys: list[str]) -> list[LostChunk]:
    """The chunks that lie in some objects; in one that was cut, those before the cut, too."""
    found: list[LostChunk] = []
    for first in range(0, len(keys), _ASKED):
        query = (
            select(Segment.path, Chunk.offset, Chunk.size)
            .join(Chunk, Chunk.segment_id == Segment.id)
            .where(Segment.run_id == run_id)
            .where(Chunk.object_key.in_(keys[first : first + _ASKED]))
            .order_by(Segment.path, Chunk.offset)
            .limit(TOLD)
        )
        with data.reading() as session:
            for path, offset, size in session.execute(query):
                found.append({"segment": path, "offset": offset, "size": size})
        if len(found) >= TOLD:
            break
    return found[:TOLD]


def _paths(data: Database, run_id: str, hashes: list[str]) -> list[str]:
    """The files that have such a content; its hash, where none has."""
    query = select(File.sha256, func.min(File.path)).where(
        File.run_id == run_id, File.place.is_not(None), File.sha256.in_(hashes)
    )
    with data.reading() as session:
        known = {row[0]: str(row[1]) for row in session.execute(query.group_by(File.sha256))}
    return sorted(known.get(sha256, sha256) for sha256 in hashes)
