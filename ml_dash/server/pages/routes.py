"""The routes of the pages: whoever is not logged in is sent to do that first, or told how."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from ml_dash.server.accounts import cookies
from ml_dash.server.accounts.account_pages import Visitor
from ml_dash.server.accounts.identity import Identity
from ml_dash.server.accounts.rendering import login_first
from ml_dash.server.problems import Problem

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:;"
    " media-src 'self' blob:; connect-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
"""Scripts are this server's own modules; nothing is loaded from, or sent to, anywhere else."""

TYPES = {
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}


@router.get("/")
def runs_page(request: Request, who: Visitor) -> Response:
    """The table of all runs."""
    return _page(request, who, "runs", "Runs")


@router.get("/view")
def view_page(request: Request, who: Visitor) -> Response:
    """One run, or several beside each other."""
    return _page(request, who, "view", "Run")


@router.get("/static/{version}/{name}")
def static(version: str, name: str) -> Response:
    """A module, a style or a picture of the pages. With another version it is another file."""
    own, held = _static()
    if name not in held:
        raise Problem(404, f"the pages have no file {name!r:.100}")
    lasting = "public, max-age=31536000, immutable" if version == own else "no-cache"
    return Response(
        held[name],
        media_type=TYPES[name.rpartition(".")[2]],
        headers={"Cache-Control": lasting},
    )


def _page(request: Request, who: Identity | None, module: str, title: str) -> Response:
    local = getattr(request.app.state, "folder", "")
    if who is None:
        return _closed() if local else login_first(request)
    values: dict[str, Any] = {
        "csrf": cookies.csrf_token(request),
        "user": who.user,
        "local": local,
        "may_write": "yes" if "write" in who.scopes else "",
        "title": title,
        "module": module,
        "static": f"static/{_static()[0]}",
    }
    return _answer(_template("page.html").render(values))


def _closed() -> Response:
    """What says how to open the pages of a folder, which nobody has a name and password for."""
    return _answer(_template("closed.html").render(static=f"static/{_static()[0]}"), status=401)


def _answer(text: str, status: int = 200) -> Response:
    answer = HTMLResponse(text, status)
    answer.headers["Content-Security-Policy"] = POLICY
    answer.headers["Cache-Control"] = "no-store"
    return answer


@cache
def _static() -> tuple[str, dict[str, bytes]]:
    """All files, and a name that changes with any of them, so that browsers may keep them."""
    found = {
        item.name: item.read_bytes()
        for item in files("ml_dash.server.pages").joinpath("static").iterdir()
        if item.name.rpartition(".")[2] in TYPES
    }
    digest = hashlib.sha256()
    for name in sorted(found):
        digest.update(f"{name} {len(found[name])}\n".encode() + found[name])
    return digest.hexdigest()[:16], found


@cache
def _template(name: str) -> Template:
    made = Environment(
        loader=PackageLoader("ml_dash.server.pages", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return made.get_template(name)
