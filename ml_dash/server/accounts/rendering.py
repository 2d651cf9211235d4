"""Pages made from templates, and what all of them have in common."""

from __future__ import annotations

import time
from functools import cache
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from ml_dash.server.accounts import cookies
from ml_dash.server.accounts.identity import Identity

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
"""Pages have no scripts; what is not ours is not loaded, and nobody frames them."""

MEANINGS = {
    "read": "see what you may see",
    "write": "record and change runs",
    "admin": "delete runs, manage members and tokens",
}
"""What a scope allows, in words."""

LONGEST_PATH = 4000
"""Characters of an address that a login leads back to: a comparison of many runs names them all."""


def show(
    request: Request,
    template: str,
    who: Identity | None = None,
    status: int = 200,
    **values: Any,
) -> HTMLResponse:
    """A page.

    Args:
        request: what it answers.
        template: its name.
        who: who is logged in.
        status: of HTTP.
        values: what the template shows, escaped.
    """
    common = {
        "error": None,
        "note": None,
        "meanings": MEANINGS,
        "csrf": cookies.csrf_token(request),
        "base": base_of(request),
    }
    page = _templates().get_template(template).render(common | values | {"who": who})
    answer = HTMLResponse(page, status)
    answer.headers["Content-Security-Policy"] = POLICY
    answer.headers["Cache-Control"] = "no-store"
    cookies.keep_mark(request, answer)
    return answer


def base_of(request: Request) -> str:
    """What stands before each of our paths as users reach them: nothing, or such as `/dash`."""
    return urlsplit(str(request.app.state.settings.url)).path.rstrip("/")


def go(request: Request, path: str) -> RedirectResponse:
    """Have the browser load another page of ours."""
    return RedirectResponse(base_of(request) + path, 303)


def login_first(request: Request) -> RedirectResponse:
    """Have the browser log in and come back to the page that it asked for."""
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return go(request, f"/login?next={quote(asked, safe='')}")


def local_path(text: str) -> str:
    """A path of ours, whatever was asked for; `/` for all that leads elsewhere."""
    odd = any(ord(c) <= 32 or ord(c) >= 127 or c == "\\" for c in text)
    if odd or not text.startswith("/") or text.startswith("//") or len(text) > LONGEST_PATH:
        return "/"
    try:
        parts = urlsplit(text)
    except ValueError:
        return "/"
    return text if not parts.scheme and not parts.netloc else "/"


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("ml_dash.server.accounts"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    made.filters["day"] = _day
    return made


def _day(seconds: float | None) -> str:
    return "never" if seconds is None else time.strftime("%Y-%m-%d", time.gmtime(seconds))
