"""Reading a long run back as numpy columns, beside parsing its lines with orjson."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson

from benchmarks.calls import ROW
from benchmarks.recording import Bench
from benchmarks.table import Result, duration
from benchmarks.timing import Stretch, interleave, median, ratio, repeat, stretch
from ml_dash import open_run

TOPIC = "robot/position"


def columns(bench: Bench) -> Iterator[Result]:
    """All columns, one column, and the first column of a run that is still written."""
    number = bench.scale.read_rows
    run: Path
    with bench.run() as (experiment, run):
        repeat(f"experiment.track({TOPIC!r}).append({ROW})", number, experiment=experiment)
        experiment.flush()
        # The file is still being written by its run, which reading must not mind.
        live = [_one_column(run, number) for _ in range(bench.scale.rounds)]
        experiment.run.complete()
        floors, alls, ones = interleave(
            bench.scale.rounds,
            lambda _: _parsed(run, number),
            lambda _: _all_columns(run, number),
            lambda _: _one_column(run, number),
        )
    floor = duration(median([s.wall for s in floors]))
    both = ratio([s.wall for s in alls], [s.wall for s in floors])
    one = ratio([s.wall for s in ones], [s.wall for s in floors])
    yield Result(
        f"{number:,} rows of 4 scalars as numpy columns",
        "under 2 × parsing them with orjson",
        floor,
        duration(median([s.wall for s in alls])),
        both,
        ratio([s.cpu for s in alls], [s.cpu for s in floors]),
        both < 2,
    )
    yield Result(
        "the same: one column alone",
        "less than all of them",
        floor,
        duration(median([s.wall for s in ones])),
        one,
        ratio([s.cpu for s in ones], [s.cpu for s in floors]),
        one < both,
    )
    first = median([s.wall for s in live])
    yield Result(
        "first column of a live run of that size",
        "under 1 s",
        floor,
        duration(first),
        ratio([s.wall for s in live], [s.wall for s in floors]),
        met=first < 1,
    )


def _parsed(run: Path, number: int) -> Stretch:
    (segment,) = (run / "tracks" / TOPIC).glob("*.jsonl")
    parsed = 0
    with stretch() as taken:
        loads = orjson.loads
        with segment.open("rb") as file:
            for line in file:
                loads(line)
                parsed += 1
    assert parsed == number
    return taken


def _all_columns(run: Path, number: int) -> Stretch:
    with stretch() as taken:
        found = open_run(run).tracks[TOPIC].to_numpy()
    index = np.arange(number)
    expected = {"step": index, "x": index * 0.1, "y": np.full(number, 0.2345)}
    for name, column in {**expected, "z": np.full(number, 1.5)}.items():
        np.testing.assert_array_equal(found[name], column, err_msg=name)
    assert (np.diff(found["timestamp"]) > 0).all()
    return taken


def _one_column(run: Path, number: int) -> Stretch:
    with stretch() as taken:
        found = open_run(run).tracks[TOPIC]["x"]
    np.testing.assert_array_equal(found, np.arange(number) * 0.1)
    return taken
