"""What other sites can make a browser do here: nothing. Cookies, forms, redirects."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from ml_dash.server.accounts.rendering import local_path

from .inside import PASSWORD, Inside
from .people import Browser


def cookies_of(answer: Any) -> dict[str, list[str]]:
    """The attributes of each cookie that an answer sets."""
    found = {}
    for header in answer.headers.get_list("set-cookie"):
        pair, *attributes = header.split("; ")
        found[pair.partition("=")[0]] = sorted(a.lower() for a in attributes)
    return found


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(browser: Browser) -> None:
    """HttpOnly, SameSite=Lax, for the whole path and no other host."""
    browser.client.cookies.clear()
    mark = cookies_of(browser.get("/login"))
    assert mark == {"ml_dash_visit": ["httponly", "path=/", "samesite=lax"]}
    session = cookies_of(browser.post("/login", {"name": "anna", "password": PASSWORD}))
    assert session == {"ml_dash_session": ["httponly", "max-age=604800", "path=/", "samesite=lax"]}


def test_cookies_over_tls_are_secure_and_of_this_host(small: Inside, browser: Browser) -> None:
    """Secure, under the prefix `__Host-`; a cookie without it, set over plain HTTP, is nobody's."""
    secure = Browser(small, "https://dash.test")
    page = secure.get("/login")
    assert "secure" in cookies_of(page)["__Host-ml_dash_visit"]
    assert page.headers["strict-transport-security"]
    session = cookies_of(secure.post("/login", {"name": "anna", "password": PASSWORD}))
    assert "secure" in session["__Host-ml_dash_session"]
    text = secure.client.cookies["__Host-ml_dash_session"]
    secure.client.cookies.clear()
    secure.client.cookies["ml_dash_session"] = text
    assert secure.client.get("/api/v1/me").status_code == 401


FORMS = (
    *("/login", "/logout", "/welcome", "/device", "/device/answer"),
    *("/account/tokens", "/account/revoke", "/account/password"),
)


def test_a_form_of_another_site_is_refused(browser: Browser) -> None:
    """A cookie alone, a token of somebody else, and what the browser calls foreign: all 403."""
    browser.login("anna")
    good, client = browser.csrf, browser.client
    for path in FORMS:
        for csrf in ("", "0" * 64, "é" * 64, good[:-1], hashlib.sha256(b"").hexdigest()):
            assert client.post(path, data={"csrf": csrf}).status_code == 403, (path, csrf)
        for site in ("cross-site", "same-site", "nonsense"):
            foreign = client.post(path, data={"csrf": good}, headers={"Sec-Fetch-Site": site})
            assert (foreign.status_code, foreign.json()["code"]) == (403, "csrf"), (path, site)
    assert client.get("/api/v1/me").status_code == 200  # nothing happened


def test_a_login_cannot_be_made_from_another_site(browser: Browser) -> None:
    """Before a login there is a mark to hold the form to: nobody logs a browser in as himself."""
    plain = {"name": "anna", "password": PASSWORD}
    browser.client.cookies.clear()
    assert browser.client.post("/login", data=plain).status_code == 403
    browser.get("/login")
    own = browser.csrf
    browser.client.cookies.clear()
    browser.get("/login")
    assert browser.client.post("/login", data=plain | {"csrf": own}).status_code == 403


def test_a_session_calls_the_api_with_its_own_token_alone(browser: Browser) -> None:
    """The header is that of the page; the token of another session does not do."""
    browser.login("anna")
    made = {"name": "team"}
    good, client = browser.csrf, browser.client
    for headers in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "f" * 64}):
        refused = client.post("/api/v1/namespaces", json=made, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "csrf")
    cross = {"X-CSRF-Token": good, "Sec-Fetch-Site": "cross-site"}
    assert client.post("/api/v1/namespaces", json=made, headers=cross).status_code == 403
    taken = client.post("/api/v1/namespaces", json=made, headers={"X-CSRF-Token": good})
    assert taken.status_code == 201


HOSTILE = [
    *("//evil.test", "///evil.test", "////evil.test/%2f..", "/\\evil.test", "\\\\evil.test"),
    *("https://evil.test", "http:evil.test", "HTTPS:/evil.test", "javascript:alert(1)"),
    *("data:text/html,x", "/\t/evil.test", "/\n/evil.test", "\t//evil.test", " //evil.test"),
    *("/\r\nSet-Cookie: a=b", "evil.test", "@evil.test", "／／evil.test"),
    *("//dash.test@evil.test", "https:///evil.test", "/\u2028/evil", "?next=x", "", "/a" * 2001),
]


def test_a_login_leads_to_no_other_place(browser: Browser) -> None:
    """Whatever `next` says, the browser stays on this server: in the form, and once it is in."""
    browser.get("/login")
    for path in HOSTILE:
        asked = browser.client.get("/login", params={"next": path})
        assert 'name="next" value="/"' in asked.text, path
    for path in ("//evil.test", "https://evil.test", "/\\evil.test"):  # a form that was made up
        answer = browser.login("anna", next=path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/"), path
        browser.post("/logout", {})
    browser.login("anna")
    for path in HOSTILE:
        there = browser.client.get("/login", params={"next": path})
        assert (there.status_code, there.headers["location"]) == (303, "/"), path


MANY_RUNS = "/view?" + "&".join(f"run={number:019}" for number in range(100))


@pytest.mark.parametrize(
    "path", ["/", "/view?run=1&x=a%2Fb", "/device?user_code=BCDF-GHJK", MANY_RUNS]
)
def test_a_login_leads_back_to_the_page_that_was_asked_for(browser: Browser, path: str) -> None:
    """A page of ours that asks for a login is loaded after it, with its query."""
    asked = browser.get(path)
    assert asked.status_code == 303
    page = browser.get(asked.headers["location"])
    assert f'value="{path.replace("&", "&amp;")}"' in page.text
    answer = browser.post("/login", {"name": "anna", "password": PASSWORD, "next": path})
    assert answer.headers["location"] == path == local_path(path)
