"""Contents as they lie in the store: which are there, taking small ones, reading a range."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ml_dash import ids
from ml_dash.server.database import Database
from ml_dash.server.problems import Problem
from ml_dash.server.store import LostError, ObjectStore
from ml_dash.server.tables import Blob, Run

PIECE = 4 << 20
"""Bytes that are held of a content while it is read."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_ASKED = 500  # hashes in one query


def check_sha256(text: Any) -> str:
    """A hash as it is written.

    Raises:
        Problem: 422, it is none.
    """
    if not isinstance(text, str) or not _SHA256.fullmatch(text):
        raise Problem(422, f"{text!r:.80} is no SHA-256; give 64 hexadecimal digits in lower case")
    return text


def lock_run(session: Session, run_id: str) -> None:
    """Keep others from storing contents of the run until the transaction ends.

    Raises:
        Problem: 404, the run has been deleted meanwhile.
    """
    if session.scalar(select(Run.id).where(Run.id == run_id).with_for_update()) is None:
        raise Problem(404, f"the run {run_id!r} has been deleted")


def ends_of(
    parts: Sequence[str], size: int, part_size: int, shift: int
) -> Iterator[tuple[str, int]]:
    """The objects that a content is in, and how long each must be for that.

    Args:
        parts: their keys, in order.
        size: of the content, in bytes.
        part_size: of it in each object but the last.
        shift: where it begins in the first one.
    """
    for number, key in enumerate(parts):
        end = min(part_size, size - number * part_size)
        yield key, end + (shift if number == 0 else 0)


def known(session: Session, run_id: str, hashes: Iterable[str]) -> set[str]:
    """Which contents a run has."""
    wanted = list(hashes)
    found: set[str] = set()
    for first in range(0, len(wanted), _ASKED):
        query = select(Blob.sha256).where(
            Blob.run_id == run_id, Blob.sha256.in_(wanted[first : first + _ASKED])
        )
        found.update(session.scalars(query))
    return found


def store_small(
    data: Database,
    objects: ObjectStore,
    run_id: str,
    pieces: Sequence[Mapping[str, Any]],
    parts: Sequence[memoryview],
    now: float,
) -> int:
    """Store contents that came in one request, as one object; none of them, if one is wrong.

    Returns:
        How many were new.

    Raises:
        Problem: 422, one has another hash than it says, with the code `differs`.
    """
    contents: dict[str, memoryview] = {}
    for piece, part in zip(pieces, parts, strict=True):
        sha256 = check_sha256(piece.get("sha256"))
        if hashlib.sha256(part).hexdigest() != sha256:
            raise Problem(422, f"the content sent as {sha256} has another hash", code="differs")
        contents[sha256] = part
    with data.reading() as session:
        there = known(session, run_id, contents)
    fresh = {sha256: part for sha256, part in contents.items() if sha256 not in there}
    if not fresh:
        return 0
    key = f"runs/{run_id}/blobs/{ids.new_id()}"
    objects.put(key, b"".join(fresh.values()))

    def work(session: Session) -> int:
        lock_run(session, run_id)
        late = known(session, run_id, fresh)
        offset = 0
        for sha256, part in fresh.items():
            if sha256 not in late:
                session.add(_blob(run_id, sha256, len(part), key, offset, now))
            offset += len(part)
        return len(fresh) - len(late)

    try:
        stored = data.transaction(work)
    except Problem:
        objects.delete([key])  # nothing was committed; after any other error it may have been
        raise
    if not stored:
        objects.delete([key])
    return stored


def _blob(run_id: str, sha256: str, size: int, key: str, offset: int, now: float) -> Blob:
    return Blob(
        run_id=run_id,
        sha256=sha256,
        size=size,
        parts=[key],
        part_size=max(1, size),
        object_offset=offset,
        created=now,
    )


def read_batch(
    data: Database, objects: ObjectStore, run_id: str, hashes: Sequence[str], limit: int
) -> list[tuple[str, bytes]]:
    """Small contents by their hashes, in this order; those that the run does not have left out.

    Raises:
        Problem: 413, together they have more than `limit` bytes; 422, one is no hash.
    """
    wanted = list(dict.fromkeys(map(check_sha256, hashes)))
    with data.reading() as session:
        query = select(Blob).where(Blob.run_id == run_id, Blob.sha256.in_(wanted))
        there = {blob.sha256: blob for blob in session.scalars(query)}
    size = sum(blob.size for blob in there.values())
    if size > limit:
        raise Problem(413, f"they have {size:,} bytes; {limit:,} are given at once")
    found = []
    for sha256 in wanted:
        if (blob := there.get(sha256)) is not None:
            try:
                found.append((sha256, b"".join(iterate_blob(objects, blob))))
            except FileNotFoundError:
                continue  # deleted just now, with its run
            except LostError:
                continue  # the others are whole; who asks for it alone is told
    return found


def iterate_blob(
    objects: ObjectStore, blob: Blob, begin: int = 0, end: int | None = None
) -> Iterator[bytes]:
    """The bytes of a content from `begin` up to `end`, a few MiB at a time."""
    end = blob.size if end is None else end
    return iterate_parts(objects, blob.parts, blob.part_size, blob.object_offset, begin, end)


def iterate_parts(
    objects: ObjectStore, parts: Sequence[str], part_size: int, shift: int, begin: int, end: int
) -> Iterator[bytes]:
    """The same, of parts that all but the last have `part_size` bytes; the first begins at `shift`.

    Raises:
        LostError: the store has lost bytes of it.
    """
    while begin < end:
        number, inside = divmod(begin, part_size)
        size = min(PIECE, part_size - inside, end - begin)
        piece = objects.get(parts[number], inside + (shift if number == 0 else 0), size)
        if len(piece) != size:
            raise LostError(f"the object {parts[number]!r} is shorter than it was")
        yield piece
        begin += size
