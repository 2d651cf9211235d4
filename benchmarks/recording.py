"""Runs to measure, and reading them back with nothing but orjson and open files.

What ML-Dash claims to have written is not asked of ML-Dash.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks.frames import Pixels, read_stamp, stamp
from benchmarks.scale import Scale
from ml_dash import Experiment

PREFIX = "benchmarks/recorded"
_LARGE = 1 << 20
_LOOKED_AT = 50  # frames of a run that are decoded; the others are held against their checksum


class DataLost(AssertionError):  # noqa: N818 - it says what it is
    """What was read back is not what was recorded."""


class Bench:
    """Where the suite works and how much it does.

    Args:
        scale: the sizes.
        folder: where runs are written. It is for the caller to remove, when all is done.
    """

    def __init__(self, scale: Scale, folder: Path) -> None:
        self.scale = scale
        self.folder = folder

    @contextmanager
    def place(self) -> Iterator[Path]:
        """A folder of its own.

        Afterwards its large files are emptied, which frees their space, but nothing is removed:
        file systems are in no hurry to use an inode again (ext4 passes over those of the last
        minutes one by one), so whoever removes thousands of files slows down the next round.
        """
        path = Path(tempfile.mkdtemp(dir=self.folder))
        try:
            yield path
        finally:
            for file in path.rglob("*"):
                if file.is_file() and file.stat().st_size > _LARGE:
                    os.truncate(file, 0)

    @contextmanager
    def run(self) -> Iterator[tuple[Experiment, Path]]:
        """A started run and its folder. The one who measures ends it."""
        with self.place() as root:
            experiment = Experiment(PREFIX, dash_root=root, echo=False, environment=False)
            try:
                yield experiment.run.start(), root / PREFIX
            finally:
                experiment.run.complete()  # does nothing when it has ended

    def room_for(self, size: int) -> bool:
        """Whether the disk has `size` bytes, and as much again to spare."""
        return shutil.disk_usage(self.folder).free > 2 * size


@contextmanager
def environment(**variables: str | None) -> Iterator[None]:
    """Set environment variables for a while, or take out those given as `None`."""
    before = {name: os.environ.get(name) for name in variables}
    _set(variables)
    try:
        yield
    finally:
        _set(before)


@contextmanager
def without_settings() -> Iterator[None]:
    """Hide what the user has set for real runs: the defaults are what is measured."""
    ours: dict[str, str | None] = {name: None for name in os.environ if name.startswith("ML_DASH_")}
    with environment(**ours, ML_DASH_CONFIG=os.devnull):
        yield


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def lines_of(run: Path, stream: str) -> Iterator[bytes]:
    """The lines of a stream that one process wrote, in order."""
    segments = sorted((run / stream).glob("*.jsonl"))
    if len(segments) != 1:
        raise DataLost(f"{stream} has {len(segments)} segments, one was written")
    with segments[0].open("rb") as file:
        yield from file


def check_rows(run: Path, stream: str, count: int, expected: Callable[[int], Any]) -> None:
    """Hold every row of a stream against what was recorded, in order.

    Args:
        run: the run's folder.
        stream: such as `tracks/robot/position`.
        count: how many rows were recorded.
        expected: row number `i` as it should read, without its timestamp.

    Raises:
        DataLost: a row is missing, differs, is one too many, or does not come later than the last.
    """
    number, last = 0, 0.0
    for number, line in enumerate(lines_of(run, stream), 1):
        row = orjson.loads(line)
        stamped = row.pop("timestamp")
        if number > count or row != expected(number - 1) or stamped <= last:
            raise DataLost(f"{stream}: row {number - 1} reads {row} at {stamped}, after {last}")
        last = stamped
    if number != count:
        raise DataLost(f"{stream}: {count:,} rows were recorded, {number:,} are there")


def check_files(run: Path, count: int) -> dict[str, Path]:
    """Hold every file of a run against its line in the index.

    Returns:
        The files by the path they were saved under.

    Raises:
        DataLost: a file is missing, differs from its checksum, or is one too many.
    """
    rows = map(orjson.loads, lines_of(run, "files/index"))
    latest = {row["path"]: row for row in rows}  # what was saved twice is what was saved last
    found: dict[str, Path] = {}
    for row in latest.values():
        file = run / "files" / "data" / row["data"]
        try:
            with file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
        except FileNotFoundError:
            raise DataLost(f"{row['path']} is in the index and not on disk") from None
        if digest != row["sha256"]:
            raise DataLost(f"{row['path']} is not what the index says")
        found[row["path"]] = file
    if len(found) != count:
        raise DataLost(f"{count:,} files were saved, {len(found):,} are there")
    return found


def check_frames(run: Path, prefix: str, count: int, base: Pixels, suffix: str) -> dict[str, Path]:
    """Hold the frames of a run against their checksums, and a sample of them against the originals.

    Args:
        run: the run's folder.
        prefix: what they were saved below.
        count: how many.
        base: what was stamped with each frame's number.
        suffix: `png` is compared exactly, `jpg` nearly.

    Raises:
        DataLost: one is missing or is not the frame that was saved under its name.
    """
    found = check_files(run, count)
    for number in range(0, count, max(1, count // _LOOKED_AT)):
        name = f"{prefix}/{number:06d}.{suffix}"
        if name not in found:
            raise DataLost(f"{name} is not there")
        pixels = decoded(found[name])
        if pixels.shape != base.shape or read_stamp(pixels) != number:
            raise DataLost(f"{name} is another frame: {pixels.shape}, {read_stamp(pixels)}")
        off = np.abs(pixels.astype(int) - stamp(base.copy(), number))
        if off.max() > 0 if suffix == "png" else off.mean() > 10:
            raise DataLost(f"{name} differs from what was saved, by {off.mean():.1f} on average")
    return found


def decoded(file: Path) -> Pixels:
    """A picture's pixels, by Pillow."""
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(file.read_bytes())))
