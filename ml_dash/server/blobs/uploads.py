"""Large files on their way: taken part after part, resumed where they stood, checked at the end.

Each part is an object of its own. It is put into the store first; then it is added to the upload,
if that stands where the part begins, and else dropped. So a part that comes twice does no harm.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from ml_dash import ids
from ml_dash.server.blobs.content import check_sha256, iterate_parts, lock_run
from ml_dash.server.database import Database
from ml_dash.server.problems import Problem
from ml_dash.server.store import LostError, ObjectStore
from ml_dash.server.tables import Blob, Upload
from ml_dash.wire import PART_SIZE

LARGEST = 1 << 40
"""Bytes that a file may have."""

MOST_PARTS = 10_000
"""Parts that an upload may have, unless they are of `PART_SIZE`."""

STALE = 2 * 86400.0
"""Seconds without a part after which an upload is given up."""

_SWEPT = 20  # uploads that one request clears away at most


class Wanted(NamedTuple):
    """What is to be uploaded.

    Attributes:
        sha256: its hash.
        size: its bytes.
        part_size: bytes of a part at most.
    """

    sha256: str
    size: int
    part_size: int


class Standing(NamedTuple):
    """Where an upload stands.

    Attributes:
        upload: its id.
        offset: bytes received.
        part_size: bytes that each part but the last has.
    """

    upload: str
    offset: int
    part_size: int


def begin(
    data: Database, objects: ObjectStore, run_id: str, wanted: Wanted, now: float
) -> Standing:
    """Begin an upload, or find the one that was begun; anew, where its parts are too large.

    Raises:
        Problem: 413, the file is too large; 422, it is known with another size, or, with the code
            `parts`, would have too many parts.
    """
    sha256, size = wanted.sha256, wanted.size
    part_size = min(PART_SIZE, wanted.part_size)
    check_sha256(sha256)
    if size > LARGEST:
        raise Problem(413, f"a file may have {LARGEST:,} bytes; this one has {size:,}")
    if part_size < PART_SIZE and size > part_size * MOST_PARTS:
        raise Problem(
            422,
            f"a file of {size:,} bytes cannot be sent in parts of {part_size:,}: a proxy before the"
            " server takes too small requests for it",
            code="parts",
        )
    unused: list[str] = []

    def work(session: Session) -> Standing:
        lock_run(session, run_id)
        blob = session.get(Blob, (run_id, sha256))
        if blob is not None and blob.size != size:
            raise Problem(422, f"the content {sha256} has {blob.size:,} bytes", code="differs")
        upload = session.scalars(
            select(Upload)
            .where(Upload.run_id == run_id, Upload.sha256 == sha256, Upload.size == size)
            .order_by(Upload.id)
            .limit(1)
            .with_for_update()
        ).first()
        if upload is None:
            upload = Upload(id=ids.new_id(), run_id=run_id, sha256=sha256, size=size)
            upload.part_size, upload.parts, upload.created = part_size, [], now
            upload.received = 0
            session.add(upload)
        unused.clear()
        if upload.part_size > part_size and blob is None:
            unused.extend(upload.parts)
            upload.part_size, upload.parts, upload.received = part_size, [], 0
        upload.touched = now
        if blob is not None:
            upload.received = size
        return Standing(upload.id, upload.received, upload.part_size)

    standing = data.transaction(work)
    objects.delete(unused)
    return standing


def put_part(
    data: Database,
    objects: ObjectStore,
    run_id: str,
    upload_id: str,
    offset: int,
    part: bytes,
    now: float,
) -> int:
    """Take a part, if the upload stands at its offset; where it stands then.

    Raises:
        Problem: 404, there is no such upload; 422, the part has not the length that it must have.
    """
    with data.reading() as session:
        upload = _find(session, run_id, upload_id)
    if upload.received != offset or offset == upload.size:
        return upload.received
    wanted = min(upload.part_size, upload.size - offset)
    if len(part) != wanted:
        raise Problem(
            422, f"the part at {offset:,} has {len(part):,} bytes; it must have {wanted:,}"
        )
    key = f"runs/{run_id}/parts/{ids.new_id()}"
    objects.put(key, part)

    def work(session: Session) -> tuple[bool, int]:
        standing = _find(session, run_id, upload_id, lock=True)
        if standing.received != offset or standing.part_size != upload.part_size:
            return False, standing.received  # it went on, or was begun anew with smaller parts
        standing.parts = [*standing.parts, key]
        standing.received = offset + len(part)
        standing.touched = now
        return True, standing.received

    try:
        taken, end = data.transaction(work)
    except Problem:
        objects.delete([key])
        raise
    if not taken:
        objects.delete([key])
    return end


def complete(data: Database, objects: ObjectStore, run_id: str, upload_id: str, now: float) -> str:
    """Check what was received and make it a content of the run; repeated, it does nothing more.

    Returns:
        The hash.

    Raises:
        Problem: 404, there is no such upload, or the store has lost of it, and it is dropped; 409,
            parts are missing; 422 with the code `differs`, it has another hash, and is dropped.
    """
    with data.reading() as session:
        upload = _find(session, run_id, upload_id)
        if session.get(Blob, (run_id, upload.sha256)) is not None:
            return upload.sha256
    if upload.received != upload.size:
        raise Problem(
            409,
            f"{upload.received:,} of {upload.size:,} bytes have been received",
            facts={"offset": upload.received},
        )
    digest = hashlib.sha256()
    try:
        for piece in iterate_parts(objects, upload.parts, upload.part_size, 0, 0, upload.size):
            digest.update(piece)
    except (FileNotFoundError, LostError):
        # Whoever completed or dropped it meanwhile took the parts away; or the store has lost some
        with data.reading() as session:
            if session.get(Blob, (run_id, upload.sha256)) is not None:
                return upload.sha256
        _drop(data, objects, upload.id, parts=upload.parts)
        raise Problem(404, "parts of the upload are gone; begin it again") from None
    if digest.hexdigest() != upload.sha256:
        _drop(data, objects, upload.id)
        raise Problem(422, "the file has another hash; send it again", code="differs")
    unused = data.transaction(lambda session: _settle(session, run_id, upload, now))
    objects.delete(unused)
    return upload.sha256


def _settle(session: Session, run_id: str, seen: Upload, now: float) -> list[str]:
    """Make the parts a content; those that are not needed for it."""
    lock_run(session, run_id)
    upload = session.get(Upload, seen.id, with_for_update=True)
    there = session.get(Blob, (run_id, seen.sha256)) is not None
    if not there:
        if upload is None or upload.parts != seen.parts:
            raise Problem(409, "the upload was begun anew meanwhile; ask again")
        session.add(
            Blob(
                run_id=run_id,
                sha256=seen.sha256,
                size=seen.size,
                parts=list(seen.parts),
                part_size=seen.part_size,
                created=now,
            )
        )
    unused = list(upload.parts) if upload is not None and there else []
    if upload is not None:
        upload.parts = []  # they are the content's now; the row answers a repeated request
        upload.touched = now
    return unused


def sweep(data: Database, objects: ObjectStore, now: float) -> int:
    """Drop uploads that nobody goes on with; how many. Some at a time: called when one begins."""
    with data.reading() as session:
        query = select(Upload.id).where(Upload.touched < now - STALE).limit(_SWEPT)
        stale = list(session.scalars(query))
    for upload_id in stale:
        _drop(data, objects, upload_id, before=now - STALE)
    return len(stale)


def _drop(
    data: Database,
    objects: ObjectStore,
    upload_id: str,
    *,
    before: float | None = None,
    parts: list[str] | None = None,
) -> None:
    """Remove an upload and its parts, unless one has come since `before`, or it has others."""

    def work(session: Session) -> list[str]:
        upload = session.get(Upload, upload_id, with_for_update=True)
        if upload is None or (before is not None and upload.touched >= before):
            return []
        found = list(upload.parts)
        if parts is not None and found != parts:
            return []
        session.delete(upload)
        return found

    objects.delete(data.transaction(work))


def _find(session: Session, run_id: str, upload_id: str, *, lock: bool = False) -> Upload:
    upload = None
    if upload_id.isascii() and upload_id.isdecimal() and len(upload_id) <= 20:
        upload = session.get(Upload, upload_id, with_for_update=lock or None)
    if upload is None or upload.run_id != run_id:
        raise Problem(404, f"there is no upload {upload_id!r:.60}; begin it again")
    return upload
