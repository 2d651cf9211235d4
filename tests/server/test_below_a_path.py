"""A server that users reach below a path of a host, such as https://example.org/dash."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .inside import Inside
from .people import Browser

URL = "https://dash.test/dash"


@pytest.fixture
def below(tmp_path: Path) -> Iterator[Inside]:
    """Its proxy takes the path away, so that requests come as ever."""
    made = Inside(tmp_path / "server", url=URL)
    made.user("anna")
    yield made
    made.close()


def test_a_login_leads_back_below_the_path(below: Inside) -> None:
    """To the page that was asked for, and never out of it."""
    browser = Browser(below, "https://dash.test")
    asked = browser.get("/view?run=7").headers["location"]
    assert asked == "/dash/login?next=%2Fview%3Frun%3D7"
    assert browser.login("anna", next="/view?run=7").headers["location"] == "/dash/view?run=7"
    assert browser.login("anna").headers["location"] == "/dash/"
    assert browser.login("anna", next="//elsewhere").headers["location"] == "/dash/"
    assert browser.post("/logout", {}).headers["location"] == "/dash/login"


@pytest.mark.parametrize("path", ["/login", "/account", "/device"])
def test_every_link_of_an_account_page_stays_below_the_path(below: Inside, path: str) -> None:
    """Styles, links and forms."""
    browser = Browser(below, "https://dash.test")
    if path != "/login":
        browser.login("anna")
    page = browser.get(path)
    assert page.status_code == 200
    found = re.findall(r'(?:href|action|src)="([^"]+)"', page.text)
    assert len(found) >= 4
    assert [link for link in found if not link.startswith("/dash/")] == []


def test_a_device_is_told_addresses_below_the_path(below: Inside) -> None:
    """By the document that a login begins with."""
    about = Browser(below).client.get("/.well-known/oauth-authorization-server").json()
    ends = [text for name, text in about.items() if name.endswith("_endpoint")]
    assert ends and all(text.startswith(f"{URL}/") for text in ends)
