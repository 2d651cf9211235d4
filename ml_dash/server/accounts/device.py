"""OAuth: how a program on a machine without a browser logs in.

The device authorization grant (RFC 8628) with refresh (RFC 6749, 6), revocation (RFC 7009) and
discovery (RFC 8414). Clients are public: they have a `client_id`, which anybody can say, and no
secret. Why these endpoints are our own stands in `grants.py`.

1. `POST /oauth/device_authorization` with `client_id`, if wanted `scope` and `client_name` (what
   the user is shown: `anna@lab-3`). The answer has a device code and a user code.
2. The user opens `/device` in a browser, types the code, sees who asks for what, and agrees.
3. Meanwhile the program asks `POST /oauth/token` every `interval` seconds.
"""

from __future__ import annotations

import re
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ml_dash.server.access import Data
from ml_dash.server.accounts import attempts, grants
from ml_dash.server.accounts.forms import Form, Posted
from ml_dash.server.accounts.grants import Device, Refused
from ml_dash.server.accounts.identity import SCOPES, check_scopes
from ml_dash.server.proxies import base_url, client_address

router = APIRouter(tags=["oauth"])

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


@router.get("/.well-known/oauth-authorization-server")
def discover(request: Request) -> dict[str, Any]:
    """What this server offers to those who log in (RFC 8414)."""
    url = base_url(request)
    return {
        "issuer": url,
        "device_authorization_endpoint": f"{url}/oauth/device_authorization",
        "token_endpoint": f"{url}/oauth/token",
        "revocation_endpoint": f"{url}/oauth/revoke",
        "grant_types_supported": [DEVICE_CODE, "refresh_token"],
        "response_types_supported": [],
        "scopes_supported": list(SCOPES),
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
    }


@router.post("/oauth/device_authorization")
def authorize_device(request: Request, form: Posted, data: Data) -> JSONResponse:
    """Begin to log in: a code for the program, and one for its user."""
    try:
        client_id = _client_id(form)
        scopes = _scopes(form) or list(SCOPES)
    except Refused as refused:
        return _refuse(refused)
    settings = request.app.state.settings
    now: float = request.app.state.now()
    address = client_address(request)
    attempts.begin(data, attempts.device_limits(address), now)
    name = "".join(c for c in form.get("client_name", "") if c.isprintable())[:80]
    device = Device(client_id, address.replace(" ", "") or "-", name)
    device_code, user_code = data.transaction(
        lambda session: grants.begin(session, device, scopes, settings.device_seconds, now)
    )
    page = f"{base_url(request)}/device"
    answer = {
        "device_code": device_code,
        "user_code": user_code,
        "verification_uri": page,
        "verification_uri_complete": f"{page}?user_code={user_code}",
        "expires_in": int(settings.device_seconds),
        "interval": int(grants.INTERVAL),
    }
    return JSONResponse(answer, headers=_NO_STORE)


@router.post("/oauth/token")
def exchange(request: Request, form: Posted, data: Data) -> JSONResponse:
    """Exchange a device code or a refresh token for tokens."""
    try:
        answer = _exchange(request, form, data)
    except Refused as refused:
        return _refuse(refused)
    return JSONResponse(answer, headers=_NO_STORE)


def _exchange(request: Request, form: Form, data: Data) -> dict[str, Any]:
    settings = request.app.state.settings
    now: float = request.app.state.now()
    kind = _required(form, "grant_type")
    if kind == DEVICE_CODE:
        client_id, code = _client_id(form), _required(form, "device_code")
        found = data.transaction(lambda s: grants.collect(s, code, client_id, settings, now))
    elif kind == "refresh_token":
        token, scopes = _required(form, "refresh_token"), _scopes(form)
        named = form.get("client_id")
        found = data.transaction(lambda s: grants.refresh(s, token, named, scopes, settings, now))
    else:
        raise Refused("unsupported_grant_type", "see /.well-known/oauth-authorization-server")
    if isinstance(found, Refused):
        raise found
    return found


@router.post("/oauth/revoke", response_model=None)
def revoke(request: Request, form: Posted, data: Data) -> Response:
    """End a token, and the login that it is from. A token that is not known is no error."""
    try:
        token = _required(form, "token")
    except Refused as refused:
        return _refuse(refused)
    now: float = request.app.state.now()
    data.transaction(lambda session: grants.revoke_token(session, token, now))
    return Response(status_code=200, headers=_NO_STORE)


def _required(form: Form, name: str) -> str:
    if form.repeated:
        raise Refused("invalid_request", f"{form.repeated[0]!r:.40} is there more than once")
    if name not in form:
        raise Refused("invalid_request", f"{name} is missing")
    return form[name]


def _client_id(form: Form) -> str:
    client_id = _required(form, "client_id")
    if not _CLIENT_ID.fullmatch(client_id):
        raise Refused("invalid_client", "a client_id has up to 64 letters, digits and . _ -")
    return client_id


def _scopes(form: Form) -> list[str] | None:
    if "scope" not in form:
        return None
    try:
        return check_scopes(form["scope"].split())
    except ValueError as error:
        raise Refused("invalid_scope", str(error)) from None


def _refuse(refused: Refused) -> JSONResponse:
    # RFC 6749 allows 400 for all of them; 401 is for clients that sent credentials of their own
    described = "".join(c if c not in '"\\' and " " <= c <= "~" else "?" for c in str(refused))
    return JSONResponse(
        {"error": refused.error, "error_description": described}, 400, headers=_NO_STORE
    )
