"""The user's own loop, beside which ML-Dash works."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import frames
from benchmarks.frames import stamp
from benchmarks.images import QUALITY, warm_up
from benchmarks.recording import Bench, check_frames, check_rows, environment
from benchmarks.table import Result, count, duration
from benchmarks.timing import interleave, median, ratio
from ml_dash import Experiment

_LONG = 0.005
"""Seconds beyond which a gap between two iterations is a stall."""

_FASTEST = 1200
"""Frames a second that no encoder of one thread reaches: enough of them are queued to last."""


@dataclass(slots=True)
class Spin:
    """What became of a pure-Python loop.

    Attributes:
        rate: iterations a second.
        worst: the longest gap between two of them, in seconds.
        stalls: how many gaps were longer than 5 ms.
        frames: frames encoded a second meanwhile.
    """

    rate: float
    worst: float
    stalls: int
    frames: float = 0.0


def python_loop(bench: Bench) -> Iterator[Result]:
    """A pure-Python loop, while an encoder works through a full queue on another core."""
    seconds = bench.scale.spin

    def bare(_: int) -> Spin:
        return _spin(seconds)

    def beside_c(_: int) -> Spin:
        with _other_core_busy():
            return _spin(seconds)

    def ours(_: int) -> Spin:
        return _spin_beside_frames(bench, seconds)

    bares, controls, found = interleave(bench.scale.rounds, bare, beside_c, ours)
    kept = ratio([spin.rate for spin in found], [spin.rate for spin in bares])
    control = ratio([spin.rate for spin in controls], [spin.rate for spin in bares])
    share = ratio([spin.rate for spin in found], [spin.rate for spin in controls])
    yield Result(
        "a pure-Python loop beside frames encoded flat out: rate kept",
        "at least 0.95 of the loop with an idle core beside it",
        f"{control:.3f}",
        f"{kept:.3f}",
        share,
        met=share >= 0.95,
        note="of the bare loop's rate; the floor is the same loop beside a thread that hashes in C"
        " and never asks for the interpreter lock, so what that loses is the machine's doing (cores"
        " that share a core, or others at work), and the ratio is to that."
        f" {count(median([spin.frames for spin in found]))} JPEG frames/s were encoded meanwhile",
    )
    worst = median([spin.worst for spin in found])
    machine = median([spin.worst for spin in controls])
    yield Result(
        "the same: the longest stall",
        "at most 5 ms, or what the machine does anyway",
        duration(machine),
        duration(worst),
        met=worst <= max(_LONG, machine),
        note="medians of the longest in each round, floor as above; stalls over 5 ms in all rounds:"
        f" bare {sum(spin.stalls for spin in bares)}, beside the hashing thread"
        f" {sum(spin.stalls for spin in controls)}, beside our encoder"
        f" {sum(spin.stalls for spin in found)}",
    )


def numpy_loop(bench: Bench) -> Iterator[Result]:
    """A loop of 200x200 products that records a row and a frame in each iteration."""
    products = _products_for(1 / 30)
    paced, unpaced = bench.scale.paced, bench.scale.unpaced
    bares, found = interleave(
        bench.scale.rounds,
        lambda _: _iterate(paced, products, None),
        lambda _: _recorded_loop(bench, paced, products)[0],
    )
    share = ratio(found, bares)
    yield Result(
        "NumPy loop at 30 iterations/s, a row and a JPEG frame each: wall time",
        "at most 1.15 × the bare loop",
        duration(median(bares) / paced),
        duration(median(found) / paced),
        share,
        met=share <= 1.15,
        note=f"an iteration is {products} products of 200x200 matrices, by one thread of BLAS",
    )
    bares, found = interleave(
        bench.scale.rounds,
        lambda _: _iterate(unpaced, 1, None),
        lambda _: _recorded_loop(bench, unpaced, 1),
    )
    loops, closes = ([times[i] for times in found] for i in (0, 1))
    yield Result(
        "the same at full speed, one product an iteration",
        "less than any peer (`--peers`)",
        duration(median(bares) / unpaced),
        duration(median(loops) / unpaced),
        ratio(loops, bares),
        note=f"until `close()` returned: {duration(median(closes) / unpaced)} an iteration,"
        f" {ratio(closes, bares):.2f} × the bare loop; the encoder is what the loop waits for",
    )


def _spin(seconds: float) -> Spin:
    clock = time.perf_counter
    iterations = stalls = 0
    worst = 0.0
    begin = last = clock()
    end = begin + seconds
    while last < end:
        total = 0
        for k in range(10):
            total += k * k
        now = clock()
        gap = now - last
        if gap > worst:
            worst = gap
        if gap > _LONG:
            stalls += 1
        last = now
        iterations += 1
    return Spin(iterations / (last - begin), worst, stalls)


def _spin_beside_frames(bench: Bench, seconds: float) -> Spin:
    base = frames.render()
    number = max(2, int(seconds * _FASTEST))
    megabytes = number * base.nbytes // (1 << 20) + 16
    run: Path
    with (
        environment(ML_DASH_FRAME_BUFFER_MB=str(megabytes), ML_DASH_ENCODERS="1"),
        bench.run() as (experiment, run),
    ):
        warm_up(experiment, base, "jpg")
        frame = base.copy()
        for i in range(number):
            experiment.files("robot/frames").save_image(
                stamp(frame, i), to=f"{i:06d}.jpg", quality=QUALITY
            )
        before = experiment.flush(timeout=0.0).pending_files
        spin = _spin(seconds)
        after = experiment.flush(timeout=0.0).pending_files
        spin.frames = (before - after) / seconds
        experiment.run.complete()
        check_frames(run, "robot/frames", number, base, "jpg")
    return spin


@contextmanager
def _other_core_busy() -> Iterator[None]:
    """A thread that works all the while and has no use for the interpreter lock."""
    data = bytes(16_000_000)
    ended = threading.Event()

    def hash_on() -> None:
        while not ended.is_set():
            hashlib.sha256(data)

    thread = threading.Thread(target=hash_on)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _products_for(seconds: float) -> int:
    """How many products take this long, by the best of some tries."""
    _iterate(100, 1, None)
    return max(1, round(seconds / min(_iterate(50, 1, None) / 50 for _ in range(10))))


def _iterate(iterations: int, products: int, record: Callable[[int], None] | None) -> float:
    """The loop itself; the seconds it took."""
    matrix = np.random.default_rng(1).random((200, 200))
    begin = time.perf_counter()
    for i in range(iterations):
        for _ in range(products):
            matrix @ matrix
        if record is not None:
            record(i)
    return time.perf_counter() - begin


def _recorded_loop(bench: Bench, iterations: int, products: int) -> tuple[float, float]:
    """Seconds of the loop with a row and a frame each, and until the run was closed."""
    base = frames.render()
    frame = base.copy()
    run: Path
    experiment: Experiment
    with bench.run() as (experiment, run):
        warm_up(experiment, base, "jpg")

        def record(i: int) -> None:
            experiment.track("robot/position").append({"step": i, "x": i * 0.1, "y": 0.2, "z": 1.5})
            experiment.files("robot/frames").save_image(
                stamp(frame, i), to=f"{i:06d}.jpg", quality=QUALITY
            )

        begin = time.perf_counter()
        loop = _iterate(iterations, products, record)
        experiment.run.complete()
        closed = time.perf_counter() - begin
        expected = lambda i: {"step": i, "x": i * 0.1, "y": 0.2, "z": 1.5}  # noqa: E731
        check_rows(run, "tracks/robot/position", iterations, expected)
        check_frames(run, "robot/frames", iterations, base, "jpg")
    return loop, closed
