"""The API of contents and files."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from ml_dash.server.access import Data, Granted, Objects, ReadRun, WriteRun
from ml_dash.server.blobs import uploads
from ml_dash.server.blobs.answers import BYTES, FOR_EVER, GUARDS, serve_blob
from ml_dash.server.blobs.content import check_sha256, known, read_batch, store_small
from ml_dash.server.blobs.folders import list_folders, list_inside
from ml_dash.server.blobs.frames import Camera, cameras, describe, page
from ml_dash.server.blobs.listing import find_file, list_files
from ml_dash.server.bodies import read_body
from ml_dash.server.database import Database
from ml_dash.server.problems import Problem
from ml_dash.server.streams.clocks import find_clocks
from ml_dash.server.tables import Blob
from ml_dash.wire import API, FRAMES, MAX_PIECES, PART_SIZE, WireError, pack, unpack

router = APIRouter(prefix=f"{API}/runs/{{run}}", tags=["files"])

BATCH = 64
"""Contents in one answer."""

BATCH_SIZE = 16 << 20
"""Bytes of them."""


class Content(BaseModel):
    """A content by its hash."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(ge=0, lt=2**63)


class Contents(BaseModel):
    """Contents that are asked about."""

    blobs: list[Content] = Field(max_length=MAX_PIECES)


@router.post("/blobs/missing")
def find_missing(asked: Contents, granted: WriteRun, data: Data) -> dict[str, list[str]]:
    """Which of these contents the run does not have."""
    hashes = dict.fromkeys(blob.sha256 for blob in asked.blobs)
    with data.reading() as session:
        there = known(session, granted.run_id, hashes)
    return {"missing": [sha256 for sha256 in hashes if sha256 not in there]}


@router.post("/blobs")
async def store_blobs(
    request: Request, granted: WriteRun, data: Data, objects: Objects
) -> dict[str, int]:
    """Store small contents, framed as an append with pieces of `sha256` and `size`."""
    body = await read_body(request, request.app.state.settings.request_limit)
    try:
        header, parts = unpack(body)
    except WireError as error:
        raise Problem(400, str(error)) from None
    stored = await run_in_threadpool(
        store_small,
        data,
        objects,
        granted.run_id,
        header["pieces"],
        parts,
        request.app.state.now(),
    )
    return {"stored": stored}


class NewUpload(Content):
    """A content to be uploaded, in parts of so many bytes."""

    part_size: int = Field(PART_SIZE, ge=1, le=PART_SIZE)


@router.post("/uploads")
def begin_upload(
    about: NewUpload, request: Request, granted: WriteRun, data: Data, objects: Objects
) -> dict[str, Any]:
    """Begin to upload a large content, or go on where an earlier attempt stood.

    Where a proxy takes no requests of 8 MiB, ask for a smaller `part_size`; an upload that was
    begun with larger parts is begun anew then.
    """
    now = request.app.state.now()
    uploads.sweep(data, objects, now)
    wanted = uploads.Wanted(about.sha256, about.size, about.part_size)
    return uploads.begin(data, objects, granted.run_id, wanted, now)._asdict()


@router.put("/uploads/{upload}")
async def put_part(
    upload: str,
    request: Request,
    granted: WriteRun,
    data: Data,
    objects: Objects,
    offset: int = Query(ge=0, lt=2**63),
) -> dict[str, int]:
    """Send a part. The answer says where the upload stands: elsewhere, the part was not needed."""
    part = await read_body(request, PART_SIZE)
    now = request.app.state.now()
    end = await run_in_threadpool(
        uploads.put_part, data, objects, granted.run_id, upload, offset, part, now
    )
    return {"offset": end}


@router.post("/uploads/{upload}/complete")
def complete_upload(
    upload: str, request: Request, granted: WriteRun, data: Data, objects: Objects
) -> dict[str, str]:
    """Have the hash checked; the content is there then. May be repeated."""
    now = request.app.state.now()
    return {"sha256": uploads.complete(data, objects, granted.run_id, upload, now)}


@router.get("/blobs/batch")
def read_blobs(
    granted: ReadRun, data: Data, objects: Objects, sha256: str = Query(max_length=65 * 65)
) -> Response:
    """Several small contents in one answer, such as the frames of all cameras at a step.

    `sha256` are up to 64 hashes joined by commas, of 16 MiB at most. The answer is framed as an
    append is: a line `{"pieces": [{"sha256", "size"}, …]}`, then their bytes one after another.
    What the run does not have is left out; an answer that has them all can be kept for ever.
    """
    hashes = sha256.split(",")
    if len(hashes) > BATCH:
        raise Problem(422, f"{len(hashes):,} hashes; {BATCH} can be asked for at once")
    found = read_batch(data, objects, granted.run_id, hashes, BATCH_SIZE)
    pieces = [{"sha256": name, "size": len(content)} for name, content in found]
    headers = {**GUARDS, "Cache-Control": FOR_EVER}
    if len(found) < len(set(hashes)):
        headers["Cache-Control"] = "no-store"
    del headers["Accept-Ranges"]
    body = pack({"pieces": pieces}, [content for _, content in found])
    return Response(body, headers=headers, media_type=FRAMES)


@router.head("/blobs/{sha256}", include_in_schema=False)
@router.get("/blobs/{sha256}")
def read_blob(
    sha256: str,
    request: Request,
    granted: ReadRun,
    data: Data,
    objects: Objects,
    kind: str = Query(BYTES, alias="type", max_length=100),
) -> Response:
    """The bytes of a content, or a range of them. They can be kept for ever.

    `type` says what they are, as the index of files has it; images of pixels, such as `image/jpeg`,
    are shown then, and everything else is saved.
    """
    with data.reading() as session:
        blob = session.get(Blob, (granted.run_id, check_sha256(sha256)))
    if blob is None:
        raise Problem(404, f"the run has no content {sha256}")
    return serve_blob(request, objects, blob, sha256, kind, lasting=True)


@router.get("/frames")
def read_cameras(request: Request, granted: ReadRun, data: Data) -> dict[str, Any]:
    """The cameras of a run: folders of images, with count, steps and times of their frames."""
    clocks = find_clocks(data, granted.run_id)
    return {"cameras": describe(_cameras(request, granted, data), clocks)}


@router.get("/frames/{camera:path}")
def read_frames(
    camera: str,
    request: Request,
    granted: ReadRun,
    data: Data,
    cursor: str = Query("", max_length=2000),
    limit: int = Query(10_000, ge=1, le=100_000),
) -> Response:
    """Frames of a camera in order of time, as columns: `names`, `steps`, `timestamps`, `sha256`.

    A frame's path is the camera's name, a slash and its own name; its bytes are had by its hash.
    `next` is the `cursor` of the next page, null where there is none; `last` that of frames which
    come later, while the run goes on.
    """
    found = _cameras(request, granted, data).get(camera)
    if found is None:
        raise Problem(404, f"there is no camera {camera!r:.200} in this run")
    answer = page(camera, found, cursor, limit)
    return Response(orjson.dumps(answer), media_type="application/json")


def _cameras(request: Request, granted: Granted, data: Database) -> dict[str, Camera]:
    # In a folder that is looked at, rows of files come before the segment that has them
    return cameras.load(data, granted.run_id, fresh=hasattr(request.app.state, "folder"))


@router.get("/files")
def read_files(
    granted: ReadRun,
    data: Data,
    prefix: str = Query("", max_length=1100),
    pattern: str = Query("", max_length=200),
    cursor: str = Query("", max_length=1100),
    limit: int = Query(1000, ge=1, le=10_000),
) -> dict[str, Any]:
    """The files of a run by path, as its index has them, and whether their bytes are stored."""
    if "\0" in prefix + cursor:
        raise Problem(422, "a path has no NUL character")
    files, following = list_files(data, granted.run_id, prefix, pattern, cursor, limit)
    return {"files": files, "next": following}


@router.get("/folders")
def read_folder(
    granted: ReadRun,
    data: Data,
    path: str = Query("", max_length=1100),
    cursor: str = Query("", max_length=1100),
    limit: int = Query(1000, ge=1, le=10_000),
) -> dict[str, Any]:
    """What is in a folder of a run's files: its folders, with what is below them, and its files.

    `folders` are all in the first page; `files` are as in the list of all, and `next` is the
    `cursor` of the next page of them.
    """
    if "\0" in path + cursor:
        raise Problem(422, "a path has no NUL character")
    whole = f"{path.strip('/')}/" if path.strip("/") else ""
    files, following = list_inside(data, granted.run_id, whole, cursor, limit)
    folders = [] if cursor else list_folders(data, granted.run_id, whole)
    return {"folders": folders, "files": files, "next": following}


@router.head("/files/{path:path}", include_in_schema=False)
@router.get("/files/{path:path}")
def read_file(
    path: str,
    request: Request,
    granted: ReadRun,
    data: Data,
    objects: Objects,
    by_place: bool = Query(False, alias="data"),
) -> Response:
    """The bytes of a file by what its user calls it; with `data`, by where the client keeps it."""
    file, blob = find_file(data, granted.run_id, path, by_place)
    return serve_blob(request, objects, blob, file.path, file.row.get("content_type"))
