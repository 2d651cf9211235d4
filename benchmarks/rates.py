"""Rows a second until they are on disk, that is until `close()` has returned."""

from __future__ import annotations

import os
from collections.abc import Iterator

import orjson

from benchmarks.calls import ROW, make_row
from benchmarks.recording import Bench, check_rows
from benchmarks.table import Result, count
from benchmarks.timing import Stretch, interleave, median, ratio, repeat, stretch


def rows(bench: Bench) -> Iterator[Result]:
    """Rows of 4 scalars from the first append until the run is closed."""
    many, few = bench.scale.rows, bench.scale.few_rows

    def floor(_: int) -> Stretch:
        return _written(bench, many, sync=False)

    def synced(_: int) -> Stretch:
        return _written(bench, many, sync=True)

    def long(_: int) -> Stretch:
        return _recorded(bench, many)

    def short(_: int) -> Stretch:
        return _recorded(bench, few)

    floors, synceds, longs, shorts = interleave(bench.scale.rounds, floor, synced, long, short)
    speed = ratio([many / s.wall for s in longs], [many / s.wall for s in floors])
    cpu = ratio([s.cpu for s in longs], [s.cpu for s in floors])
    speed_synced = ratio([many / s.wall for s in longs], [many / s.wall for s in synceds])
    yield Result(
        f"rows/s until `close()` returned, {many:,} rows",
        "at least 0.5 × orjson and a buffered write, CPU at most 2 ×",
        f"{count(median([many / s.wall for s in floors]))} rows/s",
        f"{count(median([many / s.wall for s in longs]))} rows/s",
        speed,
        cpu,
        speed >= 0.5 and cpu <= 2,
        "`close()` has the disk confirm the rows (fsync), the floor does not; against a floor that"
        f" does, the ratio is {speed_synced:.2f}",
    )
    steady = ratio([many / s.wall for s in longs], [few / s.wall for s in shorts])
    yield Result(
        f"the same, {many:,} rows against {few:,}",
        "as fast: at least 0.9",
        f"{count(median([few / s.wall for s in shorts]))} rows/s",
        f"{count(median([many / s.wall for s in longs]))} rows/s",
        steady,
        ratio([s.cpu / many for s in longs], [s.cpu / few for s in shorts]),
        steady >= 0.9,
    )


def log_lines(bench: Bench) -> Iterator[Result]:
    """Log messages from the first call until the run is closed."""
    many = bench.scale.calls
    text = "episode finished, all joints within their limits"

    def ours(_: int) -> Stretch:
        with bench.run() as (experiment, run):
            with stretch() as taken:
                repeat("experiment.log(text)", many, experiment=experiment, text=text)
                experiment.run.complete()
            check_rows(run, "logs", many, lambda _: {"level": "info", "message": text})
        return taken

    (found,) = interleave(bench.scale.rounds, ours)
    speed = median([many / s.wall for s in found])
    yield Result(
        f"log lines/s until `close()` returned, {many:,} lines",
        "at least 100 k/s",
        "",
        f"{count(speed)} lines/s",
        met=speed >= 100_000,
    )


def _written(bench: Bench, number: int, *, sync: bool) -> Stretch:
    with bench.place() as place:
        with stretch() as taken, (place / "rows").open("wb", buffering=65536) as file:
            repeat(
                f"write(dumps({ROW}, None, line))",
                number,
                write=file.write,
                dumps=orjson.dumps,
                line=orjson.OPT_APPEND_NEWLINE,
            )
            if sync:
                file.flush()
                os.fsync(file)
        return taken


def _recorded(bench: Bench, number: int) -> Stretch:
    with bench.run() as (experiment, run):
        with stretch() as taken:
            statement = f'experiment.track("robot/position").append({ROW})'
            repeat(statement, number, experiment=experiment)
            experiment.run.complete()
        check_rows(run, "tracks/robot/position", number, make_row)
    return taken
