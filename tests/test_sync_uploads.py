"""While files are on their way: rows go on, and what is still missing is told."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from replicas import MemoryClient, MemoryServer, files_in, segments_in

from ml_dash import Experiment
from ml_dash.remote import UnreachableError
from ml_dash.sync import replicate, server
from ml_dash.sync.replica import Replica
from ml_dash.sync.report import ReplicaReport
from ml_dash.sync.upload_threads import THREADS, UploadThreads

QUIET: dict[str, Any] = {"echo": False, "environment": False}
FOLDER = "robotics/arm"


class Jam:
    """A server to which files do not get through until it is cleared.

    Attributes:
        server: what is at its end.
        held: set once a file waits.
        cleared: set, it lets files through.
        trouble: what requests that are not about files raise while a file waits.
    """

    def __init__(self) -> None:
        self.server = MemoryServer()
        self.held, self.cleared = threading.Event(), threading.Event()
        self.trouble: Exception | None = None

    def before(self, method: str, path: str) -> None:
        """Called before each request."""
        if path.endswith("/blobs"):
            self.held.set()
            self.cleared.wait(60)
        elif self.trouble is not None and self.held.is_set() and not self.cleared.is_set():
            raise self.trouble

    def has(self, room: str) -> bool:
        """Whether rows of a room have come."""
        return any(path.startswith(f"{room}/") for path in self.server.segments)


@pytest.fixture
def jam(monkeypatch: pytest.MonkeyPatch) -> Iterator[Jam]:
    """One at every address, which is cleared in the end."""
    found = Jam()
    client = MemoryClient(found.server, before=found.before)
    monkeypatch.setattr(server, "server_at", lambda url: client)
    monkeypatch.setenv("ML_DASH_FLUSH_INTERVAL", "0.05")
    yield found
    found.cleared.set()


def recorded(root: Path) -> Experiment:
    """An experiment that is replicated."""
    return Experiment(FOLDER, dash_root=root, dash_url="http://dash.invalid", **QUIET)


def until(fact: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something that another thread brings about."""
    end = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.005)


def test_rows_do_not_wait_for_files(tmp_path: Path, jam: Jam) -> None:
    """They come while a file is on its way, and nothing is missing in the end."""
    with recorded(tmp_path).run as experiment:
        experiment.files("models").save_blob(b"weights", to="model.bin")
        assert jam.held.wait(20)
        experiment.track("t").append({"x": 1})
        until(lambda: jam.has("tracks"))
        assert jam.server.blobs == {}
        jam.cleared.set()
    assert jam.server.blobs == files_in(tmp_path / FOLDER)
    assert jam.server.segments == segments_in(tmp_path / FOLDER)


def test_sync_sends_rows_of_a_live_run_beside_its_files(
    tmp_path: Path, jam: Jam, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is watched is not behind by as long as its files take."""
    monkeypatch.setitem(replicate.__globals__, "ROWS_AGAIN", 0.05)
    with Experiment(FOLDER, dash_root=tmp_path, **QUIET).run as experiment:
        experiment.files("models").save_blob(b"weights", to="model.bin")
        experiment.flush()
        client = server.server_at("")
        sync = threading.Thread(target=replicate, args=(tmp_path / FOLDER, client), daemon=True)
        sync.start()
        assert jam.held.wait(20)
        experiment.track("t").append({"x": 1})
        until(lambda: jam.has("tracks"))
        jam.cleared.set()
        sync.join(20)
        assert not sync.is_alive()
    assert jam.server.blobs == files_in(tmp_path / FOLDER)


def test_a_full_batch_does_not_wait_for_files(
    tmp_path: Path, jam: Jam, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interval is an hour here."""
    monkeypatch.setenv("ML_DASH_FLUSH_INTERVAL", "3600")
    monkeypatch.setenv("ML_DASH_TRACK_BATCH_SIZE", "10")
    with recorded(tmp_path).run as experiment:
        experiment.files("models").save_blob(b"weights", to="model.bin")
        assert experiment.run.replicator is not None
        until(lambda: bool(experiment.flush().ok))
        experiment.run.replicator.kick()
        assert jam.held.wait(20)
        for step in range(10):
            experiment.track("t").append({"step": step})
        until(lambda: jam.has("tracks"))
        jam.cleared.set()


def test_rows_that_fail_beside_files_are_sent_after_them(tmp_path: Path, jam: Jam) -> None:
    """A request that is lost meanwhile breaks off no file, and is made again."""
    jam.trouble = UnreachableError("lost")
    with recorded(tmp_path).run as experiment:
        experiment.files("models").save_blob(b"weights", to="model.bin")
        assert jam.held.wait(20)
        experiment.track("t").append({"x": 1})
        time.sleep(0.5)
        jam.cleared.set()
    assert jam.server.blobs == files_in(tmp_path / FOLDER)
    assert jam.server.segments == segments_in(tmp_path / FOLDER)


def test_files_on_their_way_are_counted_as_unsent(tmp_path: Path, jam: Jam) -> None:
    """`flush()` calls a run replicated when its files are there, and not before."""
    with recorded(tmp_path).run as experiment:
        experiment.files("models").save_blob(b"weights", to="model.bin")
        experiment.files("models").save_blob(b"others", to="other.bin")
        assert jam.held.wait(20)
        until(lambda: experiment.flush().unsent_files > 0)
        until(lambda: experiment.flush().unsent == 0)
        assert experiment.flush().replicated is False
        jam.cleared.set()
        until(lambda: experiment.flush().replicated is True)
        assert experiment.flush().unsent_files == 0


def test_the_end_of_a_run_says_which_files_are_missing(
    tmp_path: Path, jam: Jam, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """How many, and how large, while it waits and when it gives up."""
    monkeypatch.setenv("ML_DASH_CLOSE_TIMEOUT", "1")
    monkeypatch.setattr("ml_dash.sync.replicator.SILENT", 0.1)
    with recorded(tmp_path).run as experiment:
        experiment.files("models").save_blob(b"weights", to="model.bin")
        assert jam.held.wait(20)
    said = capsys.readouterr().err
    assert "1 file (7 bytes); " in said
    assert "1 file (7 bytes) not yet on the server; not done in 1 s. `ml-dash sync" in said


def test_what_is_left_of_a_large_file_is_told(tmp_path: Path) -> None:
    """Its parts that the server has are not counted; nor is anything once it has all."""
    with Experiment("a/b", dash_root=tmp_path, **QUIET).run as experiment:
        experiment.files("models").save_blob(random.Random(1).randbytes(2 << 20), to="m.bin")
    parts: list[str] = []

    def before(method: str, path: str) -> None:
        if method == "PUT":
            parts.append(path)
            if len(parts) == 4:
                raise UnreachableError("lost")

    client: Any = MemoryClient(MemoryServer(part_size=1 << 18), before=before)
    replica = Replica(tmp_path / "a/b", client)
    with pytest.raises(UnreachableError):
        replica.advance()
    report = replica.report()
    assert (report.pending_files, report.pending_file_bytes) == (1, (2 << 20) - 3 * (1 << 18))
    assert "1 file (1,310,720 bytes) not yet on the server" in str(report)
    replica.advance()
    assert replica.report().ok and replica.report().pending_files == 0


def test_a_file_that_was_removed_meanwhile_is_not_waited_for(tmp_path: Path) -> None:
    """It was on its way when the network broke; the index has no more of it afterwards."""
    with Experiment("a/b", dash_root=tmp_path, **QUIET).run as experiment:
        experiment.files("models").save_blob(b"weights", to="m.bin")
        lost: list[str] = []

        def before(method: str, path: str) -> None:
            if path.endswith("/blobs") and not lost:
                lost.append(path)
                raise UnreachableError("lost")

        client: Any = MemoryClient(MemoryServer(), before=before)
        replica = Replica(tmp_path / "a/b", client)
        experiment.flush()
        with pytest.raises(UnreachableError):
            replica.advance()
        assert replica.report().pending_files == 1
        experiment.files("models").delete("m.bin")
        experiment.flush()
        replica.advance()
        assert replica.report().pending_files == 0


def test_files_that_nobody_asked_about_are_no_success() -> None:
    """All rows being there says nothing of the files that the last of them name."""
    report = ReplicaReport(unasked=True)
    assert not report.ok and "not asked about all files" in str(report)


def test_who_hands_over_files_is_called_while_all_uploads_are_busy() -> None:
    """Not only once the last one is handed over."""
    called = threading.Event()
    with UploadThreads(called.set) as uploads:
        for _ in range(3 * THREADS + 1):
            uploads.submit(lambda: wait_for(called))
        assert called.is_set()


def wait_for(called: threading.Event) -> None:
    """Be busy until then."""
    called.wait(5)
