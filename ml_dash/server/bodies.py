"""The bodies of requests, read up to a limit, also where they are compressed."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from ml_dash.server.limits import PASSAGE, Passage
from ml_dash.server.problems import Problem

_STEP = 1 << 20  # bytes that are decoded at a time


async def read_body(request: Request, limit: int) -> bytes:
    """The decoded body of a request.

    Args:
        request: its `Content-Encoding` is gzip or none.
        limit: bytes that it may have once it is decoded; no more are ever held.

    Raises:
        Problem: 413 beyond that, 415 another encoding, 400 what is no gzip.
        HTTPException: 503, as many bodies are held as can be.
    """
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise Problem(415, f"the encoding {encoding!r:.40} is not known; use gzip or none")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise _too_large(limit)
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
    if encoding == "identity":
        return b"".join(pieces)
    passage: Passage | None = request.scope.get(PASSAGE)
    return await run_in_threadpool(_inflate, pieces, limit, passage)


def _inflate(pieces: Iterable[bytes], limit: int, passage: Passage | None) -> bytes:
    """Undo gzip, a step at a time: what is too large is given up before it is held."""
    inflater = zlib.decompressobj(wbits=31)
    found: list[bytes] = []
    size = 0
    try:
        for piece in pieces:
            rest = piece
            while rest and not inflater.eof:
                text = inflater.decompress(rest, _STEP)
                rest = inflater.unconsumed_tail
                size += len(text)
                if size > limit:
                    raise _too_large(limit)
                if passage is not None:
                    passage.reserve(len(text))
                found.append(text)
            if inflater.eof and (rest or inflater.unused_data):
                raise Problem(400, "something follows the compressed body")
    except zlib.error:
        raise Problem(400, "the body is not what gzip makes") from None
    if not inflater.eof:
        raise Problem(400, "the compressed body is cut short")
    return b"".join(found)


def _too_large(limit: int) -> Problem:
    return Problem(413, f"the body is larger than {limit:,} bytes; send it in smaller pieces")
