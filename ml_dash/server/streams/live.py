"""The API of what is read while a run goes on: its log, and events."""

from __future__ import annotations

import orjson
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from ml_dash.reading.logs import LEVELS, severity
from ml_dash.server.access import Data, Objects, ReadRun
from ml_dash.server.accounts.secrets import identify
from ml_dash.server.problems import Problem
from ml_dash.server.runs.routes import shown
from ml_dash.server.streams.chunks import StoredStream
from ml_dash.server.streams.events import Seats, Watch, follow, may_read
from ml_dash.server.streams.logs import Page, Search
from ml_dash.server.streams.rows import encode
from ml_dash.wire import API

router = APIRouter(prefix=f"{API}/runs/{{run}}", tags=["streams"])


@router.get("/logs")
def read_logs(
    granted: ReadRun,
    data: Data,
    objects: Objects,
    search: str = Query("", max_length=1000),
    level: str = Query("", max_length=20),
    start_time: float | None = Query(None, allow_inf_nan=False),
    end_time: float | None = Query(None, allow_inf_nan=False),
    limit: int = Query(200, ge=1, le=5000),
    cursor: str = Query("", max_length=200),
) -> Response:
    """Messages, the newest first, with all of `search` in the message or its fields.

    `{"rows": [row, …], "next": cursor or null}`. One request goes through 64 MiB of lines at most,
    so a page may be short or empty though messages follow: go on until `next` is null.
    """
    try:
        least = severity(level) if level else 0
    except ValueError:
        raise Problem(422, f"the level must be one of {', '.join(LEVELS)}") from None
    try:
        stream = StoredStream(data, objects, granted.run_id, "logs")
    except Problem:
        return Response(b'{"rows":[],"next":null}', media_type="application/json")
    wanted = Search(search, least, start_time, end_time, limit)
    rows, following = Page(stream, wanted, cursor).gather()
    told = b",".join(encode(row)[:-1] for row in rows)
    body = b'{"rows":[%b],"next":%b}' % (told, orjson.dumps(following))
    return Response(body, media_type="application/json")


@router.get("/events")
async def read_events(
    request: Request,
    granted: ReadRun,
    data: Data,
    after: str = Query("", max_length=100),
    last_event_id: str = Header("", max_length=100),
) -> StreamingResponse:
    """Server-sent events while a run goes on: `segments` that grew, and the `run` as it is now.

    `segments` is `{"paths": {stream: bytes}}`, `run` is the run as `GET /runs/{run}` has it. What
    was added is then read as rows, charts or logs. Events carry an id: whoever comes back with it,
    as `Last-Event-ID` or `after`, is told again only if there is something new. A comment each 15
    seconds shows that the connection lives. After ten minutes, at the end of the server, of the run
    or of the right to read it, the stream ends: come back then. 503 when too many follow already.
    """
    state = request.app.state
    seats = Seats.of(state)
    now = state.now
    watch = Watch(
        data, granted.run_id, lambda: shown(data, granted.run_id, now()), last_event_id or after
    )

    async def look(thorough: bool) -> list[bytes] | None:
        try:
            return await run_in_threadpool(watch.look, thorough)
        except Problem:
            return None  # deleted between two looks

    async def alive() -> bool:
        try:
            who = await run_in_threadpool(identify, request)
        except Problem:
            return False  # the token was revoked, or is too old
        return await run_in_threadpool(may_read, data, granted.run_id, who.user_id)

    events = follow(look, alive, lambda: bool(getattr(state, "stopping", False)))
    return StreamingResponse(
        seats.taken(events),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
