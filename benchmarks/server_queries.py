"""What a server answers: the list of very many runs, and charts of a long stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import numpy as np
import orjson
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from benchmarks.recording import Bench, DataLost
from benchmarks.server import SEGMENT, append, make_lines, make_requests
from benchmarks.serving import KINDS, Link, Site, bare, site
from benchmarks.table import Result, duration
from benchmarks.timing import each_call, interleave, median, ratio, stretch
from ml_dash import ids, wire
from ml_dash.server.tables import Run, RunTag, RunValue, Table

_GZIP = {"Content-Type": wire.FRAMES, "Content-Encoding": "gzip"}
_PAGE = 100
_QUERIES = {
    "first page": "",
    "filtered by a param and a tag": "&filter=params.lr > 0.5 and tag:best",
    "sorted by a metric": "&sort=-metrics.train.loss",
}


def run_list(bench: Bench) -> Iterator[Result]:
    """A page of the list of 10,000 runs."""
    many = bench.scale.list_runs
    for kind, name in KINDS.items():
        with site(bench, kind) as server, bare(bench) as floor:
            _fill(server, many)
            with closing(server.link()) as link, closing(Link(floor.url)) as other:
                yield from _pages(bench, f"{name}: {many:,} runs, ", link, other)


def _pages(bench: Bench, name: str, link: Link, other: Link) -> Iterator[Result]:
    for number, (what, query) in enumerate(_QUERIES.items()):
        path = f"{wire.API}/runs?limit={_PAGE}{_quoted(query)}"
        _check_page(what, orjson.loads(link.send("GET", path))["runs"], bench.scale.list_runs)
        floors, found = interleave(
            bench.scale.rounds,
            lambda _: _times(bench, lambda: other.send("GET", "/read")),
            lambda _, path=path: _times(bench, lambda: link.send("GET", path)),
        )
        yield Result(
            f"the same: {what}" if number else name + what,
            "",
            duration(median(floors)) + ("" if number else " (a route that says nothing)"),
            duration(median(found)),
            ratio(found, floors),
        )


def chart(bench: Bench) -> Iterator[Result]:
    """Two columns of a long stream in 500 buckets: at first, and again."""
    many = bench.scale.read_rows
    lines = make_lines(many)
    with site(bench) as server:
        with closing(server.link()) as link:
            run = link.make_run("a/chart")
            for body, end in make_requests(lines):
                append(link, run, body, end, _GZIP)
        path = f"/runs/{run}/streams/{SEGMENT.rpartition('/')[0]}/chart?columns=x,y&buckets=500"
        colds, warms, floors = [], [], []
        for _ in range(bench.scale.rounds):
            server.again()
            with stretch() as floor:
                _parse(lines)
            with closing(server.link()) as link:
                link.json("GET", "/me")
                with stretch() as cold:
                    made = link.json("GET", path)
                with stretch() as warm:
                    link.json("GET", path)
            _check_chart(made, many)
            floors.append(floor.wall)
            colds.append(cold.wall)
            warms.append(warm.wall)
        memory = server.memory()
    floor_time = f"{duration(median(floors))} (parsing the lines with orjson)"
    yield Result(
        f"SQLite and a folder: chart of {many:,} rows, first time",
        "",
        floor_time,
        duration(median(colds)),
        ratio(colds, floors),
        note=f"two columns, 500 buckets; the process held {memory / 1e6:.0f} MB afterwards",
    )
    yield Result("the same: again", "", "", duration(median(warms)), ratio(warms, floors))


# -- the list ----------------------------------------------------------------------------------


def _fill(server: Site, number: int) -> None:
    """Record one run by the API, and copy its rows of the database for the others."""
    link = server.link()
    run = link.make_run("list/run-0")
    for stream, row in _first_rows():
        text = orjson.dumps(row) + b"\n"
        piece = {"segment": f"{stream}/w.jsonl", "offset": 0, "tail": 0, "size": len(text)}
        append(link, run, wire.pack({"pieces": [piece]}, [text]), len(text), {})
    link.close()
    server.served.change(lambda session: _multiply(session, run, number))


def _first_rows() -> Iterator[tuple[str, dict[str, Any]]]:
    at = 1.7e9
    start = {"event": "start", "id": "1", "session": "s", "root": True, "tags": ["best"]}
    yield "run", {"timestamp": at, **start}
    params = {"lr": 0.0, "model.layers": 4, "optimizer": "adam", "seed": 1}
    yield "params", {"timestamp": at, "params": params}
    yield "metrics/train", {"timestamp": at, "step": 0, "loss": 0.0, "accuracy": 0.5}
    yield "metrics/eval", {"timestamp": at, "step": 0, "loss": 0.5, "success": 0.25}


def _multiply(session: Session, run: str, number: int) -> None:
    first = _columns(session, Run, Run.id == run)[0]
    values = _columns(session, RunValue, RunValue.run_id == run)
    if not any(value["key"] == "params.lr" for value in values):
        raise DataLost("the server has not taken the params")
    for i in range(1, number):
        own = ids.new_id()
        shares = {"params.lr": i / number, "metrics.train.loss": (i * 7919 % number) / number}
        session.execute(
            insert(Run).values(
                first | {"id": own, "name": f"run-{i}", "started": first["started"] + i}
            )
        )
        rows = [v | {"run_id": own, "number": shares.get(v["key"], v["number"])} for v in values]
        session.execute(insert(RunValue), rows)
        if i % 4 == 0:
            session.execute(insert(RunTag).values(run_id=own, tag="best"))


def _columns(session: Session, table: type[Table], where: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in session.execute(select(table.__table__).where(where)).mappings()]


def _check_page(what: str, runs: list[dict[str, Any]], number: int) -> None:
    names = [int(run["name"].partition("-")[2]) for run in runs]
    if what.startswith("filtered"):
        good = all(i > number / 2 and i % 4 == 0 for i in names) and names
    elif what.startswith("sorted"):
        losses = [i * 7919 % number for i in names]
        good = losses == sorted(losses, reverse=True) and losses[0] == number - 1
    else:
        good = len(names) == min(_PAGE, number)
    if not good:
        raise DataLost(f"{what}: {names[:10]}")


def _quoted(query: str) -> str:
    return query.replace(" ", "%20").replace(">", "%3E")


def _times(bench: Bench, ask: Callable[[], object]) -> float:
    return each_call("ask()", bench.scale.asked, ask=ask).p50


# -- the chart ---------------------------------------------------------------------------------


def _parse(lines: bytes) -> None:
    for line in lines.splitlines():
        orjson.loads(line)


def _check_chart(made: dict[str, Any], number: int) -> None:
    x = made["columns"]["x"]
    if sum(x["count"]) != number:
        raise DataLost(f"the chart has {sum(x['count']):,} of {number:,} values")
    least, greatest = (np.array([v for v in x[k] if v is not None]) for k in ("min", "max"))
    if least.min() != 0 or greatest.max() != (number - 1) * 0.1:
        raise DataLost(f"the chart goes from {least.min()} to {greatest.max()}")
