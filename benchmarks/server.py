"""What one server process takes in: rows by one connection, and by many at once."""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import orjson

from benchmarks.calls import make_row
from benchmarks.recording import Bench, DataLost
from benchmarks.serving import KINDS, Bare, Link, Site, bare, site
from benchmarks.table import Result, count, duration, megabytes
from benchmarks.timing import Latencies, Stretch, interleave, median, ratio, stretch
from ml_dash import wire
from ml_dash.sync.segments import compressed

SEGMENT = "tracks/robot/position/bench.jsonl"
CLIENTS = 50
_ROWS_A_REQUEST = 100
_FRAMES = {"Content-Type": wire.FRAMES, "Content-Encoding": "gzip"}

Crowd = tuple[Latencies, Stretch]
"""What each request of a crowd took, and what all of them did."""


def appended_rows(bench: Bench) -> Iterator[Result]:
    """Rows by one connection, in requests as large as the client makes them."""
    for kind, name in KINDS.items():
        yield _appended_rows(bench, kind, name)


def many_clients(bench: Bench) -> Iterator[Result]:
    """How long appends of 100 rows take while 50 clients make them, each to its run."""
    for kind, name in KINDS.items():
        yield from _many_clients(bench, kind, name)


def _appended_rows(bench: Bench, kind: str, name: str) -> Result:
    many, lines = bench.scale.read_rows, make_lines(bench.scale.read_rows)
    requests = make_requests(lines)
    bodies = [body for body, _ in requests]
    with site(bench, kind) as ours, bare(bench) as floor:
        files, bares, found = interleave(
            bench.scale.rounds,
            lambda _: _written(bench, lines),
            lambda _: _sent_bare(floor, bodies),
            lambda number: _appended(ours, f"rows/{number}", requests, lines),
        )
        memory = ours.memory()
    speed = median([many / s.wall for s in found])
    kept = median([many / s.wall for s in files])
    return Result(
        f"{name}: rows/s appended by one connection, {many:,} rows",
        "at least 200 k/s",
        f"{count(median([many / s.wall for s in bares]))} rows/s (a route that reads the bodies)",
        f"{count(speed)} rows/s",
        ratio([b.wall for b in bares], [s.wall for s in found]),
        None,
        speed >= 200_000,
        f"{duration(median([s.cpu for s in found]) / many)} of the server's CPU a row;"
        f" {megabytes(len(lines))} of lines in {len(requests)} requests, packed to"
        f" {megabytes(sum(map(len, bodies)))}; the same lines into a file that the disk confirms"
        f" after each request's: {count(kept)} rows/s; the process held {megabytes(memory)}"
        " afterwards",
    )


def _many_clients(bench: Bench, kind: str, name: str) -> Iterator[Result]:
    each, body = bench.scale.requests, make_lines(_ROWS_A_REQUEST)
    with site(bench, kind) as ours, bare(bench) as floor:
        kept, found = interleave(
            bench.scale.rounds,
            lambda _: _bare_crowd(floor, each, body),
            lambda number: _crowd_of(ours, each, body, number),
        )
    total = CLIENTS * each
    rate, bare_rate = (median([total / taken.wall for _, taken in s]) for s in (found, kept))
    cpu = median([taken.cpu / total for _, taken in found])
    for number, percent in enumerate((50, 99)):
        mine, theirs = ([t.percentile(percent) for t, _ in s] for s in (found, kept))
        first = f"{name}: append of {_ROWS_A_REQUEST} rows, {CLIENTS} clients at once: p50"
        yield Result(
            "the same: p99" if number else first,
            "",
            duration(median(theirs)) + ("" if number else " (a route that writes, with fsync)"),
            duration(median(mine)),
            ratio(mine, theirs),
            note=""
            if number
            else f"{rate:,.0f} appends/s, {duration(cpu)} of the server's CPU each; the bare route"
            f" {bare_rate:,.0f}/s. Each client sends its next append when it has the answer",
        )


# -- one connection ----------------------------------------------------------------------------


def make_lines(number: int, first: int = 0) -> bytes:
    """Rows of 4 scalars, as they stand in a segment."""
    line = orjson.OPT_APPEND_NEWLINE
    rows = ({"timestamp": 1.7e9 + i * 1e-3, **make_row(i)} for i in range(first, first + number))
    return b"".join(orjson.dumps(row, None, line) for row in rows)


def make_requests(lines: bytes) -> list[tuple[bytes, int]]:
    """Bodies as the client makes them, and where the segment ends after each."""
    found = []
    begin = 0
    while begin < len(lines):
        end = lines.rfind(b"\n", begin, begin + wire.SEND_LIMIT) + 1
        found.append((compressed(make_body(lines, begin, end)), end))
        begin = end
    return found


def make_body(lines: bytes, begin: int, end: int) -> bytes:
    """The body of an append of one piece."""
    tail = wire.tail_crc(lines[max(0, begin - wire.TAIL) : begin])
    piece = {"segment": SEGMENT, "offset": begin, "tail": tail, "size": end - begin}
    return wire.pack({"pieces": [piece]}, [lines[begin:end]])


def _written(bench: Bench, lines: bytes) -> Stretch:
    with bench.place() as place, stretch() as taken, (place / "rows").open("wb", 0) as file:
        for begin in range(0, len(lines), wire.SEND_LIMIT):
            file.write(lines[begin : begin + wire.SEND_LIMIT])
            os.fsync(file)
    return taken


def _sent_bare(server: Bare, bodies: list[bytes]) -> Stretch:
    link, cpu = Link(server.url), server.cpu()
    with stretch() as taken:
        for body in bodies:
            link.send("POST", "/read", body)
    taken.cpu = server.cpu() - cpu
    link.close()
    return taken


def _appended(
    server: Site, prefix: str, requests: list[tuple[bytes, int]], lines: bytes
) -> Stretch:
    link = server.link()
    run, cpu = link.make_run(prefix), server.cpu()
    with stretch() as taken:
        for body, end in requests:
            append(link, run, body, end, _FRAMES)
    taken.cpu = server.cpu() - cpu
    check_segment(link, run, lines)
    link.close()
    return taken


def append(link: Link, run: str, body: bytes, end: int, headers: dict[str, str]) -> None:
    """Append one piece.

    Raises:
        DataLost: it was not taken as it is.
    """
    answer = orjson.loads(link.send("POST", f"{wire.API}/runs/{run}/append", body, headers))
    (piece,) = answer["pieces"]
    if piece["state"] != "taken" or piece["end"] != end:
        raise DataLost(f"the server answers {piece}")


def check_segment(link: Link, run: str, lines: bytes) -> None:
    """Read a segment back, and compare all of it."""
    if link.send("GET", f"{wire.API}/runs/{run}/segments/{SEGMENT}") != lines:
        raise DataLost("the server has other bytes than were sent")


# -- many clients ------------------------------------------------------------------------------


def _crowd_of(server: Site, each: int, lines: bytes, number: int) -> Crowd:
    """Each client appends the same rows again and again to a run of its own."""
    links = [server.link() for _ in range(CLIENTS)]
    runs = [link.make_run(f"crowd/{number}-{who}") for who, link in enumerate(links)]
    whole = lines * each
    bodies = [
        make_body(whole, begin, begin + len(lines)) for begin in range(0, len(whole), len(lines))
    ]
    headers = {"Content-Type": wire.FRAMES}

    def once(who: int, turn: int) -> None:
        append(links[who], runs[who], bodies[turn], len(lines) * (turn + 1), headers)

    found = _crowd(each, once, server.cpu)
    for link, run in zip(links, runs, strict=True):
        check_segment(link, run, whole)
        link.close()
    return found


def _bare_crowd(server: Bare, each: int, lines: bytes) -> Crowd:
    links = [Link(server.url) for _ in range(CLIENTS)]
    found = _crowd(each, lambda who, _: links[who].send("POST", "/kept", lines), server.cpu)
    for link in links:
        link.close()
    return found


def _crowd(each: int, once: Callable[[int, int], object], cpu: Callable[[], float]) -> Crowd:
    """Let all clients do something at once, `each` times one after another."""
    times = [array("q", bytes(8 * each)) for _ in range(CLIENTS)]

    def work(who: int) -> None:
        for turn in range(each):
            begin = time.perf_counter_ns()
            once(who, turn)
            times[who][turn] = time.perf_counter_ns() - begin

    before = cpu()
    with ThreadPoolExecutor(CLIENTS) as pool, stretch() as taken:
        list(pool.map(work, range(CLIENTS)))
    taken.cpu = cpu() - before
    return Latencies(array("q", (t for own in times for t in own)), 0), taken
