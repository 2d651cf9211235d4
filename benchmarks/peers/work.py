"""What each logger is given to do, in a process and a virtual environment of its own.

A script beside this one says how one logger is used and calls `main`. Only numpy and that logger
are imported here, nothing of ML-Dash or of the other benchmarks.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np

QUALITY = 85


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

    def rows(self, folder: Path) -> int:
        """How many whole rows there are, read from the disk."""

    def images(self, folder: Path) -> int:
        """How many frames there are, read from the disk."""


def main(logger: Logger) -> None:
    """Do what the command line says: a task, a folder, and for how many seconds."""
    task, folder, seconds = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    folder.mkdir(parents=True)
    found = {"rows": _rows, "images": _images, "loop": _loop}[task](logger, folder, seconds)
    print(f"\n{json.dumps(found)}")


def _rows(logger: Logger, folder: Path, seconds: float) -> dict[str, Any]:
    logger.start(folder)
    logger.row(0, 0.0, 0.2345, 1.5)
    clock = time.perf_counter
    times = []
    cpu, begin = time.process_time(), clock()
    i, now, end = 1, begin, begin + seconds
    while now < end:
        before = clock()
        logger.row(i, i * 0.1, 0.2345, 1.5)
        now = clock()
        times.append(now - before)
        i += 1
    logger.close()
    wall, used = clock() - begin, time.process_time() - cpu
    return _result(times, wall, used, i - logger.rows(folder))


def _images(logger: Logger, folder: Path, seconds: float) -> dict[str, Any]:
    frames = _frames()
    frame = frames.render()
    logger.start(folder)
    logger.image(0, frame)
    clock = time.perf_counter
    times = []
    cpu, begin = time.process_time(), clock()
    i, now, end = 1, begin, begin + seconds
    while now < end:
        frames.stamp(frame, i)
        before = clock()
        logger.image(i, frame)
        now = clock()
        times.append(now - before)
        i += 1
    logger.close()
    wall, used = clock() - begin, time.process_time() - cpu
    return _result(times, wall, used, i - logger.images(folder), picture=logger.picture)


def _loop(logger: Logger, folder: Path, seconds: float) -> dict[str, Any]:
    """A NumPy loop that records a row and a frame in each iteration, beside the bare one."""
    frames = _frames()
    frame = frames.render()
    matrix = np.random.default_rng(1).random((200, 200))
    logger.start(folder)
    logger.row(0, 0.0, 0.2345, 1.5)
    logger.image(0, frame)
    clock = time.perf_counter
    bare = _bare_loop(matrix, seconds / 4)
    cpu, begin = time.process_time(), clock()
    i, end = 1, begin + seconds
    while clock() < end:
        matrix @ matrix
        logger.row(i, i * 0.1, 0.2345, 1.5)
        logger.image(i, frames.stamp(frame, i))
        i += 1
    loop = clock() - begin
    logger.close()
    wall, used = clock() - begin, time.process_time() - cpu
    bare = (bare + _bare_loop(matrix, seconds / 4)) / 2  # before and after, as machines drift
    lost = i - logger.rows(folder) + i - logger.images(folder)
    each = (i - 1) * bare
    return {"lost": lost, "loop": loop / each, "closed": wall / each, "cpu": used / (i - 1)}


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


def _result(times: list[float], wall: float, cpu: float, lost: int, **more: Any) -> dict[str, Any]:
    count = len(times)
    p50 = statistics.median(times)
    return {"p50": p50, "rate": count / wall, "cpu": cpu / count, "lost": lost, **more}


def _frames() -> Any:
    """The module of the frames, by its file: this process may have another `benchmarks`."""
    path = Path(__file__).parent.parent / "frames.py"
    spec = importlib.util.spec_from_file_location("frames", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
