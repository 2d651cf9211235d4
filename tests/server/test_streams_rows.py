"""Rows of streams as the server gives them, held against the local reader."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_dash.reading import read_rows
from ml_dash.rows import decode_row
from ml_dash.server.segments import chunks

from .inside import Inside
from .recorded import ask, count_reads, fill, same


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    made = Inside(tmp_path_factory.mktemp("server"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def client(inside: Inside) -> Any:
    return inside.user("anna")


numbers = st.one_of(
    st.integers(-3, 3), st.floats(width=32), st.just(10**30), st.none(), st.text(max_size=2)
)
rows = st.lists(
    st.fixed_dictionaries(
        {"timestamp": st.sampled_from([1.0, 2.0, 2.5, 3.0, 7.0])},
        optional={
            "_explicit": st.just(True),
            "step": st.integers(0, 3),
            "x": numbers,
            "deep": st.fixed_dictionaries({"y": numbers}),
        },
    ),
    max_size=12,
)
bounds = st.one_of(st.none(), st.sampled_from([0.0, 1.0, 2.0, 2.2, 3.0, 9.0]))


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    parts=st.lists(rows, min_size=1, max_size=3),
    room=st.sampled_from(["tracks/arm", "metrics/train"]),
    start=bounds,
    end=bounds,
    steps=st.tuples(
        st.one_of(st.none(), st.integers(0, 3)), st.one_of(st.none(), st.integers(0, 3))
    ),
    first=st.integers(0, 8),
    count=st.integers(0, 8),
    size=st.sampled_from([60, 150, 1 << 20]),
)
def test_rows_are_those_of_the_local_reader(
    client: Any,
    monkeypatch: pytest.MonkeyPatch,
    parts: Any,
    room: str,
    start: Any,
    end: Any,
    steps: Any,
    first: int,
    count: int,
    size: int,
) -> None:
    """Several segments in any order of time, cut into small chunks, read whole and in parts."""
    monkeypatch.setattr(chunks, "CHUNK", size)
    segments = {f"{room}/w{number}.jsonl": part for number, part in enumerate(parts) if part}
    if not segments:
        return
    # Sessions begin the other way round than their names sort
    begun = {f"run/w{n}.jsonl": [{"timestamp": 10.0 - n, "event": "start"}] for n in range(3)}
    run, local = fill(client, {**begun, **segments})
    whole = list(read_rows(local, room))
    assert same(ask(client, run, room), whole)
    assert same(ask(client, run, room, first=first, count=count), whole[first : first + count])
    times = {k: v for k, v in (("start_time", start), ("end_time", end)) if v is not None}
    assert same(ask(client, run, room, **times), list(read_rows(local, room, start=start, end=end)))
    columns = list(read_rows(local, room, columns=["x", "deep.y"]))
    assert same(ask(client, run, room, columns="x,deep.y"), columns)
    low, high = steps
    query = {k: v for k, v in (("start_step", low), ("end_step", high)) if v is not None}
    if query:
        kept = [
            row
            for row in whole
            if "step" in row
            and (low is None or row["step"] >= low)
            and (high is None or row["step"] <= high)
        ]
        assert same(ask(client, run, room, **query), kept)


def test_a_range_reads_only_the_chunks_that_overlap_it(
    client: Any, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many chunks, those outside the range are not taken from the store."""
    monkeypatch.setattr(chunks, "CHUNK", 2000)
    rows = [{"timestamp": 100.0 + i, "step": i, "x": i + 0.5} for i in range(5000)]
    run, _ = fill(client, {"tracks/long/w.jsonl": rows})
    read = count_reads(monkeypatch, inside.objects)
    for query in (
        {"start_time": 3100, "end_time": 3102},
        {"start_step": 1000, "end_step": 1002},
        {"first": 4000, "count": 3},
    ):
        read.clear()
        got = ask(client, run, "tracks/long", **query)
        assert len(got) == 3
        if "first" not in query:  # of a track the entries before are counted, once
            assert 1 <= len(read) <= 2
    read.clear()
    assert ask(client, run, "tracks/long", first=4001, count=1)[0]["step"] == 4001
    assert len(read) <= 1


def test_arrow_has_the_same_values(client: Any) -> None:
    """NaN stays NaN, nested fields are named with dots, mixed kinds become JSON text."""
    rows = [
        {"timestamp": 1.0, "step": 1, "x": math.nan, "deep": {"y": 1}, "mixed": 1},
        {"timestamp": 2.0, "step": 2, "x": math.inf, "deep": {"y": 2}, "mixed": "a", "big": 10**30},
        {"timestamp": 3.0, "v": [1.0, 2.0]},
    ]
    run, _ = fill(client, {"metrics/train/w.jsonl": rows})
    path = f"/api/v1/runs/{run}/streams/metrics/train/rows"
    answer = client.get(path, params={"format": "arrow"})
    table = pa.ipc.open_stream(io.BytesIO(answer.content)).read_all()
    assert table["step"].to_pylist() == [1, 2, None]
    assert repr(table["x"].to_pylist()) == "[nan, inf, None]"
    assert table["deep.y"].to_pylist() == [1, 2, None]
    assert table["mixed"].to_pylist() == ["1", "a", None]
    assert table["big"].to_pylist() == [None, str(10**30), None]
    assert table["v"].to_pylist() == [None, None, [1.0, 2.0]]
    answer = client.get(path, params={"format": "arrow", "columns": "deep.y,none"})
    table = pa.ipc.open_stream(io.BytesIO(answer.content)).read_all()
    assert table.column_names == ["timestamp", "deep.y", "none"]
    assert table["deep.y"].to_pylist() == [1, 2, None]


def test_streams_are_listed_with_their_spans(client: Any) -> None:
    """Rows, steps and times of all segments together."""
    run, _ = fill(
        client,
        {
            "tracks/a/w1.jsonl": [{"timestamp": 5.0, "step": 3}],
            "tracks/a/w2.jsonl": [{"timestamp": 4.0, "step": 9}, {"timestamp": 6.0}],
        },
    )
    (stream,) = client.get(f"/api/v1/runs/{run}/streams").json()
    assert stream["name"] == "tracks/a" and stream["rows"] == 3 and stream["segments"] == 2
    assert stream["steps"] == [3, 9] and stream["times"] == [4.0, 6.0]


@pytest.mark.parametrize("name", ["tracks/none", "..%2F..%2Fetc", "tracks/a'--"])
def test_a_stream_that_is_not_there_is_not_found(client: Any, name: str) -> None:
    """Whatever the name, it is 404 and never an error of the server."""
    run, _ = fill(client, {"tracks/a/w1.jsonl": [{"timestamp": 5.0}]})
    assert client.get(f"/api/v1/runs/{run}/streams/{name}/rows").status_code == 404


def test_wrong_bounds_are_refused(client: Any) -> None:
    """NaN and numbers beyond 64 bits are 422."""
    run, _ = fill(client, {"tracks/a/w1.jsonl": [{"timestamp": 5.0}]})
    for query in ({"start_time": "nan"}, {"end_step": 2**70}, {"first": -1}, {"format": "csv"}):
        path = f"/api/v1/runs/{run}/streams/tracks/a/rows"
        assert client.get(path, params=query).status_code == 422


def test_rows_can_be_read_back_as_they_were_written(client: Any) -> None:
    """What is not finite and what is over 64 bits goes over the wire marked as in a segment."""
    row = {"timestamp": 1.0, "a": [1.0, -math.inf], "b": {"c/d": math.nan}, "n": -(10**25)}
    run, _ = fill(client, {"metrics/m/w.jsonl": [row]})
    answer = client.get(f"/api/v1/runs/{run}/streams/metrics/m/rows")
    assert b"NaN" in answer.content and b"null" in answer.content
    orjson.loads(answer.content)
    assert same(decode_row(answer.content), row)


def test_a_table_has_each_value_as_it_was_recorded(client: Any) -> None:
    """Elements of lists and nested fields by their names; what is missing is empty, NaN is NaN."""
    given = [
        {"timestamp": 1.5, "step": 1, "q": [0.1, 1e300], "pose": {"x": -3}, "=1+1": "=2+2"},
        {"timestamp": 2.5, "step": 2, "q": [math.nan, 2]},
        {"timestamp": 3.5, "pose": {"x": 0.1}, "=1+1": 'a,"b"'},
    ]
    run, _ = fill(client, {"tracks/arm/w.jsonl": given})
    path = f"/api/v1/runs/{run}/streams/tracks/arm/rows"
    names = ["q[0]", "q[1]", "pose.x", "=1+1"]
    answer = client.get(path, params={"format": "csv", "column": names})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith('attachment; filename="arm.csv"')
    assert answer.text.split("\r\n") == [
        "timestamp,step,q[0],q[1],pose.x,'=1+1",
        "1.5,1,0.1,1e+300,-3,'=2+2",
        "2.5,2,NaN,2,,",
        '3.5,,,,0.1,"a,""b"""',
        "",
    ]
    odd = [{"timestamp": 1.5, "q": [2**70, "\ud800"]}]
    run, _ = fill(client, {"tracks/arm/w.jsonl": odd})
    whole = client.get(
        f"/api/v1/runs/{run}/streams/tracks/arm/rows", params={"format": "csv", "column": "q"}
    )
    assert whole.text.splitlines()[1].startswith(f'1.5,,"[{2**70},')
    part = client.get(path, params={"format": "csv", "column": ["pose.x"], "start_step": 2})
    assert part.text == "timestamp,step,pose.x\r\n2.5,2,\r\n"
    assert client.get(path, params={"format": "csv"}).status_code == 422
