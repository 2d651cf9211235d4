"""Answers of a server without a server: a transport that says what a test wrote down."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import requests

from ml_dash.remote.transport import Transport

URL = "https://dash.test"
ABOUT = {
    "device_authorization_endpoint": f"{URL}/oauth/device_authorization",
    "token_endpoint": f"{URL}/oauth/token",
    "revocation_endpoint": f"{URL}/oauth/revoke",
}
GRANT = {
    "device_code": "of-the-device",
    "user_code": "BCDF-GHJK",
    "verification_uri": f"{URL}/device",
    "verification_uri_complete": f"{URL}/device?user_code=BCDF-GHJK",
    "expires_in": 900,
    "interval": 5,
}
TOKENS = {"access_token": "first", "refresh_token": "renew", "expires_in": 3600}


def answer(status: int, body: Any = None, **headers: str) -> requests.Response:
    """An answer; a body that is no text is JSON."""
    made = requests.Response()
    made.status_code = status
    text = body if isinstance(body, str) else "" if body is None else json.dumps(body)
    made._content = text.encode()
    made.headers["Content-Type"] = "text/html" if text.startswith("<") else "application/json"
    for name, value in headers.items():
        made.headers[name.replace("_", "-")] = value
    made.request = requests.PreparedRequest()
    return made


class Scripted(Transport):
    """Gives one answer after the other, whatever it is asked; an exception is raised.

    Attributes:
        asked: method, address and what was sent, of each request.
    """

    def __init__(self, *answers: requests.Response | Exception, url: str = URL) -> None:
        super().__init__(url)
        self.answers = list(answers)
        self.asked: list[tuple[str, str, dict[str, Any]]] = []

    def send(
        self,
        method: str,
        url: str,
        *,
        authorization: str | None = None,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
        **options: Any,
    ) -> requests.Response:
        """Answer."""
        shown = {"authorization": authorization} if authorization is not None else {}
        self.asked.append((method, url, {**(options.get("data") or {}), **shown}))
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        self.now += seconds
