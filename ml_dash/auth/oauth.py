"""What a server tells of its OAuth endpoints (RFC 8414), and how one asks them (RFC 6749)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ml_dash.auth.store import Tokens
from ml_dash.remote.address import origin
from ml_dash.remote.errors import RemoteError
from ml_dash.remote.failures import content, garbled, is_page, of_answer
from ml_dash.remote.transport import Hidden, Transport

CLIENT = "ml-dash"
"""What this program calls itself to a server; it has no secret."""

WELL_KNOWN = "/.well-known/oauth-authorization-server"


class LoginError(RuntimeError):
    """Why nobody is logged in; one sentence."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a server takes what."""

    device: str
    token: str
    revocation: str = ""


def discover(transport: Transport) -> Endpoints:
    """Ask a server where it takes logins.

    Raises:
        LoginError: it takes none of this kind, or elsewhere.
        RemoteError: it does not answer.
    """
    base, parts = transport.url, urlsplit(transport.url)
    places = [base + WELL_KNOWN]
    if parts.path:  # the standard puts it before the path, and proxies strip the path
        places.insert(0, f"{origin(base)}{WELL_KNOWN}{parts.path}")
    found: dict[str, Any] = {}
    for place in places:
        response = transport.send("GET", place)
        if place != places[-1] and (response.status_code != 200 or is_page(response)):
            continue  # whoever answers for the whole host may be no server of ours
        if response.status_code != 404 or is_page(response):
            failure = of_answer(response, base, had_token=False)
            if failure is not None:
                raise failure
            found = content(response)
        if found:
            break
    device, token = found.get("device_authorization_endpoint"), found.get("token_endpoint")
    if not isinstance(device, str) or not isinstance(token, str):
        raise LoginError(f"{base} is no ML-Dash server, or takes no logins from a terminal")
    revocation = found.get("revocation_endpoint")
    endpoints = Endpoints(device, token, revocation if isinstance(revocation, str) else "")
    for url in (device, token, endpoints.revocation):
        if url and origin(url) != origin(base):
            raise LoginError(
                f"{base} says that it is {origin(url) or 'elsewhere'}; log in there, or have the"
                " server's public address set right"
            )
    return endpoints


def ask(transport: Transport, url: str, form: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    """Put a form to an endpoint.

    Returns:
        What it answered, and the word of its error; empty if it went well.

    Raises:
        RemoteError: it gave no answer of this kind.
    """
    response = transport.send("POST", url, data=dict(form), headers={"Accept": "application/json"})
    found = content(response)
    if response.status_code == 200 and found:
        return found, ""
    error = found.get("error")
    if isinstance(error, str) and 400 <= response.status_code < 500:
        wait = response.headers.get("Retry-After")
        return {**found, "retry_after": wait}, error
    failure: RemoteError | None = of_answer(response, transport.url, had_token=False)
    raise failure or garbled(transport.url, "is not JSON, or not all of it")


def tokens_of(
    found: Mapping[str, Any], endpoints: Endpoints, now: Callable[[], float] = time.time
) -> Tokens | None:
    """The tokens in an answer; `None` if there are none."""
    access, refresh, lasts = (found.get(k) for k in ("access_token", "refresh_token", "expires_in"))
    if not isinstance(access, str) or not access or not access.isprintable():
        return None
    timed = isinstance(lasts, (int, float)) and not isinstance(lasts, bool)
    return Tokens(
        access=Hidden(access),
        refresh=Hidden(refresh) if isinstance(refresh, str) and refresh else None,
        expires=now() + float(lasts) if timed and lasts is not None else None,
        token_endpoint=endpoints.token,
        revocation_endpoint=endpoints.revocation,
    )


def revoke(transport: Transport, tokens: Tokens) -> bool:
    """Give tokens back (RFC 7009); whether the server took them."""
    if not tokens.revocation_endpoint:
        return False
    form = {"token": tokens.refresh or tokens.access, "client_id": CLIENT}
    try:
        response = transport.send("POST", tokens.revocation_endpoint, data=form)
    except RemoteError:
        return False
    return response.status_code in (200, 204)
