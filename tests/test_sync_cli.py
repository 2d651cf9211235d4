"""`ml-dash sync` and `ml-dash clean --synced`, against a server in memory."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from replicas import MemoryServer, client_of, files_in, segments_in

from ml_dash import Experiment
from ml_dash.cli import main
from ml_dash.remote import NotFoundError
from ml_dash.sync import server

QUIET: dict[str, Any] = {"echo": False, "environment": False}
URL = "http://dash.invalid"


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> MemoryServer:
    """A server at every address."""
    made = MemoryServer()
    monkeypatch.setattr(server, "server_at", lambda url: client_of(made))
    monkeypatch.setenv("ML_DASH_ROOT", str(tmp_path))
    monkeypatch.setenv("ML_DASH_URL", URL)
    return made


def record(root: Path, prefix: str = "robotics/arm") -> Path:
    """A small run."""
    with Experiment(prefix, dash_root=root, **QUIET).run as experiment:
        experiment.track("t").append({"x": 1})
        experiment.files("models").save_blob(prefix.encode(), to="model.bin")
    return root / prefix


def test_sync_sends_a_run_and_then_nothing(
    tmp_path: Path, found: MemoryServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its prefix; the second time says that there is nothing."""
    folder = record(tmp_path)
    assert main(["sync", "robotics/arm"]) == 0
    assert found.segments == segments_in(folder) and found.blobs == files_in(folder)
    assert "robotics/arm  sent 4 rows (" in capsys.readouterr().out
    assert main(["sync", str(folder)]) == 0
    assert capsys.readouterr().out == "robotics/arm  nothing to send\n"


def test_sync_tells_what_the_store_of_the_server_has_lost(
    tmp_path: Path, found: MemoryServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Though nothing is left to send, the exit code says that not all is there."""
    record(tmp_path)
    assert main(["sync", "robotics/arm"]) == 0
    found.lost = ["tracks/t/w.jsonl"]
    capsys.readouterr()
    assert main(["sync", "robotics/arm"]) == 1
    told = capsys.readouterr()
    assert "tracks/t/w.jsonl: the server's store has lost bytes" in told.err and not told.out


def test_sync_sends_all_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One after another, and the exit code tells that one could not be sent."""

    def before(method: str, path: str) -> None:
        raise NotFoundError("http://dash.invalid: there is no such thing")

    record(tmp_path, "a/one")
    record(tmp_path, "a/two")
    monkeypatch.setattr(server, "server_at", lambda url: client_of(MemoryServer(), before=before))
    assert main(["sync", "--all", "--root", str(tmp_path), "--url", URL]) == 1
    said = capsys.readouterr().err
    assert "a/one: nothing sent" in said and "a/two: nothing sent" in said


@pytest.mark.parametrize("arguments", [[], ["--all", "a/b"], ["--all", "--url", "dash"]])
def test_what_sync_cannot_do_is_said(
    tmp_path: Path, found: MemoryServer, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """With the exit code for commands that could not be carried out."""
    assert main(["sync", *arguments]) == 2
    assert capsys.readouterr().err.startswith("ml-dash: ")


def test_without_a_server_sync_says_how_to_name_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By login, environment or option."""
    monkeypatch.delenv("ML_DASH_URL", raising=False)
    monkeypatch.setenv("ML_DASH_CONFIG", str(tmp_path / "none.toml"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert main(["sync", "--all", "--root", str(tmp_path)]) == 2
    assert "ml-dash login URL" in capsys.readouterr().err


def test_watching_ends_with_the_run(tmp_path: Path, found: MemoryServer) -> None:
    """A run that has ended and is sent needs no watching."""
    folder = record(tmp_path)
    assert main(["sync", "robotics/arm", "--watch"]) == 0
    assert found.segments == segments_in(folder)


def test_clean_frees_what_the_server_has_and_nothing_else(
    tmp_path: Path, found: MemoryServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs below the removed one stay, and so does what is not of ours."""
    folder = record(tmp_path)
    inner = record(tmp_path, "robotics/arm/inner")
    (folder / "notes.txt").write_text("mine")
    assert main(["sync", "robotics/arm"]) == 0
    assert main(["clean", "--synced", "--dry-run", "robotics/arm"]) == 0
    assert segments_in(folder)
    before = segments_in(inner)
    assert main(["clean", "--synced", "--yes", "robotics/arm"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["inner", "notes.txt"]
    assert segments_in(inner) == before
    assert "robotics/arm  " in capsys.readouterr().out


def test_clean_tells_two_copies_of_one_run_apart(
    tmp_path: Path, found: MemoryServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both have the prefix: the one that lies elsewhere is named by its folder, too."""
    folder = record(tmp_path)
    assert main(["sync", "robotics/arm"]) == 0
    copy = tmp_path / "me/robotics/arm"
    shutil.copytree(folder, copy)
    capsys.readouterr()
    assert main(["clean", "--synced", "--dry-run"]) == 0
    lines = sorted(capsys.readouterr().out.splitlines())
    assert lines[0].startswith("robotics/arm  ")
    assert lines[1].startswith(f"robotics/arm in {copy}  ")


def spoil_row(folder: Path, found: MemoryServer) -> None:
    """A row that the server has not got."""
    path = next(path for path in segments_in(folder) if path.startswith("tracks/"))
    with (folder / path).open("ab") as file:
        file.write(b'{"timestamp": 1.0}\n')


def spoil_byte(folder: Path, found: MemoryServer) -> None:
    """The server has another byte in the place of one."""
    path = next(path for path in found.segments if path.startswith("tracks/"))
    found.segments[path] = found.segments[path].replace(b"x", b"y")


def spoil_file(folder: Path, found: MemoryServer) -> None:
    """A file that the server has not got."""
    found.blobs.clear()


def spoil_store(folder: Path, found: MemoryServer) -> None:
    """A store that has lost what the server's database still tells of."""
    give = found.give
    found.give = lambda what, params: give(what, params)[:-1]  # type: ignore[method-assign]  # a damaged server


def spoil_stored_file(folder: Path, found: MemoryServer) -> None:
    """The same, of files alone."""
    give = found.give
    lost = {"sha256": "0" * 64}
    found.give = lambda what, params: give(what, lost if "batch" in what else params)  # type: ignore[method-assign]  # a damaged server


@pytest.mark.parametrize(
    "spoil", [spoil_row, spoil_byte, spoil_file, spoil_store, spoil_stored_file]
)
def test_clean_keeps_what_the_server_has_otherwise(
    tmp_path: Path, found: MemoryServer, spoil: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """One row, byte or file is enough, also one that it only believes to have."""
    folder = record(tmp_path)
    assert main(["sync", "robotics/arm"]) == 0
    spoil(folder, found)
    before = segments_in(folder), files_in(folder)
    assert main(["clean", "--synced", "--yes", "robotics/arm"]) == 1
    assert (segments_in(folder), files_in(folder)) == before
    assert "robotics/arm stays: " in capsys.readouterr().err


def test_clean_keeps_a_run_that_goes_on_after_it_was_checked(
    tmp_path: Path, found: MemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that were written while it asked its user are not on the server."""
    folder = record(tmp_path)
    assert main(["sync", "robotics/arm"]) == 0

    def agreed(question: str) -> bool:
        record(tmp_path)
        return True

    monkeypatch.setattr("ml_dash.cli.clean.agreed", agreed)
    main(["clean", "--synced", "robotics/arm"])
    assert len(segments_in(folder)) > 0


def test_clean_keeps_a_run_that_is_written(
    tmp_path: Path, found: MemoryServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the server has of it."""
    with Experiment("a/b", dash_root=tmp_path, **QUIET).run as experiment:
        experiment.track("t").append({"x": 1})
        experiment.flush()
        main(["sync", "a/b"])
        assert main(["clean", "--synced", "--yes", "a/b"]) == 1
        assert "still written" in capsys.readouterr().err
    assert segments_in(tmp_path / "a/b")


def test_clean_asks_nobody_without_a_terminal(
    tmp_path: Path,
    found: MemoryServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It removes nothing then, and names the option."""
    folder = record(tmp_path)
    assert main(["sync", "robotics/arm"]) == 0
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert main(["clean", "--synced"]) == 2
    assert "--yes" in capsys.readouterr().err
    assert segments_in(folder)
