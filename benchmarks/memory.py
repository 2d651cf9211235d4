"""Peak memory, each case in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import frames
from benchmarks.calls import ROW, make_row
from benchmarks.images import QUALITY, warm_up
from benchmarks.recording import PREFIX, Bench, DataLost, check_files, check_frames, check_rows
from benchmarks.table import Result, megabytes
from benchmarks.timing import repeat
from ml_dash import Experiment

REPOSITORY = Path(__file__).resolve().parent.parent

_FRAMES, _ROWS, _SLACK = 256 << 20, 64e6, 32e6
"""Bytes in flight that the defaults allow, and what may come on top."""


def frame_memory(bench: Bench) -> Iterator[Result]:
    """480x640 frames as fast as they come."""
    number = bench.scale.memory_frames
    base = frames.render()
    if not bench.room_for(number * 60_000):
        yield Result("memory: frames", failed=f"no room for them in {bench.folder}")
        return
    with bench.place() as root:
        taken = _in_child("frames", root, number)
        check_frames(root / PREFIX, "robot/frames", number, base, "jpg")
    yield _result(f"peak memory: {number:,} 480x640 frames, as fast as they come", taken, _FRAMES)


def row_memory(bench: Bench) -> Iterator[Result]:
    """Rows as fast as they come."""
    number = bench.scale.memory_rows
    with bench.place() as root:
        taken = _in_child("rows", root, number)
        check_rows(root / PREFIX, "tracks/robot/position", number, make_row)
    yield _result(f"peak memory: {number:,} rows, as fast as they come", taken, _ROWS)


def file_memory(bench: Bench) -> Iterator[Result]:
    """One large file."""
    size = bench.scale.memory_megabytes << 20
    if not bench.room_for(2 * size):
        yield Result("memory: file", failed=f"no room for it in {bench.folder}")
        return
    with bench.place() as root:
        source = root / "source.bin"
        block = os.urandom(1 << 20)
        with source.open("wb") as file:
            for _ in range(bench.scale.memory_megabytes):
                file.write(block)
        taken = _in_child("file", root, 0)
        found = check_files(root / PREFIX, 2)["models/source.bin"]
        if found.stat().st_size != size:
            raise DataLost(f"{found.stat().st_size} bytes of {size} were saved")
    yield _result(f"peak memory: a file of {bench.scale.memory_megabytes:,} MiB saved", taken, 0.0)


def _result(name: str, taken: dict[str, int], in_flight: float) -> Result:
    over = taken["peak"] - taken["base"]
    limit = in_flight + _SLACK
    return Result(
        name,
        f"at most {megabytes(limit)} over the base",
        f"{megabytes(taken['base'])} (base)",
        f"{megabytes(over)} over it",
        over / limit,
        met=over <= limit,
        note="the base is the process with the libraries loaded and the run started; ratio is to"
        " the limit: bytes in flight and 32 MB",
    )


def _in_child(case: str, root: Path, number: int) -> dict[str, int]:
    command = [sys.executable, "-m", "benchmarks.memory", case, str(root), str(number)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the process that records {case} failed: {done.stderr.strip()[-500:]}")
    found: dict[str, int] = json.loads(done.stdout)
    return found


def _child(case: str, root: Path, number: int) -> dict[str, int]:
    """Record in this process; its memory before and at the worst moment."""
    base = frames.render()
    with Experiment(PREFIX, dash_root=root, echo=False, environment=False).run as experiment:
        warm_up(experiment, base, "jpg")
        before = _resident()
        _forget_peak()
        _CASES[case](experiment, root, number, base.copy())
    return {"base": before, "peak": max(before, _peak())}


def _save_frames(experiment: Experiment, root: Path, number: int, frame: Any) -> None:
    for i in range(number):
        frames.stamp(frame, i)
        experiment.files("robot/frames").save_image(frame, to=f"{i:06d}.jpg", quality=QUALITY)


def _append_rows(experiment: Experiment, root: Path, number: int, _: Any) -> None:
    statement = f'experiment.track("robot/position").append({ROW})'
    repeat(statement, number, experiment=experiment)


def _save_file(experiment: Experiment, root: Path, number: int, _: Any) -> None:
    experiment.files("models").save(root / "source.bin")


_CASES: dict[str, Callable[[Experiment, Path, int, Any], None]] = {
    "frames": _save_frames,
    "rows": _append_rows,
    "file": _save_file,
}


def _resident() -> int:
    return _status("VmRSS") or _largest()


def _peak() -> int:
    return _status("VmHWM") or _largest()


def _forget_peak() -> None:
    """Let the system count the peak from now on, where it can."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass  # then an earlier peak counts, too, which is to our disadvantage


def _status(name: str) -> int:
    """A number of bytes from Linux's account of this process; 0 elsewhere."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), 0)


def _largest() -> int:
    import resource

    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024


if __name__ == "__main__":
    print(json.dumps(_child(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))
