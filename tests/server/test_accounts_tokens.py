"""API tokens, what the database keeps of secrets, and how they are compared."""

from __future__ import annotations

import hmac
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, text

from ml_dash.server.accounts import grants, secrets, users
from ml_dash.server.database import Database
from ml_dash.server.settings import ServerSettings
from ml_dash.server.tables import Secret, Table, User

from .inside import PASSWORD, Inside
from .people import Browser, let_in

TOKENS = "/api/v1/tokens"


def bearer(inside: Inside, token: str) -> TestClient:
    """A client that sends a token."""
    return TestClient(inside.app, headers={"Authorization": f"Bearer {token}"})


def test_an_api_token_is_for_what_it_was_made_for(inside: Inside) -> None:
    """Scopes hold on every route; a token gives on no more than it has."""
    anna = inside.user("anna")
    made = anna.post(TOKENS, json={"name": "ci", "scopes": ["write", "read"]}).json()
    assert made["scopes"] == ["read", "write"]
    ci = bearer(inside, made["token"])
    me = ci.get("/api/v1/me").json()
    assert (me["user"]["name"], me["token"]["kind"]) == ("anna", "api")
    assert ci.post(TOKENS, json={"name": "more"}).status_code == 403
    limited = inside.client(me["user"]["id"], ("admin",))
    assert limited.post(TOKENS, json={"name": "x", "scopes": ["read"]}).status_code == 403
    assert limited.post(TOKENS, json={"name": "x", "scopes": ["admin"]}).status_code == 201


def test_an_api_token_expires(inside: Inside) -> None:
    """To the second, by the server's clock; one without an end goes on."""
    anna = inside.user("anna")
    short = anna.post(TOKENS, json={"name": "short", "expires_in": 60}).json()
    long = anna.post(TOKENS, json={"name": "long"}).json()
    assert short["expires"] == inside.now + 60
    assert long["expires"] is None
    inside.now += 59
    assert bearer(inside, short["token"]).get("/api/v1/me").status_code == 200
    inside.now += 1
    assert bearer(inside, short["token"]).get("/api/v1/me").status_code == 401
    inside.now += 1e8
    assert bearer(inside, long["token"]).get("/api/v1/me").status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "x" * 101},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["everything"]},
        {"name": "x", "expires_in": 0},
        {"name": "x", "expires_in": -1},
        {"name": "x", "expires_in": 1e300},
        {"name": "x", "expires_in": "NaN"},
        {"name": "x", "token": "mine"},
        {"name": "a\0b"},
    ],
)
def test_a_token_that_cannot_be_is_refused(inside: Inside, wrong: dict[str, Any]) -> None:
    """Names, scopes and times outside of their bounds are 422, and nothing is made."""
    anna = inside.user("anna")
    assert anna.post(TOKENS, json=wrong).status_code == 422
    assert anna.get(TOKENS).json() == {"tokens": []}


def test_a_token_is_shown_once_and_revoked_for_good(inside: Inside) -> None:
    """Lists do not have its text; others cannot revoke it; revoked, it is not listed."""
    anna, berta = inside.user("anna"), inside.user("berta")
    made = anna.post(TOKENS, json={"name": "ci"}).json()
    listed = anna.get(TOKENS)
    assert [each["id"] for each in listed.json()["tokens"]] == [made["id"]]
    assert made["token"] not in listed.text
    assert berta.delete(f"{TOKENS}/{made['id']}").status_code == 404
    assert bearer(inside, made["token"]).get("/api/v1/me").status_code == 200
    assert anna.delete(f"{TOKENS}/{made['id']}").status_code == 204
    assert bearer(inside, made["token"]).get("/api/v1/me").status_code == 401
    assert anna.get(TOKENS).json() == {"tokens": []}


def test_the_page_makes_and_revokes_tokens(inside: Inside) -> None:
    """Its forms do what the API does, and what is wrong is told on the page."""
    inside.user("anna")
    browser = Browser(inside)
    browser.login("anna")
    fields: dict[str, Any] = {"name": "ci", "scope": ["read", "write"], "days": "30"}
    page = browser.post("/account/tokens", fields)
    assert page.status_code == 201
    token = page.text.partition("mld_pat_")[2].partition("<")[0]
    client = bearer(inside, "mld_pat_" + token)
    told = client.get("/api/v1/me").json()["token"]
    assert (told["scopes"], told["expires"]) == (["read", "write"], inside.now + 30 * 86_400)
    assert "mld_pat_" not in browser.get("/account").text
    wrongs: list[dict[str, Any]] = [{"name": ""}, {"scope": []}, {"scope": ["x"]}]
    for wrong in (*wrongs, {"days": "inf"}, {"days": "-1"}):
        answer = browser.post("/account/tokens", fields | wrong)
        assert (answer.status_code, 'role="alert"' in answer.text) == (422, True), wrong
    assert browser.post("/account/revoke", {"id": told["id"]}).status_code == 303
    assert client.get("/api/v1/me").status_code == 401
    assert browser.post("/account/revoke", {"id": "1"}).status_code == 404


def test_a_device_is_logged_out_on_the_page(inside: Inside) -> None:
    """All tokens of the login end, however often it was refreshed."""
    inside.user("anna")
    device, first = let_in(inside)
    second = device.refresh(first["refresh_token"]).json()
    browser = Browser(inside)
    browser.login("anna")
    page = browser.get("/account").text.partition("Devices that are logged in")[2]
    ids = [part.partition('"')[0] for part in page.split('name="id" value="')[1:]]
    assert len(ids) == 1
    assert browser.post("/account/revoke", {"id": ids[0]}).status_code == 303
    assert [device.me(each["access_token"]) for each in (first, second)] == [401, 401]
    assert device.refresh(second["refresh_token"]).status_code == 400


def everything(data: Database) -> str:
    """All values of all tables."""
    with data.reading() as session:
        tables = Table.metadata.sorted_tables
        return "\n".join(repr(row) for table in tables for row in session.execute(select(table)))


def test_the_database_holds_no_secret(inside: Inside) -> None:
    """After a life of every kind of secret, none of them stands in any table; their hashes do."""
    inside.user("anna")
    device, first = let_in(inside)
    second = device.refresh(first["refresh_token"]).json()
    browser = Browser(inside)
    browser.login("anna")
    session = browser.client.cookies["ml_dash_session"]
    api = {"X-CSRF-Token": browser.csrf}
    made = browser.client.post(TOKENS, json={"name": "ci"}, headers=api).json()
    with inside.data.reading() as reading:
        user = reading.scalars(select(User.id)).one()
    link = inside.data.transaction(lambda s: users.issue_link(s, user, inside.now))
    secret = [first["access_token"], first["refresh_token"], second["refresh_token"], session]
    secret += [made["token"], link.partition("=")[2]]
    kept = everything(inside.data)
    for each in secret:
        assert secrets.digest(each) in kept
        assert each not in kept and each.partition("_")[2].partition("_")[2] not in kept
    for each in (PASSWORD, device.begun["device_code"], browser.csrf):
        assert each not in kept
    assert device.begun["user_code"].replace("-", "") not in kept.replace("-", "")


def test_what_was_found_is_compared_in_constant_time(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hash decides by `hmac.compare_digest`: whatever a database calls equal is not enough."""
    anna = inside.user("anna")
    assert anna.get("/api/v1/me").status_code == 200
    compared: list[tuple[Any, Any]] = []

    def never(one: Any, other: Any) -> bool:
        compared.append((one, other))
        return False

    monkeypatch.setattr(hmac, "compare_digest", never)
    assert anna.get("/api/v1/me").status_code == 401
    assert len(compared) == 1 and compared[0][0] == compared[0][1]


def test_secrets_are_long_and_never_the_same(inside: Inside) -> None:
    """256 random bits each, behind a prefix that tells scanners what they found."""
    inside.user("anna")
    with inside.data.reading() as session:
        user = session.scalars(select(User.id)).one()
    made = [
        inside.data.transaction(lambda s, kind=kind: secrets.issue(s, user, kind, ["read"])[1])
        for kind in [*secrets.PREFIXES] * 5
    ]
    assert len(set(made)) == len(made)
    assert all(len(each) >= 43 + len("mld_at_") for each in made)
    assert {each.rpartition("_")[0][:4] for each in made if "-" not in each} <= {"mld_"}


def test_there_is_no_default_secret_and_no_default_password(inside: Inside) -> None:
    """No setting holds a secret; the first administrator has no password until a link sets one."""
    words = ("secret", "password", "token", "key")
    assert not [name for name in ServerSettings.__slots__ if any(w in name for w in words)]
    links = [users.ensure_admin(inside.data, inside.now) for _ in range(2)]
    assert links[0] != links[1] and str(links[0]).startswith("/welcome?token=mld_ln_")
    with inside.data.reading() as session:
        admin = session.scalars(select(User)).one()
    assert (admin.name, admin.admin, admin.password) == ("admin", True, None)
    for guess in ("", "admin", "password", "None"):
        assert Browser(inside).login("admin", guess).status_code == 401


def test_disabling_a_user_ends_everything_of_theirs(inside: Inside) -> None:
    """Sessions, access and API tokens, links; enabled again, they log in anew."""
    anna = inside.user("anna")
    made = anna.post(TOKENS, json={"name": "ci"}).json()["token"]
    browser = Browser(inside)
    browser.login("anna")
    with inside.data.reading() as session:
        user = session.scalars(select(User.id)).one()
    inside.data.transaction(lambda s: users.set_disabled(s, user, True, inside.now))
    clients = (anna, bearer(inside, made), browser.client)
    assert [client.get("/api/v1/me").status_code for client in clients] == [401] * 3
    assert Browser(inside).login("anna").status_code == 401
    inside.data.transaction(lambda s: users.set_disabled(s, user, False, inside.now))
    assert [client.get("/api/v1/me").status_code for client in clients] == [401] * 3
    assert Browser(inside).login("anna").status_code == 303


def test_what_ended_long_ago_is_forgotten(inside: Inside) -> None:
    """The table does not grow for ever with logins: a week after their end they are deleted."""
    inside.user("anna")
    device, tokens = let_in(inside)
    for _ in range(5):
        inside.now += 8 * 86_400
        tokens = device.refresh(tokens["refresh_token"]).json()
    with inside.data.reading() as session:
        kinds = session.scalars(select(Secret.kind).where(Secret.kind == "access")).all()
    assert len(kinds) <= 3


def test_an_error_of_the_database_tells_no_values(inside: Inside) -> None:
    """What is logged of it is the statement: password hashes are values."""
    with pytest.raises(Exception) as caught, inside.data.reading() as session:
        session.execute(text("SELECT :word FROM nothing"), {"word": "canary-value"})
    assert "canary-value" not in str(caught.value)
    assert grants.GRACE <= 30
