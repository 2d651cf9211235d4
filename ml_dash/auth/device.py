"""Logging in from a terminal: the device authorization grant (RFC 8628)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ml_dash.auth.oauth import CLIENT, Endpoints, LoginError, ask, discover, tokens_of
from ml_dash.auth.store import Tokens
from ml_dash.remote.errors import BusyError, UnreachableError
from ml_dash.remote.failures import garbled, retry_after
from ml_dash.remote.transport import Hidden, Transport

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
SCOPES = "read write admin"
_LONGEST = 60.0


@dataclass(frozen=True, slots=True)
class Grant:
    """A login that waits for its user.

    Attributes:
        user_code: what the user types.
        page: where.
        page_with_code: the same with the code filled in; empty if there is none.
        expires_in: seconds for which the code is good.
        interval: seconds between two questions.
        device_code: what we ask with.
        endpoints: where.
    """

    user_code: str
    page: str
    page_with_code: str
    expires_in: float
    interval: float
    device_code: str = field(repr=False)
    endpoints: Endpoints


def begin(transport: Transport, scope: str = SCOPES, name: str = "") -> Grant:
    """Ask a server for a code.

    Args:
        transport: to the server.
        scope: what the tokens are for.
        name: what the user is shown of who asks, such as `anna@lab-3`.

    Raises:
        LoginError: it gives none.
        RemoteError: it does not answer.
    """
    endpoints = discover(transport)
    form = {"client_id": CLIENT, "scope": scope, "client_name": name}
    found, error = ask(transport, endpoints.device, form)
    if error:
        raise LoginError(f"{transport.url} gives no code: {_said(found, error)}")
    page, whole = found.get("verification_uri"), found.get("verification_uri_complete")
    device, user = found.get("device_code"), found.get("user_code")
    if not isinstance(device, str) or not isinstance(user, str) or not _is_page(page):
        raise garbled(transport.url, "has no code in it")
    return Grant(
        user_code=user,
        page=str(page),
        page_with_code=str(whole) if _is_page(whole) else "",
        expires_in=_seconds(found.get("expires_in"), 600.0),
        interval=max(0.05, _seconds(found.get("interval"), 5.0)),
        device_code=Hidden(device),
        endpoints=endpoints,
    )


def wait(
    transport: Transport,
    grant: Grant,
    *,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Tokens:
    """Ask until the user has said yes.

    A network that fails meanwhile only makes it ask less often.

    Args:
        transport: to the server.
        grant: what the user is asked.
        sleep: waits so many seconds.
        clock: seconds of any origin.

    Raises:
        LoginError: the user said no, or nothing in time.
        RemoteError: the server answers with something else.
    """
    until = clock() + grant.expires_in
    interval, unheard = grant.interval, False
    form = {"grant_type": GRANT, "device_code": grant.device_code, "client_id": CLIENT}
    while clock() + interval < until:
        transport.close()  # many servers close what is idle for 5 seconds, just as we ask again
        sleep(interval)
        try:
            found, error = ask(transport, grant.endpoints.token, form)
        except BusyError as busy:
            interval = min(_LONGEST, max(interval, busy.retry_after or interval * 2))
            continue
        except UnreachableError as trouble:
            if trouble.kind in ("tls", "html", "redirect"):
                raise
            interval, unheard = min(_LONGEST, interval * 2), True
            continue
        if not error:
            tokens = tokens_of(found, grant.endpoints)
            if tokens is None:
                raise garbled(transport.url, "has no token in it")
            return tokens
        if error == "slow_down":
            asked = retry_after(str(found.get("retry_after") or ""), 0.0) or 0.0
            interval = max(interval + 5.0, asked)
        elif error == "access_denied":
            raise LoginError("the login was refused on the page; nobody is logged in")
        elif error == "expired_token":
            break
        elif error == "authorization_pending":
            interval = max(grant.interval, min(interval, _LONGEST))
        elif error == "invalid_grant" and unheard:  # a code is used once, and that was just now
            raise LoginError(
                "the answer with the token got lost on its way; run `ml-dash login` again"
            )
        else:
            raise LoginError(f"{transport.url} ended the login: {_said(found, error)}")
    raise LoginError("the code was not entered in time; run `ml-dash login` again")


def _said(found: dict[str, Any], error: str) -> str:
    text = found.get("error_description")
    return (text if isinstance(text, str) and text else error)[:300]


def _is_page(url: object) -> bool:
    """Whether it is an address that a browser may be sent to, and not a program or a file."""
    if not isinstance(url, str) or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _seconds(value: object, default: float) -> float:
    right = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 86400
    return float(value) if right and isinstance(value, (int, float)) else default
