"""What a call costs the one who makes it: rows, metrics and log messages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks.recording import Bench, check_rows
from benchmarks.table import Result, duration
from benchmarks.timing import Latencies, each_call, interleave, median, ratio, stretch
from ml_dash import Experiment

ROW = '{"step": i, "x": i * 0.1, "y": 0.2345, "z": 1.5}'
"""A row of four scalars, as the loops write it."""

TEN = ", ".join(f'"v{number}": i * 0.{number + 1}' for number in range(10))

_NUMPY = orjson.OPT_SERIALIZE_NUMPY
_LINE = orjson.OPT_APPEND_NEWLINE
_MILLISECOND, _MICROSECOND = 1e-3, 1e-6

make_row: Callable[[int], dict[str, Any]] = eval(f"lambda i: {ROW}")
make_ten: Callable[[int], dict[str, Any]] = eval(f"lambda i: {{{TEN}}}")


def append(bench: Bench) -> Iterator[Result]:
    """`experiment.track(topic).append(row)`, the whole call, beside encode and write."""
    count = bench.scale.rows

    def floor(_: int) -> tuple[Latencies, float]:
        with bench.place() as place, (place / "rows").open("wb", buffering=65536) as file:
            names = {"write": file.write, "dumps": orjson.dumps, "line": _LINE}
            with stretch() as taken:
                times = each_call("write(dumps(row, None, line))", count, setup=_SET_ROW, **names)
            return times, taken.cpu

    def ours(_: int) -> tuple[Latencies, float]:
        statement = 'experiment.track("robot/position").append(row)'
        return _recorded(
            bench, statement, _SET_ROW, "tracks/robot/position", count, make_row, with_cpu=True
        )

    def stamped(_: int) -> tuple[Latencies, float]:
        with bench.place() as place, (place / "rows").open("wb", buffering=65536) as file:
            names = {"write": file.write, "dumps": orjson.dumps, "line": _LINE, "time": time.time}
            statement = 'write(dumps({"timestamp": time(), **row}, None, line))'
            return each_call(statement, count, setup=_SET_ROW, **names), 0.0

    floors, stampeds, found = interleave(bench.scale.rounds, floor, stamped, ours)
    p50, floor_p50 = _medians(found, 50), _medians(floors, 50)
    share = _ratio(found, floors)
    yield Result(
        "`track(topic).append(row)`, 4 scalars: p50",
        "at most 2 × orjson and a buffered write",
        duration(floor_p50),
        duration(p50),
        share,
        ratio([cpu for _, cpu in found], [cpu for _, cpu in floors]),
        share <= 2,
        f"a floor that gives each row its timestamp, as ours does, takes"
        f" {duration(_medians(stampeds, 50))}, a ratio of {_ratio(found, stampeds):.2f}; CPU is"
        " that of the whole process for the whole loop, our writing thread and the timing included",
    )
    for percent, limit in ((99, 10 * _MICROSECOND), (99.9, _MILLISECOND)):
        value = _medians(found, percent)
        yield Result(
            f"the same: p{percent}",
            f"at most {duration(limit)}",
            duration(_medians(floors, percent)),
            duration(value),
            met=value <= limit,
        )
    worst = [times.worst for times, _ in found]
    floor_worst = max(times.worst for times, _ in floors)
    yield Result(
        f"the same: slowest of {len(worst)} × {count:,} calls",
        "at most 50 ms",
        duration(floor_worst),
        duration(max(worst)),
        met=max(worst) <= max(0.05, floor_worst),
        note=f"the slowest call of a round: {duration(median(worst))} in the median",
    )


def names(bench: Bench) -> Iterator[Result]:
    """The same with the names that rows really have."""
    count = bench.scale.calls
    row = '{"step": i, "joint_angle": i * 0.1, "reward_mean": 0.2345, "num_contacts": 1}'
    setup = f"row = {row}"

    def floor(_: int) -> tuple[Latencies, float]:
        with bench.place() as place, (place / "rows").open("wb", buffering=65536) as file:
            names = {"write": file.write, "dumps": orjson.dumps, "line": _LINE}
            return each_call("write(dumps(row, None, line))", count, setup=setup, **names), 0.0

    def ours(_: int) -> tuple[Latencies, float]:
        statement = 'experiment.track("robot/position").append(row)'
        expected = eval(f"lambda i: {row}")
        return _recorded(bench, statement, setup, "tracks/robot/position", count, expected)

    floors, found = interleave(bench.scale.rounds, floor, ours)
    share = _ratio(found, floors)
    yield Result(
        "the same, fields called `joint_angle`, `reward_mean`, …: p50",
        "at most 2 × orjson and a buffered write",
        duration(_medians(floors, 50)),
        duration(_medians(found, 50)),
        share,
        met=share <= 2,
    )


def arrays(bench: Bench) -> Iterator[Result]:
    """A row with a float64[17] and a float32[6], beside encoding it."""
    count = bench.scale.calls
    generator = np.random.default_rng(1)
    state, action = generator.random(17), generator.random(6, np.float32)
    setup = 'row = {"state": state, "action": action}'
    plain = orjson.loads(orjson.dumps({"state": state, "action": action}, None, _NUMPY))

    def floor(_: int) -> tuple[Latencies, float]:
        names = {"dumps": orjson.dumps, "numpy": _NUMPY, "state": state, "action": action}
        return each_call("dumps(row, None, numpy)", count, setup=setup, **names), 0.0

    def ours(_: int) -> tuple[Latencies, float]:
        statement = 'experiment.track("robot/state").append(row)'
        return _recorded(
            bench,
            statement,
            setup,
            "tracks/robot/state",
            count,
            lambda _: plain,
            state=state,
            action=action,
        )

    floors, found = interleave(bench.scale.rounds, floor, ours)
    share = _ratio(found, floors)
    yield Result(
        "`append` of float64[17] and float32[6]: p50",
        "at most 2 × orjson",
        duration(_medians(floors, 50)),
        duration(_medians(found, 50)),
        share,
        met=share <= 2,
    )


def metrics(bench: Bench) -> Iterator[Result]:
    """`metrics(name).log` of ten scalars, beside encoding them."""
    count = bench.scale.calls

    def floor(_: int) -> tuple[Latencies, float]:
        return each_call("dumps(row)", count, setup=f"row = {{{TEN}}}", dumps=orjson.dumps), 0.0

    def ours(_: int) -> tuple[Latencies, float]:
        names = [f"v{number}" for number in range(10)]
        setup = "; ".join(f"{name} = i * 0.{number + 1}" for number, name in enumerate(names))
        given = ", ".join(f"{name}={name}" for name in names)
        statement = f'experiment.metrics("train").log({given})'
        return _recorded(bench, statement, setup, "metrics/train", count, make_ten)

    floors, found = interleave(bench.scale.rounds, floor, ours)
    share = _ratio(found, floors)
    yield Result(
        "`metrics(name).log` of 10 scalars: p50",
        "at most 3 × orjson",
        duration(_medians(floors, 50)),
        duration(_medians(found, 50)),
        share,
        met=share <= 3,
    )


def log(bench: Bench) -> Iterator[Result]:
    """`log("…")` without echo, beside encoding its row."""
    count = bench.scale.calls
    text = "episode finished, all joints within their limits"

    def floor(_: int) -> tuple[Latencies, float]:
        setup = 'row = {"timestamp": 1763687000.123456, "level": "info", "message": text}'
        return each_call("dumps(row)", count, setup=setup, dumps=orjson.dumps, text=text), 0.0

    def ours(_: int) -> tuple[Latencies, float]:
        expected = {"level": "info", "message": text}
        return _recorded(
            bench, "experiment.log(text)", "pass", "logs", count, lambda _: expected, text=text
        )

    floors, found = interleave(bench.scale.rounds, floor, ours)
    share = _ratio(found, floors)
    yield Result(
        '`log("…")` without echo: p50',
        "at most 3 × orjson",
        duration(_medians(floors, 50)),
        duration(_medians(found, 50)),
        share,
        met=share <= 3,
    )


_SET_ROW = f"row = {ROW}"


def _recorded(
    bench: Bench,
    statement: str,
    setup: str,
    stream: str,
    count: int,
    expected: Callable[[int], Any],
    *,
    with_cpu: bool = False,
    **names: Any,
) -> tuple[Latencies, float]:
    """Time a statement that records, end the run, and hold every row against what was recorded."""
    run: Path
    experiment: Experiment
    with bench.run() as (experiment, run):
        with stretch() as taken:
            times = each_call(statement, count, setup=setup, experiment=experiment, **names)
            if with_cpu:
                experiment.run.complete()
        experiment.run.complete()
        check_rows(run, stream, count, expected)
    return times, taken.cpu


def _medians(rounds: list[tuple[Latencies, float]], percent: float) -> float:
    return median([times.percentile(percent) for times, _ in rounds])


def _ratio(ours: list[tuple[Latencies, float]], floors: list[tuple[Latencies, float]]) -> float:
    return ratio([times.p50 for times, _ in ours], [times.p50 for times, _ in floors])
