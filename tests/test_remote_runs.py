"""Finding the runs of a server from Python: `open_run` and `list_runs`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cli_process import isolate
from dash_server import Person, ServerProcess

from ml_dash import Experiment, list_runs, open_run
from ml_dash.auth import keep_server
from ml_dash.auth.signed_in import server_for, signed_in, split_address
from ml_dash.auth.store import Tokens, TokenStore
from ml_dash.remote import UnauthorizedError, runs
from ml_dash.remote.transport import Hidden

PREFIXES = ("robotics/arm", "robotics/leg", "solo")


@pytest.fixture(scope="module")
def anna(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Person:
    """A user with some runs."""
    person = server.add_user("anna")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ML_DASH_TOKEN", person.token())
        root = tmp_path_factory.mktemp("runs")
        for prefix in PREFIXES:
            options: dict[str, Any] = {"dash_root": root, "echo": False, "environment": False}
            with Experiment(prefix, dash_url=server.url, **options).run as experiment:
                experiment.track("t").append({"step": 1, "x": 1.0})
    return person


@pytest.fixture(autouse=True)
def _logged_in(
    server: ServerProcess, anna: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolate(monkeypatch, tmp_path)
    keep_server(server.url)
    monkeypatch.setenv("ML_DASH_TOKEN", anna.token())


def test_a_run_is_opened_on_the_kept_server(server: ServerProcess) -> None:
    """By its prefix, with or without the namespace, by its address, and with `url=`."""
    for view in (
        open_run("robotics/arm", server=True),
        open_run("anna/robotics/arm", server=True),
        open_run("robotics/arm", url=server.url),
        open_run(f"{server.url}/anna/robotics/arm"),
    ):
        assert (view.prefix, view.status) == ("anna/robotics/arm", "COMPLETED")
        assert view.folder is None
        assert list(view.tracks["t"]["x"]) == [1.0]


def test_a_run_is_opened_by_the_ids_that_it_has(server: ServerProcess) -> None:
    """That of its page, alone or in the page's address, and the one that it gave itself."""
    (run,) = (one for one in list_runs(server=True) if one.prefix == "anna/robotics/arm")
    told = runs.find_run(signed_in(server.url), "robotics/arm")
    for wanted in (
        run.id,
        told["id"],
        f"{server.url}/view?run={told['id']}&tab=player&step=1",
    ):
        view = open_run(wanted, server=not wanted.startswith("http"))
        assert (view.prefix, view.id) == ("anna/robotics/arm", run.id)


def test_a_name_alone_is_in_the_project_default() -> None:
    """As when it was sent."""
    assert open_run("solo", server=True).prefix == "anna/default/solo"


def test_runs_of_a_server_are_listed_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that the user may see, each once."""
    monkeypatch.setattr(runs, "PAGE", 1)
    found = [run.prefix for run in list_runs(server=True)]
    assert sorted(found) == ["anna/default/solo", "anna/robotics/arm", "anna/robotics/leg"]


def test_a_run_that_is_not_there_is_a_file_that_is_not_found() -> None:
    """As below a root; what there is of similar name is told."""
    with pytest.raises(FileNotFoundError, match=r"Did you mean 'anna/robotics/arm'"):
        open_run("robotics/amr", server=True)
    with pytest.raises(FileNotFoundError, match="or you may not see it"):
        open_run("elsewhere/robotics/arm", server=True)


@pytest.mark.parametrize("prefix", ["", "a b/../c", "Big/robotics/arm", "a/b/\0"])
def test_what_is_no_prefix_is_refused(prefix: str) -> None:
    """Without asking for it."""
    with pytest.raises(ValueError, match="no run"):
        open_run(prefix, server=True)


def test_a_root_and_a_server_are_one_too_many(server: ServerProcess, tmp_path: Path) -> None:
    """Nobody guesses which is meant."""
    ways: list[dict[str, Any]] = [{"server": True}, {"url": server.url}]
    for options in ways:
        with pytest.raises(ValueError, match="give root=, or server= or url="):
            open_run("robotics/arm", tmp_path, **options)
        with pytest.raises(ValueError, match="give root=, or server= or url="):
            list(list_runs(tmp_path, **options))


def test_without_a_server_it_is_said_how_to_name_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By login or environment."""
    monkeypatch.setenv("ML_DASH_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(ValueError, match="ml-dash login URL"):
        open_run("robotics/arm", server=True)
    monkeypatch.setenv("ML_DASH_URL", "https://dash.test/")
    assert server_for() == "https://dash.test"


def test_without_a_token_it_is_said_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command for this server."""
    monkeypatch.delenv("ML_DASH_TOKEN")
    with pytest.raises(UnauthorizedError, match="log in with `ml-dash login http"):
        open_run("robotics/arm", server=True)


def test_an_address_is_that_of_a_server_that_is_known(tmp_path: Path) -> None:
    """One below a path, too, once somebody has logged in there; else the path is the prefix."""
    address = "https://lab.test/dash/anna/robotics/arm?tab=logs#end"
    assert split_address(address) == ("https://lab.test", "dash/anna/robotics/arm")
    TokenStore().save("https://lab.test/dash", Tokens(Hidden("a")))
    assert split_address(address) == ("https://lab.test/dash", "anna/robotics/arm")
    assert split_address("https://lab.test/a%20b/c/d") == ("https://lab.test", "a b/c/d")
    with pytest.raises(ValueError, match="names a server and no run"):
        split_address("https://lab.test/dash")
