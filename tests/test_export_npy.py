"""The layout of a fixed-rate capture: five files, or a PNG for each frame."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from export_runs import HZ, START, picture, record, state
from PIL import Image

from ml_dash import Experiment, open_run

SOURCE = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with a frame at each second step."""
    return record(tmp_path_factory.mktemp("runs"), count=20, every=2)


@pytest.fixture(scope="module")
def session(run, tmp_path_factory):
    """It, exported with one track."""
    return run.export("npy", tmp_path_factory.mktemp("out") / "s", topics="robot/state")


def lines(folder, name="robotics_arm"):
    """The samples of a session."""
    return [json.loads(line) for line in (folder / f"{name}_data.jsonl").read_text().splitlines()]


def test_there_are_five_files_called_after_the_run(session) -> None:
    """Frames, timestamps, samples, metadata and README, and nothing else."""
    names = ["README.md", "data.jsonl", "frames.npy", "metadata.json", "timestamps.npy"]
    assert session.files == [f"robotics_arm_{name}" for name in names]
    assert sorted(path.name for path in session.path.iterdir()) == session.files
    assert (session.samples, session.frames) == (10, 10)


def test_frames_are_one_array_that_numpy_maps(session) -> None:
    """(N, H, W, 3) uint8, each frame exactly as it was recorded."""
    frames = np.load(session.path / "robotics_arm_frames.npy", mmap_mode="r")
    assert isinstance(frames, np.memmap)
    assert frames.shape == (10, 48, 64, 3) and frames.dtype == np.uint8
    assert all((frames[i] == picture(2 * i)).all() for i in range(10))


def test_timestamps_are_float32_milliseconds_since_the_first_frame(session) -> None:
    """They begin at 0, and agree with those of the samples."""
    times = np.load(session.path / "robotics_arm_timestamps.npy")
    assert times.dtype == np.float32 and times.shape == (10,)
    assert times.tolist() == pytest.approx([200.0 * i for i in range(10)], abs=1e-3)
    found = [row["timestamp_ms"] for row in lines(session.path)]
    assert found == pytest.approx(times.tolist(), abs=1e-2)


def test_line_i_is_the_sample_of_frame_i(session) -> None:
    """With the fields as they were recorded, its times and its step."""
    rows = lines(session.path)
    assert len(rows) == 10
    for number, row in enumerate(rows):
        fields = state(2 * number, 20)
        assert {key: row[key] for key in fields} == fields
        assert row["time_elapsed_s"] == pytest.approx(number / 5, abs=1e-6)
        assert row["timestamp"] == pytest.approx(START + number / 5, abs=1e-6)


def test_the_metadata_says_what_the_session_is(session, run) -> None:
    """Times, rate, counts, columns and parameters."""
    facts = json.loads((session.path / "robotics_arm_metadata.json").read_text())
    assert facts["session_id"] == "robotics_arm"
    assert facts["start_time"] == "2023-11-14T22:13:20+00:00"
    assert facts["end_time"] == "2023-11-14T22:13:21.800000+00:00"
    assert facts["duration_s"] == pytest.approx(1.8)
    assert facts["sampling_rate_hz"] == pytest.approx(HZ / 2)
    assert (facts["num_frames"], facts["num_samples"]) == (10, 10)
    assert facts["frame_shape"] == [48, 64, 3]
    assert facts["parameters"] == {"lr": 1e-3, "model": {"layers": 4}}
    assert facts["columns"]["pose.q"] == {
        "type": "float[3]",
        "track": "robot/state",
        "min": -1.0,
        "max": 19.0,
    }
    assert facts["run"]["prefix"] == run.prefix


@pytest.mark.parametrize("format", ["npy", "png"])
def test_the_readme_documents_this_very_dataset(format: str, run, tmp_path) -> None:
    """It has the true numbers, every file and column, and its code runs where it lies."""
    made = run.export(format, tmp_path / "s", topics="robot/state")
    text = (made.path / "robotics_arm_README.md").read_text()
    assert "10 frames of 48x64 pixels" in text and "reach the cube" in text
    assert all(f"`{column}`" in text for column in ("x", "pose.q", "pose.ok", "mode"))
    named = set(re.findall(r"`(robotics_arm_[\w.]+)`", text))
    assert named <= set(made.files)
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    code = blocks[0] + blocks[1].replace("ml_dash.load_session", "load_session").replace(
        "import ml_dash", "from ml_dash.session import load_session"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=made.path,
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "(48, 64, 3) 0.0" in done.stdout


def test_png_has_a_picture_for_each_frame_instead(run, tmp_path) -> None:
    """Numbered from 0 with six digits; Pillow reads them, without loss; all else is the same."""
    made = run.export("png", tmp_path / "s", topics="robot/state")
    assert len(made.files) == 14
    for number in range(10):
        with Image.open(made.path / f"robotics_arm_frame_{number:06d}.png") as shot:
            assert shot.mode == "RGB"
            assert (np.asarray(shot) == picture(2 * number)).all()
    assert not (made.path / "robotics_arm_frames.npy").exists()
    assert len(lines(made.path)) == 10


def test_fields_of_several_tracks_stand_under_their_track(run, tmp_path) -> None:
    """So that no name of one hides that of another."""
    rows = lines(run.export("npy", tmp_path / "s").path)
    assert rows[3]["robot/command"] == {"action": [6 / 8, -1.0]}
    assert rows[3]["robot/state"]["x"] == 1.5


def test_a_fixed_rate_takes_the_latest_of_each_stream(run, tmp_path) -> None:
    """At 20 Hz each frame and row is there as often as a recorder of that rate had seen it."""
    made = run.export("npy", tmp_path / "s", hz=20, topics="robot/state")
    frames = np.load(made.path / "robotics_arm_frames.npy")
    rows = lines(made.path)
    assert len(frames) == len(rows) == 39
    assert [row["count"] for row in rows] == [number // 2 for number in range(39)]
    assert all((frames[i] == picture(i // 4 * 2)).all() for i in range(39))
    times = np.load(made.path / "robotics_arm_timestamps.npy")
    assert np.diff(times) == pytest.approx(50.0, abs=1e-2)


def test_frames_are_scaled_to_a_size(run, tmp_path) -> None:
    """Height first, as everywhere."""
    made = run.export("npy", tmp_path / "s", size=(24, 16))
    assert np.load(made.path / "robotics_arm_frames.npy").shape == (10, 24, 16, 3)


def test_what_is_not_finite_comes_back(tmp_path) -> None:
    """NaN is null with a note in the samples, and NaN again once they are loaded."""
    from ml_dash.session import load_session

    with Experiment("a", dash_root=tmp_path, echo=False, environment=False).run as run:
        run.track("t").append({"step": 0, "x": float("nan"), "y": [1.0, float("-inf")]})
        run.files("c").save_image(picture(0), to="f_0.png")
    made = open_run("a", root=tmp_path).export("npy", tmp_path / "s")
    assert lines(made.path, "a")[0]["x"] is None
    sample = load_session(made.path)[0]
    assert np.isnan(sample["x"]) and sample["y"] == [1.0, -np.inf]


def test_names_that_clash_with_those_of_a_sample_stand_under_their_track(tmp_path) -> None:
    """A field called `timestamp_ms` does not take the place of the time."""
    with Experiment("a", dash_root=tmp_path, echo=False, environment=False).run as run:
        run.track("t").append({"step": 0, "timestamp_ms": 77, "frame": "f_0.png"})
        run.files("c").save_image(picture(0), to="f_0.png")
    rows = lines(open_run("a", root=tmp_path).export("npy", tmp_path / "s").path, "a")
    assert rows[0]["timestamp_ms"] == 0 and rows[0]["t"]["timestamp_ms"] == 77


def test_the_name_of_a_picture_does_not_hide_it(tmp_path) -> None:
    """The field `frame` that a recorder writes is `frame_file` in a sample."""
    with Experiment("a", dash_root=tmp_path, echo=False, environment=False).run as run:
        recorder = run.recorder(format="png")
        recorder.record(3, tracks={"t": {"x": 1.0}}, frames={"c": picture(3)})
    rows = lines(open_run("a", root=tmp_path).export("npy", tmp_path / "s").path, "a")
    assert rows[0]["step"] == 3 and rows[0]["frame_file"].endswith(".png")
    assert "frame" not in rows[0]


@pytest.mark.parametrize("kind", ["gray", "gray16", "rgba"])
def test_every_kind_of_picture_becomes_three_channels(kind: str, tmp_path) -> None:
    """Gray thrice, the upper 8 of 16 bits, and what is transparent on white."""
    gray = np.arange(48, dtype=np.uint8).reshape(6, 8)
    given = {
        "gray": gray,
        "gray16": gray.astype(np.uint16) * 256 + 77,
        "rgba": np.dstack([gray, gray, gray, np.where(gray < 24, 255, 0).astype(np.uint8)]),
    }[kind]
    with Experiment("a", dash_root=tmp_path, echo=False, environment=False).run as run:
        run.track("t").append({"step": 0, "x": 1})
        run.files("c").save_image(given, to="f_0.png")
    made = open_run("a", root=tmp_path).export("npy", tmp_path / "s")
    wanted = np.where(gray < 24, gray, 255) if kind == "rgba" else gray
    frame = np.load(made.path / "a_frames.npy")[0]
    assert (frame == wanted[:, :, None]).all()


def test_hours_keep_their_milliseconds_in_the_samples(tmp_path) -> None:
    """Where float32 milliseconds round, the report and the README say so."""
    with Experiment("a", dash_root=tmp_path, echo=False, environment=False).run as run:
        for step, at in enumerate((0.0, 17_000.001)):
            run.track("t").append({"step": step, "x": 1}, timestamp=START + at)
            run.files("c").save_image(picture(0), to=f"f_{step}.png", timestamp=START + at)
    made = open_run("a", root=tmp_path).export("npy", tmp_path / "s")
    assert lines(made.path, "a")[1]["timestamp_ms"] == pytest.approx(17_000_001.0, abs=1e-2)
    assert any("4.66 hours" in note for note in made.notes)
    assert "4.66 hours" in (made.path / "a_README.md").read_text()
