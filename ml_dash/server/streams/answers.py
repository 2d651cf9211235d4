"""How numbers are answered: as JSON or as arrays, and not again to whoever has them already."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Literal

import orjson
from fastapi import Request, Response

from ml_dash.server.problems import Problem
from ml_dash.server.streams.chunks import Piece

Format = Literal["json", "binary"]

MOST_COLUMNS = 200
"""Columns that one request may ask for."""

_JSON = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def split_names(joined: str, single: Sequence[str]) -> list[str]:
    """Names from `columns=a,b` and from `column=` repeated, whose names may hold commas.

    Raises:
        Problem: 422, they are too many.
    """
    names = list(dict.fromkeys([*(name for name in joined.split(",") if name), *single]))
    if len(names) > MOST_COLUMNS:
        raise Problem(422, f"{len(names):,} columns; {MOST_COLUMNS} can be asked for at once")
    return names


def to_json(content: Any) -> Response:
    """An answer in JSON, in which what is not finite is null."""
    return Response(orjson.dumps(content, option=_JSON), media_type="application/json")


def answer_once(
    request: Request, pieces: Sequence[Piece], make: Callable[[], Response], *facts: Any
) -> Response:
    """An answer made from chunks, unless whoever asks has it: they name it, then it is 304.

    Args:
        request: its `If-None-Match` and its address count.
        pieces: what it is made from; they never change.
        make: makes the answer.
        facts: what else it depends on.
    """
    named = hashlib.sha256(repr((request.url.query, facts)).encode())
    for piece in pieces:
        named.update(f"{piece.rank} {piece.chunk.sha256}".encode())
    tag = f'W/"{named.hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if tag in [part.strip() for part in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    answer = make()
    answer.headers.update(headers)
    return answer
