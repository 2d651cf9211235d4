"""The files of a run folder by folder: what is in one, however many files are below it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from ml_dash.server.database import Database
from ml_dash.server.tables import Blob, File


def list_folders(data: Database, run_id: str, path: str) -> list[dict[str, Any]]:
    """The folders in a folder by name: how many files are below each, and of how many bytes.

    Args:
        data: the database.
        run_id: the run.
        path: of the folder, with a slash at its end; empty for all of the run.
    """
    with data.reading() as session:
        rest = _rest(path)
        end = _slash(session, rest)
        name = func.substr(rest, 1, end - 1)
        query = (
            select(name, func.count(), func.sum(File.size))
            .where(*_below(run_id, path), end > 0)
            .group_by(name)
        )
        found = session.execute(query).all()
    return [{"name": n, "files": files, "size": int(size or 0)} for n, files, size in sorted(found)]


def list_inside(
    data: Database, run_id: str, path: str, cursor: str, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """The files that are in a folder itself, by path, and the cursor of the next page.

    Args:
        data: the database.
        run_id: the run.
        path: of the folder, with a slash at its end; empty for the top.
        cursor: from the page before.
        limit: how many at most.
    """
    with data.reading() as session:
        query = (
            select(File, Blob.sha256)
            .outerjoin(Blob, (Blob.run_id == File.run_id) & (Blob.sha256 == File.sha256))
            .where(*_below(run_id, path), _slash(session, _rest(path)) == 0, File.path > cursor)
            .order_by(File.path)
            .limit(limit + 1)
        )
        rows = session.execute(query).all()
    files = [{**file.row, "stored": there is not None} for file, there in rows[:limit]]
    return files, rows[limit - 1][0].path if len(rows) > limit else None


def _below(run_id: str, path: str) -> list[ColumnElement[bool]]:
    # Not LIKE: SQLite's knows no upper and lower case
    return [
        File.run_id == run_id,
        File.place.is_not(None),
        func.substr(File.path, 1, len(path)) == path,
    ]


def _rest(path: str) -> ColumnElement[str]:
    return func.substr(File.path, len(path) + 1)


def _slash(session: Session, text: ColumnElement[str]) -> ColumnElement[int]:
    """Where a text has its first slash, from 1; 0 where it has none."""
    found = func.instr if session.get_bind().dialect.name == "sqlite" else func.strpos
    return found(text, "/")
