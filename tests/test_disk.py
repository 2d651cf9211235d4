"""A real disk that is full, and data larger than memory should be."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts import rows, run, statuses

from ml_dash import open_run


@pytest.fixture
def small_disk(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of 100 MB, or of what the test asks for: a tmpfs where we may mount one."""
    size = getattr(request, "param", "100m")
    folder = Path(tempfile.mkdtemp(prefix="ml-dash-disk-"))
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        folder.rmdir()
        if os.environ.get("CI"):
            pytest.fail(f"no tmpfs could be mounted: {done.stderr}")
        pytest.skip("mounting a tmpfs takes root; injected ENOSPC is tested in test_buffer.py")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


FILL = """
import numpy as np
disk = Path(sys.argv[2])
ballast = disk / "ballast"
with Experiment("e", dash_root=disk / "dash", echo=False).run as experiment:
    track = experiment.track("a")
    for step in range(1000):
        track.append({"step": step, "x": "y" * 100})
    experiment.flush()
    with ballast.open("wb") as file:
        try:
            while True:
                file.write(bytes(65536))
                file.flush()
        except OSError:
            pass
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    for step in range(1000, 6000):
        track.append({"step": step, "x": "y" * 100})
        if step % 500 == 0:
            experiment.files("f").save_image(noise, to=f"{step}.png")
    report = experiment.flush(timeout=0.5)
    assert report.pending > 0, report
    assert "space" in report.error, report
    if sys.argv[3] == "later":
        ballast.unlink()
        report = experiment.flush()
        assert report.ok, report
        for step in range(6000, 7000):
            track.append({"step": step, "x": "y" * 100})
print("ended")
"""


def test_a_full_disk_that_is_freed_loses_nothing(tmp_path: Path, small_disk: Path) -> None:
    """Rows and frames wait while the disk is full and are written when space comes back."""
    code, out, err = run(tmp_path, FILL, small_disk, "later")
    assert (code, out) == (0, "ended\n"), err
    found = rows(small_disk / "dash/e", "tracks/a")
    assert [row["step"] for row in found] == list(range(7000))
    assert len(list((small_disk / "dash/e/files/data/f").glob("*.png"))) == 10
    assert statuses(small_disk / "dash/e") == ["COMPLETED"]
    assert err.count("ml-dash:") <= 3


def test_a_run_that_ends_on_a_full_disk_is_finished_by_check(
    tmp_path: Path, small_disk: Path
) -> None:
    """The end says what is missing and what finishes it; that command does."""
    code, out, err = run(tmp_path, FILL, small_disk, "never", ML_DASH_CLOSE_TIMEOUT="1")
    assert (code, out) == (0, "ended\n"), err
    assert "not all is on disk" in err
    assert "ml-dash check" in err
    (small_disk / "ballast").unlink()
    command = [sys.executable, "-m", "ml_dash", "check", str(small_disk / "dash/e")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    again = open_run(small_disk / "dash/e")  # the line that was cut is skipped, and written again
    assert [row["step"] for row in again.tracks["a"].rows()] == list(range(6000))
    assert again.status == "COMPLETED"


CRAMPED = """
with Experiment("e", dash_root=sys.argv[2], echo=False, environment=False).run as experiment:
    for step in range(3000):
        experiment.track("a").append({"step": step, "x": "y" * 1000})
"""


@pytest.mark.parametrize("small_disk", ["1m"], indirect=True)
def test_rows_without_disk_or_buffer_file_are_said_to_be_lost(
    tmp_path: Path, small_disk: Path
) -> None:
    """Nothing promises what no command can do: there is no buffer file to take them from."""
    code, _, err = run(tmp_path, CRAMPED, small_disk, ML_DASH_CLOSE_TIMEOUT="1")
    assert code == 0, err
    assert "they are lost" in err
    assert "ml-dash check" not in err


MEMORY = """
import resource
import numpy as np
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
from ml_dash import image
with Experiment("e", dash_root=root, echo=False, environment=False).run as experiment:
    experiment.files("f").save_image(np.zeros((480, 640, 3), np.uint8), to="warm.jpg")
    experiment.flush()
    base = peak()
    {work}
print(peak() - base)
"""


def test_a_file_of_a_gigabyte_is_saved_in_bounded_memory(tmp_path: Path) -> None:
    """Memory does not grow with a file's size."""
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(1 << 30)  # sparse: it takes no place, but is read in full
    work = 'experiment.files("models").save(sys.argv[2])'
    code, out, err = run(tmp_path, MEMORY.format(work=work), large)
    assert code == 0, err
    assert float(out) < 32
    saved = tmp_path / "dash/e/files/data/models/large.bin"
    assert saved.stat().st_size == 1 << 30
    saved.unlink()
    large.unlink()


def test_frames_as_fast_as_they_come_stay_within_their_bound(tmp_path: Path) -> None:
    """Bytes in flight are bounded: here 32 MB, for 500 frames of 0.9 MB."""
    work = """
    frame = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    for step in range(500):
        experiment.files("f").save_image(frame, to=f"{step}.jpg")
"""
    script = MEMORY.format(work=work)
    code, out, err = run(tmp_path, script, ML_DASH_FRAME_BUFFER_MB="32")
    assert code == 0, err
    assert float(out) < 32 + 32
    assert len(os.listdir(tmp_path / "dash/e/files/data/f")) == 501  # noqa: PTH208 - many
