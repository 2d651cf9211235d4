"""Pages of those who are logged in: their tokens and password, and the devices that they let in."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import ValidationError
from sqlalchemy.orm import Session

from ml_dash.server.access import Data
from ml_dash.server.accounts import attempts, cookies, grants, passwords, secrets, tokens, users
from ml_dash.server.accounts.forms import Posted
from ml_dash.server.accounts.identity import Identity
from ml_dash.server.accounts.pages import WRONG, too_many
from ml_dash.server.accounts.rendering import go, login_first, show
from ml_dash.server.problems import Problem
from ml_dash.server.proxies import client_address

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

Visitor = Annotated[Identity | None, Depends(secrets.visitor)]
_DAY = 86_400.0
_DEVICES = ("refresh",)
_BLANK: dict[str, Any] = {"device": None, "scopes": [], "code": "", "done": False}


def known(who: Visitor) -> Identity:
    """Who is logged in.

    Raises:
        Problem: 401, nobody is.
    """
    if who is None:
        raise Problem(401, "log in, then try again")
    return who


def poster(request: Request, who: Annotated[Identity, Depends(known)], form: Posted) -> Identity:
    """Who posts a form of ours. Of those whom nobody knows no form is read.

    Raises:
        Problem: 401, nobody is logged in; 403, the form is not ours.
    """
    cookies.check_csrf(request, form.get("csrf", ""))
    return who


Poster = Annotated[Identity, Depends(poster)]


@router.get("/account")
def account_page(request: Request, who: Visitor, data: Data, done: str = "") -> Response:
    """The tokens and devices of a user, and their password."""
    if who is None:
        return login_first(request)
    notes = {"revoked": "It is revoked.", "password": "The password is changed."}
    return _account(request, who, data, note=notes.get(done))


def _account(
    request: Request, who: Identity, data: Data, status: int = 200, **values: Any
) -> Response:
    now: float = request.app.state.now()
    shown = {
        "tokens": tokens.list_good(data, who.user_id, now, ["api"]),
        "devices": _logins(data, who.user_id, now),
        "shortest": passwords.SHORTEST,
        "token": None,
    }
    return show(request, "account.html", who, status, **(shown | values))


def _logins(data: Data, user_id: str, now: float) -> list[Any]:
    """One token of each login of a device: the newest."""
    newest: dict[str, Any] = {}
    for secret in tokens.list_good(data, user_id, now, _DEVICES):
        newest.setdefault(secret.family, secret)
    return list(newest.values())


@router.post("/account/tokens")
def make_token(request: Request, who: Poster, form: Posted, data: Data) -> Response:
    """Make an API token and show it, this once."""
    days = form.get("days", "")
    try:
        new = tokens.NewToken(
            name=form.get("name", ""),
            scopes=[value for name, value in form.all if name == "scope"],
            expires_in=float(days) * _DAY if days else None,
        )
        _, text = tokens.create(data, who.user_id, who.scopes, new, request.app.state.now())
    except (ValidationError, ValueError):
        return _account(
            request,
            who,
            data,
            422,
            error="A token needs a name of up to 100 characters, and an end.",
        )
    except Problem as problem:
        return _account(request, who, data, problem.status, error=problem.detail)
    return _account(request, who, data, 201, token=text)


@router.post("/account/revoke")
def revoke_token(request: Request, who: Poster, form: Posted, data: Data) -> Response:
    """Revoke an API token or log a device out."""
    now: float = request.app.state.now()
    try:
        tokens.end(data, who.user_id, form.get("id", ""), now, ("api", *_DEVICES))
    except Problem as problem:
        return _account(request, who, data, problem.status, error=problem.detail)
    return go(request, "/account?done=revoked")


@router.post("/account/password")
def change_password(request: Request, who: Poster, form: Posted, data: Data) -> Response:
    """Change the password; all other browsers are logged out, and devices if wanted."""
    now: float = request.app.state.now()
    limits = attempts.password_limits(who.user, client_address(request))
    try:
        counted = attempts.begin(data, limits, now)
    except Problem as problem:
        return _account(request, who, data, 429, error=problem.detail)
    if users.authenticate(data, who.user, form.get("old", "")) is None:
        return _account(request, who, data, 401, error=WRONG)
    attempts.forgive(data, counted)
    try:
        password = passwords.check_password(form.get("password", ""))
    except ValueError as error:
        return _account(request, who, data, 422, error=f"{error}.".capitalize())
    hashed = passwords.hash_password(password)

    def work(session: Session) -> None:
        users.set_password(session, who.user_id, hashed, now, but=who.secret_id)
        if form.get("everywhere"):
            secrets.revoke_all(session, who.user_id, now, ("access", "refresh"))

    data.transaction(work)
    return go(request, "/account?done=password")


@router.get("/device")
def device_page(request: Request, who: Visitor, user_code: str = "") -> Response:
    """The page where a user types the code of a device. Looking at it tries no code."""
    if who is None:
        return login_first(request)
    return _device(request, who, code=_pretty(user_code))


def _pretty(user_code: str) -> str:
    code = grants.normalise(user_code)
    return f"{code[:4]}-{code[4:]}" if len(code) > 4 else code


def _device(request: Request, who: Identity, status: int = 200, **values: Any) -> Response:
    return show(request, "device.html", who, status, **(_BLANK | values))


@router.post("/device")
def look_up_device(request: Request, who: Poster, form: Posted, data: Data) -> Response:
    """Show which device waits behind a code, and ask."""
    code = _pretty(form.get("user_code", ""))
    now: float = request.app.state.now()
    try:
        counted = attempts.begin(data, _limits(request, who), now)
    except Problem as problem:
        return _too_many(request, who, problem)
    with data.reading() as session:
        grant = grants.find(session, code, now)
    if grant is None:
        return _no_device(request, who)
    attempts.forgive(data, counted)
    device = grants.Device.parse(grant.client)
    return _device(request, who, device=device, scopes=grant.scopes, code=code)


@router.post("/device/answer")
def answer_device(request: Request, who: Poster, form: Posted, data: Data) -> Response:
    """Let a device in, or deny it."""
    now: float = request.app.state.now()
    approve = form.get("decision") == "approve"
    try:
        counted = attempts.begin(data, _limits(request, who), now)
    except Problem as problem:
        return _too_many(request, who, problem)
    code = form.get("user_code", "")
    if not data.transaction(lambda s: grants.decide(s, code, who.user_id, approve, now)):
        return _no_device(request, who)
    attempts.forgive(data, counted)
    note = "The device is let in; you can close this page." if approve else "The device is denied."
    return _device(request, who, done=True, note=note)


def _limits(request: Request, who: Identity) -> list[attempts.Limit]:
    return attempts.code_limits(who.user_id, client_address(request))


def _no_device(request: Request, who: Identity) -> Response:
    return _device(request, who, 404, error="No device waits with this code; look at it again.")


def _too_many(request: Request, who: Identity, problem: Problem) -> Response:
    return too_many(request, problem, "device.html", who=who, **_BLANK)
