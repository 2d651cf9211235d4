"""Taking times: single calls, whole stretches, and rounds that take turns."""

from __future__ import annotations

import gc
import statistics
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

Workload = Callable[[int], Any]


@dataclass(slots=True)
class Stretch:
    """What a stretch of work took, in seconds: on the clock, and on all cores together."""

    wall: float = 0.0
    cpu: float = 0.0


@contextmanager
def stretch() -> Iterator[Stretch]:
    """Measure a block. The figures are there when it has ended."""
    taken = Stretch()
    cpu, wall = time.process_time(), time.perf_counter()
    yield taken
    taken.wall = time.perf_counter() - wall
    taken.cpu = time.process_time() - cpu


_TIMED = """
def loop(_count, _times, _clock, {names}):
    for i in range(_count):
        {setup}
        _begin = _clock()
        {statement}
        _times[i] = _clock() - _begin
"""
_UNTIMED = """
def loop(_count, {names}):
    for i in range(_count):
        {setup}
        {statement}
"""


@cache
def _compiled(template: str, statement: str, setup: str, names: tuple[str, ...]) -> Any:
    source = template.format(
        statement=statement.replace("\n", "\n        "), setup=setup, names=", ".join(names)
    )
    space: dict[str, Any] = {}
    exec(compile(source, f"<{statement}>", "exec"), space)
    return space["loop"]


def repeat(statement: str, count: int, *, setup: str = "pass", **names: Any) -> None:
    """Run a statement `count` times in a plain loop, in which `i` counts.

    Like `timeit`, so that what is measured is the text that a user would write, and no call around
    it. Names used in it are given as keywords; `setup` runs before each.
    """
    _compiled(_UNTIMED, statement, setup, tuple(names))(count, *names.values())


def each_call(statement: str, count: int, *, setup: str = "pass", **names: Any) -> Latencies:
    """What each run of a statement took. See `repeat`; `setup` is not in the times."""
    times = array("q", bytes(8 * count))
    loop = _compiled(_TIMED, statement, setup, tuple(names))
    loop(count, times, time.perf_counter_ns, *names.values())
    return Latencies(times, _clock_cost())


@cache
def _clock_cost() -> int:
    """Nanoseconds that reading the clock adds to each time."""
    times = array("q", bytes(8 * 20_000))
    _compiled(_TIMED, "pass", "pass", ())(len(times), times, time.perf_counter_ns)
    return int(statistics.median(times))


class Latencies:
    """The times of many calls, less what reading the clock costs."""

    def __init__(self, times: array[int], clock_cost: int) -> None:
        self._sorted = sorted(times)
        self._cost = clock_cost

    def percentile(self, percent: float) -> float:
        """In seconds; 100 is the slowest call."""
        last = len(self._sorted) - 1
        nanoseconds = self._sorted[min(last, int(len(self._sorted) * percent / 100))]
        return max(nanoseconds - self._cost, 1) / 1e9

    @property
    def p50(self) -> float:
        """The median call in seconds."""
        return self.percentile(50)

    @property
    def worst(self) -> float:
        """The slowest call in seconds."""
        return self.percentile(100)


def interleave(rounds: int, *workloads: Workload) -> list[list[Any]]:
    """Run workloads in turns, so that a slow moment of the machine strikes all of them.

    Every other round goes backwards, so that none always comes after the same one. What one leaves
    for the garbage collector is not charged to the next.

    Args:
        rounds: how many turns each gets.
        workloads: each takes the number of the round and returns its figures.

    Returns:
        For each workload, what it returned in each round.
    """
    results: list[list[Any]] = [[] for _ in workloads]
    for number in range(rounds):
        order = range(len(workloads))
        for index in order if number % 2 == 0 else reversed(order):
            gc.collect()
            results[index].append(workloads[index](number))
    return results


def median(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def ratio(ours: Sequence[float], floor: Sequence[float]) -> float:
    """The median over rounds of ours by floor, each with its neighbour in time."""
    return statistics.median(o / f for o, f in zip(ours, floor, strict=True))
