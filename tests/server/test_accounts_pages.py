"""The pages of accounts: log in and out, guesses, first and new passwords."""

from __future__ import annotations

import hashlib
from html.parser import HTMLParser

import pytest
from sqlalchemy import select

from ml_dash.server.accounts import passwords, users
from ml_dash.server.tables import User

from .inside import PASSWORD, Inside
from .people import Browser, Device

NEW = "a better horse battery"


def test_a_password_logs_in_and_logging_out_ends_the_session(browser: Browser) -> None:
    """The session is gone from the server, too: its cookie, kept by somebody, opens nothing."""
    assert browser.login("anna").status_code == 303
    assert browser.client.get("/api/v1/me").status_code == 200
    kept = browser.client.cookies["ml_dash_session"]
    assert browser.post("/logout", {}).headers["location"] == "/login"
    assert "ml_dash_session" not in browser.client.cookies
    browser.client.cookies["ml_dash_session"] = kept
    assert browser.client.get("/api/v1/me").status_code == 401


def test_a_session_ends_after_a_week(small: Inside, browser: Browser) -> None:
    """The server does not count on the browser to forget it."""
    browser.login("anna")
    small.now += 7 * 86_400 - 1
    assert browser.client.get("/api/v1/me").status_code == 200
    small.now += 1
    assert browser.client.get("/api/v1/me").status_code == 401
    assert browser.get("/account").headers["location"] == "/login?next=%2Faccount"


def test_a_login_never_goes_on_in_a_session_that_was_there(browser: Browser) -> None:
    """A session that somebody planted, or that was there before, is not the one that is used."""
    browser.login("anna")
    first = browser.client.cookies["ml_dash_session"]
    assert browser.post("/login", {"name": "anna", "password": PASSWORD}).status_code == 303
    assert browser.client.cookies["ml_dash_session"] != first
    browser.client.cookies.clear()
    browser.client.cookies["ml_dash_session"] = first
    assert browser.client.get("/api/v1/me").status_code == 401


@pytest.mark.parametrize("name", ["anna", "nobody"])
def test_a_wrong_login_tells_nothing_about_who_has_an_account(browser: Browser, name: str) -> None:
    """A wrong password and an unknown name get the same page, whose words are the same."""
    answer = browser.login(name, "wrong password")
    assert answer.status_code == 401
    assert "The name or the password is wrong." in answer.text
    assert name not in answer.text


def test_an_unknown_user_costs_as_much_work_as_a_wrong_password(
    small: Inside, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known, unknown, disabled and overlong: one Argon2 hash of the same parameters for each."""
    small.user("gone")
    with small.data.reading() as session:
        gone = session.scalars(select(User.id).where(User.name == "gone")).one()
    small.data.transaction(lambda s: users.set_disabled(s, gone, True, small.now))
    worked: list[str] = []
    real = passwords._hasher.verify

    class Counting:
        def verify(self, stored: str, password: bytes) -> bool:
            worked.append(stored.rpartition("$")[0].rpartition("$")[0])  # all but salt and hash
            return real(stored, password)

    monkeypatch.setattr(passwords, "_hasher", Counting())
    passwords._nobodys()
    for name, text in (
        ("anna", "wrong"),
        ("nobody", "wrong"),
        ("gone", "no"),
        ("anna", "x" * 2000),
    ):
        assert browser.login(name, text).status_code == 401
    assert len(worked) == 4
    assert len(set(worked)) == 1
    assert worked[0].startswith("$argon2id$")


def test_passwords_are_kept_as_argon2id_hashes(small: Inside, browser: Browser) -> None:
    """With a salt each: two users with one password have different hashes."""
    for name in ("berta", "carl"):
        small.data.transaction(
            lambda session, name=name: users.create_user(session, name, PASSWORD, now=small.now)
        )
    with small.data.reading() as session:
        stored = session.scalars(select(User.password)).all()
    assert len(stored) == len(set(stored)) == 3
    assert all(str(each).startswith("$argon2id$v=19$m=65536") for each in stored)


def test_guesses_at_a_password_are_counted(small: Inside, browser: Browser) -> None:
    """After ten wrong ones even the right one has to wait, told by 429 and Retry-After."""
    for _ in range(10):
        assert browser.login("anna", "wrong").status_code == 401
    late = browser.login("anna")
    assert late.status_code == 429
    assert late.headers["retry-after"] == "900"
    small.now += 900
    assert browser.login("anna").status_code == 303


def test_one_address_does_not_try_one_name_after_another(small: Inside, browser: Browser) -> None:
    """Sixty wrong ones from one address, whatever the names, are all that it has."""
    browser.get("/login")
    form = {"csrf": browser.csrf, "password": "x" * 2000}
    for number in range(60):
        wrong = browser.client.post("/login", data=form | {"name": f"user-{number}"})
        assert wrong.status_code == 401
    assert browser.login("anna").status_code == 429


def test_what_was_typed_as_a_name_is_kept_nowhere(small: Inside, browser: Browser) -> None:
    """People type their password into the wrong field: the table of tries holds hashes."""
    browser.login("my secret password", "x")
    from ml_dash.server.tables import Attempt

    with small.data.reading() as session:
        kept = " ".join(session.scalars(select(Attempt.subject)).all())
    assert "secret" not in kept
    assert hashlib.sha256(b"my secret password").hexdigest()[:32] in kept


def test_a_one_time_link_sets_a_password_once(small: Inside) -> None:
    """Looked at as often as one likes, used once, ended after a day."""
    user = small.data.transaction(lambda s: users.create_user(s, "anna", None, now=small.now))
    browser = Browser(small)
    links = [
        small.data.transaction(lambda s: users.issue_link(s, user.id, small.now)) for _ in range(2)
    ]
    token = links[0].partition("=")[2]
    for _ in range(2):
        assert browser.get(links[0]).status_code == 200
    short = browser.post("/welcome", {"token": token, "password": "short"})
    assert short.status_code == 422 and "at least 8" in short.text
    assert browser.post("/welcome", {"token": token, "password": NEW}).status_code == 303
    for link in links:  # all of them end with it
        other = Browser(small)
        assert other.get(link).status_code == 404
        again = other.post("/welcome", {"token": link.partition("=")[2], "password": NEW + "!"})
        assert again.status_code == 404
    assert Browser(small).login("anna", NEW).status_code == 303
    late = small.data.transaction(lambda s: users.issue_link(s, user.id, small.now))
    small.now += users.LINK_SECONDS
    assert browser.get(late).status_code == 404


def test_a_new_password_ends_all_other_sessions(small: Inside, browser: Browser) -> None:
    """Other browsers are logged out; this one, and devices unless wanted, stay."""
    browser.login("anna")
    other = Browser(small)
    other.login("anna")
    fields = {"old": PASSWORD, "password": NEW}
    assert browser.post("/account/password", fields | {"old": "wrong"}).status_code == 401
    assert browser.post("/account/password", fields | {"password": "short"}).status_code == 422
    assert browser.post("/account/password", fields).status_code == 303
    assert browser.client.get("/api/v1/me").status_code == 200
    assert other.client.get("/api/v1/me").status_code == 401
    assert Browser(small).login("anna").status_code == 401
    assert Browser(small).login("anna", NEW).status_code == 303


class Reader(HTMLParser):
    """What a browser without scripts, and a screen reader, make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.bare: list[str] = []
        self._labels = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append((tag, values))
        self._labels += tag == "label"
        if tag in ("input", "select") and values.get("type") != "hidden" and not self._labels:
            self.bare.append(str(values.get("name")))

    def handle_endtag(self, tag: str) -> None:
        self._labels -= tag == "label"


def test_pages_need_no_script_and_name_what_they_ask_for(small: Inside, browser: Browser) -> None:
    """No script, no style or handler inline; each field lies in its label; fit for a phone."""
    device = Device(small)
    pages = [browser.get("/login"), browser.get("/welcome")]
    link = small.data.transaction(
        lambda s: users.issue_link(s, s.scalars(select(User.id)).one(), small.now)
    )
    pages.append(browser.get(link))
    browser.login("anna")
    pages += [browser.get("/account"), browser.get("/device")]
    pages.append(browser.post("/device", {"user_code": device.begun["user_code"]}))
    for page in pages:
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src" not in policy
        assert "unsafe" not in policy
        found = Reader(page.text)
        names = [tag for tag, _ in found.tags]
        assert found.bare == []
        assert "script" not in names and "style" not in names
        assert names.count("h1") == 1 and names.count("main") == 1
        for tag, values in found.tags:
            assert not any(name == "style" or name.startswith("on") for name in values), tag
            if tag == "form":
                assert str(values["action"]).startswith("/")
            if tag == "html":
                assert values["lang"] == "en"
        viewport = [v["content"] for t, v in found.tags if v.get("name") == "viewport"]
        assert viewport == ["width=device-width, initial-scale=1"]
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["x-frame-options"] == "DENY"
