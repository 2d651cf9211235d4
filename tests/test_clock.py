"""Timestamps: strictly growing over threads and forks, whatever the system's clock does."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import orjson
import pytest
from fakes import FakeBuffer

from ml_dash import clock as clocks
from ml_dash.clock import TICK, Clock
from ml_dash.rows import decode_row
from ml_dash.track import Track


def stamps(count: int, now: Callable[[], float] = clocks.now) -> list[float]:
    """Stamps drawn one after the other."""
    return [now() for _ in range(count)]


def grows(values: list[float]) -> bool:
    """Whether each value is larger than the one before."""
    return all(one < other for one, other in pairwise(values))


@pytest.fixture
def impatient() -> Iterator[None]:
    """Threads that take turns as often as Python can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_stamps_are_now_in_seconds_since_1970() -> None:
    """They agree with the wall clock, which nobody stepped here."""
    assert abs(clocks.now() - time.time()) < 1.0
    assert type(clocks.now()) is float


def test_stamps_grow_however_fast_they_are_drawn() -> None:
    """Two stamps are never equal."""
    assert grows(stamps(100_000))


def in_threads(draw: Callable[[list[float]], None]) -> list[list[float]]:
    """What `draw` puts into a list of its own in each of eight threads at once."""
    drawn: list[list[float]] = [[] for _ in range(8)]
    gate = threading.Barrier(8)

    def work(own: list[float]) -> None:
        gate.wait()
        draw(own)

    threads = [threading.Thread(target=work, args=(own,)) for own in drawn]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return drawn


def check_threads(drawn: list[list[float]]) -> None:
    """Each thread saw time grow, and no stamp was drawn twice."""
    assert all(map(grows, drawn))
    together = [stamp for own in drawn for stamp in own]
    assert len(set(together)) == len(together)


@pytest.mark.usefixtures("impatient")
def test_stamps_of_threads_grow_and_are_never_equal() -> None:
    """Without a lock: nothing is called between reading the last stamp and storing the next."""
    check_threads(in_threads(lambda own: own.extend(stamps(20_000))))


@pytest.mark.usefixtures("impatient")
def test_rows_of_threads_have_stamps_that_grow_and_are_never_equal() -> None:
    """`append` draws its stamps by itself, from the same clock."""

    def draw(own: list[float]) -> None:
        buffer = FakeBuffer()
        track = Track(buffer, "a")  # type: ignore[arg-type]
        for step in range(4_000):
            track.append({"step": step} if step % 3 else {"step": step, "x": None})
            own.append(clocks.now())
        own[:] = sorted(own + [decode_row(line)["timestamp"] for line in buffer.lines["tracks/a"]])

    check_threads(in_threads(draw))


@pytest.mark.parametrize("shift", [-3600.0, 86_400.0, -1e9])
def test_a_stepped_wall_clock_bends_nothing(monkeypatch: pytest.MonkeyPatch, shift: float) -> None:
    """An hour back or a day forward: stamps go on as if nothing had happened."""
    before = clocks.now()
    started = time.monotonic()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + shift)
    monkeypatch.setattr(time, "time_ns", lambda: int((real() + shift) * 1e9))
    buffer = FakeBuffer()
    Track(buffer, "a").append({"x": 1})  # type: ignore[arg-type]
    drawn = [*stamps(100), decode_row(buffer.lines["tracks/a"][0])["timestamp"], clocks.now()]
    assert before < min(drawn)
    assert max(drawn) - before < time.monotonic() - started + 0.1
    assert clocks.anchor()["wall"] <= before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # the test runner has threads
def test_a_forked_child_goes_on_where_its_parent_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its stamps are later than those before the fork, also when the wall clock was stepped."""
    before = clocks.now()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            monkeypatch.setattr(time, "time", lambda: 0.0)
            os.write(writer, orjson.dumps(stamps(50)))
        finally:
            os._exit(0)  # whatever happened: this is not the process that runs the tests
    os.waitpid(child, 0)
    drawn = orjson.loads(os.read(reader, 1 << 16))
    os.close(reader)
    os.close(writer)
    assert len(drawn) == 50
    assert grows([before, *drawn])
    assert drawn[-1] < clocks.now()


def test_a_clock_that_stands_still_gives_stamps_a_tick_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the system's clock is coarse, stamps still differ, by a tick each."""
    monkeypatch.setattr(clocks, "read_clock", lambda _: 1000.0)
    clock = Clock()
    clock.offset = 1.7e9 - 1000.0
    drawn = stamps(1000, clock.now)
    assert grows(drawn)
    assert math.isclose(drawn[-1] - drawn[0], 999 * TICK, rel_tol=0.1)


@pytest.mark.parametrize("year", [1970, 2025, 2106, 2200, 2241])
def test_a_tick_is_told_apart_beside_any_date(monkeypatch: pytest.MonkeyPatch, year: int) -> None:
    """A robot without a set clock, or with one far ahead, has stamps that grow all the same."""
    monkeypatch.setattr(clocks, "read_clock", lambda _: 0.0)
    clock = Clock()
    clock.offset = (year - 1970) * 31_556_952.0
    assert grows(stamps(1000, clock.now))


def test_a_clock_that_goes_back_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the clock that cannot be stepped were: stamps wait for it."""
    times = iter([100.0, 100.0, 99.0, 98.0, 100.0, 101.0])
    monkeypatch.setattr(clocks, "read_clock", lambda _: next(times))
    clock = Clock()
    drawn = stamps(5, clock.now)
    assert grows(drawn)
    assert drawn[-1] - drawn[0] == pytest.approx(1.0)


def test_the_anchor_tells_wall_and_boot_time_of_one_moment() -> None:
    """By it the clocks of several hosts can be compared."""
    anchor = clocks.anchor()
    assert set(anchor) == {"wall", "boot", "pid"}
    assert anchor["pid"] == os.getpid()
    assert anchor["wall"] - anchor["boot"] == pytest.approx(clocks.clock.offset)
    assert anchor == clocks.anchor()
