"""Exports are streams: their memory does not grow with the run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from export_runs import record

SOURCE = Path(__file__).parents[1]
SIZES = (1500, 4500)
SIDE = 64
WIDE = 400

# Arrow's own allocator keeps what was freed, some megabytes more in a longer run.
PLAIN = {"ARROW_DEFAULT_MEMORY_POOL": "system"}

# The peak of the process is asked of the kernel, so that what encoders hold counts, too.
MEASURE = """
import resource, sys
from ml_dash import open_run
options = {"observation": "wide"} if sys.argv[2] in ("lerobot", "minari", "hdf5") else {}
if sys.argv[2] in ("parquet", "minari", "hdf5"):
    options["frames"] = "cameras/front"
if sys.argv[2] in ("minari", "hdf5"):
    options |= {"topics": "robot/state", "action": "pose.q"}
report = open_run(sys.argv[1]).export(sys.argv[2], sys.argv[3], **options)
assert report.frames >= int(sys.argv[4]) or sys.argv[2] in ("minari", "hdf5")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A short run and a long one, with wide rows and large frames."""
    found = {}
    for count in SIZES:
        root = tmp_path_factory.mktemp(f"runs{count}")
        found[count] = record(root, count=count, size=(SIDE, SIDE), wide=WIDE).folder
    return found


@pytest.mark.parametrize(
    "format", ["npy", "png", "video", "parquet", "lerobot", "minari", "hdf5", "mcap"]
)
def test_memory_does_not_grow_with_the_run(format: str, runs, tmp_path) -> None:
    """A run of three times the length takes as much memory, but for an index.

    3,000 more frames are 37 MB of pixels, and 3,000 more rows 10 MB of numbers, 38 MB as Python
    holds them. Encoders and allocators take some megabytes more or less from time to time.
    """
    peaks = []
    for count, folder in runs.items():
        words = [sys.executable, "-c", MEASURE, folder, format, tmp_path / f"{count}", str(count)]
        done = subprocess.run(
            words,
            env={**os.environ, "PYTHONPATH": str(SOURCE), **PLAIN},
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(done.stdout))
    pixels = (SIZES[1] - SIZES[0]) * SIDE * SIDE * 3
    assert peaks[1] - peaks[0] < pixels / 2, [peak >> 20 for peak in peaks]
