"""The thread that replicates a run while it is written, and what the run says of it."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_process import environ
from replicas import MemoryClient, MemoryServer, client_of, files_in, segments_in

from ml_dash import Experiment
from ml_dash.remote import BusyError, ForbiddenError, NotFoundError, RejectedError, UnreachableError
from ml_dash.sync import Replicator, server, worker
from ml_dash.sync.trouble import BackOff

QUIET: dict[str, Any] = {"echo": False, "environment": False}
URL = "http://dash.invalid"


class Line:
    """The way to a server, which can be cut.

    Attributes:
        server: what is at its end.
        trouble: makes what each request raises; `None` while all is well.
        reached: set when a request has come through.
    """

    def __init__(self) -> None:
        self.server = MemoryServer()
        self.trouble: Callable[[], Exception] | None = None
        self.reached = threading.Event()
        self.tried = threading.Event()

    def before(self, method: str, path: str) -> None:
        """Called before each request."""
        self.tried.set()
        if self.trouble is not None:
            raise self.trouble()
        self.reached.set()


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    """A server at every address, and no waiting between attempts."""
    found = Line()
    client = client_of(found.server, before=found.before)
    monkeypatch.setattr(server, "server_at", lambda url: client)
    monkeypatch.setattr(
        BackOff, "next", lambda self, error: getattr(error, "retry_after", None) or 0.01
    )
    monkeypatch.setattr(worker, "UNANSWERED", 0.1)
    return found


def experiment_of(root: Path, **options: Any) -> Experiment:
    """An experiment that is replicated."""
    return Experiment("robotics/arm", dash_root=root, dash_url=URL, **QUIET, **options)


def until(fact: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something that another thread brings about."""
    end = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.005)


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was warned of."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_run_with_a_server_is_there_when_it_has_ended(tmp_path: Path, line: Line) -> None:
    """Rows and files, under the prefix that the run has; the last report says so."""
    with experiment_of(tmp_path).run as experiment:
        experiment.track("t").append({"x": 1})
        experiment.files("models").save_blob(b"weights", to="model.bin")
    folder = tmp_path / "robotics/arm"
    assert line.server.prefixes[0] == "robotics/arm"
    assert line.server.segments == segments_in(folder)
    assert line.server.blobs == files_in(folder)
    report = experiment.flush()
    assert report.replicated is True and (report.unsent, report.unsent_files) == (0, 0)


def test_a_full_batch_of_rows_is_sent_before_the_interval_is_over(
    tmp_path: Path, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interval is an hour here."""
    monkeypatch.setenv("ML_DASH_FLUSH_INTERVAL", "3600")
    monkeypatch.setenv("ML_DASH_TRACK_BATCH_SIZE", "10")
    with experiment_of(tmp_path).run as experiment:
        until(lambda: any(path.startswith("run/") for path in line.server.segments))
        for step in range(10):
            experiment.track("t").append({"step": step})
        until(lambda: any(path.startswith("tracks/") for path in line.server.segments))


def test_rows_are_sent_once_the_interval_is_over(
    tmp_path: Path, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even a single one."""
    monkeypatch.setenv("ML_DASH_FLUSH_INTERVAL", "0.05")
    with experiment_of(tmp_path).run as experiment:
        experiment.track("t").append({"x": 1})
        until(lambda: any(path.startswith("tracks/") for path in line.server.segments))


def test_an_outage_is_told_once_and_its_end_once(
    tmp_path: Path, line: Line, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """However many attempts fail; afterwards everything is there."""
    monkeypatch.setenv("ML_DASH_FLUSH_INTERVAL", "0.01")
    attempts: list[int] = []

    def refuse() -> Exception:
        attempts.append(1)
        return UnreachableError("http://dash.invalid does not answer.")

    line.trouble = refuse
    with experiment_of(tmp_path).run as experiment:
        experiment.track("t").append({"x": 1})
        until(lambda: len(attempts) > 5)
        report = experiment.flush()
        assert report.ok and report.replicated is False and report.unsent > 0
        line.trouble = None
        until(lambda: bool(experiment.flush().replicated))
    texts = warned(caplog)
    assert len([text for text in texts if "does not answer. The run goes on" in text]) == 1
    assert len([text for text in texts if "takes the run 'robotics/arm' again" in text]) == 1
    assert len(texts) == 2
    assert line.server.segments == segments_in(tmp_path / "robotics/arm")


def test_a_refused_namespace_is_told_and_the_run_stays_local(
    tmp_path: Path, line: Line, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """At once, and it is not asked for again."""
    attempts: list[int] = []

    def refuse() -> Exception:
        attempts.append(1)
        return ForbiddenError("you may not write into the namespace 'robotics'")

    line.trouble = refuse
    with experiment_of(tmp_path).run as experiment:
        until(lambda: bool(warned(caplog)))
        experiment.track("t").append({"x": 1})
    (text,) = warned(caplog)
    assert "may not write into the namespace" in text and "stays in" in text
    assert len(attempts) == 1
    said = capsys.readouterr().err
    assert "Have an owner of the namespace make you a writer there" in said
    assert "sends the rest" not in said and "only then `ml-dash sync" in said
    assert experiment.flush().replicated is False


def test_what_the_server_does_not_take_is_not_promised_to_be_sent(
    tmp_path: Path, line: Line, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """`ml-dash sync` would be refused for the same reason."""
    line.trouble = lambda: RejectedError("http://dash.invalid does not take this (400)")
    with experiment_of(tmp_path).run as experiment:
        until(lambda: bool(warned(caplog)))
        experiment.track("t").append({"x": 1})
    said = capsys.readouterr().err
    assert "does not take this (400). Until that is put right, `ml-dash sync" in said
    assert "sends the rest" not in said


def test_a_run_that_was_deleted_on_the_server_is_not_made_again(
    tmp_path: Path, line: Line, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not by the process that goes on writing it."""
    monkeypatch.setenv("ML_DASH_FLUSH_INTERVAL", "0.01")
    with experiment_of(tmp_path).run as experiment:
        until(lambda: bool(line.server.segments))
        line.trouble = lambda: NotFoundError("the run has been deleted")
        experiment.track("t").append({"x": 1})
        until(lambda: bool(warned(caplog)))
        line.trouble = None
    assert line.server.requests["POST runs"] == 1


def test_the_end_does_not_wait_long_for_a_server_that_is_down(
    tmp_path: Path, line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names what sends the rest."""
    line.trouble = lambda: UnreachableError("http://dash.invalid does not answer")
    begun = time.monotonic()
    with experiment_of(tmp_path).run as experiment:
        experiment.track("t").append({"x": 1})
    assert time.monotonic() - begun < 10
    folder = tmp_path / "robotics/arm"
    assert f"`ml-dash sync {folder}` sends the rest" in capsys.readouterr().err


def test_the_end_does_not_press_a_server_that_asks_to_be_left_alone(
    tmp_path: Path, line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is asked once more at the end, and no further."""
    attempts: list[int] = []

    def busy() -> Exception:
        attempts.append(1)
        error = BusyError("http://dash.invalid is asked too often")
        error.retry_after = 100.0
        return error

    line.trouble = busy
    with experiment_of(tmp_path).run as experiment:
        until(lambda: bool(attempts))
        experiment.track("t").append({"x": 1})
        before = len(attempts)
    assert len(attempts) <= before + 2
    assert "asked too often" in capsys.readouterr().err


def test_the_end_is_bounded_where_the_server_hangs(
    tmp_path: Path,
    line: Line,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A request that never returns keeps nobody; what it waits for is shown meanwhile."""
    monkeypatch.setenv("ML_DASH_CLOSE_TIMEOUT", "1")
    monkeypatch.setattr("ml_dash.sync.replicator.SILENT", 0.1)
    monkeypatch.setattr(worker, "UNANSWERED", 60.0)
    released = threading.Event()

    def hang() -> Exception:
        released.wait(30)
        return UnreachableError("late")

    line.trouble = hang
    with experiment_of(tmp_path).run as experiment:
        experiment.track("t").append({"x": 1})
    said = capsys.readouterr().err
    released.set()
    assert "still to be sent to the server" in said and "Waiting 1 s more at most" in said
    assert "ml-dash sync" in said and "not done in 1 s" in said


def test_the_end_waits_some_seconds_for_a_server_that_falls_silent(
    tmp_path: Path,
    line: Line,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Not as long as for one that takes something; how long is shown."""
    monkeypatch.setenv("ML_DASH_CLOSE_TIMEOUT", "60")
    monkeypatch.setenv("ML_DASH_FLUSH_INTERVAL", "3600")
    monkeypatch.setattr("ml_dash.sync.replicator.SILENT", 0.1)
    monkeypatch.setattr(worker, "STALLED", 2.4)
    released = threading.Event()

    def hang() -> Exception:
        released.wait(60)
        return UnreachableError("late")

    with experiment_of(tmp_path).run as experiment:
        until(lambda: bool(experiment.flush().replicated))
        line.trouble = hang
        experiment.track("t").append({"x": 1})
        begun = time.monotonic()
    took = time.monotonic() - begun
    said = capsys.readouterr().err
    released.set()
    assert took < 20
    assert re.search(r"silent for \d s\. Waiting [12] s more for an answer", said)
    assert re.search(r"the server has been silent for [2-9] s\. `ml-dash sync", said)


def test_the_end_waits_for_a_server_as_long_as_bytes_move(
    tmp_path: Path, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large part on a slow line is no silence."""
    monkeypatch.setenv("ML_DASH_FLUSH_INTERVAL", "3600")
    monkeypatch.setattr(worker, "STALLED", 0.4)
    client: Any = server.server_at(URL)
    slow: list[float] = []

    def slowly() -> None:
        if line.trouble is not None and not slow:
            for _ in range(12):
                slow.append(time.monotonic())
                threading.Event().wait(0.1)
                client.moved = time.monotonic()

    with experiment_of(tmp_path).run as experiment:
        until(lambda: bool(experiment.flush().replicated))
        client.before = lambda method, path: slowly()
        line.trouble = lambda: UnreachableError("never raised")
        experiment.track("t").append({"x": 1})
    assert len(slow) == 12
    assert experiment.flush().replicated is True


def test_an_answer_that_never_gets_whole_is_no_silence(
    tmp_path: Path, line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that drips is waited for some seconds only, and it is not called silent."""
    client: Any = server.server_at(URL)
    released = threading.Event()

    def drip() -> Exception:
        end = time.monotonic() + 30
        while not released.wait(0.01) and time.monotonic() < end:
            client.moved = time.monotonic()
        return UnreachableError("late")

    line.trouble = drip
    with experiment_of(tmp_path).run as experiment:
        experiment.track("t").append({"x": 1})
    released.set()
    said = capsys.readouterr().err
    assert "the server gave no whole answer in time. `ml-dash sync" in said


def test_ctrl_c_ends_the_waiting_and_says_what_sends_the_rest(
    tmp_path: Path,
    line: Line,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Everything is on the disk by then, so nothing else is said."""
    released = threading.Event()

    def hang() -> Exception:
        released.wait(30)
        return UnreachableError("late")

    class Interrupted(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            raise KeyboardInterrupt

    line.trouble = hang
    with pytest.raises(KeyboardInterrupt), experiment_of(tmp_path).run as experiment:
        experiment.track("t").append({"x": 1})
        assert experiment.run.replicator is not None
        monkeypatch.setattr(experiment.run.replicator._worker, "done", Interrupted())
    released.set()
    said = capsys.readouterr().err
    assert "interrupted. `ml-dash sync" in said and "ml-dash check" not in said
    assert experiment.run.status == "COMPLETED"


def test_a_forked_child_replicates_nothing_itself(tmp_path: Path, line: Line) -> None:
    """The parent sends what it wrote."""
    with experiment_of(tmp_path).run as experiment:
        experiment.track("t").append({"x": 1})
        child = os.fork()
        if child == 0:
            try:
                experiment.track("t").append({"x": 2})
                assert experiment.run.replicator is None
                names = {thread.name for thread in threading.enumerate()}
                assert "ml-dash-replicator" not in names
                experiment.run.complete()
                os._exit(0)
            except BaseException:  # noqa: BLE001 - the parent tells
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
    sent = line.server.segments
    assert sent == segments_in(tmp_path / "robotics/arm")
    assert len([path for path in sent if path.startswith("tracks/t/")]) == 2


@pytest.mark.parametrize(
    ("options", "variable", "replicated"),
    [
        ({}, None, False),
        ({}, URL, True),
        ({"dash_url": URL}, None, True),
        ({"dash_url": False}, URL, False),
        ({"dash_root": "given"}, URL, False),
        ({"dash_root": "given", "dash_url": URL}, None, True),
    ],
)
def test_who_is_replicated(
    tmp_path: Path,
    line: Line,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    variable: str | None,
    replicated: bool,
) -> None:
    """With a server, unless the place on the disk was given, or the server refused."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ML_DASH_ROOT", raising=False)
    monkeypatch.delenv("ML_DASH_URL", raising=False)
    if variable is not None:
        monkeypatch.setenv("ML_DASH_URL", variable)
    with Experiment("p/e", **QUIET, **options).run as experiment:
        assert (experiment.run.replicator is not None) is replicated
    assert bool(line.server.segments) is replicated
    assert experiment.flush().replicated is (True if replicated else None)


@pytest.mark.parametrize(("url", "error"), [("dash.example", ValueError), (True, TypeError)])
def test_what_is_no_address_is_refused(tmp_path: Path, url: Any, error: type[Exception]) -> None:
    """When the experiment is made."""
    with pytest.raises(error, match="address"):
        Experiment("p/e", dash_root=tmp_path, dash_url=url)


def test_a_busy_server_is_left_alone_as_long_as_it_asks() -> None:
    """Retry-After counts, but not for ever; without it waits double, and are never in step."""
    back_off = BackOff(0.5, chance=lambda: 1.0)
    assert [back_off.next(UnreachableError("")) for _ in range(9)] == [
        *(0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0)
    ]
    busy, endless = BusyError(""), BusyError("")
    busy.retry_after, endless.retry_after = 7.0, 90_000.0
    assert back_off.next(busy) == 7.5
    assert back_off.next(endless) == 300.5
    back_off.reset()
    assert back_off.next(UnreachableError("")) == 0.5


def test_an_outage_takes_no_memory(tmp_path: Path, line: Line) -> None:
    """What is not sent is on the disk only: ten times the rows are no more state."""
    import tracemalloc

    line.trouble = lambda: UnreachableError("http://dash.invalid does not answer")
    with experiment_of(tmp_path).run as experiment:
        track = experiment.track("t")
        line.tried.wait(10)

        def grow() -> int:
            for step in range(20_000):
                track.append({"step": step, "text": "x" * 100})
            experiment.flush()
            looks = []
            for _ in range(10):  # what a thread holds for a moment is no growth
                time.sleep(0.01)
                looks.append(tracemalloc.get_traced_memory()[0])
            return min(looks)

        tracemalloc.start()
        try:
            grow()
            first = grow()
            assert grow() + grow() - 2 * first < 400_000
        finally:
            tracemalloc.stop()
        line.trouble = None
    assert line.server.segments == segments_in(tmp_path / "robotics/arm")


def test_a_replicator_takes_a_client_of_its_own(tmp_path: Path) -> None:
    """For those who bring their own way to a server."""
    with Experiment("a/b", dash_root=tmp_path, **QUIET).run as experiment:
        experiment.track("t").append({"x": 1})
    found = MemoryServer()
    client: Any = MemoryClient(found, seed=5)
    settings = experiment.settings
    replicator = Replicator(tmp_path / "a/b", "a/b", settings, client=client, back_off=BackOff(0.0))
    replicator.start()
    assert replicator.finish(20.0).ok
    assert found.segments == segments_in(tmp_path / "a/b")


OTHER = """
import sys
from ml_dash import Experiment

experiment = Experiment(
    "robotics/arm", dash_root=sys.argv[1], dash_url=False, echo=False, environment=False
)
with experiment.run:
    for said in sys.stdin:
        experiment.track("other").append({"x": 1})
        experiment.flush()
        print("written", flush=True)
"""


class Other:
    """Another process that writes the same run, a row at a time."""

    def __init__(self, root: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", OTHER, str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environ(),
            text=True,
        )

    def write(self) -> None:
        """Have it write one row."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "written\n"

    def end(self) -> None:
        """Let it end."""
        self._process.communicate(timeout=60)

    def __enter__(self) -> Other:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process as process:
            process.kill()


@pytest.mark.parametrize("ends", [False, True])
def test_rows_of_others_are_not_called_missing_unless_they_are(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ends: bool,
) -> None:
    """One who lives sends what it goes on to write; what one who ends leaves is sent here."""
    found, ending = MemoryServer(), threading.Event()
    with Other(tmp_path) as other:

        def before(method: str, path: str) -> None:
            if ending.is_set() and path.endswith("/append"):
                other.write()
                if ends:
                    ending.clear()
                    other.end()

        monkeypatch.setattr(server, "server_at", lambda url: client_of(found, before=before))
        with experiment_of(tmp_path).run as experiment:
            experiment.track("t").append({"x": 1})
            ending.set()
        assert experiment.run.replicator is not None
        assert experiment.run.replicator.report().ok
        assert "not all of it is on the server" not in capsys.readouterr().err
        assert (found.segments == segments_in(tmp_path / "robotics/arm")) is ends


def test_a_failure_that_is_over_does_not_end_the_sending(
    tmp_path: Path, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that asked to be left alone, long ago, is sent what came beside the last rows."""
    busy = BusyError("it is not ready")
    busy.retry_after = 30.0
    monkeypatch.setattr(BackOff, "next", lambda self, error: 0.01)
    line.trouble = lambda: busy
    attempt = worker.Worker._attempt
    with Other(tmp_path) as other:

        def attempt_and_write(self: worker.Worker) -> float | None:
            is_last = self._finishing is not None and len(writing) > 0
            wait = attempt(self)
            if is_last:
                writing.pop().write()
                other.end()
            return wait

        writing = [other]
        monkeypatch.setattr(worker.Worker, "_attempt", attempt_and_write)
        with experiment_of(tmp_path).run as experiment:
            line.tried.wait(20)
            line.trouble = None
            until(lambda: bool(experiment.flush().replicated))
        assert experiment.run.replicator is not None
        assert experiment.run.replicator.report().ok
    assert line.server.segments == segments_in(tmp_path / "robotics/arm")


def test_rows_of_others_who_are_gone_are_told(
    tmp_path: Path, line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody else sends them, as long as the server does not take them from here."""
    line.trouble = lambda: UnreachableError("nothing listens there")
    with Experiment("robotics/arm", dash_root=tmp_path, dash_url=False, **QUIET).run as gone:
        gone.track("t").append({"x": 1})
    left = sum(map(len, segments_in(tmp_path / "robotics/arm").values()))
    with experiment_of(tmp_path).run as experiment:
        experiment.track("t").append({"x": 2})
    assert experiment.run.replicator is not None
    assert experiment.run.replicator.report().pending > left
    assert "not all of it is on the server" in capsys.readouterr().err
