"""Aligned rows are exported as they are: chosen, resampled, interpolated."""

from __future__ import annotations

import json

import numpy as np
import pytest
from export_runs import START, picture, record

from ml_dash import Experiment, concat_runs, load_session, open_run

parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with two cameras."""
    root = tmp_path_factory.mktemp("runs")
    return record(root, count=20, cameras=("cameras/front", "cameras/wrist"))


@pytest.fixture
def uneven(tmp_path):
    """A slow track, a fast one without steps, and a camera, each with times of its own."""
    with Experiment("a", dash_root=tmp_path / "runs", echo=False, environment=False).run as run:
        for number in range(4):
            at = START + number
            run.track("a/slow").append({"goal": {"x": float(number)}, "n": number}, timestamp=at)
            run.files("eye").save_image(picture(number), to=f"e_{number}.png", timestamp=at)
        for number in range(31):
            run.track("b/fast").append({"v": number / 10}, timestamp=START + number / 10)
    return open_run("a", root=tmp_path / "runs")


def lines(folder):
    """The samples of an exported session."""
    (file,) = folder.glob("*_data.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_interpolated_rows_come_out_interpolated(uneven, tmp_path) -> None:
    """Numbers between two rows, nested ones too; text and frames are held."""
    rows = uneven.aligned("a/slow", "b/fast", frames="eye", on="timestamp")
    made = rows.resample(hz=4, method="linear").export("npy", tmp_path / "npy")
    found = lines(made.path)
    assert [row["a/slow"]["goal"]["x"] for row in found] == pytest.approx(np.arange(13) / 4)
    assert [row["a/slow"]["n"] for row in found] == pytest.approx(np.arange(13) / 4)
    assert [row["b/fast"]["v"] for row in found] == pytest.approx(np.arange(13) / 4)
    session = load_session(made)
    assert session.metadata["fixed_rate"] and session.metadata["sampling_rate_hz"] == 4
    assert session.metadata["columns"]["a/slow.n"]["type"] == "float"
    assert (session[7]["frame"] == picture(1)).all()


def test_each_track_of_a_table_gets_the_rows_of_the_grid(uneven, tmp_path) -> None:
    """The types are those of what is written: integers that were interpolated are floats."""
    rows = uneven.aligned("a/slow", "b/fast", on="timestamp").resample(hz=2, method="linear")
    rows.export("parquet", tmp_path / "tables")
    found = parquet.read_table(tmp_path / "tables" / "a" / "slow.parquet").to_pydict()
    assert found["timestamp"] == pytest.approx(START + np.arange(7) / 2)
    assert found["n"] == found["goal.x"] == pytest.approx(np.arange(7) / 2)


def test_some_of_the_rows_and_cameras_are_exported(run, tmp_path) -> None:
    """`take` and slices; a format of one camera is told which."""
    rows = run.aligned("robot/state", frames=["cameras/front", "cameras/wrist"])[5:9]
    with pytest.raises(ValueError, match="takes the frames of one camera"):
        rows.export("npy", tmp_path / "x")
    made = rows.export("npy", tmp_path / "x", frames="cameras/wrist", size=(24, 32))
    assert [row["step"] for row in lines(made.path)] == [5, 6, 7, 8]
    assert np.load(made.path / "robotics_arm_frames.npy").shape == (4, 24, 32, 3)
    assert rows.export("video", tmp_path / "v").frames == 8
    rows.export("mcap", tmp_path / "m.mcap")


def test_rows_that_cannot_be_a_recording_are_refused(run, tmp_path) -> None:
    """Of several runs, or out of order."""
    rows = run.aligned("robot/state", frames="cameras/front")
    with pytest.raises(ValueError, match="of several runs"):
        concat_runs([rows, rows]).export("npy", tmp_path / "x")
    with pytest.raises(ValueError, match="there are no rows to export"):
        rows[:0].export("npy", tmp_path / "x")
    with pytest.raises(ValueError, match="row 1 is earlier"):
        rows[::-1].export("npy", tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_a_fixed_rate_joined_by_time_keeps_the_fast_tracks(uneven, tmp_path) -> None:
    """Not only what was there when the first track by name had a row."""
    made = uneven.export("npy", tmp_path / "x", hz=10, on="timestamp")
    found = lines(made.path)
    assert [row["b/fast"]["v"] for row in found] == pytest.approx(np.arange(31) / 10)
    assert [row["a/slow"]["n"] for row in found] == [*np.repeat([0, 1, 2], 10), 3]
    assert not made.notes


def test_a_fixed_rate_has_the_tracks_without_steps(tmp_path, caplog) -> None:
    """By their times; without a rate they are left out, and a note says what takes them."""
    with Experiment("a", dash_root=tmp_path / "runs", echo=False, environment=False).run as run:
        for step in range(11):
            at = START + step / 10
            run.track("arm").append({"step": step, "x": step}, timestamp=at)
            run.files("eye").save_image(picture(step), to=f"e_{step}.png", timestamp=at)
        for number in range(21):
            run.track("gps").append({"lat": number}, timestamp=START + number / 20)
    arm = open_run("a", root=tmp_path / "runs")
    made = arm.export("npy", tmp_path / "hz", hz=10)
    assert [row["gps"]["lat"] for row in lines(made.path)] == [*range(0, 21, 2)]
    assert not made.notes and not caplog.text
    for format in ("parquet", "mcap"):
        assert arm.export(format, tmp_path / format, hz=10).samples == 22
    made = arm.export("npy", tmp_path / "npy")
    assert all("gps" not in row for row in lines(made.path))
    assert made.notes[-1].startswith("gps left out, for want of steps: hz= or on='timestamp' takes")
    assert caplog.text.count("21 of gps without a step") == 1


def test_aligned_rows_are_resampled_before_they_are_exported(uneven, tmp_path) -> None:
    """They have their rate; the message says how they get another one."""
    rows = uneven.aligned("b/fast")
    with pytest.raises(TypeError, match=r"rows\.resample\(hz=…\)"):
        rows.export("parquet", tmp_path / "x", hz=10)
    for joining in ({"on": "timestamp"}, {"tolerance": 0.1}, {"repeats": "last"}):
        with pytest.raises(TypeError, match=f"give {next(iter(joining))}= to run.aligned"):
            rows.export("parquet", tmp_path / "x", **joining)
    assert not (tmp_path / "x").exists()


def test_a_list_of_one_run_is_that_run(run, tmp_path) -> None:
    """What works with several works with one; and what is for one run works with it, too."""
    rows = concat_runs([run]).aligned("robot/state", frames="cameras/front")
    assert rows.run_index.tolist() == [0] * 20
    assert rows.export("npy", tmp_path / "x").samples == 20


def test_a_camera_without_a_frame_in_any_row_is_named(tmp_path) -> None:
    """A video of nothing is none; here the rows are from before the first frame."""
    with Experiment("a", dash_root=tmp_path / "runs", echo=False, environment=False).run as run:
        for step in range(4):
            run.track("t").append({"x": step}, timestamp=START + step)
        run.files("eye").save_image(picture(0), to="e.png", timestamp=START + 2)
    rows = open_run("a", tmp_path / "runs").aligned("t", frames="eye", on="timestamp")
    assert rows.export("video", tmp_path / "some").frames == 2
    with pytest.raises(ValueError, match="no row has a frame of 'eye'; leave the camera out"):
        rows[:2].export("video", tmp_path / "none")
    assert not (tmp_path / "none").exists()
