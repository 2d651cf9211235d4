"""The API of what the store has lost and a client still has."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from ml_dash.server.access import Data, Objects, WriteRun
from ml_dash.server.blobs.routes import Contents
from ml_dash.server.bodies import read_body
from ml_dash.server.database import Database
from ml_dash.server.problems import Problem
from ml_dash.server.runs.restore import forget_lost, restore_rows
from ml_dash.server.store import ObjectStore
from ml_dash.wire import API, WireError, unpack

router = APIRouter(prefix=f"{API}/runs/{{run}}", tags=["runs"])


@router.post("/lost/contents")
def send_contents_again(
    asked: Contents, granted: WriteRun, data: Data, objects: Objects
) -> dict[str, list[str]]:
    """Have contents that the store has lost count as missing, so that they can be sent again.

    Ask only for those that you have. What the store still has stays as it is.
    """
    hashes = [blob.sha256 for blob in asked.blobs]
    return {"missing": forget_lost(data, objects, granted.run_id, hashes)}


@router.post("/lost/rows")
async def send_rows_again(
    request: Request, granted: WriteRun, data: Data, objects: Objects
) -> dict[str, int]:
    """Send the lines of chunks again that the store has lost, framed as an append.

    A piece has the `segment`, `offset` and `size` of a chunk. Lines that differ, and those that the
    store still has, are left out.
    """
    body = await read_body(request, request.app.state.settings.request_limit)
    return await run_in_threadpool(_restore, data, objects, granted.run_id, body)


def _restore(data: Database, objects: ObjectStore, run_id: str, body: bytes) -> dict[str, int]:
    try:
        header, parts = unpack(body)
    except WireError as error:
        raise Problem(400, str(error)) from None
    return {"stored": restore_rows(data, objects, run_id, header["pieces"], parts)}
