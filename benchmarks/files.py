"""Whether a file costs at the end of a long run what it cost at its beginning."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import frames
from benchmarks.frames import stamp
from benchmarks.recording import Bench, DataLost, check_files, check_frames
from benchmarks.table import Result, duration
from benchmarks.timing import Stretch, interleave, median, stretch
from ml_dash import Experiment

_PARTS = 20
"""Parts that a run is timed in. The first one, in which everything is new, is left out."""

_FLAT = 1.2


def small_frames(bench: Bench) -> Iterator[Result]:
    """84x84 gray frames: the observations of an Atari game."""
    number = bench.scale.small_frames
    base = frames.gray()

    def save(experiment: Experiment, i: int, frame: Any) -> None:
        experiment.files("frames").save_image(stamp(frame, i), to=f"{i:06d}.png")

    def floor(_: int) -> list[Stretch]:
        return _written(bench, number)

    def ours(_: int) -> list[Stretch]:
        return _recorded(
            bench,
            number,
            lambda experiment, i: save(experiment, i, base),
            lambda run: check_frames(run, "frames", number, base, "png"),
        )

    found = interleave(bench.scale.rounds, floor, ours)
    yield _flatness(f"{number:,} frames of 84x84, PNG: cost of a frame, last against first", *found)


def small_files(bench: Bench) -> Iterator[Result]:
    """Very many small files in one run and one folder."""
    number = bench.scale.small_files

    def floor(_: int) -> list[Stretch]:
        return _written(bench, number)

    def ours(_: int) -> list[Stretch]:
        return _recorded(
            bench,
            number,
            lambda experiment, i: experiment.files("small").save_blob(b"%d" % i, to=f"{i:06d}.bin"),
            lambda run: _check_blobs(run, number),
        )

    # One round: its parts are measurements enough, and each round takes a minute.
    found = interleave(1, floor, ours)
    yield _flatness(f"{number:,} small files: cost of a file, last against first", *found)


def _flatness(name: str, floors: list[list[Stretch]], found: list[list[Stretch]]) -> Result:
    wall, cpu = _growth(found, "wall"), _growth(found, "cpu")
    each = median([part.wall for parts in found for part in parts])
    bare = median([part.wall for parts in floors for part in parts])
    return Result(
        name,
        f"flat: at most {_FLAT}",
        f"{_growth(floors, 'wall'):.2f} ({duration(bare)} a file)",
        f"{wall:.2f} ({duration(each)} a file)",
        wall,
        cpu,
        wall <= _FLAT * max(1.0, _growth(floors, "wall")),
        "ratio and CPU are our own growth, from the first quarter of the run to the last; the floor"
        " hashes 100 bytes and writes them into a file, in one folder. Where files were removed in"
        " the last minutes, ext4 makes the first new ones slow, for both",
    )


def _growth(rounds: Sequence[Sequence[Stretch]], what: str) -> float:
    """The median cost of a file in the last quarter by that in the first."""
    quarter = max(1, (_PARTS - 1) // 4)
    first = [getattr(part, what) for parts in rounds for part in parts[1 : 1 + quarter]]
    last = [getattr(part, what) for parts in rounds for part in parts[-quarter:]]
    return median(last) / median(first)


def _written(bench: Bench, number: int) -> list[Stretch]:
    with bench.place() as place:

        def write(i: int) -> None:
            data = b"%100d" % i
            hashlib.sha256(data).hexdigest()
            (place / f"{i:06d}").write_bytes(data)

        return _in_parts(number, write, lambda: None)


def _recorded(
    bench: Bench,
    number: int,
    save: Callable[[Experiment, int], object],
    check: Callable[[Path], object],
) -> list[Stretch]:
    run: Path
    with bench.run() as (experiment, run):
        parts = _in_parts(number, lambda i: save(experiment, i), experiment.flush)
        experiment.run.complete()
        check(run)
    return parts


def _in_parts(
    number: int, work: Callable[[int], object], finish: Callable[[], object]
) -> list[Stretch]:
    """Work in equal parts; what one item took in each."""
    size = number // _PARTS
    parts = []
    for part in range(_PARTS):
        begin = part * size
        end = number if part == _PARTS - 1 else begin + size
        with stretch() as taken:
            for i in range(begin, end):
                work(i)
            finish()
        parts.append(Stretch(taken.wall / (end - begin), taken.cpu / (end - begin)))
    return parts


def _check_blobs(run: Path, number: int) -> None:
    found = check_files(run, number)
    for i in range(number):
        if found[f"small/{i:06d}.bin"].read_bytes() != b"%d" % i:
            raise DataLost(f"file {i} has the content of another")
