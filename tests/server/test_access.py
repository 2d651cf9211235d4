"""Every route against every role, from the application's own table of routes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from ml_dash.server import access
from ml_dash.server.access import PUBLIC
from ml_dash.server.accounts import account_pages, namespaces, secrets, users
from ml_dash.server.app import create_app
from ml_dash.server.settings import ServerSettings
from ml_dash.server.tables import Project, Run

from .inside import Inside

ALL = ("read", "write", "admin")
RUN, PROJECT = "1000000000000000001", "1000000000000000002"
CALLERS = (
    *("nobody", "garbage", "revoked", "expired", "disabled", "refresh", "session_as_token"),
    *("stranger", "administrator", "reader", "writer", "owner"),
    *("owner_to_read", "owner_to_write"),
)
SAFE = ("GET", "HEAD")
UNKNOWN = CALLERS[:7]
"""Callers whom the server does not know, or no longer."""
SCOPES = {"owner_to_read": ("read",), "owner_to_write": ("write",)}
ROLE = {"reader": "reader", "writer": "writer", "owner": "owner"} | dict.fromkeys(SCOPES, "owner")


def _call(annotated: Any) -> Any:
    return get_args(annotated)[1].dependency


# Whatever a route depends on that lets in or turns away, the most telling first.
NEEDS = {
    _call(access.ReadRun): ("run", "reader"),
    _call(access.WriteRun): ("run", "writer"),
    _call(access.OwnRun): ("run", "owner"),
    _call(access.ReadNamespace): ("namespace", "reader"),
    _call(access.WriteNamespace): ("namespace", "writer"),
    _call(access.OwnNamespace): ("namespace", "owner"),
    _call(access.Administrator): ("server", "administrator"),
    _call(access.Keeper): ("self", "admin"),
    _call(access.Writer): ("self", "write"),
    _call(access.Reader): ("self", "read"),
    _call(account_pages.Poster): ("post", ""),
    _call(account_pages.Visitor): ("page", ""),
    _call(access.Asker): ("self", ""),
}


class Case(NamedTuple):
    """A method of a route, and what it needs."""

    method: str
    path: str
    of: str
    need: str

    def url(self) -> str:
        """The route with its parameters filled in."""
        url = self.path.replace("{run}", RUN).replace("{namespace}", "team")
        for name in (
            "user",
            "id",
            "upload",
            "sha256",
            "project:path",
            "path:path",
            "name:path",
            "camera:path",
        ):
            url = url.replace("{" + name + "}", "nothing")
        assert "{" not in url, f"{self.path}: tell the test what its parameter is"
        return url


def _calls(dependant: Any) -> Iterator[Any]:
    for part in dependant.dependencies:
        yield part.call
        yield from _calls(part)


def _routes(routes: list[Any]) -> Iterator[Any]:
    for route in routes:
        if hasattr(route, "original_router"):  # newer versions of FastAPI keep routers as they are
            yield from _routes(route.original_router.routes)
        else:
            yield route


def _classify(route: Any) -> tuple[str, str] | None:
    if route.path in PUBLIC:
        return "public", ""
    calls = set(_calls(route.dependant)) if isinstance(route, APIRoute) else set()
    return next((needs for call, needs in NEEDS.items() if call in calls), None)


def _cases() -> list[Case]:
    app = create_app(ServerSettings(database="sqlite://", store="memory://"))
    try:
        return [
            Case(method, route.path, *(_classify(route) or ("nothing", "")))
            for route in _routes(app.routes)
            for method in sorted(route.methods or set())
            if method != "HEAD" or "GET" not in route.methods
        ]
    finally:
        app.state.database.close()


CASES = _cases()
CLOSED = [case for case in CASES if case.of != "public"]
IDS = [f"{case.method} {case.path}" for case in CLOSED]


class Town(Inside):
    """A team with a reader, a writer and an owner, a run of theirs, and people outside."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        names = ("reader", "writer", "owner", "stranger", "administrator", "gone")
        self.ids: dict[str, str] = {}
        self.data.transaction(lambda session: self._settle(session, names))

    def _settle(self, session: Any, names: tuple[str, ...]) -> None:
        for name in names:
            made = users.create_user(session, name, None, admin=name == "administrator")
            self.ids[name] = made.id
        team = namespaces.add_namespace(session, "team", self.ids["owner"], self.now)
        for name, role in (("reader", "reader"), ("writer", "writer"), ("gone", "owner")):
            namespaces.set_role(session, team.id, name, role)
        project = Project(id=PROJECT, namespace_id=team.id, name="arm", created=self.now)
        session.add(project)
        session.flush()
        run = Run(id=RUN, project_id=PROJECT, name="one", created=self.now, updated=self.now)
        session.add(run)

    def caller(self, name: str) -> TestClient:
        """The client of one of `CALLERS`."""
        text = self.data.transaction(lambda session: self._text(session, name))
        headers = {"Authorization": f"Bearer {text}"} if text else {}
        return TestClient(self.app, headers=headers, follow_redirects=False)

    def _text(self, session: Any, name: str) -> str:
        if name in ("nobody", "garbage"):
            return "" if name == "nobody" else "mld_at_" + "A" * 43
        kind = {"refresh": "refresh", "session_as_token": "session"}.get(name, "access")
        who = self.ids["gone" if name == "disabled" else name if name in self.ids else "owner"]
        ends = self.now if name == "expired" else self.now + 60
        secret, text = secrets.issue(
            session, who, kind, SCOPES.get(name, ALL), expires=ends, now=self.now
        )
        if name == "revoked":
            secrets.revoke(session, secret.id, self.now)
        if name == "disabled":
            users.set_disabled(session, who, True, self.now)
            secret.revoked = None  # being disabled is enough
        return text


def expected(case: Case, caller: str) -> int:
    """The status that turns a caller away, 0 for one who is let in."""
    if case.of in ("page", "post"):  # pages know sessions alone
        return 303 if case.of == "page" else 401
    if caller in UNKNOWN:
        return 401
    scopes = SCOPES.get(caller, ALL)
    if case.of == "self":
        return 0 if not case.need or case.need in scopes else 403
    if case.of == "server":
        return 0 if caller == "administrator" else 403
    if caller not in ROLE:
        return 404
    roles = access.ROLES
    enough = roles.index(ROLE[caller]) >= roles.index(case.need)
    return 0 if enough and access.NEEDED_SCOPE[case.need] in scopes else 403


def test_every_route_says_who_may_use_it() -> None:
    """A route that is neither public nor depends on one of the guards does not exist."""
    assert [case for case in CASES if case.of == "nothing"] == []
    assert len(CLOSED) > 20


def test_no_route_of_the_api_is_public_by_accident() -> None:
    """The paths that ask nobody who they are, each of them known."""
    public = {case.path for case in CASES if case.of == "public"}
    api = {path for path in public if path.startswith("/api/")}
    assert api <= {"/api/v1/health", "/api/v1/ready", "/api/v1/openapi.json"}
    assert public >= PUBLIC - {"/api/v1/health", "/api/v1/ready"}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A town for requests that change nothing."""
    made = Town(tmp_path_factory.mktemp("town"))
    yield made
    made.close()


@pytest.mark.parametrize("case", CLOSED, ids=IDS)
def test_a_route_turns_away_whom_it_should(case: Case, town: Town) -> None:
    """Nobody, ended tokens, strangers, lesser roles and lesser tokens all get their status."""
    answers = {
        caller: town.caller(caller).request(case.method, case.url()).status_code
        for caller in CALLERS
        if expected(case, caller)
    }
    assert answers == {caller: expected(case, caller) for caller in answers}


@pytest.mark.parametrize("case", CLOSED, ids=IDS)
def test_a_route_lets_in_whom_it_should(case: Case, tmp_path: Path) -> None:
    """Who has role and scope is never told that they lack them."""
    for caller in CALLERS:
        if expected(case, caller):
            continue
        town = Town(tmp_path / caller)
        town.app.state.stopping = case.path.endswith("/events")  # or it would have no end
        answer = town.caller(caller).request(case.method, case.url())
        town.close()
        assert answer.status_code not in (401, 403), (caller, answer.text)
        assert "not for you" not in answer.text, caller


@pytest.mark.parametrize(
    "case", [case for case in CLOSED if case.method not in SAFE and case.of != "post"], ids=str
)
def test_a_session_without_its_csrf_token_changes_nothing(case: Case, town: Town) -> None:
    """A cookie alone is not enough for any method that changes something."""
    _, text = town.data.transaction(
        lambda s: secrets.issue(s, town.ids["owner"], "session", ALL, now=town.now)
    )
    client = TestClient(town.app, cookies={"ml_dash_session": text})
    for headers in ({}, {"X-CSRF-Token": "0" * 64}):
        answer = client.request(case.method, case.url(), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf")


def test_what_may_not_be_seen_looks_like_what_is_not_there(town: Town) -> None:
    """A run of others, and one that never was, get the same answer but for the id asked for."""
    client = town.caller("stranger")
    there = client.get(f"/api/v1/runs/{RUN}/segments")
    nowhere = client.get("/api/v1/runs/42/segments")
    assert there.status_code == nowhere.status_code == 404
    assert there.text.replace(RUN, "42") == nowhere.text
