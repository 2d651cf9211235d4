"""For how long a run went on, as a server tells it: by the clocks of its own sessions."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import orjson
import pytest
from fastapi.testclient import TestClient

from ml_dash.reading.status import STALE

from .inside import Inside, make_run, send

START = {"event": "start", "root": True}


@pytest.fixture
def inside(tmp_path: Path) -> Inside:
    """A server whose clock stands."""
    return Inside(tmp_path / "server")


def piece(stream: str, writer: str, *rows: dict[str, Any]) -> tuple[str, int, bytes, bytes]:
    """The first rows of a writer in a stream."""
    text = b"".join(orjson.dumps(row) + b"\n" for row in rows)
    return f"{stream}/{writer}.jsonl", 0, b"", text


def life(writer: str, start: float, end: float | None) -> tuple[str, int, bytes, bytes]:
    """A session's rows in the stream `run`."""
    rows = [{"timestamp": start, "session": writer, **START}]
    if end is not None:
        ending = {"event": "end", "session": writer, "status": "COMPLETED"}
        rows.append({"timestamp": end, **ending})
    return piece("run", writer, *rows)


def shown(client: TestClient, run: str) -> dict[str, Any]:
    """A run as the API has it; the list sorts and filters by the same."""
    found: dict[str, Any] = client.get(f"/api/v1/runs/{run}").json()["run"]
    seconds = found["duration"]
    text = f"duration >= {seconds - 1e-3} and duration <= {seconds + 1e-3}"
    (listed,) = client.get("/api/v1/runs", params={"filter": text}).json()["runs"]
    assert listed["duration"] == seconds
    return found


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_pauses_between_sessions_do_not_count(inside: Inside, order: tuple[int, ...]) -> None:
    """Nor what two do at once twice; whatever came first; a killed one until its last row."""
    anna = inside.user("anna")
    run = make_run(anna)
    pieces = [
        life("first", 100.0, 110.0),
        life("beside", 105.0, 112.0),
        life("killed", 500.0, None),
        piece("tracks/arm", "killed", *({"timestamp": 500.0 + n, "q": n} for n in range(8))),
    ]
    for number in order:
        send(anna, run, pieces[number])
    inside.now += STALE + 1
    found = shown(anna, run)
    assert (found["started"], found["duration"]) == (100.0, 19.0)


@pytest.mark.parametrize("skew", [-1e6, 0.0, 1e6])
def test_a_wrong_clock_makes_no_run_longer(inside: Inside, skew: float) -> None:
    """Of whoever records: a run that goes on is as old as its rows, and what we waited since."""
    anna = inside.user("anna")
    run = make_run(anna)
    at = inside.now + skew
    row = {"timestamp": at + 2.5, "loss": 1.0}
    send(anna, run, life("w", at, None), piece("metrics/train", "w", row))
    assert shown(anna, run)["duration"] == pytest.approx(2.5)
    inside.now += 10
    assert shown(anna, run)["duration"] == pytest.approx(12.5)
    inside.now += STALE
    found = shown(anna, run)
    assert found["status"] == "INTERRUPTED"
    assert found["duration"] == pytest.approx(2.5)


def test_timestamps_of_the_user_are_no_sign_of_life(inside: Inside) -> None:
    """They may be simulated time; only what a writer took from its clock counts."""
    anna = inside.user("anna")
    run = make_run(anna)
    rows = [{"timestamp": 104.0, "q": 1}, {"timestamp": 9e9, "_explicit": True, "q": 2}]
    send(anna, run, life("w", 100.0, None), piece("tracks/arm", "w", *rows))
    inside.now += STALE + 1
    assert shown(anna, run)["duration"] == 4.0


def test_a_run_without_a_start_has_no_duration(inside: Inside) -> None:
    """As one that was made and has no rows yet."""
    anna = inside.user("anna")
    run = make_run(anna)
    assert anna.get(f"/api/v1/runs/{run}").json()["run"]["duration"] is None
    assert anna.get("/api/v1/runs", params={"filter": "duration >= 0"}).json()["runs"] == []


def test_what_was_heard_of_sessions_is_told(inside: Inside) -> None:
    """By their own clocks and by ours: who reads the run need not trust the one or the other."""
    anna = inside.user("anna")
    run = make_run(anna)
    rows = [{"timestamp": 107.0, "q": 1}, {"timestamp": 9e9, "_explicit": True, "q": 2}]
    send(anna, run, life("w", 100.0, None), life("x", 50.0, 60.0), piece("tracks/arm", "w", *rows))
    inside.now += 30
    told = anna.get(f"/api/v1/runs/{run}/sessions").json()["sessions"]
    assert sorted(told, key=lambda one: one["session"]) == [
        {"session": "w", "last_seen": 107.0, "silent": 30.0},
        {"session": "x", "last_seen": 60.0, "silent": 30.0},
    ]
