"""A browser and a device, as the tests of accounts use them."""

from __future__ import annotations

import re
from typing import Any

from fastapi.testclient import TestClient

from .inside import PASSWORD, Inside

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


class Browser:
    """Loads pages, keeps cookies, and posts forms with the token of the page that it saw last."""

    def __init__(self, inside: Inside, base: str = "http://dash.test") -> None:
        self.client = TestClient(inside.app, base_url=base, follow_redirects=False)
        self.csrf = ""

    def get(self, path: str) -> Any:
        """Load a page."""
        return self._look(self.client.get(path))

    def post(self, path: str, fields: dict[str, Any]) -> Any:
        """Post a form of ours."""
        return self._look(self.client.post(path, data={"csrf": self.csrf} | fields))

    def _look(self, answer: Any) -> Any:
        if found := re.search(r'name="csrf-token" content="(\w+)"', answer.text):
            self.csrf = found[1]
        return answer

    def login(self, name: str, password: str = PASSWORD, next: str = "") -> Any:
        """Log in on the page."""
        self.get("/login")
        answer = self.post("/login", {"name": name, "password": password, "next": next})
        if answer.status_code == 303:
            self.get("/account")
        return answer


class Device:
    """A program that wants to be let in."""

    def __init__(self, inside: Inside, **fields: str) -> None:
        self.client = TestClient(inside.app, base_url="http://dash.test")
        form = {"client_id": "ml-dash", "client_name": "anna@lab-3"} | fields
        self.begun = self.client.post("/oauth/device_authorization", data=form).json()

    def ask(self, **fields: str) -> Any:
        """Ask for tokens."""
        form = {
            "grant_type": DEVICE_CODE,
            "client_id": "ml-dash",
            "device_code": self.begun["device_code"],
        }
        return self.client.post("/oauth/token", data=form | fields)

    def refresh(self, token: str, **fields: str) -> Any:
        """Exchange a refresh token."""
        form = {"grant_type": "refresh_token", "client_id": "ml-dash", "refresh_token": token}
        return self.client.post("/oauth/token", data=form | fields)

    def me(self, token: str) -> int:
        """Whether a token is good: the status of a request with it."""
        headers = {"Authorization": f"Bearer {token}"}
        return int(self.client.get("/api/v1/me", headers=headers).status_code)


def let_in(inside: Inside, name: str = "anna", **fields: str) -> tuple[Device, dict[str, Any]]:
    """A device that a user let in, and its tokens."""
    device, browser = Device(inside, **fields), Browser(inside)
    assert browser.login(name).status_code == 303
    code = device.begun["user_code"]
    browser.post("/device", {"user_code": code})
    assert browser.post("/device/answer", {"user_code": code, "decision": "approve"}).is_success
    answer = device.ask()
    assert answer.status_code == 200, answer.text
    return device, answer.json()


def error(response: Any) -> str:
    """The error of an answer, which is never stored by anybody on its way."""
    assert response.status_code == 400
    assert response.headers["cache-control"] == "no-store"
    return str(response.json()["error"])
