"""What of a run the store has lost: objects that the database needs and that are gone, or short.

Nothing is read of them: the store's list tells which there are and how long. Bytes that changed and
kept their number are found only by reading, as `ml-dash clean` and `ml-dash download` do.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import func, select
from typing_extensions import TypedDict

from ml_dash.server.database import Database
from ml_dash.server.store import ObjectStore
from ml_dash.server.tables import Blob, Chunk, File, Segment

NAMED = 100
"""Segments, and files, that are named at most."""

_AT_ONCE = 5000  # rows of the database that are held: a run may have a million frames

_Need = tuple[str, str, str, int]  # what it is, its name or hash, an object, bytes of that


class Lost(TypedDict):
    """What the store has lost of a run: how many, and the first of them by name."""

    count: int
    segments: list[str]
    files: list[str]


def find_lost(data: Database, objects: ObjectStore, run_id: str) -> Lost:
    """Segments and contents whose objects are gone or too short."""
    seen = _look(data, objects, run_id)
    if seen:  # what came after the list was made is not lost, nor what was put together meanwhile
        seen &= _look(data, objects, run_id)
    found = {(kind, name) for kind, name, _ in seen}
    hashes = sorted(name for kind, name in found if kind == "blob")[:NAMED]
    return {
        "count": len(found),
        "segments": sorted(name for kind, name in found if kind == "segment")[:NAMED],
        "files": _paths(data, run_id, hashes),
    }


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
            for number, key in enumerate(parts):
                end = min(part_size, size - number * part_size)
                yield "blob", sha256, key, end + (shift if number == 0 else 0)


def _paths(data: Database, run_id: str, hashes: list[str]) -> list[str]:
    """The files that have such a content; its hash, where none has."""
    query = select(File.sha256, func.min(File.path)).where(
        File.run_id == run_id, File.place.is_not(None), File.sha256.in_(hashes)
    )
    with data.reading() as session:
        known = {row[0]: str(row[1]) for row in session.execute(query.group_by(File.sha256))}
    return sorted(known.get(sha256, sha256) for sha256 in hashes)
