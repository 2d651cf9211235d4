"""Charts: buckets in which nothing is left out, exact values, and what they cost."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from ml_dash.server.segments import chunks
from ml_dash.server.streams import chart
from ml_dash.server.streams import numbers as kept
from ml_dash.server.streams.numbers import NumberCache

from .inside import Inside, send
from .recorded import count_reads, fill, unpack


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    made = Inside(tmp_path_factory.mktemp("server"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def client(inside: Inside) -> Any:
    return inside.user("anna")


def draw(client: Any, run: str, stream: str, **query: Any) -> Any:
    answer = client.get(f"/api/v1/runs/{run}/streams/{stream}/chart", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_spike_of_one_sample_in_a_million_is_in_the_chart(client: Any, inside: Inside) -> None:
    """One value of 1e6 among a million, drawn in 500 buckets, is the maximum of its bucket."""
    count, part = 1_000_000, 200_000
    run, _ = fill(client, {})
    before, end = b"", 0
    for first in range(0, count, part):
        text = b"".join(
            b'{"timestamp":%d.5,"step":%d,"loss":%s}\n'
            % (i, i, b"1000000.0" if i == 777_777 else b"0.25")
            for i in range(first, first + part)
        )
        assert send(client, run, ("metrics/m/w.jsonl", end, before, text))[0]["state"] == "taken"
        before, end = text[-4096:], end + len(text)
    made = draw(client, run, "metrics/m", columns="loss")
    curve = made["columns"]["loss"]
    assert not made["exact"] and len(curve["x"]) == 500 and sum(curve["count"]) == count
    high = int(np.argmax(curve["max"]))
    assert curve["max"][high] == 1e6 and sorted(curve["max"])[-2] == 0.25
    assert abs(curve["x"][high] - 777_777) < 2000 and set(curve["min"]) == {0.25}
    closer = draw(client, run, "metrics/m", columns="loss", **{"from": 777_700, "to": 777_800})
    assert closer["exact"]
    spike = closer["columns"]["loss"]
    assert spike["x"][spike["max"].index(1e6)] == 777_777


def test_what_is_not_finite_and_gaps_are_told(client: Any) -> None:
    """NaN and infinity are counted, never drawn; empty buckets are there and say 0."""
    rows = [
        {"timestamp": float(i), "step": i, "x": float(i)} for i in [*range(50), *range(90, 100)]
    ]
    rows[3]["x"], rows[4]["x"], rows[5]["x"] = math.nan, math.inf, -math.inf
    rows[7]["x"] = None
    run, _ = fill(client, {"metrics/m/w.jsonl": rows})
    curve = draw(client, run, "metrics/m", columns="x", buckets=10)["columns"]["x"]
    assert curve["count"] == [9, 10, 10, 10, 10, 0, 0, 0, 0, 10]
    assert sum(curve["nonfinite"]) == 3 and curve["nonfinite"][0] == 3
    assert curve["count"][7] == 0 and curve["min"][7] is None and curve["mean"][7] is None
    assert curve["min"][0] == 0.0 and max(v for v in curve["max"] if v is not None) == 99.0
    exact = draw(client, run, "metrics/m", columns="x")
    assert exact["exact"] and exact["columns"]["x"]["nonfinite"][3:6] == [1, 1, 1]
    assert exact["columns"]["x"]["min"][2:6] == [2.0, None, None, None]
    assert 7 not in exact["columns"]["x"]["x"]


def test_few_values_come_back_as_they_were_recorded(client: Any) -> None:
    """Over step, time and seconds since the start; also where the steps go back."""
    values = [0.1, 1_763_722_000.25, -1e-300, 5e-324]
    rows = [
        {"timestamp": 100.0 + i, "step": step, "v": value, "n": 2**53, "b": True}
        for i, (step, value) in enumerate(zip([5, 6, 5, 6], values, strict=True))
    ]
    begun = [{"timestamp": 98.0, "event": "start", "session": "s", "root": True}]
    run, _ = fill(client, {"run/w.jsonl": begun, "metrics/m/w.jsonl": rows})
    by_step = draw(client, run, "metrics/m", columns="v,n,b")
    assert by_step["exact"] and by_step["columns"]["v"]["x"] == [5, 6, 5, 6]
    assert by_step["columns"]["v"]["mean"] == values
    assert by_step["columns"]["v"]["passes"] == [0, 2]
    assert by_step["columns"]["n"]["min"] == [2.0**53] * 4
    assert by_step["columns"]["b"]["max"] == [1.0] * 4
    by_time = draw(client, run, "metrics/m", columns="v", x="time")
    assert by_time["columns"]["v"]["x"] == [100.0, 101.0, 102.0, 103.0]
    since = draw(client, run, "metrics/m", columns="v", x="relative", **{"from": 3})
    assert since["origin"] == 98.0 and since["columns"]["v"]["x"] == [3.0, 4.0, 5.0]
    assert since["columns"]["v"]["max"] == values[1:]


def test_buckets_are_those_of_a_plain_loop(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Least, greatest, mean and count of each bucket, of several segments cut into small chunks."""
    monkeypatch.setattr(chunks, "CHUNK", 700)
    random = np.random.default_rng(1)
    steps, values = random.integers(0, 1000, 600).tolist(), random.normal(size=600).tolist()
    rows = [
        {"timestamp": float(i), "step": step, "v": value}
        for i, (step, value) in enumerate(zip(steps, values, strict=True))
    ]
    run, _ = fill(client, {"metrics/m/a.jsonl": rows[::2], "metrics/m/b.jsonl": rows[1::2]})
    found = draw(client, run, "metrics/m", columns="v", buckets=7, **{"from": 100, "to": 900})
    curve = found["columns"]["v"]
    for bucket in range(7):
        low, high = 100 + bucket * 800 / 7, 100 + (bucket + 1) * 800 / 7
        own = [
            v
            for s, v in zip(steps, values, strict=True)
            if low <= s < high or (bucket == 6 and s == 900)
        ]
        assert curve["count"][bucket] == len(own)
        assert curve["min"][bucket] == min(own) and curve["max"][bucket] == max(own)
        assert math.isclose(curve["mean"][bucket], sum(own) / len(own), abs_tol=1e-12)


def test_entries_of_one_explicit_time_are_one_value(client: Any) -> None:
    """Of two rows of a track that are one entry, the later value is drawn, at the entry's step."""
    rows = [
        {"timestamp": 1.0, "_explicit": True, "step": 4, "x": 1.0},
        {"timestamp": 1.0, "_explicit": True, "x": 2.0},
    ]
    run, _ = fill(client, {"tracks/a/w.jsonl": rows})
    curve = draw(client, run, "tracks/a", columns="x")["columns"]["x"]
    assert curve["x"] == [4.0] and curve["mean"] == [2.0]


def test_elements_of_lists_and_names_with_commas_can_be_drawn(client: Any) -> None:
    """`q[1]` is the second joint; `column=` takes a name that `columns=` would split."""
    rows = [
        {"timestamp": float(i), "step": i, "q": [i + 0.5, -i], "a,b": i, "p": {"x": i}}
        for i in range(3)
    ]
    run, _ = fill(client, {"tracks/arm/w.jsonl": rows})
    made = draw(client, run, "tracks/arm", columns="q[1],p.x,q[2]", column="a,b")["columns"]
    assert made["q[1]"]["mean"] == [0.0, -1.0, -2.0] and made["a,b"]["mean"] == [0.0, 1.0, 2.0]
    assert made["p.x"]["mean"] == [0.0, 1.0, 2.0] and made["q[2]"]["x"] == []


@pytest.mark.parametrize("count", [3, 2000])
def test_a_binary_chart_has_the_same_numbers(client: Any, count: int) -> None:
    """Arrays of float64 and uint32 at the places that its line says, NaN where JSON has null."""
    rows = [{"timestamp": float(i), "step": i, "x": i / 7, "y": math.nan} for i in range(count)]
    run, _ = fill(client, {"metrics/m/w.jsonl": rows})
    told = draw(client, run, "metrics/m", columns="x,y", buckets=11)
    path = f"/api/v1/runs/{run}/streams/metrics/m/chart"
    body = client.get(path, params={"columns": "x,y", "buckets": 11, "format": "binary"}).content
    header, arrays = unpack(body)
    assert header["exact"] == told["exact"] and header["values"] == "float64"
    for name, place in header["columns"].items():
        at, size = place["at"], place["count"]
        for key, kind, width in (
            *((key, "d", 8) for key in ("x", "min", "max", "mean")),
            *((key, "I", 4) for key in ("count", "nonfinite")),
        ):
            assert at % 8 == 0
            found = struct.unpack_from(f"<{size}{kind}", arrays, at)
            at += size * width + -(size * width) % 8
            assert [None if v != v else v for v in found] == told["columns"][name][key]


def test_a_chart_that_is_known_is_not_made_again(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its ETag is answered with 304 without reading anything, until rows are added."""
    rows = [{"timestamp": float(i), "step": i, "x": 1.0} for i in range(5)]
    run, _ = fill(client, {"metrics/m/w.jsonl": rows})
    path = f"/api/v1/runs/{run}/streams/metrics/m/chart?columns=x"
    first = client.get(path)
    with monkeypatch.context() as patch:
        patch.setattr(kept.numbers, "load_all", lambda *given: pytest.fail("it was made again"))
        again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304 and again.content == b""
    before = b"".join(b'{"timestamp":%d.0,"step":%d,"x":1.0}\n' % (i, i) for i in range(5))
    more = b'{"timestamp":9.0,"step":9,"x":3.0}\n'
    assert (
        send(client, run, ("metrics/m/w.jsonl", len(before), before, more))[0]["state"] == "taken"
    )
    third = client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert third.status_code == 200 and third.json()["columns"]["x"]["max"][-1] == 3.0


def test_a_zoom_reads_only_the_chunks_of_its_range(
    client: Any, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a hundred chunks two at most; asked again, none; never one twice."""
    monkeypatch.setattr(chunks, "CHUNK", 2000)
    rows = [{"timestamp": float(i), "step": i, "x": i * 1.0} for i in range(5000)]
    run, _ = fill(client, {"metrics/zoom/w.jsonl": rows})
    reads = count_reads(monkeypatch, inside.objects)
    for query, low, high in (
        ({"from": 2000, "to": 2010}, 1, 2),
        ({"from": 2000, "to": 2010}, 0, 0),
        ({"x": "time", "from": 4000, "to": 4005}, 1, 2),
        ({}, 50, 120),
        ({}, 0, 0),
    ):
        reads.clear()
        draw(client, run, "metrics/zoom", columns="x", **query)
        assert low <= len(reads) <= high, query


def test_kept_columns_are_bounded(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of 20 KB stays below that, whatever is drawn, and charts are right all the same."""
    monkeypatch.setattr(chunks, "CHUNK", 2000)
    small = NumberCache(20_000)
    monkeypatch.setattr(chart, "numbers", small)
    rows = [{"timestamp": float(i), "step": i, "x": i * 1.0, "y": -1.0} for i in range(5000)]
    run, _ = fill(client, {"metrics/m/w.jsonl": rows})
    for _ in range(2):
        made = draw(client, run, "metrics/m", columns="x,y", buckets=5)["columns"]
        assert made["x"]["max"][-1] == 4999.0 and sum(made["y"]["count"]) == 5000
        assert 0 < small.held <= 20_000


def test_a_chart_of_too_many_values_is_refused(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """413 says what to do, before anything is read."""
    rows = [{"timestamp": float(i), "step": i, "x": 1.0} for i in range(50)]
    run, _ = fill(client, {"metrics/m/w.jsonl": rows})
    path = f"/api/v1/runs/{run}/streams/metrics/m/chart"
    monkeypatch.setattr(kept.numbers, "load_all", lambda *given: pytest.fail("it was read"))
    monkeypatch.setattr(chart, "MOST_VALUES", 99)
    answer = client.get(path, params={"columns": "x,y"})
    assert answer.status_code == 413 and "fewer columns" in answer.json()["detail"]
    monkeypatch.setattr(chart, "MOST", 49)
    assert client.get(path, params={"columns": "x"}).status_code == 413


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"columns": ""},
        {"columns": "x", "from": "nan"},
        {"columns": "x", "from": 5, "to": 4},
        {"columns": "x", "buckets": 0},
        {"columns": "x", "buckets": 10**9},
        {"columns": "x", "x": "phase"},
        {"columns": ",".join(map(str, range(300)))},
    ],
)
def test_wrong_questions_are_422(client: Any, query: dict[str, Any]) -> None:
    """What cannot be drawn is refused with a sentence."""
    run, _ = fill(client, {"metrics/m/w.jsonl": [{"timestamp": 1.0, "x": 1.0}]})
    answer = client.get(f"/api/v1/runs/{run}/streams/metrics/m/chart", params=query)
    assert answer.status_code == 422 and answer.json()["detail"]


def test_extreme_values_make_no_error(client: Any) -> None:
    """Steps of 64 bits, values at the ends of floats, a column that is not there, text."""
    rows: list[dict[str, Any]] = [
        {"timestamp": 1.0, "step": 2**62, "x": 1.7e308, "s": "a"},
        {"timestamp": 2.0, "step": -(2**61), "x": -1.7e308, "s": "b"},
        {"timestamp": 3.0, "step": 7, "x": 1.7e308},
        {"timestamp": 4.0, "x": 3.0},
    ] * 3
    run, _ = fill(client, {"metrics/m/w.jsonl": rows})
    for x in ("step", "time", "relative"):
        made = draw(client, run, "metrics/m", columns="x,s,none", x=x, buckets=1)["columns"]
        assert made["x"]["max"] == [1.7e308] and made["x"]["min"] == [-1.7e308]
        assert made["x"]["mean"][0] is not None and made["s"]["x"] == made["none"]["x"] == []
