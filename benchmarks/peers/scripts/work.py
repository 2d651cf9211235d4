"""What each logger is given to do, in a process and a virtual environment of its own.

A script beside this one says how one logger is used and calls `main`. Only numpy and that logger
are imported here, nothing of ML-Dash or of the other benchmarks.
"""

from __future__ import annotations

import importlib.util
import json
import mmap
import os
import resource
import statistics
import struct
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

QUALITY = 85
ROW_HZ, FRAME_EVERY = 100, 10
"""The calm load: a robot's state at 100 Hz, a camera at 10 Hz."""


class Logger(Protocol):
    """One logger, recording one run into one folder.

    Attributes:
        picture: what it stores frames as.
    """

    picture: str

    def start(self, folder: Path) -> None:
        """Begin a run in an empty folder."""

    def row(self, i: int, x: float, y: float, z: float) -> None:
        """Record step `i` and three more scalars."""

    def image(self, i: int, pixels: Any) -> None:
        """Record a frame of shape (480, 640, 3), uint8."""

    def close(self) -> None:
        """Return when all of it is on disk."""

    def rows(self, folder: Path) -> Iterable[int]:
        """The steps of whole rows, read from the disk by what the logger offers for it."""

    def images(self, folder: Path) -> Iterable[int]:
        """The steps of frames, read likewise."""


def main(logger: Logger) -> None:
    """Do what the command line says: a task, a folder, and for how many seconds."""
    task, folder, seconds = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    if task == "read":
        found = _read(logger, folder)
    else:
        folder.mkdir(parents=True)
        logger.start(folder)
        started = time.monotonic() - float(os.environ["SPAWNED"])
        found = {**_TASKS[task](logger, folder, seconds), "started": started}
    print(f"\n{json.dumps(found)}", flush=True)


class Told:
    """How many calls have returned, in a file that outlives the process.

    Two numbers, of rows and of frames, in memory that the operating system has: whoever kills the
    process can read them.
    """

    def __init__(self, folder: Path) -> None:
        path = folder.with_suffix(".told")
        path.write_bytes(bytes(16))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 16)

    def say(self, rows: int, frames: int) -> None:
        """So many calls have returned by now."""
        struct.pack_into("<qq", self._memory, 0, rows, frames)

    @staticmethod
    def read(folder: Path) -> tuple[int, int]:
        """What was said last: rows, frames."""
        rows, frames = struct.unpack("<qq", folder.with_suffix(".told").read_bytes())
        return rows, frames


def _read(logger: Logger, folder: Path) -> dict[str, Any]:
    """Of how many calls that had returned, and how many of their steps cannot be read back."""
    rows, frames = Told.read(folder)
    return {
        "rows": rows,
        "rows_lost": _lost(logger.rows(folder), rows) if rows else 0,
        "frames": frames,
        "frames_lost": _lost(logger.images(folder), frames) if frames else 0,
    }


def _lost(found: Iterable[int], count: int) -> int:
    """How many of the steps below `count` are not there."""
    there = np.zeros(count, bool)
    steps = np.fromiter(found, np.int64)
    there[steps[steps < count]] = True
    return int(count - there.sum())


def _rows(logger: Logger, folder: Path, seconds: float) -> dict[str, Any]:
    logger.row(0, 0.0, 0.2345, 1.5)
    clock = time.perf_counter
    times = []
    cpu, begin = _cpu(), clock()
    i, now, end = 1, begin, begin + seconds
    while now < end:
        before = clock()
        logger.row(i, i * 0.1, 0.2345, 1.5)
        now = clock()
        times.append(now - before)
        i += 1
    logger.close()
    wall, used = clock() - begin, _cpu() - cpu
    Told(folder).say(i, 0)
    return _result(times, wall, used)


def _images(logger: Logger, folder: Path, seconds: float) -> dict[str, Any]:
    frames = _frames()
    frame = frames.render()
    logger.image(0, frame)
    clock = time.perf_counter
    times = []
    cpu, begin = _cpu(), clock()
    i, now, end = 1, begin, begin + seconds
    while now < end:
        frames.stamp(frame, i)
        before = clock()
        logger.image(i, frame)
        now = clock()
        times.append(now - before)
        i += 1
    logger.close()
    wall, used = clock() - begin, _cpu() - cpu
    Told(folder).say(0, i)
    return {**_result(times, wall, used), "picture": logger.picture}


def _loop(logger: Logger, folder: Path, seconds: float) -> dict[str, Any]:
    """A NumPy loop that records a row and a frame in each iteration, beside the bare one."""
    frames = _frames()
    frame = frames.render()
    matrix = np.random.default_rng(1).random((200, 200))
    logger.row(0, 0.0, 0.2345, 1.5)
    logger.image(0, frame)
    clock = time.perf_counter
    bare = _bare_loop(matrix, seconds / 4)
    begin = clock()
    i, end = 1, begin + seconds
    while clock() < end:
        matrix @ matrix
        logger.row(i, i * 0.1, 0.2345, 1.5)
        logger.image(i, frames.stamp(frame, i))
        i += 1
    loop = clock() - begin
    logger.close()
    wall = clock() - begin
    bare = (bare + _bare_loop(matrix, seconds / 4)) / 2  # before and after, as machines drift
    Told(folder).say(i, i)
    each = (i - 1) * bare
    return {"loop": loop / each, "closed": wall / each}


def _bare_loop(matrix: Any, seconds: float) -> float:
    """Seconds of an iteration of the loop that records nothing."""
    clock = time.perf_counter
    begin = now = clock()
    i = 0
    while now < begin + seconds:
        matrix @ matrix
        now = clock()
        i += 1
    return (now - begin) / i


def _calm(logger: Logger, folder: Path, seconds: float) -> dict[str, Any]:
    """Rows at 100 Hz and frames at 10 Hz, as a robot sends them, and a normal end."""
    _paced(logger, folder, seconds)
    logger.close()
    return {}


def _calm_until_killed(logger: Logger, folder: Path, seconds: float) -> dict[str, Any]:
    """The same, without an end: somebody kills the process."""
    _paced(logger, folder, 1e9)
    return {}


def _rows_until_killed(logger: Logger, folder: Path, seconds: float) -> dict[str, Any]:
    """Rows as fast as they go, until somebody kills the process."""
    told, i = Told(folder), 0
    while True:
        logger.row(i, i * 0.1, 0.2345, 1.5)
        i += 1
        told.say(i, 0)


def _paced(logger: Logger, folder: Path, seconds: float) -> None:
    frames = _frames()
    frame = frames.render()
    told, clock = Told(folder), time.perf_counter
    begin, i, shown = clock(), 0, 0
    while i < seconds * ROW_HZ:
        logger.row(i, i * 0.1, 0.2345, 1.5)
        told.say(i + 1, shown)
        if i % FRAME_EVERY == 0:
            logger.image(shown, frames.stamp(frame, shown))
            shown += 1
        i += 1
        told.say(i, shown)
        time.sleep(max(0.0, begin + i / ROW_HZ - clock()))


_TASKS = {
    "rows": _rows,
    "images": _images,
    "loop": _loop,
    "calm": _calm,
    "calm-killed": _calm_until_killed,
    "rows-killed": _rows_until_killed,
}


def _result(times: list[float], wall: float, cpu: float) -> dict[str, Any]:
    count = len(times)
    return {"p50": statistics.median(times), "rate": count / wall, "cpu": cpu / count}


def _cpu() -> float:
    """CPU seconds of this process and of the helpers of it that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def _frames() -> Any:
    """The module of the frames, by its file: this process may have another `benchmarks`."""
    path = Path(__file__).parents[2] / "frames.py"
    spec = importlib.util.spec_from_file_location("frames", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
