"""Files of which the server was never asked are still to be sent, and that is said."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from replicas import MemoryClient, MemoryServer

from ml_dash import Experiment
from ml_dash.backends import LocalBackend
from ml_dash.cli import main
from ml_dash.remote import ForbiddenError, UnreachableError
from ml_dash.sync import replicate, server
from ml_dash.sync.index import LocalFiles
from ml_dash.sync.replica import Replica

QUIET: dict[str, Any] = {"echo": False, "environment": False}


def dead() -> str:
    """An address at which nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{held.getsockname()[1]}"


def save(experiment: Experiment) -> None:
    """Three files: one of them saved twice, and a fourth that is deleted."""
    files = experiment.files("models")
    for name in ("a", "b", "gone", "c", "c"):
        files.save_blob(name.encode() * 1_000, to=f"{name}.bin")
    files.delete("gone.bin")


def test_files_are_told_where_no_server_ever_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By `flush()`, at the end of the run, and by `sync`."""
    url = dead()
    monkeypatch.setattr("ml_dash.sync.worker.UNANSWERED", 0.1)
    with Experiment("a/b", dash_root=tmp_path, dash_url=url, **QUIET).run as experiment:
        save(experiment)
        report = experiment.flush()
        assert report.replicated is False and report.unsent_files == 3
        experiment.files("models").save_blob(b"more", to="more.bin")
        assert experiment.flush().unsent_files == 4
    assert "4 files (3,004 bytes) not yet on the server" in capsys.readouterr().err
    monkeypatch.setitem(replicate.__kwdefaults__, "patience", 0.0)
    assert main(["sync", str(tmp_path / "a/b"), "--url", url]) == 1
    said = capsys.readouterr().err
    assert " bytes of rows and 4 files (3,004 bytes) is there is not known; nothing listens" in said


def test_files_are_told_where_the_namespace_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They stay here, as the rows do."""

    def refuse(method: str, path: str) -> None:
        raise ForbiddenError("you may not write there")

    client = MemoryClient(MemoryServer(), before=refuse)
    monkeypatch.setattr(server, "server_at", lambda url: client)
    with Experiment("a/b", dash_root=tmp_path, dash_url="http://dash.test", **QUIET).run as made:
        save(made)
        assert made.flush().unsent_files == 3
    assert "3 files (3,000 bytes) not yet on the server" in capsys.readouterr().err


def test_files_are_told_where_the_server_went_before_it_was_asked(tmp_path: Path) -> None:
    """It has taken rows, and no question about files."""
    with Experiment("a/b", dash_root=tmp_path, **QUIET).run as experiment:
        save(experiment)

    def before(method: str, path: str) -> None:
        if path.endswith("/missing"):
            raise UnreachableError("gone")

    client: Any = MemoryClient(MemoryServer(), before=before)
    replica = Replica(tmp_path / "a/b", client)
    with pytest.raises(UnreachableError):
        replica.advance()
    assert (replica.report().pending_files, replica.report().pending_file_bytes) == (3, 3_000)
    client.before = None
    replica.advance()
    assert replica.report().ok


def test_a_long_index_is_not_read_at_each_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A little later it is, and at the end of a run."""
    folder = tmp_path / "a/b"
    with Experiment("a/b", dash_root=tmp_path, **QUIET).run as experiment:
        save(experiment)
    monkeypatch.setattr("ml_dash.sync.index.LONG", -1.0)
    monkeypatch.setattr("ml_dash.sync.index.SHARE", 1e9)
    files = LocalFiles(LocalBackend(folder))
    assert files.count(exact=False) == (3, 3_000)
    with Experiment("a/b", dash_root=tmp_path, **QUIET).run as experiment:
        experiment.files("models").save_blob(b"more", to="more.bin")
    assert files.count(exact=False) == (3, 3_000)
    assert files.count() == (4, 3_004)
