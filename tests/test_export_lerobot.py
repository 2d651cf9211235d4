"""LeRobot datasets: against the documented layout, and by `lerobot` where it is installed."""

from __future__ import annotations

import json
from importlib.util import find_spec

import numpy as np
import pytest
from export_runs import gradient_error, record

from ml_dash import Experiment, open_run
from ml_dash.export.running import Running

pq = pytest.importorskip("pyarrow.parquet")
av = pytest.importorskip("av")

OPTIONS = {"observation": ["robot/state.x", "pose.q"], "action": "action"}
STATE, VIDEO = "observation.state", "observation.images.cameras_front"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Three episodes of 12 rows with frames, at 10 Hz."""
    return record(tmp_path_factory.mktemp("runs"), count=12, episodes=3)


@pytest.fixture(scope="module")
def dataset(run, tmp_path_factory):
    """It, exported."""
    return run.export("lerobot", tmp_path_factory.mktemp("out") / "d", task="reach", **OPTIONS)


@pytest.fixture(scope="module")
def info(dataset):
    """What `meta/info.json` says."""
    return json.loads((dataset.path / "meta/info.json").read_text())


def data(dataset):
    """All samples."""
    return pq.read_table(dataset.path / "data/chunk-000/file-000.parquet").to_pylist()


def episodes(dataset):
    """What is known of each episode."""
    return pq.read_table(dataset.path / "meta/episodes/chunk-000/file-000.parquet").to_pylist()


def test_the_files_are_those_of_version_3(dataset) -> None:
    """Metadata, one file of samples, one video for the camera."""
    assert dataset.files == [
        "data/chunk-000/file-000.parquet",
        "meta/episodes/chunk-000/file-000.parquet",
        "meta/info.json",
        "meta/stats.json",
        "meta/tasks.parquet",
        f"videos/{VIDEO}/chunk-000/file-000.mp4",
    ]
    assert (dataset.samples, dataset.frames) == (36, 36)


def test_the_info_tells_counts_rate_paths_and_features(info) -> None:
    """With the keys and types that the format documents."""
    assert info["codebase_version"] == "v3.0" and info["fps"] == 10
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (3, 36, 1)
    assert info["splits"] == {"train": "0:3"}
    assert info["data_path"] == "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    features = info["features"]
    assert features[STATE] == {
        "dtype": "float32",
        "shape": [4],
        "names": ["x", "pose.q.0", "pose.q.1", "pose.q.2"],
    }
    assert features["action"]["shape"] == [2]
    assert features["robot.state.pose.ok"]["dtype"] == "bool"
    assert features["robot.state.count"]["dtype"] == "int64"
    assert features["robot.state.mode"]["dtype"] == "string"
    assert features[VIDEO]["dtype"] == "video" and features[VIDEO]["shape"] == [48, 64, 3]
    own = ("timestamp", "frame_index", "episode_index", "index", "task_index")
    assert all(features[name]["shape"] == [1] for name in own)
    assert not any("/" in name for name in features)


def test_samples_are_those_recorded(dataset, info) -> None:
    """Exactly, in 32 bits; with the times of a constant rate, and those as they were."""
    for number, row in enumerate(data(dataset)):
        assert row[STATE] == [number / 4, number, 0.5, -1.0]
        assert row["action"] == [number / 8, -1.0]
        assert row["robot.state.count"] == number
        assert row["robot.state.mode"] == ("auto" if number % 3 else "manual")
        assert (row["episode_index"], row["frame_index"]) == divmod(number, 12)
        assert row["index"] == number and row["task_index"] == 0
        assert row["timestamp"] == np.float32(number % 12 / 10)
        assert row["recorded.timestamp"] == pytest.approx(number / 10, abs=1e-6)
        assert row["recorded.step"] == number
    assert set(data(dataset)[0]) == set(info["features"]) - {VIDEO}


def test_each_episode_tells_where_it_is(dataset) -> None:
    """In the samples, and in the video by time; episodes follow one another in both."""
    for number, episode in enumerate(episodes(dataset)):
        assert episode["episode_index"] == number and episode["length"] == 12
        assert episode["tasks"] == ["reach"]
        assert episode["dataset_from_index"] == 12 * number
        assert episode["dataset_to_index"] == 12 * (number + 1)
        assert (episode["data/chunk_index"], episode["data/file_index"]) == (0, 0)
        assert episode[f"videos/{VIDEO}/from_timestamp"] == pytest.approx(1.2 * number)
        assert episode[f"videos/{VIDEO}/to_timestamp"] == pytest.approx(1.2 * (number + 1))
        assert episode["stats/action/max"] == [pytest.approx((12 * number + 11) / 8), -1.0]
        assert episode[f"stats/{VIDEO}/mean"][0][0][0] < 1


def test_the_video_has_the_frame_of_each_sample_at_its_time(dataset) -> None:
    """H.264 that can be entered anywhere: every other frame stands alone."""
    path = dataset.path / f"videos/{VIDEO}/chunk-000/file-000.mp4"
    with av.open(str(path)) as file:
        assert file.streams.video[0].codec.name == "h264"
        frames = list(file.decode(video=0))
    assert [frame.time for frame in frames] == pytest.approx([i / 10 for i in range(36)], abs=1e-4)
    assert sum(frame.key_frame for frame in frames) >= 18
    for number, frame in enumerate(frames):
        assert gradient_error(frame.to_ndarray(format="rgb24"), number) < 3


def test_statistics_are_those_of_the_samples(dataset) -> None:
    """Over all of them, as numpy has them; of pictures by channel, in [0, 1]."""
    stats = json.loads((dataset.path / "meta/stats.json").read_text())
    values = np.array([row[STATE] for row in data(dataset)])
    assert stats[STATE]["mean"] == pytest.approx(values.mean(0).tolist())
    assert stats[STATE]["std"] == pytest.approx(values.std(0).tolist())
    assert stats[STATE]["min"] == values.min(0).tolist()
    assert stats[STATE]["max"] == values.max(0).tolist()
    assert stats[STATE]["q90"] == pytest.approx(np.quantile(values, 0.9, axis=0).tolist())
    assert stats[STATE]["count"] == stats[VIDEO]["count"] == [36]  # pictures, not pixels
    assert np.shape(stats[VIDEO]["mean"]) == (3, 1, 1)
    assert 0 < stats[VIDEO]["mean"][0][0][0] < 1


def test_the_tasks_are_a_pandas_table_by_task(dataset) -> None:
    """As LeRobot looks them up."""
    pandas = pytest.importorskip("pandas")
    tasks = pandas.read_parquet(dataset.path / "meta/tasks.parquet")
    assert tasks.index.tolist() == ["reach"] and tasks.loc["reach"].task_index == 0
    assert tasks.iloc[0].name == "reach"


def test_a_row_without_an_action_is_left_out(tmp_path) -> None:
    """An episode's last observation, as Gymnasium has it, is no sample; `next.done` is where it
    ended."""
    with Experiment("a", dash_root=tmp_path, echo=False, environment=False).run as run:
        for step in range(8):
            episode, t = divmod(step, 4)
            acted = {"action": [0.5], "reward": 1.0, "terminated": t == 2, "truncated": False}
            row = {"step": step, "episode": episode, "obs": [t, t], **(acted if t < 3 else {})}
            run.track("env/steps").append(row, timestamp=1000 + step / 50)
    made = open_run("a", root=tmp_path).export("lerobot", tmp_path / "d")
    rows = data(made)
    assert made.samples == 6 and any("2 moments without" in note for note in made.notes)
    assert [row[STATE][0] for row in rows] == [0, 1, 2, 0, 1, 2]
    assert [row["next.done"] for row in rows] == [False, False, True] * 2
    assert [row["next.reward"] for row in rows] == [1.0] * 6
    assert json.loads((made.path / "meta/info.json").read_text())["video_path"] is None


def test_episodes_without_a_column_begin_where_the_step_goes_back(tmp_path) -> None:
    """As a loop writes them that counts each episode from 0."""
    with Experiment("a", dash_root=tmp_path, echo=False, environment=False).run as run:
        for number in range(6):
            run.track("t").append({"step": number % 3, "action": number}, timestamp=1000 + number)
    made = open_run("a", root=tmp_path).export("lerobot", tmp_path / "d")
    assert [row["episode_index"] for row in data(made)] == [0, 0, 0, 1, 1, 1]


def test_a_fixed_rate_and_a_rate_that_says_otherwise(run, tmp_path) -> None:
    """`hz` makes the rate; another `fps` beside it is refused, `fps` alone only says it."""
    made = run.export("lerobot", tmp_path / "a", hz=5, frames=[], **OPTIONS)
    assert [row["robot.state.count"] for row in data(made)][:6] == [0, 2, 4, 6, 8, 10]
    assert json.loads((made.path / "meta/info.json").read_text())["fps"] == 5
    with pytest.raises(ValueError, match="say different rates"):
        run.export("lerobot", tmp_path / "b", hz=5, fps=10, frames=[], **OPTIONS)
    made = run.export("lerobot", tmp_path / "b", fps=50, frames=[], **OPTIONS)
    assert data(made)[3]["timestamp"] == np.float32(3 / 50)
    made = run.export("lerobot", tmp_path / "c", hz=9.9, frames=[], **OPTIONS)  # not 10
    assert data(made)[3]["timestamp"] == np.float32(3 / 9.9)


def test_a_first_episode_of_one_frame_is_one_of_the_dataset(tmp_path) -> None:
    """The encoder still holds its frame back when the next episode begins."""
    with Experiment("a", dash_root=tmp_path, echo=False, environment=False).run as run:
        recorder = run.recorder(format="png")
        for number in range(4):
            row = {"episode": min(number, 1), "action": number}
            shot = np.full((16, 16, 3), 50 * number, np.uint8)
            recorder.record(number, 1000 + number / 10, tracks={"t": row}, frames={"cam": shot})
    made = open_run("a", root=tmp_path).export("lerobot", tmp_path / "d")
    key = "videos/observation.images.cam"
    found = [(e["length"], e[f"{key}/from_timestamp"]) for e in episodes(made)]
    assert found == [(1, 0.0), (3, 0.1)]
    with av.open(str(made.path / key / "chunk-000/file-000.mp4")) as file:
        shades = [frame.to_ndarray(format="rgb24").mean() for frame in file.decode(video=0)]
    assert shades == pytest.approx([0, 50, 100, 150], abs=3)


def test_a_track_without_steps_is_left_out(run, tmp_path) -> None:
    """And told; its columns are features where `hz` takes them by their time."""
    with Experiment("a", dash_root=tmp_path, echo=False, environment=False).run as run:
        for number in range(5):
            at = 1000 + number / 10
            run.track("arm").append({"step": number, "action": number}, timestamp=at)
            run.track("gps").append({"lat": number}, timestamp=at)
    opened = open_run("a", root=tmp_path)
    made = opened.export("lerobot", tmp_path / "d")
    assert [row["action"] for row in data(made)] == [0, 1, 2, 3, 4]
    assert "gps.lat" not in data(made)[0] and any("gps left out" in note for note in made.notes)
    made = opened.export("lerobot", tmp_path / "e", hz=10)
    assert [row["gps.lat"] for row in data(made)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="'gps' has no steps to join by"):
        opened.export("lerobot", tmp_path / "f", action="gps.lat")


def test_no_action_is_noted(tmp_path) -> None:
    """The dataset is made all the same; the note says what policies need."""
    with Experiment("a", dash_root=tmp_path, echo=False, environment=False).run as run:
        run.track("t").append({"step": 0, "x": 1.0})
    made = open_run("a", root=tmp_path).export("lerobot", tmp_path / "d")
    assert any("action=" in note for note in made.notes)


def test_statistics_need_no_more_memory_for_more_rows() -> None:
    """What is kept for quantiles is bounded, and they stay close; NaN does not count."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200_000, 3))
    values[::7, 1] = np.nan
    running = Running(3)
    for part in np.array_split(values, 311):
        running.update(part)
    found = running.result()
    assert running._kept.nbytes < 200_000
    assert found["mean"] == pytest.approx(np.nanmean(values, 0), abs=1e-9)
    assert found["std"] == pytest.approx(np.nanstd(values, 0), abs=1e-9)
    assert found["q99"] == pytest.approx(np.nanquantile(values, 0.99, axis=0), abs=0.2)
    assert found["min"] == pytest.approx(np.nanmin(values, 0))


@pytest.mark.skipif(find_spec("lerobot") is None, reason="lerobot is not installed")
def test_lerobot_itself_loads_it(dataset, monkeypatch) -> None:
    """Samples, frames, episodes and windows of actions, by its own package."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    loaded = LeRobotDataset("local/arm", root=dataset.path, video_backend="pyav")
    assert (len(loaded), loaded.num_episodes, loaded.fps) == (36, 3, 10)
    assert loaded.meta.camera_keys == [VIDEO]
    for number in (0, 11, 12, 35):
        sample = loaded[number]
        assert sample[STATE].tolist() == [number / 4, number, 0.5, -1.0]
        assert sample["action"].tolist() == [number / 8, -1.0]
        assert sample["task"] == "reach"
        frame = (sample[VIDEO].permute(1, 2, 0).numpy() * 255).round()
        assert gradient_error(frame, number) < 3
    deltas = {"action": [0.0, 0.1, 0.2]}
    one = LeRobotDataset(
        "local/arm",
        root=dataset.path,
        video_backend="pyav",
        episodes=[1],
        delta_timestamps=deltas,
    )
    assert len(one) == 12 and one[0]["action"].shape == (3, 2)
