"""Sessions loaded back: exported by ML-Dash, or made by any tool in the same layout."""

from __future__ import annotations

import json
import os
import pickle
import warnings

import numpy as np
import pytest
from export_runs import picture, record, state
from PIL import Image

from ml_dash.session import load_session


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with a frame at each step."""
    return record(tmp_path_factory.mktemp("runs"), count=20)


@pytest.fixture(scope="module", params=["npy", "png"])
def session(request, run, tmp_path_factory):
    """It, exported and loaded."""
    folder = tmp_path_factory.mktemp("out") / "s"
    run.export(request.param, folder, topics="robot/state")
    return load_session(folder / "robotics_arm_metadata.json")


class Foreign:
    """A session as another tool writes it, part by part."""

    def __init__(self, folder, count=6, side=128, name="run_7"):
        folder.mkdir(exist_ok=True)
        self.folder, self.name, self.count = folder, name, count
        self.frames = np.stack([picture(number, side, side) for number in range(count)])
        self.times = (np.arange(count) * 100).astype(np.float32)
        self.rows = [
            {
                "timestamp_ms": number * 100.0,
                "time_elapsed_s": number / 10,
                "gripper": number / 2,
                "position": {"x": number, "y": 0.5, "z": -1.0},
                "label": "pick",
            }
            for number in range(count)
        ]
        self.metadata = {"session_id": name, "sampling_rate_hz": 10.0}

    def write(self, frames=True, times=True, rows=True, lines=None):
        """Write these parts, and load it."""
        start = self.folder / self.name
        if frames:
            np.save(f"{start}_frames.npy", self.frames)
        if times:
            np.save(f"{start}_timestamps.npy", self.times)
        if rows:
            text = lines or "".join(f"{json.dumps(row)}\n" for row in self.rows)
            (self.folder / f"{self.name}_data.jsonl").write_text(text)
        (self.folder / f"{self.name}_metadata.json").write_text(json.dumps(self.metadata))
        return load_session(self.folder / f"{self.name}_metadata.json")


@pytest.fixture
def foreign(tmp_path):
    """A session of another tool, not written yet."""
    return Foreign(tmp_path / "s")


def test_a_sample_is_a_dict_of_frame_time_and_its_own_fields(session) -> None:
    """By number, from the end, and in order."""
    assert len(session) == 20
    for number, sample in enumerate(session):
        assert (sample["frame"] == picture(number)).all()
        assert sample["frame"].shape == (48, 64, 3) and sample["frame"].dtype == np.uint8
        assert sample["frame_timestamp_ms"] == pytest.approx(100 * number, abs=1e-2)
        fields = state(number, 20)
        assert {key: sample[key] for key in fields} == fields
    assert session[-1]["count"] == 19
    with pytest.raises(IndexError):
        session[20]


def test_the_attributes_are_those_its_users_know(session) -> None:
    """`frames_array`, `frame_timestamps`, `metadata`."""
    assert session.frames_array.shape == (20, 48, 64, 3)
    assert session.frame_timestamps.dtype == np.float32
    assert session.metadata["parameters"]["lr"] == 1e-3
    assert session.metadata["session_id"] == "robotics_arm"


def test_an_array_of_frames_is_mapped_and_not_read(run, tmp_path) -> None:
    """What is given out of it is a copy that may be changed."""
    session = load_session(run.export("npy", tmp_path / "s"))
    assert isinstance(session.frames_array, np.memmap)
    session[3]["frame"][:] = 0
    assert (session[3]["frame"] == picture(3)).all()
    assert isinstance(session[5:9].frames_array, np.memmap)


def test_samples_are_found_by_time(session) -> None:
    """The latest at or before one, and the nearest."""
    assert session.find(-1) is None
    assert session.find(0)["count"] == 0
    assert session.find(149)["count"] == 1
    assert session.find(1e9)["count"] == 19
    assert session.nearest(149)["count"] == 1 and session.nearest(151)["count"] == 2


def test_times_that_samples_are_found_by_cannot_be_changed(session) -> None:
    """An error is told where `find` would go wrong later; ranges alike."""
    for one in (session, session[1:]):
        with pytest.raises(ValueError, match="read-only"):
            one.frame_timestamps[0] = -1.0


def test_ranges_are_sessions(session) -> None:
    """By number and by time, of each other too."""
    assert [sample["count"] for sample in session[4:10:2]] == [4, 6, 8]
    part = session.slice(300, 701)
    assert [sample["count"] for sample in part] == [3, 4, 5, 6, 7]
    assert part[1]["count"] == 4 and part[1:3].find(450)["count"] == 4
    assert part.frames_array.shape[0] == 5 and (part.frames_array[0] == picture(3)).all()
    assert len(session.slice(2000)) == 0 and len(session.slice(500, 400)) == 0


def test_torch_batches_by_the_samples_own_keys(session) -> None:
    """Numbers (B, 1), dicts of numbers (B, K), frames (B, 3, H, W) in [0, 1], text in lists."""
    torch = pytest.importorskip("torch")
    batch = next(iter(session.to_pytorch_dataloader(batch_size=4, shuffle=False)))
    assert batch["frame"].shape == (4, 3, 48, 64) and batch["frame"].dtype == torch.float32
    assert float(batch["frame"].max()) <= 1
    wanted = np.moveaxis(picture(2), -1, 0) / 255
    assert batch["frame"][2].numpy() == pytest.approx(wanted, abs=1e-6)
    assert batch["x"].tolist() == [[0.0], [0.25], [0.5], [0.75]]
    assert batch["pose"].shape == (4, 4)
    assert session.keys_of["pose"] == ["pose.q", "pose.ok"]
    assert batch["pose"][2].tolist() == [2.0, 0.5, -1.0, 1.0]
    assert batch["mode"] == ["manual", "auto", "auto", "manual"]
    assert batch["frame_timestamp_ms"].shape == (4, 1)


def test_torch_batches_by_dotted_names(session) -> None:
    """As aligned rows give them; workers load them, and shuffling draws each once."""
    pytest.importorskip("torch")
    loader = session.to_torch(batch_size=8, shuffle=True, num_workers=1, seed=1)
    counts = []
    for batch in loader:
        assert batch["pose.q"].shape == (len(batch["x"]), 3)
        assert (batch["x"] * 4 == batch["count"]).all()
        counts += batch["count"].tolist()
    assert sorted(counts) == list(range(20)) and counts != list(range(20))


def test_windows_never_leave_their_episode(tmp_path) -> None:
    """Stacks of past frames and of future actions, as from a run."""
    pytest.importorskip("torch")
    run = record(tmp_path, count=5, episodes=2)
    session = load_session(run.export("npy", tmp_path / "s"))
    loader = session.to_torch(
        batch_size=10,
        obs_horizon=3,
        action_horizon=2,
        columns=["robot/state.count", "robot/command.action"],
    )
    (batch,) = loader
    assert batch["frame"].shape == (10, 3, 3, 48, 64)
    assert batch["robot/state.count"][5].tolist() == [5, 5, 5]
    assert batch["robot/state.count"][7].tolist() == [5, 6, 7]
    assert batch["robot/command.action"].shape == (10, 2, 2)
    assert batch["robot/command.action"][4, :, 0].tolist() == [4 / 8, 4 / 8]
    assert batch["action_is_pad"][4].tolist() == [False, True]
    with pytest.raises(KeyError, match=r"did you mean 'robot/state\.count'"):
        session.to_torch(columns=["robot/state.cuont"])


def test_tensorflow_is_asked_for_by_name(session) -> None:
    """Where it is not installed the message is the pip line."""
    try:
        import tensorflow  # noqa: F401
    except ImportError:
        for load in (session.to_tensorflow, session.to_tensorflow_dataset):
            with pytest.raises(ImportError, match="pip install"):
                load(batch_size=4)
        return
    batch = next(iter(session.to_tensorflow_dataset(batch_size=4)))
    assert batch["frame"].shape == (4, 48, 64, 3) and batch["x"].shape == (4, 1)
    assert batch["pose"].shape == (4, 4)


def test_a_session_travels_to_another_process_without_its_frames(run, tmp_path) -> None:
    """Its copy opens the files anew."""
    session = load_session(run.export("npy", tmp_path / "s"))
    assert session.frames_array is not None  # which maps the file
    data = pickle.dumps(session)
    assert len(data) < 20_000
    assert (pickle.loads(data)[7]["frame"] == picture(7)).all()


@pytest.mark.parametrize("side", [128, 64, 33])
def test_a_session_of_any_tool_and_size_is_loaded(side, tmp_path, recwarn) -> None:
    """In this layout; nothing is warned about, since nothing is missing."""
    made = Foreign(tmp_path / "s", side=side)
    session = made.write()
    assert len(session) == 6 and (session[4]["frame"] == made.frames[4]).all()
    assert session[4]["position"] == {"x": 4, "y": 0.5, "z": -1.0}
    assert (session.frame_timestamps == made.times).all()
    torch = pytest.importorskip("torch")
    batch = next(iter(session.to_pytorch_dataloader(batch_size=6, shuffle=False)))
    assert batch["position"].shape == (6, 3) and batch["gripper"].shape == (6, 1)
    assert batch["frame"].shape == (6, 3, side, side) and batch["frame"].dtype == torch.float32
    assert not [warning for warning in recwarn if "session" in str(warning.message)]


def test_pictures_with_gaps_are_loaded(foreign) -> None:
    """A picture that is not there is None, and told of; batches are without it."""
    for number in (0, 1, 3, 4, 5):
        path = foreign.folder / f"run_7_frame_{number:06d}.png"
        Image.fromarray(foreign.frames[number]).save(path)
    with pytest.warns(UserWarning, match=r"lacks 1 frames \(first: 2\)"):
        session = foreign.write(frames=False)
    assert session[2]["frame"] is None and session[2]["gripper"] == 1.0
    assert (session[3]["frame"] == foreign.frames[3]).all()
    with pytest.raises(ValueError, match="lacks frames"):
        _ = session.frames_array
    pytest.importorskip("torch")
    batch = next(iter(session.to_torch(batch_size=10)))
    assert batch["gripper"].tolist() == [0.0, 0.5, 1.5, 2.0, 2.5]


def test_without_frames_the_samples_stand_alone(foreign) -> None:
    """With a warning."""
    with pytest.warns(UserWarning, match="has no frames"):
        session = foreign.write(frames=False)
    assert len(session) == 6 and session[1]["frame"] is None and session.frames_array is None
    pytest.importorskip("torch")
    assert "frame" not in next(iter(session.to_torch(batch_size=2)))


def test_without_samples_the_frames_stand_alone(foreign) -> None:
    """With a warning."""
    with pytest.warns(UserWarning, match="has no samples"):
        session = foreign.write(rows=False)
    assert len(session) == 6 and set(session[1]) == {"frame", "frame_timestamp_ms"}


def test_timestamps_that_are_missing_come_from_what_else_is_known(foreign) -> None:
    """Those of the samples; else the rate; else none; each with a warning that says so."""
    with pytest.warns(UserWarning, match="no timestamps; those of its samples are taken"):
        assert foreign.write(times=False).frame_timestamps.tolist() == foreign.times.tolist()
    for row in foreign.rows:
        del row["timestamp_ms"], row["time_elapsed_s"]
    with pytest.warns(UserWarning, match="a steady 10 Hz is assumed"):
        assert foreign.write(times=False).frame_timestamps.tolist() == foreign.times.tolist()
    foreign.metadata = {}
    with pytest.warns(UserWarning, match="they are NaN"):
        assert np.isnan(foreign.write(times=False).frame_timestamps).all()
    foreign.times = foreign.times[:4]
    foreign.metadata = {"sampling_rate_hz": 10}
    with pytest.warns(UserWarning, match="only 4 timestamps"):
        assert foreign.write().frame_timestamps.tolist() == [0, 100, 200, 300, 400, 500]


def test_counts_that_differ_are_told(foreign) -> None:
    """What has no counterpart is left out: a capture that was cut."""
    foreign.rows = foreign.rows[:4]
    with pytest.warns(UserWarning, match="6 frames and 4 samples"):
        assert len(foreign.write()) == 4


def test_nan_as_python_writes_it_is_read(foreign) -> None:
    """Other tools write JSON that strict readers refuse."""
    foreign.rows[2]["gripper"] = float("nan")
    session = foreign.write()
    assert np.isnan(session[2]["gripper"])
    pytest.importorskip("torch")
    batch = next(iter(session.to_pytorch_dataloader(batch_size=6, shuffle=False)))
    assert np.isnan(batch["gripper"][2, 0].item()) and batch["gripper"][3].item() == 1.5


def test_a_line_that_is_no_json_is_an_empty_sample(foreign) -> None:
    """The lines after it still belong to their frames."""
    lines = [json.dumps(row) for row in foreign.rows]
    lines[2] = lines[2][:20]
    session = foreign.write(lines="\n".join(lines))
    assert set(session[2]) == {"frame", "frame_timestamp_ms"} and session[3]["gripper"] == 1.5


def test_fields_that_come_and_go_are_nan(foreign) -> None:
    """In batches; in samples they are simply not there."""
    del foreign.rows[1]["gripper"], foreign.rows[1]["position"]["y"]
    session = foreign.write()
    assert "gripper" not in session[1]
    pytest.importorskip("torch")
    batch = next(iter(session.to_pytorch_dataloader(batch_size=3, shuffle=False)))
    assert np.isnan(batch["gripper"][1, 0].item())
    assert np.isnan(batch["position"][1, 1].item()) and batch["position"][1, 0].item() == 1


def test_frames_are_scaled_if_asked(foreign) -> None:
    """To height and width."""
    foreign.write()
    session = load_session(foreign.folder, size=(16, 24))
    assert session[0]["frame"].shape == (16, 24, 3)
    assert session.frames_array.shape == (6, 16, 24, 3)


def test_gray_frames_have_three_channels(foreign) -> None:
    """Whatever tool wrote them."""
    foreign.frames = foreign.frames[..., 0]
    frame = foreign.write()[1]["frame"]
    assert frame.shape == (128, 128, 3) and (frame[..., 2] == foreign.frames[1]).all()


def test_what_is_no_session_is_told(tmp_path) -> None:
    """What was looked for, and what there is."""
    with pytest.raises(FileNotFoundError, match="no session in"):
        load_session(tmp_path)
    Foreign(tmp_path, name="a").write()
    with pytest.raises(FileNotFoundError, match=r"there is a_metadata\.json"):
        load_session(tmp_path / "b_metadata.json")
    with pytest.raises(ValueError, match=r"give the path of its <session>_metadata\.json"):
        load_session(tmp_path / "a_frames.npy")
    assert len(load_session(tmp_path)) == 6
    Foreign(tmp_path, name="b").write()
    with pytest.raises(ValueError, match=r"2 sessions are in .* a_metadata\.json, b_"):
        load_session(tmp_path)
    (tmp_path / "a_metadata.json").write_text("[]")
    with pytest.raises(ValueError, match="no JSON object"):
        load_session(tmp_path / "a_metadata.json")


def test_an_array_of_objects_is_never_unpickled(foreign) -> None:
    """Such a file could run anything."""
    foreign.frames = np.array([{"a": 1}] * 6, dtype=object)
    with pytest.raises(ValueError, match="Python objects"):
        foreign.write()


def test_a_warning_points_at_the_line_that_loads(foreign) -> None:
    """And not into ML-Dash."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        foreign.write(frames=False)
    assert [warning.filename for warning in caught] == [__file__]


def test_what_a_capture_left_that_died_is_loaded_with_warnings(foreign) -> None:
    """Frames that were cut short, times that are no numbers, a line that is no JSON."""
    foreign.frames = np.stack([picture(number) for number in range(6)])
    foreign.write()
    array = foreign.folder / f"{foreign.name}_frames.npy"
    os.truncate(array, array.stat().st_size - 100)
    (foreign.folder / f"{foreign.name}_timestamps.npy").write_bytes(b"")
    lines = foreign.folder / f"{foreign.name}_data.jsonl"
    first, _, rest = lines.read_text().split("\n", 2)
    lines.write_text(f'{first}\n{{"a": \n{rest}')
    with pytest.warns(UserWarning) as caught:
        session = load_session(foreign.folder)
        assert "timestamp_ms" in session.columns
    said = "; ".join(str(warning.message) for warning in caught)
    assert "5 frames and 6 samples" in said and "unreadable timestamps" in said
    assert "1 samples are unreadable and have no fields (first: 1)" in said
    assert len(session) == 5 and session.frames_array.shape == (5, 48, 64, 3)
    assert (session[4]["frame"] == picture(4)).all()
