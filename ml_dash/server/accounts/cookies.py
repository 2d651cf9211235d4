"""Cookies of the pages, and the tokens that show that a form is our own.

A CSRF token is an HMAC of the cookie that the browser sends along: of its session or, before a
login, of a random mark. Another site can make a browser send the cookie, but cannot read it.
Over TLS the cookies have the prefix `__Host-`, so that no neighbouring host can set them.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets as random

from fastapi import Request, Response

from ml_dash.server.problems import Problem
from ml_dash.server.proxies import is_secure

_SESSION = "ml_dash_session"
_VISIT = "ml_dash_visit"
_MARK_LENGTH = 43


def session_of(request: Request) -> str | None:
    """The text of the browser's session."""
    return request.cookies.get(_name(request, _SESSION)) or None


def keep_session(request: Request, response: Response, text: str, seconds: float) -> None:
    """Have the browser keep a session."""
    _set(request, response, _SESSION, text, round(seconds))


def drop_session(request: Request, response: Response) -> None:
    """Have the browser forget its session."""
    _set(request, response, _SESSION, "", 0)


def csrf_token(request: Request) -> str:
    """The token for forms of the answer to this request; see `keep_mark`."""
    return _token(session_of(request) or _mark(request))


def keep_mark(request: Request, response: Response) -> None:
    """Have a browser without a session keep the mark that its token was made from."""
    if session_of(request) is None and _kept_mark(request) is None:
        _set(request, response, _VISIT, _mark(request), None)


def check_csrf(request: Request, token: str) -> None:
    """Let pass what comes from our own pages.

    Args:
        request: its cookies, and what the browser says of where it comes from.
        token: of the form or the header `X-CSRF-Token`.

    Raises:
        Problem: 403.
    """
    basis = session_of(request) or _kept_mark(request)
    foreign = request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none")
    good = basis is not None and hmac.compare_digest(
        _token(basis).encode(), token.encode("utf-8", "replace")
    )
    if foreign or not good:
        raise Problem(403, "the page was open too long, or is not ours; load it again", code="csrf")


def _token(basis: str) -> str:
    return hmac.new(basis.encode("utf-8", "replace"), b"ml-dash csrf", hashlib.sha256).hexdigest()


def _kept_mark(request: Request) -> str | None:
    mark = request.cookies.get(_name(request, _VISIT), "")
    return mark if len(mark) == _MARK_LENGTH else None


def _mark(request: Request) -> str:
    if kept := _kept_mark(request):
        return kept
    if not hasattr(request.state, "mark"):
        request.state.mark = random.token_urlsafe(32)
    made: str = request.state.mark
    return made


def _name(request: Request, name: str) -> str:
    return f"__Host-{name}" if is_secure(request) else name


def _set(request: Request, response: Response, name: str, value: str, age: int | None) -> None:
    response.set_cookie(
        _name(request, name),
        value,
        max_age=age,
        path="/",
        secure=is_secure(request),
        httponly=True,
        samesite="lax",
    )
