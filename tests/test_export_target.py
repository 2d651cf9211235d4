"""Exports appear whole or not at all, and say at the call what cannot be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from export_runs import picture, record

from ml_dash import Experiment, open_run
from ml_dash.export import FORMATS
from ml_dash.export.target import _locked
from ml_dash.export.video import movie

SOURCE = Path(__file__).parents[1]
ENV = {**os.environ, "PYTHONPATH": str(SOURCE)}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with two cameras."""
    root = tmp_path_factory.mktemp("runs")
    return record(root, count=12, cameras=("cameras/front", "cameras/wrist"))


def tree(folder: Path) -> list[str]:
    """Everything below a folder, hidden things too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_an_unknown_format_lists_the_formats(run) -> None:
    """All of them, in the message."""
    with pytest.raises(ValueError, match="'nyp'; it must be one of npy, png, video") as caught:
        run.export("nyp")
    assert all(name in str(caught.value) for name in FORMATS)


def test_an_unknown_track_or_camera_names_a_similar_one(run, tmp_path) -> None:
    """As reading does."""
    with pytest.raises(KeyError, match="did you mean 'robot/state'"):
        run.export("parquet", tmp_path / "x", topics=["robot/stat"])
    with pytest.raises(KeyError, match="did you mean 'cameras/front'"):
        run.export("npy", tmp_path / "x", frames="cameras/frond")
    assert tree(tmp_path) == []


def test_one_camera_is_asked_for_where_there_are_several(run, tmp_path) -> None:
    """The message says which to pass."""
    with pytest.raises(ValueError, match="one of 'cameras/front', 'cameras/wrist'"):
        run.export("npy", tmp_path / "x")
    made = run.export("npy", tmp_path / "x", frames="cameras/wrist")
    assert (np.load(made.path / "robotics_arm_frames.npy")[0] == picture(1)).all()


def test_a_run_without_frames_says_what_can_be_exported(tmp_path) -> None:
    """npy and png are made of frames; the message names a format that is not."""
    with Experiment("a", dash_root=tmp_path, echo=False, environment=False).run as run:
        run.track("t").append({"step": 0, "x": 1})
    with pytest.raises(ValueError, match=r"made of frames, and this run has none.*'parquet'"):
        open_run("a", root=tmp_path).export("npy", tmp_path / "x")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hz": 0}, "hz=0"),
        ({"hz": "10"}, "hz='10'"),
        ({"size": 128}, "size=128"),
        ({"on": "time"}, "time"),
        ({"topics": [3]}, "by its name, not 3"),
        ({"fps": 30}, "the format 'npy' has no option 'fps'"),
    ],
)
def test_a_wrong_argument_is_named_with_its_value(arguments, message, run, tmp_path) -> None:
    """And nothing is made."""
    with pytest.raises((ValueError, TypeError), match=message):
        run.export("npy", tmp_path / "x", frames="cameras/front", **arguments)
    assert tree(tmp_path) == []


def test_a_rate_too_low_for_the_run_is_told(tmp_path) -> None:
    """With the ticks that it would have; the frame comes after the only one."""
    with Experiment("a", dash_root=tmp_path, echo=False, environment=False).run as run:
        for step in range(5):
            run.track("t").append({"step": step, "x": 1}, timestamp=1000 + step / 100)
        run.files("c").save_image(picture(0), to="f_4.png", timestamp=1000.04)
    with pytest.raises(ValueError, match=r"at hz=10 no tick has a frame.*give a higher rate"):
        open_run("a", root=tmp_path).export("npy", tmp_path / "x", hz=10)


@pytest.fixture
def uneven(tmp_path):
    """A run whose third frame has another size."""
    with Experiment("a", dash_root=tmp_path / "runs", echo=False, environment=False).run as run:
        for step in range(4):
            run.track("t").append({"step": step, "x": step})
            shape = (20, 30) if step == 2 else (48, 64)
            run.files("c").save_image(picture(0, *shape), to=f"f_{step}.png")
    return open_run("a", root=tmp_path / "runs")


@pytest.mark.parametrize("format", ["npy", "png", "video", "lerobot"])
def test_frames_of_several_sizes_are_told_and_leave_nothing(format, uneven, tmp_path) -> None:
    """The message names the frame and the remedy, which works."""
    out = tmp_path / "out"
    with pytest.raises(ValueError, match=r"'c/f_2.png' is 20x30.*give\s+size=\(48, 64\)"):
        uneven.export(format, out / "x")
    assert tree(out) == []
    uneven.export(format, out / "x", size=(48, 64))


@pytest.mark.parametrize("format", FORMATS)
def test_an_export_that_is_interrupted_leaves_nothing(format, run, tmp_path) -> None:
    """Ctrl-C in its middle removes what was written, and an older export stays as it is."""
    options = {"frames": "cameras/front", "topics": ["robot/state", "robot/command"]}
    if format == "video":
        del options["topics"]
    if format in ("minari", "hdf5"):
        options |= {"topics": "robot/command", "observation": "action"}
    out = tmp_path / "out"
    out.mkdir()

    def interrupt(done: int, total: int) -> None:
        assert 0 < done <= total
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.export(format, out / "x", progress=interrupt, **options)
    assert tree(out) == []
    run.export(format, out / "x", **options)
    before = {name: (out / name).stat().st_mtime_ns for name in tree(out)}
    with pytest.raises(KeyboardInterrupt):
        run.export(format, out / "x", progress=interrupt, overwrite=True, **options)
    assert {name: (out / name).stat().st_mtime_ns for name in tree(out)} == before


class Dropping:
    """Ctrl-C comes while it is deleted, where Python prints the exception and goes on."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("at", [3, 12])
def test_ctrl_c_that_python_drops_ends_an_export(at: int, run, tmp_path) -> None:
    """As it does while h5py forgets one of its objects, also at the very last sample."""

    def progress(done: int, total: int) -> None:
        if done == at:
            Dropping()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run.export("npy", tmp_path / "x", progress=progress, frames="cameras/front")
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert not list(tmp_path.iterdir())


def test_nothing_is_replaced_unless_it_is_said(run, tmp_path) -> None:
    """Then the older export is gone as a whole."""
    run.export("png", tmp_path / "x", frames="cameras/front")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        run.export("png", tmp_path / "x", frames="cameras/front")
    made = run.export("png", tmp_path / "x", frames="cameras/front", hz=1, overwrite=True)
    assert sum("_frame_" in name for name in made.files) == 2
    assert tree(tmp_path) == sorted(["x", *(f"x/{name}" for name in made.files)])


def test_a_folder_of_other_things_is_never_replaced(run, tmp_path, monkeypatch) -> None:
    """Not even with overwrite: neither one's own files, nor the folder one is in."""
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "thesis.tex").write_text("…")
    with pytest.raises(FileExistsError, match=r"thesis\.tex"):
        run.export("parquet", tmp_path / "x", overwrite=True)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(FileExistsError, match="the folder you are in"):
        run.export("parquet", ".", overwrite=True)
    assert (tmp_path / "x" / "thesis.tex").read_text() == "…"


def test_a_runs_own_folder_is_no_place_for_an_export(run) -> None:
    """It would be taken for a part of the run."""
    with pytest.raises(ValueError, match="inside the run's own folder"):
        run.export("parquet", run.folder / "tables")


def test_the_default_place_is_called_after_run_and_format(run, tmp_path, monkeypatch) -> None:
    """In the present folder; one file where the format is one."""
    monkeypatch.chdir(tmp_path)
    assert run.export("parquet").path == tmp_path / "robotics_arm_parquet"
    assert run.export("mcap").path == tmp_path / "robotics_arm_mcap.mcap"
    assert os.fspath(run.export("mcap", overwrite=True)).endswith(".mcap")


@pytest.mark.parametrize(
    ("format", "module", "extra"),
    [
        ("parquet", "pyarrow", "arrow"),
        ("video", "av", "video"),
        ("lerobot", "pyarrow", "lerobot"),
        ("lerobot", "av", "lerobot"),
        ("minari", "h5py", "hdf5"),
        ("hdf5", "h5py", "hdf5"),
        ("mcap", "mcap.writer", "mcap"),
    ],
)
def test_a_missing_package_is_the_pip_line(format, module, extra, run, tmp_path, monkeypatch):
    """With the extra that brings it, before anything is made."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf'pip install "ml-dash\[{extra}\]"'):
        run.export(format, tmp_path / "x")
    assert tree(tmp_path) == []


def test_a_run_that_is_being_recorded_is_exported_as_it_is(tmp_path) -> None:
    """What comes after it was opened is in the next export."""
    with Experiment("a", dash_root=tmp_path, echo=False, environment=False).run as recorded:
        for step in range(5):
            recorded.track("t").append({"step": step, "x": step})
            recorded.files("c").save_image(picture(step), to=f"f_{step}.png")
        recorded.flush()
        view = open_run("a", root=tmp_path)
        assert len(view.tracks["t"]) == 5
        recorded.track("t").append({"step": 5, "x": 5})
        recorded.files("c").save_image(picture(5), to="f_5.png")
        recorded.flush()
        assert view.export("npy", tmp_path / "x").samples == 5
        view.refresh()
        assert view.export("npy", tmp_path / "x", overwrite=True).samples == 6


def test_sigterm_ends_the_command_and_leaves_nothing(tmp_path) -> None:
    """As Ctrl-C does; the shell sees that it was terminated."""
    record(tmp_path / "runs", count=300, size=(240, 320), suffix="jpg")
    words = ["export", "robotics/arm", "--format", "png", "--root", tmp_path / "runs"]
    with subprocess.Popen(
        [sys.executable, "-m", "ml_dash", *words, "-o", tmp_path / "out" / "x"],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    ) as running:
        deadline = time.monotonic() + 60
        while not list((tmp_path / "out").glob(".x*/*_frame_*")) and time.monotonic() < deadline:
            time.sleep(0.01)
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 128 + signal.SIGTERM
    assert tree(tmp_path / "out") == []


def test_what_a_killed_export_left_is_removed_by_the_next(run, tmp_path) -> None:
    """But not what another one is writing, nor what somebody else calls so."""
    out = tmp_path / "out"
    code = (
        "import os, signal, sys; from ml_dash import open_run\n"
        "def die(done, total): os.kill(os.getpid(), signal.SIGKILL)\n"
        "open_run(sys.argv[1]).export(sys.argv[2], sys.argv[3], progress=die)\n"
    )
    for format, to in (("video", out / "v"), ("mcap", out / "m.mcap")):
        command = [sys.executable, "-c", code, str(run.folder), format, str(to)]
        ended = subprocess.run(command, cwd=SOURCE, check=False)
        assert ended.returncode == -signal.SIGKILL
    left = [path for path in out.iterdir() if path.name.endswith(".tmp")]
    assert len(left) == 2
    for path in [*left, out / ".v.notes.tmp"]:
        path.mkdir(exist_ok=True)
        os.utime(path, (0, 0))
    with _locked(left[0]) as held:
        assert held
        made = run.export("video", out / "v"), run.export("mcap", out / "m.mcap")
        kept = {left[0].name, ".v.notes.tmp", *(report.path.name for report in made)}
        assert {path.name for path in out.iterdir()} == kept
    run.export("video", out / "v", overwrite=True)
    run.export("mcap", out / "m.mcap", overwrite=True)
    assert {path.name for path in out.iterdir()} == kept - {left[0].name}


@pytest.mark.parametrize("prefix", ["a/50%d", "a/" + "ü" * 90 + "/" + "y" * 120, "a/{0}'\\"])
def test_a_run_may_be_called_whatever_it_is(prefix, tmp_path) -> None:
    """Its README says how to load what is there, and that works."""
    name = record(tmp_path / "runs", prefix, count=3)
    for format in ("npy", "png"):
        made = name.export(format, tmp_path / format)
        lines = next(made.path.glob("*_README.md")).read_text("utf-8").split("```python\n")[1:]
        for code in lines:
            script = code.split("```")[0]
            subprocess.run([sys.executable, "-c", script], cwd=made.path, check=True, env=ENV)


def test_a_video_of_a_run_without_frames_says_so(tmp_path) -> None:
    """It does not ask for a camera that there is not."""
    with Experiment("a", dash_root=tmp_path, echo=False, environment=False).run as run:
        run.track("t").append({"x": 1})
    with pytest.raises(ValueError, match="this run has none"):
        movie(open_run("a", root=tmp_path), tmp_path / "a.mp4")
