"""Errors as the API tells them: `application/problem+json`, with a word for programs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from obstore.exceptions import BaseError as StoreError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from ml_dash.server.store import LostError, reason

CODES = {
    400: "invalid",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "no_such_method",
    408: "too_slow",
    409: "conflict",
    413: "too_large",
    415: "wrong_type",
    416: "no_such_range",
    422: "invalid",
    429: "too_many",
    500: "defect",
    503: "unavailable",
}


AWAY = (OperationalError, InterfaceError, PoolTimeoutError, StoreError)
"""Errors of a database or a store that cannot be reached now, and may be again soon."""

logger = logging.getLogger("ml_dash.server")


class Problem(Exception):  # noqa: N818 - it is an answer, named as RFC 9457 does
    """An answer that is an error.

    Args:
        status: of HTTP.
        detail: one sentence for a person: what is wrong and what to do.
        code: the word for programs; by default the status's own.
        retry_after: seconds after which it may go well.
        facts: more fields of the answer.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        code: str | None = None,
        retry_after: float | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.code = code or CODES.get(status, "error")
        self.retry_after = retry_after
        self.facts = dict(facts or {})


def respond(problem: Problem) -> JSONResponse:
    """The answer that tells a problem."""
    headers = {}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(problem.retry_after)))
    if problem.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="ml-dash"'
    body = {
        **problem.facts,
        "type": "about:blank",
        "title": problem.code.replace("_", " "),
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
    }
    return JSONResponse(
        body, problem.status, headers=headers, media_type="application/problem+json"
    )


def install(app: FastAPI) -> None:
    """Have every error of `app` told in this form."""

    @app.exception_handler(Problem)
    async def _problem(request: Request, problem: Problem) -> JSONResponse:
        return respond(problem)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0] if error.errors() else {"loc": (), "msg": "not valid"}
        place = ".".join(str(part) for part in first["loc"])
        return respond(Problem(422, f"{place}: {first['msg']}"))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        answer = respond(Problem(error.status_code, str(error.detail)))
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(ClientDisconnect)
    async def _gone(request: Request, error: ClientDisconnect) -> JSONResponse:
        return respond(Problem(400, "the body was cut short"))  # nobody is there to read it

    async def _away(request: Request, error: Exception) -> JSONResponse:
        logger.error("%s while answering %s", reason(error), request.url.path)
        detail = "database or store cannot be reached now; try again"
        return respond(Problem(503, detail, retry_after=2.0))

    @app.exception_handler(LostError)
    async def _lost(request: Request, error: LostError) -> JSONResponse:
        logger.error("%s, asked for by %s", error, request.url.path)
        return respond(Problem(500, "the store has lost bytes of what was asked for", code="lost"))

    for kind in AWAY:
        app.add_exception_handler(kind, _away)
