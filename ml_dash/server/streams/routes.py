"""The API of streams: list, columns, rows, charts, index, and what is at a step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Annotated, Any, Literal

import numpy as np
import orjson
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from ml_dash.reading.lines import Row
from ml_dash.server.access import Data, Objects, ReadRun
from ml_dash.server.blobs.answers import disposition
from ml_dash.server.problems import Problem
from ml_dash.server.streams.answers import Format, answer_once, split_names, to_json
from ml_dash.server.streams.arrow import MOST, to_arrow
from ml_dash.server.streams.binary import MEDIA, pack_chart, pack_columns
from ml_dash.server.streams.chart import Axis, find_pieces, make_chart
from ml_dash.server.streams.chunks import StoredStream
from ml_dash.server.streams.csv import MEDIA as CSV
from ml_dash.server.streams.csv import csv_lines
from ml_dash.server.streams.index import Index, read_index
from ml_dash.server.streams.listing import list_streams
from ml_dash.server.streams.names import list_columns
from ml_dash.server.streams.point import find_at, find_by_step, find_by_time, has_steps
from ml_dash.server.streams.rows import Wanted, encode, lines, read_rows
from ml_dash.wire import API

router = APIRouter(prefix=f"{API}/runs/{{run}}", tags=["streams"])

Seconds = Annotated[float | None, Query(allow_inf_nan=False)]
Whole = Annotated[int | None, Query(ge=-(2**63), lt=2**63)]
Joined = Annotated[str, Query(max_length=20_000)]
Names = Annotated[list[str], Query(max_length=200)]
Bound = Annotated[float | None, Query(allow_inf_nan=False, gt=-1e18, lt=1e18)]
_MOST_STREAMS = 50


@router.get("/streams")
def read_streams(granted: ReadRun, data: Data) -> list[dict[str, Any]]:
    """The streams of a run: rows, bytes, and from which step and time to which they go.

    `origin` is from when on the seconds of a stream count: the start of the run, or the first of
    those rows that share a clock of their own, such as that of a simulation.
    """
    return list_streams(data, granted.run_id)


@router.get("/columns")
def read_columns(
    granted: ReadRun,
    data: Data,
    objects: Objects,
    stream: Names = [],  # noqa: B006 - FastAPI copies it
) -> dict[str, dict[str, list[str]]]:
    """The numeric columns of metrics and tracks, as charts take them: `loss`, `pose.x`, `q[0]`.

    By stream, in order of appearance, without `step` and `timestamp`. A flat list of at most 64
    numbers counts as a column for each element. Taken from the first and last lines of a stream.
    """
    if any("\0" in name for name in stream):
        raise Problem(422, "a stream's name has no NUL character")
    return {"streams": list_columns(data, objects, granted.run_id, stream)}


@router.get("/streams/{name:path}/rows")
def read_stream(
    name: str,
    granted: ReadRun,
    data: Data,
    objects: Objects,
    first: int = Query(0, ge=0, lt=2**62),
    count: int | None = Query(None, ge=0, lt=2**62),
    limit: int | None = Query(None, ge=0, lt=2**62),
    start_step: Whole = None,
    end_step: Whole = None,
    start_time: Seconds = None,
    end_time: Seconds = None,
    columns: Joined = "",
    column: Names = [],  # noqa: B006
    format: Literal["jsonl", "arrow", "csv"] = "jsonl",
) -> Response:
    """Rows in order of time, by number, step or time, all inclusive; as JSON Lines, Arrow or CSV.

    `count` and `limit` are the same; of both, the smaller one counts. `columns` are joined by
    commas; `column`, which may be repeated, takes a name that holds one. `timestamp` comes always.
    CSV needs columns, which may be elements of lists as in a chart, such as `q[0]`; `step` comes,
    too.
    """
    stream = StoredStream(data, objects, granted.run_id, name)
    names = split_names(columns, column)
    if format == "csv" and not names:
        raise Problem(422, "query.columns: give the columns of the table")
    wanted = Wanted(
        first,
        min((n for n in (count, limit) if n is not None), default=None),
        (start_step, end_step),
        start_time,
        end_time,
        names or None if format != "csv" else None,
    )
    rows = read_rows(stream, wanted)
    if format == "csv":
        saved = {
            "Content-Disposition": disposition(f"{name.partition('/')[2].replace('/', '-')}.csv")
        }
        return _sent(stream, csv_lines(rows, names), CSV, saved)
    if format == "jsonl":
        return _sent(stream, lines(rows), "application/x-ndjson")
    gathered = list(islice(rows, MOST + 1))
    if len(gathered) > MOST:
        raise Problem(
            413, f"an answer in Arrow has {MOST:,} rows at most; ask with first and count"
        )
    made = to_arrow(gathered, wanted.columns)
    return Response(made, media_type="application/vnd.apache.arrow.stream")


def _sent(
    stream: StoredStream,
    pieces: Iterator[bytes],
    kind: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An answer piece by piece; the first is made before it begins: what fails has a status."""
    first = next(pieces, b"")
    stream.has_begun = True
    return StreamingResponse(chain((first,), pieces), media_type=kind, headers=headers)


@router.get("/streams/{name:path}/chart")
def read_chart(
    name: str,
    request: Request,
    granted: ReadRun,
    data: Data,
    objects: Objects,
    columns: Joined = "",
    column: Names = [],  # noqa: B006
    x: Literal["step", "time", "relative"] = "step",
    buckets: int = Query(500, ge=1, le=10_000),
    low: Annotated[Bound, Query(alias="from")] = None,
    high: Annotated[Bound, Query(alias="to")] = None,
    format: Format = "json",
) -> Response:
    """Least, greatest and mean value of each bucket; the values themselves where they are few.

    `{"x", "origin", "exact", "columns": {name: {"x", "min", "max", "mean", "count",
    "nonfinite"}}}`: `x` is the middle of a bucket or the place of a value, `count` how many values
    a bucket has, `nonfinite` how many of them are NaN or infinite, which `min`, `max` and `mean`
    leave out; those are null where a bucket has none. `relative` are seconds since `origin`, as
    `/streams` tells it. `exact`: every value is there by itself.

    Where steps go back, as in each episode or after a resume, a column has one line for each pass:
    `passes` are the places at which they begin, and `names` what they are. Of too many passes the
    values at one place are one bucket.

    With `format=binary` a line of JSON, padded so that arrays begin at a multiple of eight bytes;
    `columns` in it has `count`, `passes` and `names`, and `at`, the place behind the line of the
    column's arrays: `x`, `min`, `max`, `mean` as float64, `count`, `nonfinite` as uint32,
    little-endian, each padded to eight bytes.
    """
    names = split_names(columns, column)
    if not names:
        raise Problem(422, "query.columns: give the columns to be drawn")
    if low is not None and high is not None and high < low:
        raise Problem(422, f"`to` is {high}, before `from`, which is {low}")
    stream = StoredStream(data, objects, granted.run_id, name)
    axis = Axis(x, low, high, _origin(data, granted.run_id, name) if x == "relative" else 0.0)
    pieces = find_pieces(stream, axis)

    def make() -> Response:
        chart = make_chart(stream, pieces, names, axis, buckets)
        facts = {"x": x, "origin": axis.origin, "exact": chart.exact}
        if format == "binary":
            return Response(pack_chart(chart, facts), media_type=MEDIA)
        return to_json({**facts, "columns": chart.curves})

    return answer_once(request, pieces, make, axis.origin)


def _origin(data: Data, run_id: str, name: str) -> float:
    """From when on the seconds of a stream count; 0 where it has no rows."""
    told = next((s["origin"] for s in list_streams(data, run_id) if s["name"] == name), None)
    return told or 0.0


@router.get("/streams/{name:path}/index")
def read_stream_index(
    name: str,
    request: Request,
    granted: ReadRun,
    data: Data,
    objects: Objects,
    first: int = Query(0, ge=0, lt=2**62),
    count: int | None = Query(None, ge=0, lt=2**62),
    columns: Joined = "",
    column: Names = [],  # noqa: B006
    format: Format = "json",
) -> Response:
    """Step and time of every entry in order of time, numbered as rows are; as compact columns.

    `{"first", "count", "total", "columns": {"step": [0, 1, null, …], "timestamp": […], …}}`; more
    columns can be asked for, such as `frame` or `episode`.

    With `format=binary` a line of JSON as a chart has it, `columns` with `type` and `at` of each
    array: float64, NaN where there is none. Columns that have other values than numbers stand in
    the line under `texts`.
    """
    stream = StoredStream(data, objects, granted.run_id, name)
    names = split_names(columns, column)

    def make() -> Response:
        found = read_index(stream, names, first, count)
        size = len(found.columns["timestamp"])
        facts: dict[str, Any] = {"first": first, "count": size, "total": found.total}
        if format == "binary":
            facts["texts"] = found.texts
            return Response(pack_columns(found.columns, facts), media_type=MEDIA)
        return to_json({**facts, "columns": {**_as_json(found), **found.texts}})

    return answer_once(request, stream.pieces(), make)


def _as_json(found: Index) -> dict[str, Any]:
    """Columns for JSON; steps are whole numbers there."""
    columns: dict[str, Any] = dict(found.columns)
    steps = found.columns["step"]
    if np.isfinite(steps).all():
        columns["step"] = steps.astype(np.int64)
    else:
        columns["step"] = [None if math.isnan(s) else int(s) for s in steps.tolist()]
    return columns


@router.get("/at")
def read_at(
    granted: ReadRun,
    data: Data,
    objects: Objects,
    step: Whole = None,
    time: Seconds = None,
    nth: int | None = Query(None, ge=0, lt=2**31),
    streams: Joined = "",
    stream: Names = [],  # noqa: B006
) -> Response:
    """The entries of several streams at a step or a time, or just before: what a player shows.

    `{"streams": {name: row or null}}`, null where a stream has nothing up to there. By step it is
    the entry of the greatest step that is not greater, and of several of that step the latest.
    Where a time is given, too, it is that of the time in streams without steps, and in those whose
    steps go back, as in each episode; `nth` says which of several entries of that step and time,
    from 0. Rows are as in a segment: what is not finite is null, and named under `_nonfinite`.
    """
    if step is None and time is None:
        raise Problem(422, "give a step, a time, or both")
    names = split_names(streams, stream)
    if not 0 < len(names) <= _MOST_STREAMS:
        raise Problem(422, f"give 1 to {_MOST_STREAMS} streams")
    found: list[tuple[str, Row | None]] = []
    for name in names:
        try:
            stored = StoredStream(data, objects, granted.run_id, name)
        except Problem:
            found.append((name, None))
            continue
        if step is None or (time is not None and not has_steps(stored)):
            row = find_by_time(stored, time or 0.0)
        else:
            row = find_by_step(stored, step) if time is None else find_at(stored, step, time, nth)
        found.append((name, row))
    told = b",".join(
        b"%b:%b" % (orjson.dumps(name), b"null" if row is None else encode(row)[:-1])
        for name, row in found
    )
    return Response(b'{"streams":{%b}}' % told, media_type="application/json")
