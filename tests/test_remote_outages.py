"""Training goes on whatever the server does: down, mute, broken, refusing; and then it recovers."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dash_server import Person, ServerProcess
from effort import Stalls
from hostile import WAYS, Hostile
from replicas import segments_in

from ml_dash import Experiment
from ml_dash.auth import store
from ml_dash.backends.http import HttpBackend
from ml_dash.cli import main
from ml_dash.remote.runs import find_run
from ml_dash.sync import trouble, worker

QUIET: dict[str, Any] = {"echo": False, "environment": False}

# What the one warning says, by way.
WORDS = {
    "refused": "nothing listens at",
    "silent": "took too long to answer",
    "tls": "does not speak TLS",
    "closed": "closed the connection",
    "half": "closed the connection",
    "endless": "has no end",
    "drip": "took too long to answer",
    "html": "no answer of the server (502)",
    "portal": "web page and not as an ML-Dash server does",
    "401": "the one in ML_DASH_TOKEN, which goes before a login, has ended",
    "403": "refuses: not now",
    "404": "not now",
    "429": "is asked too often (429)",
    "500": "error of its own (500)",
    "503": "is not ready (503)",
}


class Warnings(logging.Handler):
    """What ML-Dash has warned of, and when it did."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []
        self.came = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """Take note."""
        self.texts.append(record.getMessage())
        self.came.set()


@pytest.fixture
def warned() -> Iterator[Warnings]:
    handler = Warnings()
    logging.getLogger("ml_dash").addHandler(handler)
    yield handler
    logging.getLogger("ml_dash").removeHandler(handler)


@pytest.fixture(autouse=True)
def _impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token, no configuration, and a client that gives up soon."""
    monkeypatch.setenv("ML_DASH_CONFIG", str(tmp_path / "config" / "config.toml"))
    monkeypatch.setenv("ML_DASH_TOKEN", "canary-token")
    monkeypatch.delenv("ML_DASH_URL", raising=False)
    monkeypatch.setattr(worker, "UNANSWERED", 0.3)
    monkeypatch.setattr("ml_dash.remote.client.TIMEOUT", (0.5, 0.5))


def train(experiment: Experiment, steps: int) -> float:
    """Record some rows; the longest that one of them took."""
    longest = 0.0
    for step in range(steps):
        begun = time.perf_counter()
        experiment.track("robot").append({"step": step, "x": step / 7})
        longest = max(longest, time.perf_counter() - begun)
    return longest


@pytest.mark.parametrize("way", WAYS)
def test_training_goes_on_whatever_the_server_does(
    way: str, tmp_path: Path, warned: Warnings, capsys: pytest.CaptureFixture[str]
) -> None:
    """It starts and records as ever, one warning says why nothing is sent, and the end is soon."""
    with Stalls() as machine, Hostile(way) as hostile:
        begun = time.perf_counter()
        made = Experiment("robotics/arm", dash_root=tmp_path, dash_url=hostile.url, **QUIET)
        made.run.start()
        started = time.perf_counter() - begun
        longest = train(made, 500)
        assert warned.came.wait(30)
        longest = max(longest, train(made, 500))
        begun = time.perf_counter()
        made.run.complete()
        ended = time.perf_counter() - begun
    # An answer that is waited for takes 0.5 s; the machine may be busy with other tests
    assert started < 0.4 + machine.longest and longest < 0.4 + machine.longest
    assert ended < 10
    assert len(warned.texts) == 1, warned.texts
    assert WORDS[way] in warned.texts[0]
    said = capsys.readouterr().err
    assert said.count("`ml-dash sync") == 1
    assert "canary" not in "".join(warned.texts) + said
    assert made.folder is not None
    rows = b"".join(segments_in(made.folder).values())
    assert rows.count(b'"x":') == 1000
    assert b"canary" not in rows


def on_server(anna: Person, prefix: str) -> dict[str, bytes]:
    """The segments that the server has of a run."""
    client = anna.client()
    backend = HttpBackend(client, find_run(client, prefix)["id"])
    return {
        info.path: backend.read(info.path)
        for info in backend.list()
        if info.path.endswith(".jsonl")
    }


@pytest.mark.parametrize("way", [way for way in WAYS if way not in ("refused", "tls", "403")])
def test_a_server_that_turns_good_gets_all_of_it(
    way: str,
    tmp_path: Path,
    warned: Warnings,
    server: ServerProcess,
    anna: Person,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows from before, during and after the outage, byte by byte, and it is said."""
    monkeypatch.setenv("ML_DASH_TOKEN", anna.token())
    monkeypatch.setattr(trouble, "LONGEST", 0.1)
    monkeypatch.setattr(worker, "UNANSWERED", 30.0)
    prefix = f"robotics/of-{way}"
    with (
        Hostile(way, upstream=int(server.url.rpartition(":")[2])) as hostile,
        Experiment(prefix, dash_root=tmp_path, dash_url=hostile.url, **QUIET).run as made,
    ):
        train(made, 300)
        assert warned.came.wait(30)
        warned.came.clear()
        hostile.way = "good"
        train(made, 300)
        assert warned.came.wait(30)
        train(made, 300)
    # On a busy machine the way to the server may have one more kind of trouble, told once as well
    assert len(set(warned.texts)) == len(warned.texts)
    assert "takes the run" in warned.texts[-1] and "nothing was lost" in warned.texts[-1]
    assert made.folder is not None
    assert on_server(anna, prefix) == segments_in(made.folder)


def test_a_refused_run_stays_local_and_sync_sends_it_later(
    tmp_path: Path,
    warned: Warnings,
    server: ServerProcess,
    anna: Person,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is said at once at the start; a 403 is not asked again in this process."""
    monkeypatch.setenv("ML_DASH_TOKEN", anna.token())
    with Hostile("403", upstream=int(server.url.rpartition(":")[2])) as hostile:
        with Experiment("robotics/no", dash_root=tmp_path, dash_url=hostile.url, **QUIET).run as e:
            assert warned.came.wait(30)
            train(e, 300)
        assert "stays in" in warned.texts[0]
        assert len(hostile.asked) == 1
        hostile.way = "good"
        assert e.folder is not None
        assert main(["sync", str(e.folder), "--root", str(tmp_path), "--url", hostile.url]) == 0
    assert on_server(anna, "robotics/no") == segments_in(e.folder)


def test_a_token_that_ends_in_the_middle_of_a_run_is_renewed(
    tmp_path: Path,
    warned: Warnings,
    server: ServerProcess,
    anna: Person,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a word; every row arrives, and the login is good afterwards."""
    monkeypatch.setattr(store, "_keyring", lambda: None)
    monkeypatch.delenv("ML_DASH_TOKEN")
    monkeypatch.setenv("ML_DASH_FLUSH_INTERVAL", "0.05")
    kept = anna.login(tmp_path / "config")
    first = kept.load(server.url)
    with Experiment("robotics/long", dash_root=tmp_path, dash_url=server.url, **QUIET).run as made:
        train(made, 300)
        deadline = time.monotonic() + 30
        while not made.flush().replicated:
            assert time.monotonic() < deadline
            warned.came.wait(0.02)
        server.execute("UPDATE secrets SET expires = 1 WHERE kind = 'access'")
        train(made, 300)
    assert not warned.texts
    assert made.folder is not None
    assert on_server(anna, "robotics/long") == segments_in(made.folder)
    second = kept.load(server.url)
    assert first is not None and second is not None and first.access != second.access


def test_a_server_is_asked_no_sooner_than_it_wants(
    tmp_path: Path, warned: Warnings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Retry-After` is waited for, and the end of the run does not wait for it."""
    waits: list[float] = []
    real = trouble.BackOff.next

    def spy(self: trouble.BackOff, error: BaseException) -> float:
        waits.append(real(self, error))
        return waits[-1]

    monkeypatch.setattr(trouble.BackOff, "next", spy)
    with Hostile("429", headers={"Retry-After": "120"}) as hostile:
        made = Experiment("robotics/arm", dash_root=tmp_path, dash_url=hostile.url, **QUIET)
        made.run.start()
        assert warned.came.wait(30)
        train(made, 300)
        begun = time.perf_counter()
        made.run.complete()
        assert time.perf_counter() - begun < 30, "it waits for none of the 120 s"
    assert waits and all(120.0 <= wait <= 121.0 for wait in waits)
    assert len(hostile.asked) <= 2


def test_a_server_that_asks_for_hours_is_quoted_and_asked_sooner(
    tmp_path: Path, warned: Warnings
) -> None:
    """The warning has both: what it asked for, and when it is asked again."""
    with Hostile("503", headers={"Retry-After": "7200"}) as hostile:
        made = Experiment("robotics/arm", dash_root=tmp_path, dash_url=hostile.url, **QUIET)
        made.run.start()
        assert warned.came.wait(30)
        made.run.complete()
    assert (
        "it asks to wait 2 h. The run goes on, and the server is asked again every 5 min"
        in (warned.texts[0])
    )


def test_waits_grow_and_never_come_in_step() -> None:
    """Full jitter: up to half a second, doubled with each failure, a minute at most."""
    highest = trouble.BackOff(chance=lambda: 1.0)
    ceilings = [highest.next(OSError()) for _ in range(9)]
    assert ceilings == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    lowest = trouble.BackOff(chance=lambda: 0.0)
    assert [lowest.next(OSError()) for _ in range(3)] == [0.0, 0.0, 0.0]
    random = trouble.BackOff()
    assert len({random.next(OSError()) for _ in range(20)}) > 10


def test_the_answers_of_a_good_server_end_in_the_run(
    tmp_path: Path, server: ServerProcess, anna: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any fault: at the end of the run all of it is there, with its status."""
    monkeypatch.setenv("ML_DASH_TOKEN", anna.token())
    with Experiment("robotics/good", dash_root=tmp_path, dash_url=server.url, **QUIET).run as made:
        train(made, 300)
    assert made.folder is not None
    assert on_server(anna, "robotics/good") == segments_in(made.folder)
    assert find_run(anna.client(), "robotics/good")["status"] == "COMPLETED"
    assert json.loads((made.folder / "run.json").read_bytes())["status"] == "COMPLETED"
