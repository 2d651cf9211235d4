"""The same pages from a server: after login, for those who may, with runs that were sent there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

import ml_dash
from ml_dash.sync import replicate

from .browser import Page
from .recording import record

sys.path.append(str(Path(__file__).parents[1]))
from dash_server import PASSWORD, Person, ServerProcess

pytestmark = pytest.mark.xdist_group("served")


class Served:
    """A server, its user, and a run of theirs."""

    def __init__(self, server: ServerProcess, person: Person, root: Path) -> None:
        self.server = server
        self.person = person
        self.root = root
        self.client = client = person.client()
        replicate(root / "lab/one", client, "lab/one")
        (run,) = client.json("GET", "/runs")["runs"]
        self.run = str(run["id"])

    def log_in(self, page: Page, name: str = "anna") -> None:
        """Type name and password into the page that one is led to."""
        page.type("input[name=name]", name)
        page.type("input[name=password]", PASSWORD)
        page.click("main button")


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with one run."""
    folder = tmp_path_factory.mktemp("served")
    record(folder / "runs", "lab/one", steps=60)
    with ServerProcess(folder / "server") as server:
        anna = server.add_user("anna")
        server.add_user("otto")
        yield Served(server, anna, folder / "runs")


def test_a_link_leads_through_the_login_to_the_picture(page: Page, served: Served) -> None:
    """Who is sent an address logs in first, and sees just that step then."""
    page.open(f"{served.server.url}/view?run={served.run}&tab=player&step=40")
    assert "/login" in page.url
    served.log_in(page)
    page.wait("document.querySelector('.camera canvas')?.dataset.step === '40'")
    page.wait_text('.values [data-stream="tracks/arm/joints"]', "[40, −40]")
    page.open(f"{served.server.url}/")
    page.wait_text("tbody", "one")
    page.click("tbody a")
    page.wait_text("#where", "anna/lab/one")


def test_the_player_is_the_same_as_over_a_folder(page: Page, served: Served) -> None:
    """Frames, curves and files come from the server's store."""
    page.open(f"{served.server.url}/login?next=/view?run={served.run}%26tab=player")
    served.log_in(page)
    page.wait("document.querySelectorAll('.camera canvas').length === 2")
    page.wait("document.querySelector('.camera canvas').dataset.step === '0'")
    page.press("END")
    page.wait("document.querySelector('.camera canvas').dataset.step === '56'")
    page.wait("document.querySelectorAll('.curves canvas').length > 0")


def test_a_run_of_somebody_else_is_not_there(page: Page, served: Served) -> None:
    """A stranger who was sent the address is told that there is nothing for them."""
    page.expect("404")
    page.open(f"{served.server.url}/view?run={served.run}")
    served.log_in(page, "otto")
    page.wait_text("main", "or not for you")
    page.open(f"{served.server.url}/")
    page.wait_text("main", "There are no runs yet")


def test_a_session_that_ended_leads_to_the_login(page: Page, served: Served) -> None:
    """The table that is open notices, and asks to log in again."""
    page.open(f"{served.server.url}/")
    served.log_in(page)
    page.wait_text("tbody", "one")
    page.expect("401")
    served.server.execute("UPDATE secrets SET revoked = 1 WHERE kind = 'session'")
    page.wait("location.pathname === '/login'")


def test_tags_are_kept_by_the_server(page: Page, served: Served) -> None:
    """Changed from the table, with the page's own token against forged requests."""
    page.open(f"{served.server.url}/")
    served.log_in(page)
    page.wait_text("tbody", "one")
    page.run("document.querySelector('tbody input').click()")
    press = "[...document.querySelectorAll('button')].findLast(b => b.textContent === arguments[0])"
    page.run(f"{press}.click()", "Tags…")
    page.type("dialog input", "seen")
    page.run(f"{press}.click()", "Save")
    page.wait_text("tbody", "seen")


def are(page: Page, expression: str, wanted: list[str]) -> bool:
    """Whether an expression has a value."""
    return bool(page.evaluate(expression) == wanted)


def test_a_reader_is_offered_nothing_that_they_may_not(page: Page, served: Served) -> None:
    """No tags, no deletion of a team's runs; a writer may tag, and only an owner delete."""
    anna, otto = served.client, served.server.add_user("oskar")
    anna.json("POST", "/namespaces", json={"name": "team"})
    record(served.root, "lab/team", steps=5)
    replicate(served.root / "lab/team", anna, "team/lab/one")
    seen = "[...document.querySelectorAll('.bar button')].map(b => b.textContent)"
    for role, offered in (("reader", []), ("writer", ["Tags…"]), ("owner", ["Tags…", "Delete…"])):
        anna.json("PUT", f"/namespaces/team/members/{otto.name}", json={"role": role})
        page.open(f"{served.server.url}/")
        if "/login" in page.url:
            served.log_in(page, otto.name)
        page.wait_text("tbody", "one")
        page.run("document.querySelector('tbody input').click()")
        page.wait_text("main", "Open")
        wanted = [*offered, "Columns"]
        page.wait(partial(are, page, seen, wanted))
        page.run("return new Promise(done => setTimeout(done, 300))")
        assert page.evaluate(seen) == wanted


def test_the_id_that_the_command_line_tells_opens_the_run(page: Page, served: Served) -> None:
    """It leads to the address that others have; and the address's id leads the other way."""
    own = ml_dash.open_run(served.root / "lab/one").id
    page.open(f"{served.server.url}/view?run={own}&tab=params")
    served.log_in(page)
    page.wait_text("#where", "anna/lab/one")
    page.wait("new URLSearchParams(location.search).get('run') === arguments[0]", served.run)
    assert "tab=params" in page.url
