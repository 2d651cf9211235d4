"""Pages to log in and out, and to set a first password."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session

from ml_dash.server.access import Data
from ml_dash.server.accounts import attempts, cookies, passwords, secrets, users
from ml_dash.server.accounts.forms import Posted
from ml_dash.server.accounts.identity import SCOPES
from ml_dash.server.accounts.rendering import go, local_path, show
from ml_dash.server.problems import Problem
from ml_dash.server.proxies import client_address
from ml_dash.server.tables import User

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

WRONG = "The name or the password is wrong."
MANY = "There were too many tries. Wait a while, then try again."


@router.get("/style.css")
def style() -> Response:
    """The style of all pages."""
    text = files("ml_dash.server.accounts").joinpath("templates/style.css").read_text("utf-8")
    return Response(text, media_type="text/css", headers={"Cache-Control": "max-age=3600"})


@router.get("/login")
def login_page(request: Request, next: str = "") -> Response:
    """The page to log in."""
    if secrets.visitor(request) is not None:
        return go(request, local_path(next))
    return show(request, "login.html", next=local_path(next))


@router.post("/login")
def login(request: Request, form: Posted, data: Data) -> Response:
    """Log in by name and password."""
    cookies.check_csrf(request, form.get("csrf", ""))
    now: float = request.app.state.now()
    name, password = form.get("name", ""), form.get("password", "")
    path = local_path(form.get("next", ""))
    limits = attempts.password_limits(name, client_address(request))
    try:
        counted = attempts.begin(data, limits, now)
    except Problem as problem:
        return too_many(request, problem, "login.html", next=path)
    user = users.authenticate(data, name, password)
    if user is None:
        return show(request, "login.html", status=401, error=WRONG, next=path)
    attempts.forgive(data, counted)
    return start_session(request, data, user.id, path)


def too_many(request: Request, problem: Problem, template: str, **values: Any) -> Response:
    """The page again, with the word to wait."""
    answer = show(request, template, status=429, error=MANY, **values)
    answer.headers["Retry-After"] = str(round(problem.retry_after or attempts.WINDOW))
    return answer


def start_session(request: Request, data: Data, user_id: str, path: str) -> Response:
    """Log a browser in; a session that it had ends, so that nobody can plant one."""
    now: float = request.app.state.now()
    seconds: float = request.app.state.settings.session_seconds
    old = cookies.session_of(request)

    def work(session: Session) -> str:
        _end(session, old, now)
        secrets.forget_ended(session, now, user_id)
        ends = now + seconds
        return secrets.issue(session, user_id, "session", SCOPES, expires=ends, now=now)[1]

    answer = go(request, path)
    cookies.keep_session(request, answer, data.transaction(work), seconds)
    return answer


def _end(session: Session, text: str | None, now: float) -> None:
    found = secrets.find(session, text, ("session",), lock=True) if text else None
    if found is not None:
        secrets.revoke(session, found[0].id, now)


@router.post("/logout")
def logout(request: Request, form: Posted, data: Data) -> Response:
    """Log out: the session ends on the server, too."""
    cookies.check_csrf(request, form.get("csrf", ""))
    now: float = request.app.state.now()
    text = cookies.session_of(request)
    data.transaction(lambda session: _end(session, text, now))
    answer = go(request, "/login")
    cookies.drop_session(request, answer)
    return answer


@router.get("/welcome")
def welcome_page(request: Request, data: Data, token: str = "") -> Response:
    """The page behind a one-time link. Looking at it uses nothing up: mail scanners do."""
    with data.reading() as session:
        found = secrets.find(session, token, ("link",))
    if found is None or not secrets.is_good(*found, request.app.state.now()):
        return _welcome(request, None, "", status=404)
    return _welcome(request, found[1], token)


def _welcome(
    request: Request, user: User | None, token: str, status: int = 200, error: str | None = None
) -> Response:
    name = user.name if user else ""
    values: dict[str, Any] = {
        "name": name,
        "token": token,
        "shortest": passwords.SHORTEST,
        "error": error,
    }
    return show(request, "welcome.html", status=status, **values)


@router.post("/welcome")
def welcome(request: Request, form: Posted, data: Data) -> Response:
    """Set the password of the user whom a one-time link is for, and log them in."""
    cookies.check_csrf(request, form.get("csrf", ""))
    now: float = request.app.state.now()
    token = form.get("token", "")
    with data.reading() as session:
        found = secrets.find(session, token, ("link",))
    if found is None or not secrets.is_good(*found, now):
        return _welcome(request, None, "", status=404)
    try:
        password = passwords.check_password(form.get("password", ""))
    except ValueError as error:
        return _welcome(request, found[1], token, status=422, error=f"{error}.".capitalize())
    hashed = passwords.hash_password(password)

    def work(session: Session) -> str | None:
        link = secrets.find(session, token, ("link",), lock=True)
        if link is None or not secrets.is_good(*link, now):  # somebody was faster
            return None
        users.set_password(session, link[1].id, hashed, now)
        return link[1].id

    user_id = data.transaction(work)
    if user_id is None:
        return _welcome(request, None, "", status=404)
    return start_session(request, data, user_id, "/account")
