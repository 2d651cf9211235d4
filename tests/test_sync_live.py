"""`sync` of a run that is written meanwhile answers for what was there when it began."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from replicas import MemoryClient, MemoryServer, segments_in

from ml_dash import Experiment
from ml_dash.cli import main
from ml_dash.remote import UnreachableError
from ml_dash.sync import replicate, server

QUIET: dict[str, Any] = {"echo": False, "environment": False}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """One to be written, below the root of the commands."""
    monkeypatch.setenv("ML_DASH_ROOT", str(tmp_path))
    monkeypatch.setenv("ML_DASH_URL", "http://dash.invalid")
    monkeypatch.setattr("ml_dash.cli.sync.PAUSE", 0.0)
    return Experiment("a/b", dash_root=tmp_path, **QUIET)


def served(monkeypatch: pytest.MonkeyPatch, late: Callable[[], None]) -> MemoryServer:
    """A server at every address; `late` is called at the last request of a first call."""
    made = MemoryServer()
    calls: list[str] = []

    def before(method: str, path: str) -> None:
        if path.endswith("/lost") and not calls:
            calls.append(path)
            late()

    monkeypatch.setattr(server, "server_at", lambda url: MemoryClient(made, before=before))
    return made


def test_rows_that_came_meanwhile_are_no_failure(
    tmp_path: Path,
    run: Experiment,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing is said of them; the next call brings them."""

    def late() -> None:
        run.track("t").append({"x": 2})
        assert run.flush().ok

    found = served(monkeypatch, late)
    with run.run:
        run.track("t").append({"x": 1})
        assert run.flush().ok
        before = segments_in(tmp_path / "a/b")
        assert main(["sync", "a/b"]) == 0
        assert found.segments == before != segments_in(tmp_path / "a/b")
        assert "not yet on the server" not in capsys.readouterr().err
        assert main(["sync", "a/b"]) == 0
        assert found.segments == segments_in(tmp_path / "a/b")


def test_rows_that_were_there_are_a_failure_if_they_are_not_taken(
    tmp_path: Path, run: Experiment
) -> None:
    """However live the run is."""

    def before(method: str, path: str) -> None:
        if path.endswith("/append"):
            raise UnreachableError("gone")

    with run.run:
        run.track("t").append({"x": 1})
        assert run.flush().ok
        client: Any = MemoryClient(MemoryServer(), before=before)
        report = replicate(tmp_path / "a/b", client, patience=0.0)
    assert not report.ok and report.pending


def test_a_watched_run_is_there_to_its_last_row_and_nobody_complains(
    tmp_path: Path,
    run: Experiment,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also where it ends between two looks."""

    def late() -> None:
        run.track("t").append({"x": 2})
        run.run.complete()

    found = served(monkeypatch, late)
    run.run.start()
    run.track("t").append({"x": 1})
    assert run.flush().ok
    assert main(["sync", "a/b", "--watch"]) == 0
    assert found.segments == segments_in(tmp_path / "a/b")
    assert "not yet on the server" not in capsys.readouterr().err
