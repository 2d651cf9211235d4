"""The files of a run as its index has them: listed page by page, found by path or place."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from ml_dash.reading.files import matches
from ml_dash.server.database import Database
from ml_dash.server.problems import Problem
from ml_dash.server.tables import Blob, File

BATCH = 1000
SCANNED = 100_000
"""Rows that one request holds against its pattern; the next page goes on from there."""


def list_files(
    data: Database, run_id: str, prefix: str, pattern: str, cursor: str, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """Files by path, and the cursor of the next page.

    Args:
        data: the database.
        run_id: the run.
        prefix: what their paths begin with.
        pattern: keep those whose name or whole path matches; empty for all.
        cursor: from the page before.
        limit: how many at most; with a pattern it may be fewer, though more follow.
    """
    found: list[dict[str, Any]] = []
    for _ in range(0, SCANNED, BATCH):
        page = _page(data, run_id, prefix, cursor)
        for file, there in page:
            if not pattern or matches(file.path, pattern):
                if len(found) == limit:
                    return found, cursor
                found.append({**file.row, "stored": there is not None})
            cursor = file.path
        if len(page) < BATCH:
            return found, None
    return found, cursor


def _page(data: Database, run_id: str, prefix: str, cursor: str) -> list[tuple[File, str | None]]:
    query = (
        select(File, Blob.sha256)
        .outerjoin(Blob, (Blob.run_id == File.run_id) & (Blob.sha256 == File.sha256))
        .where(File.run_id == run_id, File.place.is_not(None), File.path > cursor)
    )
    if prefix:
        query = query.where(File.path.startswith(prefix, autoescape=True))
    with data.reading() as session:
        rows = session.execute(query.order_by(File.path).limit(BATCH)).all()
    return [(file, there) for file, there in rows]


def find_file(data: Database, run_id: str, path: str, by_place: bool) -> tuple[File, Blob]:
    """A file and its content.

    Args:
        data: the database.
        run_id: the run.
        path: what the user calls it, or where the client keeps it.
        by_place: whether it is the latter.

    Raises:
        Problem: 404, there is none; with the code `pending` where only its bytes have not come.
    """
    query = select(File).where(File.run_id == run_id, File.place.is_not(None))
    query = query.where(File.place == path if by_place else File.path == path)
    with data.reading() as session:
        file = (
            None if "\0" in path else session.scalars(query.order_by(File.timestamp.desc())).first()
        )
        if file is None:
            raise Problem(404, f"there is no file {path!r:.200} in this run")
        blob = session.get(Blob, (run_id, file.sha256)) if file.sha256 else None
    if blob is None:
        raise Problem(404, f"the bytes of {path!r:.200} have not arrived yet", code="pending")
    return file, blob
