"""What a player asks: the index of a stream, what is at a step, and which columns there are."""

from __future__ import annotations

import math
import struct
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_dash.rows import decode_row
from ml_dash.server.segments import chunks

from .inside import Inside, make_run
from .recorded import ask, count_reads, fill, unpack


@pytest.fixture(scope="module")
def client(lasting: Inside) -> Any:
    return lasting.user("anna")


def index(client: Any, run: str, stream: str, **query: Any) -> Any:
    answer = client.get(f"/api/v1/runs/{run}/streams/{stream}/index", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def at(client: Any, run: str, streams: str, **query: Any) -> dict[str, Any]:
    answer = client.get(f"/api/v1/runs/{run}/at", params={"streams": streams, **query})
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["streams"])


def test_the_index_numbers_entries_as_rows_are_numbered(client: Any) -> None:
    """Two segments that overlap, united entries, a row without a step: index i is row i."""
    one = [{"timestamp": 1.0 * i, "step": i, "frame": f"f_{i}.jpg"} for i in range(10)]
    two: list[dict[str, Any]] = [
        {"timestamp": 2.5, "frame": None},
        {"timestamp": 4.5, "step": 99, "episode": 2},
    ]
    two += [{"timestamp": 7.25, "_explicit": True, "step": 3}]
    two += [{"timestamp": 7.25, "_explicit": True, "frame": "late.jpg"}]
    run, _ = fill(client, {"tracks/a/x.jsonl": one, "tracks/a/y.jsonl": two})
    rows = ask(client, run, "tracks/a")
    found = index(client, run, "tracks/a", columns="frame,episode")
    assert found["total"] == found["count"] == len(rows) == 13
    columns = found["columns"]
    assert columns["timestamp"] == [row["timestamp"] for row in rows]
    for name in ("step", "frame", "episode"):
        assert columns[name] == [row.get(name) for row in rows]
    part = index(client, run, "tracks/a", first=4, count=3, column="frame")
    assert part["first"] == 4 and part["count"] == 3 and part["total"] == 13
    assert part["columns"]["frame"] == columns["frame"][4:7]
    assert part["columns"]["step"] == columns["step"][4:7]


def test_a_binary_index_has_the_same_numbers(client: Any) -> None:
    """Arrays of float64, NaN where there is none; texts stand in the line."""
    rows = [{"timestamp": i / 3, "frame": f"{i}", "n": i * 2} for i in range(7)]
    for row in rows[2:]:
        row["step"] = 5
    run, _ = fill(client, {"tracks/b/w.jsonl": rows})
    path = f"/api/v1/runs/{run}/streams/tracks/b/index"
    body = client.get(path, params={"format": "binary", "columns": "frame,n"}).content
    header, arrays = unpack(body)
    assert header["total"] == 7 and header["texts"] == {"frame": [row["frame"] for row in rows]}
    found = {
        name: struct.unpack_from("<7d", arrays, place["at"])
        for name, place in header["columns"].items()
    }
    assert found["timestamp"] == tuple(row["timestamp"] for row in rows)
    assert [math.isnan(step) for step in found["step"]] == [True] * 2 + [False] * 5
    assert found["n"] == tuple(float(i * 2) for i in range(7))


steps = st.one_of(st.none(), st.integers(-2, 5))
times = st.sampled_from([1.0, 2.0, 2.5, 3.0, 7.0])


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    parts=st.lists(st.lists(st.tuples(times, steps, st.booleans()), max_size=10), max_size=3),
    room=st.sampled_from(["tracks/arm", "metrics/train"]),
    step=st.integers(-3, 6),
    time=st.sampled_from([0.5, 1.0, 2.2, 2.5, 9.0]),
    size=st.sampled_from([60, 200, 1 << 20]),
)
def test_what_is_at_a_step_is_the_greatest_up_to_it(
    client: Any,
    monkeypatch: pytest.MonkeyPatch,
    parts: Any,
    room: str,
    step: int,
    time: float,
    size: int,
) -> None:
    """By step the latest entry of the greatest step, by time the last entry; held against rows."""
    monkeypatch.setattr(chunks, "CHUNK", size)
    segments: dict[str, list[dict[str, Any]]] = {}
    for writer, part in enumerate(parts):
        for number, (when, own, explicit) in enumerate(part):
            row: dict[str, Any] = {"timestamp": when, "x": f"{writer}.{number}"}
            row |= {} if own is None else {"step": own}
            row |= {"_explicit": True} if explicit else {}
            segments.setdefault(f"{room}/w{writer}.jsonl", []).append(row)
    if not segments:
        return
    run, _ = fill(client, segments)
    rows = ask(client, run, room)
    best = None
    for row in rows:
        if row.get("step", 99) <= step and (best is None or row["step"] >= best["step"]):
            best = row
    assert at(client, run, room, step=step) == {room: best}
    before = [row for row in rows if row["timestamp"] <= time]
    last = before[-1] if before else None
    assert at(client, run, room, time=time) == {room: last}
    own = [row["step"] for row in rows if "step" in row]
    expected = best if own else last
    if any(after < before for before, after in pairwise(own)) and last is not best:
        expected = last if last and last.get("step") == step else later(rows, step, time) or last
    assert at(client, run, room, step=step, time=time) == {room: expected}


def later(rows: list[dict[str, Any]], step: int, time: float) -> dict[str, Any] | None:
    """The row of a step that is written a moment after a time, before any of a later step."""
    ahead = [row for row in rows if time < row["timestamp"] <= time + 2 and "step" in row]
    for row in ahead:
        if row["step"] > step:
            return None
        if row["step"] == step:
            same = [r for r in rows if r["timestamp"] == row["timestamp"] and r.get("step") == step]
            return same[-1]
    return None


def test_a_look_at_one_step_reads_few_chunks(
    client: Any, lasting: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three streams with some hundred chunks in all, one chunk each, and each once."""
    monkeypatch.setattr(chunks, "CHUNK", 2000)
    names = [f"tracks/s{number}" for number in range(3)]
    run, _ = fill(
        client,
        {
            f"{name}/w.jsonl": [
                {"timestamp": 10.0 * i, "step": i, "x": i, "own": name} for i in range(3000)
            ]
            for name in names
        },
    )
    read = count_reads(monkeypatch, lasting.objects)
    found = at(client, run, ",".join(names), step=1500)
    assert [found[name]["x"] for name in names] == [1500] * 3
    assert len(read) <= 6  # for the index, and for the row
    read.clear()
    assert at(client, run, ",".join(names), step=1501)[names[0]]["x"] == 1501
    assert read == []


def test_rows_at_a_step_keep_what_is_not_finite(client: Any) -> None:
    """They are marked as in a segment, and a stream that is not there is null."""
    run, _ = fill(client, {"tracks/a/w.jsonl": [{"timestamp": 1.0, "step": 1, "x": math.inf}]})
    found = at(client, run, "tracks/a,tracks/none", step=5)
    assert found["tracks/none"] is None
    assert found["tracks/a"] == {
        "timestamp": 1.0,
        "step": 1,
        "x": None,
        "_nonfinite": {"/x": "Infinity"},
    }
    assert decode_row(b'{"timestamp":1.0,"x":null,"_nonfinite":{"/x":"Infinity"}}')["x"] == math.inf


@pytest.mark.parametrize(
    "query",
    [
        {"streams": "tracks/a"},
        {"step": 1},
        {"streams": "tracks/a", "step": 2**64},
        {"streams": "tracks/a", "time": "nan"},
        {"streams": ",".join(f"s{i}" for i in range(60)), "step": 1},
    ],
)
def test_a_wrong_look_is_422(client: Any, query: dict[str, Any]) -> None:
    """Neither step nor time, none or too many streams, numbers that are none."""
    run = make_run(client, "demo/wrong")
    assert client.get(f"/api/v1/runs/{run}/at", params=query).status_code == 422


def test_numeric_columns_are_told_as_charts_take_them(client: Any) -> None:
    """Numbers, booleans, nested fields, elements of flat lists; not texts, step or timestamp."""
    early = {
        "timestamp": 1.0,
        "step": 1,
        "loss": 1,
        "ok": True,
        "name": "a",
        "p": {"x": 1, "n": ""},
    }
    late = {
        "timestamp": 99.0,
        "q": [1, 2.5],
        "m": [[1]],
        "long": [0] * 65,
        "s": ["a"],
        "z": math.nan,
    }
    between = [{"timestamp": 2.0 + i / 1000, "loss": 1.0} for i in range(500)]
    run, _ = fill(
        client,
        {
            "metrics/train/w.jsonl": [early, *between, late],
            "tracks/arm/w.jsonl": [{"timestamp": 1.0, "a,b": 1.0}],
            "logs/w.jsonl": [{"timestamp": 1.0, "n": 1}],
        },
    )
    path = f"/api/v1/runs/{run}/columns"
    wanted = ["loss", "ok", "p.x", "q[0]", "q[1]", "z"]
    assert client.get(path).json() == {"streams": {"metrics/train": wanted, "tracks/arm": ["a,b"]}}
    only = client.get(path, params={"stream": ["metrics/train"]}).json()["streams"]
    assert only == {"metrics/train": wanted}
    drawn = client.get(
        f"/api/v1/runs/{run}/streams/metrics/train/chart", params={"column": wanted, "x": "time"}
    )
    assert all(curve["x"] for curve in drawn.json()["columns"].values())
