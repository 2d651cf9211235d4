"""The API of segments: append, list, and read by range of bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from ml_dash.server.access import Data, Granted, Objects, ReadRun, WriteRun
from ml_dash.server.bodies import read_body
from ml_dash.server.database import Database
from ml_dash.server.patience import patiently
from ml_dash.server.problems import Problem
from ml_dash.server.ranges import parse_range
from ml_dash.server.segments.append import append
from ml_dash.server.segments.stored import iterate_segment
from ml_dash.server.store import ObjectStore
from ml_dash.server.tables import Chunk, Segment
from ml_dash.wire import API, WireError, unpack

router = APIRouter(prefix=f"{API}/runs/{{run}}", tags=["segments"])


@router.post("/append")
async def append_rows(
    request: Request, granted: WriteRun, data: Data, objects: Objects
) -> dict[str, Any]:
    """Append whole lines to segments, each at its end. See the protocol in the documentation."""
    body = await read_body(request, request.app.state.settings.request_limit)
    return await run_in_threadpool(_append, data, objects, granted, body, request.app.state.now())


def _append(
    data: Database, objects: ObjectStore, granted: Granted, body: bytes, now: float
) -> dict[str, Any]:
    try:
        header, parts = unpack(body)
    except WireError as error:
        raise Problem(400, str(error)) from None
    return {"pieces": append(data, objects, granted.run_id, header["pieces"], parts, now)}


@router.get("/segments")
def list_segments(
    granted: ReadRun,
    data: Data,
    prefix: str = "",
    cursor: str = "",
    limit: int = Query(10_000, ge=1, le=10_000),
) -> dict[str, Any]:
    """The segments of a run by path: how long they are, and the CRC-32 of all their bytes."""
    query = select(Segment).where(Segment.run_id == granted.run_id, Segment.path > cursor)
    if prefix:
        query = query.where(Segment.path.startswith(prefix, autoescape=True))
    with data.reading() as session:
        found = session.scalars(query.order_by(Segment.path).limit(limit + 1)).all()
    return {
        "segments": [
            {
                "path": segment.path,
                "size": segment.size,
                "crc": segment.crc,
                "rows": segment.rows,
                "updated": segment.updated,
            }
            for segment in found[:limit]
        ],
        "next": found[limit - 1].path if len(found) > limit else None,
    }


@router.get("/segments/{path:path}", response_model=None)
def read_bytes(
    path: str,
    granted: ReadRun,
    data: Data,
    objects: Objects,
    chunks: bool = False,
    range: str = Header(""),
) -> Response | list[dict[str, Any]]:
    """The bytes of a segment, or a range of them; with `chunks`, how they are stored."""
    with data.reading() as session:
        segment = session.scalar(
            select(Segment).where(Segment.run_id == granted.run_id, Segment.path == path)
        )
    if segment is None:
        raise Problem(404, f"there is no segment {path!r:.200} in this run")
    if chunks:
        return _chunks(data, segment.id)
    begin, end, partial = parse_range(range, segment.size)
    headers = {
        "ETag": f'"{segment.crc:08x}-{segment.size}"',
        "Content-Length": str(end - begin),
        "Accept-Ranges": "bytes",
    }
    if partial:
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{segment.size}"

    def read(at: int) -> Iterator[bytes]:
        return iterate_segment(data, objects, segment.id, at, end - at)

    try:
        first = next(read(begin), b"")  # before anything is said of success
    except OSError:
        raise Problem(500, "the store has lost bytes of this segment", code="lost") from None
    return StreamingResponse(
        patiently(first, begin, read),
        206 if partial else 200,
        headers=headers,
        media_type="application/octet-stream",
    )


def _chunks(data: Database, segment_id: str) -> list[dict[str, Any]]:
    with data.reading() as session:
        found = session.scalars(
            select(Chunk).where(Chunk.segment_id == segment_id).order_by(Chunk.offset)
        ).all()
    return [{"offset": c.offset, "size": c.size, "sha256": c.sha256, "rows": c.rows} for c in found]
