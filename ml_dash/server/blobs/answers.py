"""A content as an answer: bytes that a browser keeps or saves, and never runs.

What users upload is theirs, and may be a page with scripts. So it is sent as an attachment, under a
type from a short list of harmless ones, with orders not to guess another. Images of pixels alone
are shown where they are asked for; SVG is a document that runs scripts, and none of them.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from ml_dash.server.blobs.content import PIECE, iterate_blob
from ml_dash.server.patience import patiently
from ml_dash.server.problems import Problem
from ml_dash.server.ranges import parse_range
from ml_dash.server.store import ObjectStore
from ml_dash.server.tables import Blob

BYTES = "application/octet-stream"

IMAGES = frozenset(f"image/{kind}" for kind in ("png", "jpeg", "gif", "webp", "bmp", "avif"))
"""Types that are shown in the page; what is no such image is not shown as anything else."""

SAFE = IMAGES | frozenset(
    (
        *("video/mp4", "video/webm", "video/ogg", "audio/mpeg", "audio/wav", "audio/ogg"),
        *("application/json", "application/zip", "application/gzip", BYTES),
    )
)
"""Types that are told as they were recorded: no browser runs what is in them."""

FOR_EVER = "private, max-age=31536000, immutable"
"""How long a content may be kept that is asked for by its hash."""

GUARDS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Accept-Ranges": "bytes",
}

_UNSURE = re.compile(r"[^A-Za-z0-9._ -]")


def serve_blob(
    request: Request,
    objects: ObjectStore,
    blob: Blob,
    name: str,
    content_type: Any = BYTES,
    *,
    lasting: bool = False,
) -> Response:
    """Answer with a content, or with the range of it that is asked for.

    Args:
        request: its `Range`, `If-Range` and `If-None-Match` count.
        objects: the store.
        blob: the content.
        name: what a browser calls it when it saves it.
        content_type: as it was recorded; believed when it is in `SAFE`.
        lasting: whether this address will always be this content.

    Raises:
        Problem: 404, it was deleted just now.
        HTTPException: 416, the range begins behind the end.
    """
    tag = f'"{blob.sha256}"'
    kind = safe_type(content_type)
    headers = {
        **GUARDS,
        "ETag": tag,
        "Cache-Control": FOR_EVER if lasting else "private, no-cache",
        "Content-Disposition": disposition(name, inline=kind in IMAGES),
    }
    if _names(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    if request.method == "HEAD":
        headers["Content-Length"] = str(blob.size)
        return Response(headers=headers, media_type=kind)
    wanted = request.headers.get("range", "")
    if request.headers.get("if-range", tag) != tag:
        wanted = ""  # another version than the one that the rest is asked of
    begin, end, partial = parse_range(wanted, blob.size)
    headers["Content-Length"] = str(end - begin)
    if partial:
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{blob.size}"
    status = 206 if partial else 200
    pieces = iterate_blob(objects, blob, begin, end)
    try:
        if end - begin > PIECE:
            first = next(pieces)  # before anything is said of success
            whole = patiently(first, begin, lambda at: iterate_blob(objects, blob, at, end))
            return StreamingResponse(whole, status, headers=headers, media_type=kind)
        return Response(b"".join(pieces), status, headers=headers, media_type=kind)
    except FileNotFoundError:
        raise Problem(404, f"the content {blob.sha256} has been deleted") from None


def safe_type(recorded: Any) -> str:
    """The type that is told for a recorded one."""
    if not isinstance(recorded, str):
        return BYTES
    kind = recorded.partition(";")[0].strip().lower()
    if kind == "text/plain":
        return "text/plain; charset=utf-8"
    return kind if kind in SAFE else BYTES


def disposition(name: str, *, inline: bool = False) -> str:
    """The header that has a file saved under its name, whatever is in it (RFC 6266, RFC 5987).

    Args:
        name: its path.
        inline: whether it is shown, where it is not saved.
    """
    name = "".join(char for char in name.rpartition("/")[2] if ord(char) >= 32 and char != "\x7f")
    name = name.encode("utf-8", "replace").decode()[-200:] or "file"
    plain = _UNSURE.sub("_", name)
    way = "inline" if inline else "attachment"
    return f"{way}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _names(header: str, tag: str) -> bool:
    """Whether an `If-None-Match` names the tag."""
    given = [part.strip().removeprefix("W/") for part in header.split(",")]
    return tag in given or given == ["*"]
