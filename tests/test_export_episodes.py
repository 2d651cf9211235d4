"""Episodes as HDF5, read by h5py and by minari."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from export_runs import picture, record

from ml_dash import Experiment, open_run

h5py = pytest.importorskip("h5py")

SOURCE = Path(__file__).parents[1]
BOUNDS = [-4.8, "-inf", -0.4, "-inf"]
SPACES = {
    "observation_space": {
        "type": "Box",
        "shape": [4],
        "dtype": "<f4",
        "low": BOUNDS,
        "high": [4.8, "inf", 0.4, "inf"],
    },
    "action_space": {"type": "Discrete", "n": 2, "start": 0, "dtype": "<i8"},
}


class Episodes:
    """Episodes as the Gymnasium wrapper writes them, with what they were."""

    def __init__(self, root, spaces=None, prefix="rl/cart"):
        self.told = []
        self._step = 0
        experiment = Experiment(prefix, dash_root=root, echo=False, environment=False)
        experiment.run.start()
        self.experiment = experiment
        self.track = experiment.track("env/steps")
        if spaces is not None:
            experiment.files("env").save_json(spaces, to="spaces.json")

    def row(self, **fields):
        """Write a row."""
        self.track.append({"step": self._step, **fields})
        self._step += 1

    def play(self, length, terminated=True, truncated=False, last=True, seed=None):
        """An episode of some steps; `last` says whether its last observation is recorded."""
        number = len(self.told)
        rng = np.random.default_rng(number)
        observations = rng.normal(size=(length + 1, 4)).astype(np.float32)
        actions = rng.integers(0, 2, length)
        for t in range(length):
            end = t == length - 1
            self.row(
                episode=number,
                episode_step=t,
                obs=observations[t],
                action=actions[t],
                reward=t / 2,
                terminated=terminated and end,
                truncated=truncated and end,
                **({"seed": seed} if t == 0 and seed is not None else {}),
            )
        if last:
            self.row(episode=number, episode_step=length, obs=observations[length])
        self.told.append((observations, actions, np.arange(length) / 2))


@pytest.fixture
def episodes(tmp_path):
    """An empty run."""
    return Episodes(tmp_path / "runs", SPACES)


def opened(episodes, tmp_path):
    """The run, ended, read back."""
    episodes.experiment.run.complete()
    return open_run("rl/cart", root=tmp_path / "runs")


def test_minari_loads_the_episodes(episodes, tmp_path, monkeypatch) -> None:
    """With the spaces of the environment; every value exactly, an observation more than actions."""
    minari = pytest.importorskip("minari")
    episodes.play(5, seed=3)
    episodes.play(1)
    episodes.play(4, terminated=False, truncated=True)
    made = opened(episodes, tmp_path).export(
        "minari", tmp_path / "sets" / "cart-v2", dataset_id="cart-v2"
    )
    assert made.samples == 10
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "sets"))
    dataset = minari.load_dataset("cart-v2")
    assert (dataset.total_episodes, dataset.total_steps) == (3, 10)
    assert dataset.observation_space.low.tolist() == pytest.approx([-4.8, -np.inf, -0.4, -np.inf])
    assert dataset.observation_space.dtype == np.float32 and dataset.action_space.n == 2
    for episode, (observations, actions, rewards) in zip(dataset, episodes.told, strict=True):
        assert (episode.observations == observations).all()
        assert episode.observations.dtype == np.float32
        assert (episode.actions == actions).all()
        assert (episode.rewards == rewards).all()
    assert [episode.terminations[-1] for episode in dataset] == [True, True, False]
    assert [episode.truncations[-1] for episode in dataset] == [False, False, True]
    assert next(iter(dataset.storage.get_episode_metadata([0])))["seed"] == 3


def test_minari_lists_samples_and_filters_it(episodes, tmp_path, monkeypatch) -> None:
    """What its users do next works."""
    minari = pytest.importorskip("minari")
    episodes.play(3)
    episodes.play(6)
    opened(episodes, tmp_path).export("minari", tmp_path / "sets" / "rl_cart-v0")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "sets"))
    assert list(minari.list_local_datasets()) == ["rl_cart-v0"]
    dataset = minari.load_dataset("rl_cart-v0")
    assert len(dataset.sample_episodes(2)) == 2
    longer = dataset.filter_episodes(lambda episode: len(episode.rewards) > 4)
    assert longer.total_episodes == 1 and longer.total_steps == 6


def test_hdf5_is_the_same_in_one_file(episodes, tmp_path) -> None:
    """With run and spaces among its attributes."""
    episodes.play(3)
    made = opened(episodes, tmp_path).export("hdf5", tmp_path / "a.hdf5")
    with h5py.File(made.path) as file:
        names = ["actions", "observations", "rewards", "terminations", "truncations"]
        assert sorted(file["episode_0"]) == names
        assert file["episode_0/observations"].shape == (4, 4)
        assert file.attrs["ml_dash_prefix"] == "rl/cart"
        assert json.loads(file.attrs["action_space"])["n"] == 2


def test_an_episode_that_was_cut_is_truncated(episodes, tmp_path) -> None:
    """Also where neither flag was set, as when a run is killed."""
    episodes.play(3, terminated=False)
    made = opened(episodes, tmp_path).export("hdf5", tmp_path / "a.hdf5")
    with h5py.File(made.path) as file:
        assert file["episode_0/truncations"][:].tolist() == [False, False, True]
        assert not file["episode_0/terminations"][:].any()


def test_without_the_last_observation_nothing_is_made_up(episodes, tmp_path) -> None:
    """A terminated episode repeats its last one, which no value is learnt from; any other is
    without its last action."""
    episodes.play(4, last=False)
    episodes.play(4, terminated=False, last=False)
    made = opened(episodes, tmp_path).export("hdf5", tmp_path / "a.hdf5")
    assert "2 episodes were recorded without their last observation" in made.notes
    with h5py.File(made.path) as file:
        first, second = file["episode_0"], file["episode_1"]
        assert (len(first["actions"]), len(first["observations"])) == (4, 5)
        assert (first["observations"][3] == first["observations"][4]).all()
        assert first["terminations"][-1] and first["rewards"][-1] == 1.5
        assert (len(second["actions"]), len(second["observations"])) == (3, 4)
        assert second["truncations"][-1]
        assert (second["observations"][:] == episodes.told[1][0][:4]).all()


def test_nested_observations_become_nested_groups(tmp_path, monkeypatch) -> None:
    """Dicts and tuples of the environment, as minari gives them back."""
    minari = pytest.importorskip("minari")
    inner = [["pos", SPACES["observation_space"]], ["pair", {"type": "Tuple", "spaces": []}]]
    inner[1][1]["spaces"] = [SPACES["action_space"], {"type": "MultiBinary", "n": 3}]
    spaces = {**SPACES, "observation_space": {"type": "Dict", "spaces": inner}}
    episodes = Episodes(tmp_path / "runs", spaces)
    for t in range(3):
        observed = {"obs.pos": [t, 1, 2, 3], "obs.pair.0": t % 2, "obs.pair.1": [1, 0, t % 2]}
        acted = {"action": 1, "reward": 1.0, "terminated": t == 1, "truncated": False}
        episodes.row(episode=0, **observed, **(acted if t < 2 else {}))
    opened(episodes, tmp_path).export("minari", tmp_path / "sets" / "rl_cart-v0")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "sets"))
    episode = minari.load_dataset("rl_cart-v0")[0]
    assert episode.observations["pos"].tolist() == [[t, 1, 2, 3] for t in range(3)]
    first, second = episode.observations["pair"]
    assert first.tolist() == [0, 1, 0] and second.tolist() == [[1, 0, 0], [1, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize("shape", [(40, 50, 3), (3, 40, 50), (40, 50), (40, 50, 1)])
def test_pictures_that_are_observed_come_from_the_frames(shape, tmp_path, monkeypatch) -> None:
    """In the shape that the environment gave them."""
    minari = pytest.importorskip("minari")
    box = {"type": "Box", "shape": list(shape), "dtype": "|u1", "low": 0, "high": 255}
    episodes = Episodes(tmp_path / "runs", {**SPACES, "observation_space": box})
    given = [np.random.default_rng(t).integers(0, 256, shape, np.uint8) for t in range(3)]
    for t, pixels in enumerate(given):
        acted = {"action": 1, "reward": 1.0, "terminated": t == 1, "truncated": False}
        layout = "CHW" if shape[0] == 3 else None
        files = episodes.experiment.files("env/obs")
        files.save_image(pixels, to=f"f_{t}.png", step=t, layout=layout)
        episodes.row(episode=0, **(acted if t < 2 else {}))
    opened(episodes, tmp_path).export("minari", tmp_path / "sets" / "rl_cart-v0")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "sets"))
    episode = minari.load_dataset("rl_cart-v0")[0]
    assert (episode.observations == np.stack(given)).all()
    assert episode.observations.dtype == np.uint8


def test_any_track_becomes_episodes_once_its_columns_are_named(tmp_path) -> None:
    """Without a wrapper: observation and action are said, a camera is observed as well."""
    run = record(tmp_path / "runs", count=6, episodes=2)
    made = run.export(
        "hdf5",
        tmp_path / "a.hdf5",
        topics="robot/state",
        observation=["x", "pose.q"],
        action="count",
        frames="cameras/front",
    )
    with h5py.File(made.path) as file:
        assert sorted(file) == ["episode_0", "episode_1"]
        found = file["episode_1/observations"]
        assert sorted(found) == ["front", "pose", "x"]
        assert found["front"].shape == (6, 48, 64, 3)
        assert found["pose/q"][0].tolist() == [6.0, 0.5, -1.0]
        assert file["episode_1/actions"][:].tolist() == [6, 7, 8, 9, 10]
        space = json.loads(file.attrs["observation_space"])
        assert list(space["subspaces"]) == ["x", "pose", "front"]


def test_a_slow_camera_is_observed_at_a_fixed_rate(tmp_path) -> None:
    """From its first frame of an episode on; without a rate the message says what helps."""
    run = record(tmp_path / "runs", count=5, episodes=2, every=3)  # frames at 0, 3, 6 and 9
    chosen = {"topics": "robot/state", "observation": "x", "action": "count"}
    with pytest.raises(
        ValueError, match=r"at step 1 has no frame of .cameras/front.; .* hz= holds"
    ):
        run.export("hdf5", tmp_path / "a.hdf5", frames="cameras/front", **chosen)
    made = run.export("hdf5", tmp_path / "a.hdf5", frames="cameras/front", hz=10, **chosen)
    with h5py.File(made.path) as file:
        found = [file[name]["observations/x"][:].tolist() for name in file]
        assert found == [[0, 0.25, 0.5, 0.75, 1], [1.5, 1.75, 2, 2.25]]
        seen = file["episode_1/observations/front"]
        assert all((seen[row] == picture(n)).all() for row, n in enumerate((6, 6, 6, 9)))
    assert made.notes[-1] == "left out as before the first frame of their episode: 1 rows"
    assert made.frames == 9


def test_frames_that_belong_to_no_row_are_told(tmp_path) -> None:
    """Without steps they are observed at a rate only: then the rows are not without any step."""
    with Experiment("p/e", dash_root=tmp_path, echo=False, environment=False).run as run:
        for step in range(4):
            run.track("a").append({"step": step, "x": step, "action": 0.0}, timestamp=9.0 + step)
            run.files("cam").save_image(picture(step), to=f"at {step} s.jpg", timestamp=9.0 + step)
    view = open_run("p/e", root=tmp_path)
    chosen = {"frames": "cam", "observation": "x"}
    with pytest.raises(ValueError, match=r"from the first frame of 'cam' on: hz= takes frames"):
        view.export("hdf5", tmp_path / "a.hdf5", **chosen)
    assert view.export("hdf5", tmp_path / "a.hdf5", hz=1, **chosen).frames == 4


def outcome(code: str, *arguments: object) -> tuple[int, str, str]:
    """How a program of its own ends, and what it says."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("format", ["hdf5", "minari"])
def test_a_file_that_cannot_grow_is_an_error_and_no_crash(format: str, tmp_path) -> None:
    """As on a full disk: the library would crash at the end of the process."""
    resource = pytest.importorskip("resource")
    run = record(tmp_path / "runs", count=30)
    code = (
        "import resource, sys\n"
        "from ml_dash import open_run\n"
        "run = open_run(sys.argv[1])\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, {resource.RLIM_INFINITY}))\n"
        "chosen = {'topics': 'robot/state', 'observation': 'x', 'action': 'count'}\n"
        "try:\n"
        "    run.export(sys.argv[2], sys.argv[3], frames='cameras/front', **chosen)\n"
        "except OSError as error:\n"
        "    print(error.errno)\n"
    )
    assert outcome(code, run.folder, format, tmp_path / "out") == (0, f"{errno.EFBIG}\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


@pytest.mark.parametrize("format", ["hdf5", "minari"])
def test_ctrl_c_just_before_a_write_is_no_crash(format: str, tmp_path) -> None:
    """There the library would call what was interrupted a write that failed."""
    run = record(tmp_path / "runs", count=30)
    code = (
        "import signal, sys\n"
        "from ml_dash import open_run\n"
        "from ml_dash.export.hdf5_file import Sink\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "write, left = Sink.write, [signal.SIGINT]\n"
        "def interrupted(sink, data):\n"
        "    left and signal.raise_signal(left.pop())\n"
        "    return write(sink, data)\n"
        "Sink.write = interrupted\n"
        "chosen = {'topics': 'robot/state', 'observation': 'x', 'action': 'count'}\n"
        "try:\n"
        "    open_run(sys.argv[1]).export(sys.argv[2], sys.argv[3], **chosen)\n"
        "except KeyboardInterrupt:\n"
        "    print('stopped', signal.getsignal(signal.SIGINT) is signal.default_int_handler)\n"
    )
    assert outcome(code, run.folder, format, tmp_path / "out") == (0, "stopped True\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ValueError, "say which columns are with observation="),
        ({"observation": "y"}, KeyError, "observation='y'"),
        ({"observation": "mode"}, ValueError, "'robot/state.mode': it is text"),
        ({"observation": "x"}, ValueError, "no action among"),
        ({"topics": None}, ValueError, "observation and action|no observation|observation="),
    ],
)
def test_what_is_missing_is_said(options, error, message, tmp_path) -> None:
    """With the columns there are, or similar ones."""
    run = record(tmp_path / "runs", count=4)
    with pytest.raises(error, match=message):
        run.export("hdf5", tmp_path / "a.hdf5", **{"topics": "robot/state", **options})
    assert not (tmp_path / "a.hdf5").exists()


def test_rows_far_out_of_order_are_exported_as_they_were_recorded(tmp_path, monkeypatch) -> None:
    """Long episodes of simulated time lie among one another: no flag, type or nesting is lost."""
    tables = pytest.importorskip("pyarrow.parquet")
    with Experiment("a", dash_root=tmp_path / "runs", echo=False, environment=False).run as run:
        recorder = run.recorder(format="png")
        for number in range(12):
            episode, step = divmod(number, 4)
            row = {"episode": episode, "obs": [step, 0.5], "action": step, "reward": 2, "seed": 7}
            row |= {"terminated": step == 3, "pose": {"x": number, "on": True}, "word": "high"}
            recorder.record(step, step / 10, tracks={"env": row}, frames={"cam": picture(number)})
    view = open_run("a", root=tmp_path / "runs")

    def exported(name: str) -> list[object]:
        with h5py.File(view.export("hdf5", tmp_path / f"{name}.hdf5").path) as file:
            found = [dict(episode.attrs) for episode in file.values()]
            for part in ("observations", "actions", "rewards", "terminations", "infos/pose/x"):
                found += [episode[part][:].tolist() for episode in file.values()]
        made = view.export("npy", tmp_path / name, hz=10)
        found += map(json.loads, (made.path / "a_data.jsonl").read_text().splitlines())
        made = view.export("lerobot", tmp_path / f"{name}_lerobot", frames=[])
        table = tables.read_table(made.path / "data/chunk-000/file-000.parquet")
        return [*found, table.to_pylist()]

    in_order = exported("near")
    monkeypatch.setattr("ml_dash.export.samples._LOOK_BACK", 0)
    assert exported("far") == in_order


def test_an_info_called_like_a_column_keeps_its_whole_name(tmp_path) -> None:
    """Others have their own; here the loop and the environment both tell a time."""
    with Experiment("a", dash_root=tmp_path / "runs", echo=False, environment=False).run as run:
        for step in range(4):
            info = {"time": 10.0 + step, "lives": 3, "pose": {"x": 1.0}}
            row = {"step": step, "obs": [0.5], "action": 1, "time": float(step), "pose": 2.0}
            run.track("env").append({**row, "info": info})
    made = open_run("a", root=tmp_path / "runs").export("hdf5", tmp_path / "a.hdf5")
    with h5py.File(made.path) as file:
        infos = file["episode_0/infos"]
        assert infos["time"][:].tolist() == [0, 1, 2, 3]
        assert infos["info/time"][:].tolist() == [10, 11, 12, 13]
        assert infos["lives"][0] == 3 and infos["info/pose/x"][0] == 1 and infos["pose"][0] == 2


def test_a_space_that_has_no_array_is_named(tmp_path) -> None:
    """Graphs and sequences cannot be held; the message says what to do."""
    space = {"type": "Sequence", "space": SPACES["action_space"], "stack": False}
    episodes = Episodes(tmp_path / "runs", {**SPACES, "observation_space": space})
    episodes.play(2)
    with pytest.raises(ValueError, match="'obs' is a Sequence space"):
        opened(episodes, tmp_path).export("minari", tmp_path / "x")


def test_a_name_that_minari_would_not_take_is_refused(episodes, tmp_path) -> None:
    """Before anything is made."""
    episodes.play(2)
    with pytest.raises(ValueError, match="name-v0, or group/name-v0"):
        opened(episodes, tmp_path).export("minari", tmp_path / "x", dataset_id="cart")
    assert not (tmp_path / "x").exists()
