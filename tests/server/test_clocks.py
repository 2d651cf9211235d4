"""From when on the seconds of streams and cameras count: told once, and alike everywhere."""

from __future__ import annotations

from typing import Any

import pytest

from ml_dash.server.streams.clocks import FAR, Span, clocks_of

from .inside import Inside
from .recorded import fill

START = 1.7e9
BEGUN = {"timestamp": START, "event": "start", "session": "s", "root": True}


@pytest.fixture(scope="module")
def client(lasting: Inside) -> Any:
    return lasting.user("anna")


def rows(first: float, count: int = 3) -> list[dict[str, Any]]:
    return [{"timestamp": first + i, "step": i, "v": 1.0} for i in range(count)]


def saved(name: str, first: float) -> list[dict[str, Any]]:
    return [
        {"timestamp": first + i, "id": f"{name}{i}", "op": "save", "path": f"{name}/f_{i}.jpg"}
        | {"data": f"{name}/f_{i}.jpg", "size": 1, "sha256": "0" * 64, "step": i}
        for i in range(3)
    ]


def test_charts_streams_and_cameras_agree(client: Any) -> None:
    """A simulation's seconds count from its first row, in any stream; others from the start."""
    run, _ = fill(
        client,
        {
            "run/w.jsonl": [BEGUN],
            "tracks/sim/w.jsonl": rows(5.0),
            "tracks/later/w.jsonl": rows(7.5),
            "metrics/m/w.jsonl": rows(START + 1),
            "files/index/w.jsonl": [*saved("sim", 6.0), *saved("wall", START + 2)],
        },
    )
    streams = client.get(f"/api/v1/runs/{run}/streams").json()
    told = {stream["name"]: stream["origin"] for stream in streams}
    assert (told["tracks/sim"], told["tracks/later"]) == (5.0, 5.0)
    assert (told["metrics/m"], told["run"]) == (START, START)
    cameras = client.get(f"/api/v1/runs/{run}/frames").json()["cameras"]
    assert {one["name"]: one["origin"] for one in cameras} == {"sim": 5.0, "wall": START}
    for name, at in (("tracks/sim", 0.0), ("tracks/later", 2.5), ("metrics/m", 1.0)):
        url = f"/api/v1/runs/{run}/streams/{name}/chart"
        chart = client.get(url, params={"columns": "v", "x": "relative"}).json()
        assert chart["origin"] == told[name]
        assert chart["columns"]["v"]["x"] == [at, at + 1, at + 2]


def test_a_recording_that_is_played_again_begins_at_its_first_row() -> None:
    """Rows of an hour before the run are no rows of minus one hour."""
    clocks = clocks_of({"tracks/bag": Span(START - 3600, START - 3500)}, START, START + 10)
    assert clocks.origin(Span(START - 3600, START - 3500)) == START - 3600


def test_a_clock_that_is_a_little_behind_is_that_of_the_run() -> None:
    """Rows of another machine keep their place beside those of the first."""
    spans = {
        "tracks/a": Span(START - 20, START + 5),
        "metrics/late": Span(START + 5000, START + 9e4),
    }
    clocks = clocks_of(spans, START, START + 9e4)
    assert {clocks.origin(span) for span in spans.values()} == {START}


def test_clocks_that_are_far_from_each_other_are_counted_apart() -> None:
    """Seconds of a simulation, and those of a recording of last year."""
    spans = {
        "tracks/sim": Span(0.0, 10.0),
        "tracks/old": Span(START - 400 * FAR, START - 399 * FAR),
    }
    clocks = clocks_of(spans, START, START + 10)
    assert [clocks.origin(span) for span in spans.values()] == [0.0, START - 400 * FAR]


def test_without_a_start_the_first_row_is_the_start() -> None:
    """As where the rows of a run's sessions have not come yet."""
    spans = {"tracks/a": Span(START, START + 5), "tracks/b": Span(START + 2, START + 5)}
    clocks = clocks_of(spans, None, START)
    assert {clocks.origin(span) for span in spans.values()} == {START}
