"""Forms as browsers and OAuth clients post them, read without another dependency."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request

from ml_dash.server.bodies import read_body
from ml_dash.server.problems import Problem

_LIMIT = 64 << 10
_TYPE = "application/x-www-form-urlencoded"


class Form(dict[str, str]):
    """The fields of a form; one that is empty counts as left out.

    Attributes:
        repeated: names that came more than once.
        all: names and values as they came.
    """

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        super().__init__((name, value) for name, value in pairs if value)
        names = [name for name, _ in pairs]
        self.repeated = sorted({name for name in names if names.count(name) > 1})
        self.all = pairs


async def read_form(request: Request) -> Form:
    """The form of a request; nothing at all is a form without fields.

    Raises:
        Problem: 415, it is none; 400, it is malformed; 413, it is larger than a form can be.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("", _TYPE):
        raise Problem(415, f"send a form, as {_TYPE}")
    body = await read_body(request, _LIMIT)
    if body and not kind:
        raise Problem(415, f"send a form, as {_TYPE}")
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100
        )
    except ValueError:  # not ASCII, not UTF-8 once decoded, or too many fields
        raise Problem(400, "the form is malformed") from None
    if any("\0" in value for _, value in pairs):  # which databases do not keep
        raise Problem(400, "a field of the form has a NUL character")
    return Form(pairs)


Posted = Annotated[Form, Depends(read_form)]
