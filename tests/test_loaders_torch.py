"""From a recording to the batches of a PyTorch DataLoader, in this process and in workers."""

import multiprocessing
import os
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, random_split

from ml_dash import Experiment, image
from ml_dash.loaders.fields import IMAGE, NUMBER, Field
from ml_dash.loaders.torch import torch_dataset, torch_loader
from ml_dash.reading import open_run

EPISODES, LENGTH = 3, 7
COUNT = EPISODES * LENGTH


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A run of three episodes, recorded step by step as users do; its folder."""
    root = tmp_path_factory.mktemp("recorded")
    with Experiment("robot", dash_root=root, echo=False).run as experiment:
        recorder = experiment.recorder(format="png")
        for step in range(COUNT):
            episode, at = divmod(step, LENGTH)
            recorder.record(
                step,
                tracks={
                    "env": {
                        "episode": episode,
                        "observation": np.array([step, at, episode], np.float64),
                        "action": np.array([step + 0.5, -step]),
                        "reward": step / 8,
                        "count": step,
                        "over": at == LENGTH - 1,
                        "label": f"s{step}" if step % 2 else None,
                        "hits": list(range(at)),
                        "info": {"names": ["a", step]},
                    }
                },
                frames={"cam": pixels(step), "depth": np.full((4, 6), 1000 * step, np.uint16)},
            )
    return open_run("robot", root).folder


def pixels(step):
    """A frame of 4x6 that tells its step, its rows and its channels apart."""
    frame = np.zeros((4, 6, 3), np.uint8)
    frame[..., 0], frame[1:, :, 1], frame[..., 2] = step, 100, 200 - step
    return frame


@pytest.fixture
def rows(recorded):
    """The run's rows with one camera."""
    return open_run(recorded).aligned("env", frames="cam")


def same(first, second):
    """Whether two batches, or parts of them, are equal to the last bit."""
    if isinstance(first, torch.Tensor):
        return first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


# -- what a batch is -----------------------------------------------------------------------------


def test_frames_are_float32_channels_first_within_0_and_1(rows):
    """(B, C, H, W), and each value is that of the pixel."""
    batch = next(iter(rows.to_torch(batch_size=4)))
    assert batch["frame"].dtype == torch.float32
    assert batch["frame"].shape == (4, 3, 4, 6)
    expected = np.stack([pixels(step) for step in range(4)]).transpose(0, 3, 1, 2) / 255
    np.testing.assert_allclose(batch["frame"], expected, atol=1e-7)


def test_columns_are_float32_and_counters_keep_their_type(rows):
    """Numbers, integers, booleans and arrays alike; step and indices are exact."""
    batch = next(iter(rows.to_torch(batch_size=COUNT)))
    for name, shape in {
        "observation": (3,),
        "action": (2,),
        "reward": (),
        "count": (),
        "over": (),
    }.items():
        assert batch[f"env.{name}"].dtype == torch.float32
        assert batch[f"env.{name}"].shape == (COUNT, *shape)
    assert batch["env.count"].tolist() == list(range(COUNT))
    assert batch["env.over"].sum() == EPISODES
    assert batch["env.action"][5].tolist() == [5.5, -5]
    assert batch["step"].dtype == torch.int64
    assert batch["step"].tolist() == list(range(COUNT))
    assert batch["episode_index"].tolist() == [s // LENGTH for s in range(COUNT)]
    assert batch["run_index"].tolist() == [0] * COUNT
    assert batch["timestamp_ms"].dtype == torch.float64
    np.testing.assert_array_equal(batch["timestamp_ms"], rows.timestamps_ms)


def test_text_ragged_arrays_and_the_rest_are_lists(rows):
    """One value a sample: a str, a float32 tensor, or what was recorded; `None` where missing."""
    batch = next(iter(rows.to_torch(batch_size=4)))
    assert batch["env.label"] == [None, "s1", None, "s3"]
    assert [hits.tolist() for hits in batch["env.hits"]] == [[], [0], [0, 1], [0, 1, 2]]
    assert {hits.dtype for hits in batch["env.hits"]} == {torch.float32}
    assert batch["env.info.names"] == [["a", step] for step in range(4)]


def test_several_cameras_are_a_dict_by_camera(recorded):
    """Each by its own shape; gray has one channel, 16 bits are scaled by their own maximum."""
    rows = open_run(recorded).aligned("env", frames=["cam", "depth"])
    batch = next(iter(rows.to_torch(batch_size=5)))
    assert "frame" not in batch
    assert batch["frames"]["cam"].shape == (5, 3, 4, 6)
    assert batch["frames"]["depth"].shape == (5, 1, 4, 6)
    np.testing.assert_allclose(batch["frames"]["depth"][3, 0], np.full((4, 6), 3000 / 65535))


def test_columns_have_the_names_they_were_asked_for(rows):
    """A list keeps what it says, a dict gives names; other columns are not there."""
    batch = next(iter(rows.to_torch(2, columns=["env.reward", "action"])))
    own = {"frame", "step", "timestamp_ms", "episode_index", "run_index"}
    assert set(batch) == {*own, "env.reward", "action"}
    batch = next(iter(rows.to_torch(2, columns={"obs": "env.observation"})))
    assert set(batch) == {*own, "obs"}


def test_a_missing_number_is_nan(recorded):
    """Integers and booleans as well; a row that a track lacks altogether is missing all of it."""
    with Experiment("holes", dash_root=recorded.parent, echo=False).run as experiment:
        for step in range(3):
            fields = {"x": 1.5, "n": 3, "b": True, "q": [1, 2]} if step != 1 else {"y": 1}
            experiment.track("a").append({"step": step, **fields})
    rows = open_run(recorded.parent / "holes").aligned("a")
    batch = next(iter(rows.to_torch()))
    for name in ("x", "n", "b"):
        assert batch[f"a.{name}"].isnan().tolist() == [False, True, False]
    assert batch["a.q"].isnan().all(axis=1).tolist() == [False, True, False]
    kept = next(iter(rows.to_torch(columns=["n", "y"], drop_missing=["n"])))
    assert kept["step"].tolist() == [0, 2]
    assert len(rows.to_torch(columns=["n", "y"], drop_missing=True).dataset) == 0


# -- the loader ------------------------------------------------------------------------------------


def test_every_sample_comes_once_in_order_or_shuffled(rows):
    """A seed gives the same order again; the last batch is as long as what is left."""
    loader = rows.to_torch(batch_size=8)
    assert isinstance(loader, DataLoader) and len(loader) == 3
    assert [len(batch["step"]) for batch in loader] == [8, 8, 5]
    orders = [
        [
            step
            for batch in rows.to_torch(8, shuffle=True, seed=seed)
            for step in batch["step"].tolist()
        ]
        for seed in (1, 1, 2)
    ]
    assert all(sorted(order) == list(range(COUNT)) for order in orders)
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != list(range(COUNT))
    assert [len(batch["step"]) for batch in rows.to_torch(8, drop_last=True)] == [8, 8]


def test_the_dataset_is_map_style_and_can_be_pickled(rows):
    """`len`, samples by number, and the same after pickle."""
    dataset = rows.to_torch().dataset
    assert isinstance(dataset, Dataset)
    assert len(dataset) == COUNT
    copy = pickle.loads(pickle.dumps(dataset))
    for index in (0, 3, COUNT - 1, -1):
        assert same(dataset[index], copy[index])
    assert dataset[-1]["step"] == COUNT - 1
    assert dataset[2]["frame"].shape == (3, 4, 6)
    with pytest.raises(IndexError):
        dataset[COUNT]


def test_the_dataset_can_be_split_and_loaded_by_hand(rows):
    """`random_split`, and a DataLoader of one's own with PyTorch's collate."""
    dataset = rows.to_torch(columns=["action"]).dataset
    train, test = random_split(dataset, [0.8, 0.2], torch.Generator().manual_seed(0))
    steps = [
        step
        for part in (train, test)
        for batch in DataLoader(part, 4)
        for step in batch["step"].tolist()
    ]
    assert sorted(steps) == list(range(COUNT))


def test_a_batch_is_that_of_its_samples(rows):
    """Reading many at once gives what reading one by one gives."""
    loader = rows.to_torch(batch_size=6)
    batch = next(iter(loader))
    assert same(batch, loader.collate_fn([loader.dataset[index] for index in range(6)]))


def test_samples_come_one_by_one_without_a_batch_size(rows):
    """`batch_size=None` is what PyTorch says: no batches."""
    samples = list(rows.to_torch(batch_size=None))
    assert len(samples) == COUNT
    assert samples[3]["frame"].shape == (3, 4, 6)
    assert samples[3]["env.label"] == "s3"


@pytest.mark.parametrize(
    "context", [c for c in ("fork", "spawn") if c in multiprocessing.get_all_start_methods()]
)
def test_workers_give_what_this_process_gives(rows, context):
    """Forked or spawned, with windows or without."""
    workers = 2 if context == "fork" else 1  # each one that is spawned imports PyTorch
    here = list(rows.to_torch(5))
    there = rows.to_torch(5, num_workers=workers, multiprocessing_context=context)
    windows = {"obs_horizon": 2, "action_horizon": 3, "columns": ["observation", "action", "label"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads
        assert all(map(same, here, list(there)))
        alone = list(rows.to_torch(5, **windows))
        there = rows.to_torch(5, num_workers=workers, multiprocessing_context=context, **windows)
        assert all(map(same, alone, list(there)))


def mark_process(sample):
    """A transform that tells where it ran."""
    return {**sample, "process": os.getpid()}


def test_frames_are_decoded_in_the_worker(rows, monkeypatch):
    """This process, in which decoding fails, still gets frames from a spawned one."""
    loader = rows.to_torch(
        7, num_workers=1, multiprocessing_context="spawn", transform=mark_process, columns=["label"]
    )

    def refuse(data):
        raise AssertionError("decoded in the process that trains")

    monkeypatch.setattr(image, "decode", refuse)
    with pytest.raises(AssertionError, match="decoded"):
        _ = loader.dataset[0]
    batches = list(loader)
    assert [tuple(batch["frame"].shape) for batch in batches] == [(7, 3, 4, 6)] * 3
    assert os.getpid() not in batches[0]["process"].tolist()


def test_a_transform_takes_the_place_of_each_sample(rows):
    """Its result is collated: tensors stacked, text in lists."""
    loader = rows.to_torch(
        3,
        columns=["label", "reward"],
        transform=lambda sample: {"crop": sample["frame"][:, :2], "label": sample["label"]},
    )
    batch = next(iter(loader))
    assert batch["crop"].shape == (3, 3, 2, 6)
    assert batch["label"] == [None, "s1", None]


def test_frames_are_scaled_to_the_size_asked_for(rows):
    """Height and width; it is a mean of the pixels."""
    batch = next(iter(rows.to_torch(2, size=(2, 3))))
    assert batch["frame"].shape == (2, 3, 2, 3)
    assert batch["frame"][1, 0, 1, 1] == pytest.approx(1 / 255)
    with pytest.raises(ValueError, match="size="):
        rows.to_torch(size=(0, 3))


# -- windows ---------------------------------------------------------------------------------------


def test_windows_of_frames_and_actions_end_with_the_episode(rows):
    """(B, To, C, H, W) and (B, Ta, …): the shapes that policies are trained on, edges marked."""
    loader = rows.to_torch(
        COUNT, obs_horizon=4, action_horizon=8, columns=["observation", "action"]
    )
    batch = next(iter(loader))
    assert batch["frame"].shape == (COUNT, 4, 3, 4, 6)
    assert batch["observation"].shape == (COUNT, 4, 3)
    assert batch["action"].shape == (COUNT, 8, 2)
    assert batch["obs_is_pad"].dtype == batch["action_is_pad"].dtype == torch.bool
    for row in range(COUNT):
        first, last = row // LENGTH * LENGTH, row // LENGTH * LENGTH + LENGTH - 1
        past = [max(row - back, first) for back in (3, 2, 1, 0)]
        future = [min(row + ahead, last) for ahead in range(8)]
        assert batch["observation"][row, :, 0].tolist() == past
        assert (batch["frame"][row, :, 0, 0, 0] * 255).round().int().tolist() == past
        assert batch["action"][row, :, 0].tolist() == [step + 0.5 for step in future]
        assert batch["obs_is_pad"][row].tolist() == [row - back < first for back in (3, 2, 1, 0)]
        assert batch["action_is_pad"][row].tolist() == [row + ahead > last for ahead in range(8)]


def test_only_whole_windows_where_nothing_is_to_be_filled_up(rows):
    """`pad=False` leaves out rows too near to the edges of their episode."""
    loader = rows.to_torch(50, obs_horizon=2, action_horizon=3, columns=["action"], pad=False)
    batch = next(iter(loader))
    assert batch["step"].tolist() == [s for s in range(COUNT) if 1 <= s % LENGTH <= LENGTH - 3]
    assert not batch["obs_is_pad"].any() and not batch["action_is_pad"].any()


def test_which_columns_are_actions_can_be_said(rows):
    """By the names in the sample; without any there is nothing to look ahead for."""
    loader = rows.to_torch(
        2, obs_horizon=2, action_horizon=3, columns={"u": "reward", "x": "action"}, actions=["u"]
    )
    batch = next(iter(loader))
    assert batch["u"].shape == (2, 3) and batch["x"].shape == (2, 2, 2)
    with pytest.raises(ValueError, match="no column is called 'action'"):
        rows.to_torch(action_horizon=3, columns=["reward"])
    with pytest.raises(KeyError, match="actions: no column 'v'"):
        rows.to_torch(action_horizon=3, columns=["reward"], actions=["v"])
    with pytest.raises(ValueError, match="actions is for windows"):
        rows.to_torch(actions=["action"])


def test_a_row_without_an_action_is_no_part_of_windows(tmp_path):
    """The last observation of an episode, after which nothing was done."""
    with Experiment("gym", dash_root=tmp_path, echo=False).run as experiment:
        for step in range(8):
            acted = {"action": float(step)} if step % 4 < 3 else {}
            row = {"step": step, "episode": step // 4, "observation": float(step), **acted}
            experiment.track("env").append(row)
    rows = open_run("gym", tmp_path).aligned("env")
    batch = next(iter(rows.to_torch(obs_horizon=1, action_horizon=3)))
    assert batch["step"].tolist() == [0, 1, 2, 4, 5, 6]
    assert batch["env.action"][1].tolist() == [1, 2, 2]
    assert batch["action_is_pad"][1].tolist() == [False, False, True]


# -- frames that are not there -------------------------------------------------------------------


@pytest.fixture
def sparse(tmp_path):
    """A camera that saw every third step of two episodes, the first of them from its second on."""
    with Experiment("sparse", dash_root=tmp_path, echo=False).run as experiment:
        for step in range(8):
            experiment.track("a").append({"step": step, "episode": step // 4, "x": step})
            if step in (1, 4, 7):
                experiment.files("cam").save_image(pixels(step), to=f"f_{step}.png")
    return open_run("sparse", tmp_path).aligned("a", frames="cam")


def seen(loader):
    """By step, the step that its frame shows."""
    return {
        int(step): round(float(frame[0, 0, 0]) * 255)
        for batch in loader
        for step, frame in zip(batch["step"], batch["frame"], strict=True)
    }


def test_rows_without_a_frame_are_left_out_with_a_warning(sparse):
    """It says how many, and what else could be done."""
    with pytest.warns(UserWarning, match=r"5 of 8 rows have no frame of 'cam'.*'hold'") as warned:
        assert seen(sparse.to_torch()) == {1: 1, 4: 4, 7: 7}
    assert warned[0].filename == __file__


def test_rows_without_a_frame_may_be_dropped_held_or_black(sparse):
    """Held is the last one before within the episode; nothing is shown from the future."""
    assert seen(sparse.to_torch(missing_frames="drop")) == {1: 1, 4: 4, 7: 7}
    held = {1: 1, 2: 1, 3: 1, 4: 4, 5: 4, 6: 4, 7: 7}
    assert seen(sparse.to_torch(missing_frames="hold")) == held
    black = dict.fromkeys(range(8), 0) | {1: 1, 4: 4, 7: 7}
    assert seen(sparse.to_torch(missing_frames="zero")) == black
    with pytest.raises(ValueError, match="missing_frames is 'skip'"):
        sparse.to_torch(missing_frames="skip")


def test_frames_of_two_sizes_are_an_error_that_names_the_remedy(tmp_path):
    """They cannot be stacked; with a size they can."""
    with Experiment("sizes", dash_root=tmp_path, echo=False).run as experiment:
        for step, side in enumerate((4, 4, 8)):
            shot = np.full((side, side, 3), 9, np.uint8)
            experiment.files("cam").save_image(shot, to=f"f_{step}.png")
    rows = open_run("sizes", tmp_path).aligned(frames="cam")
    with pytest.raises(ValueError, match=r"shape \(8, 8, 3\), the others \(4, 4, 3\).*size="):
        list(rows.to_torch())
    assert next(iter(rows.to_torch(size=(4, 4))))["frame"].shape == (3, 3, 4, 4)


# -- the rest --------------------------------------------------------------------------------------


class Session:
    """Samples of somebody else: what a loader needs, and no more."""

    def __init__(self):
        self.fields = {"frame": Field(IMAGE, (2, 2, 3)), "x": Field(NUMBER, (1,))}

    def __len__(self):
        return 3

    def sample(self, index):
        return {"frame": np.full((2, 2, 3), 255, np.uint8), "x": np.array([index])}


def test_anything_that_has_samples_can_be_loaded():
    """The loaders know the protocol, and not the run."""
    batch = next(iter(torch_loader(Session(), 2)))
    assert batch["frame"].shape == (2, 3, 2, 2) and float(batch["frame"].min()) == 1.0
    assert batch["x"].tolist() == [[0.0], [1.0]]
    assert len(torch_dataset(Session())) == 3


def test_no_rows_give_no_batches(rows):
    """Nothing to load is no error, shuffled or not."""
    nothing = rows.take([])
    assert list(nothing.to_torch(shuffle=True)) == []
    assert list(nothing.to_torch(obs_horizon=2, action_horizon=2)) == []


def test_without_torch_the_error_is_the_pip_line(rows, monkeypatch):
    """What to install is said."""
    from ml_dash.loaders import torch as loader_module

    loader_module._dataset_class.cache_clear()
    monkeypatch.setitem(sys.modules, "torch.utils.data", None)
    with pytest.raises(ImportError, match=r'pip install "ml-dash\[torch\]"'):
        rows.to_torch()


def test_reading_rows_imports_no_framework(recorded):
    """Samples and windows are numpy; torch is loaded by `to_torch`."""
    code = f"""
import sys
from ml_dash.reading import open_run
rows = open_run({str(recorded)!r}).aligned("env", frames="cam")
rows.windows(2, 3).sample(0), rows.resample(100), list(rows)
assert not {{"torch", "tensorflow", "pandas", "polars", "pyarrow"}} & set(sys.modules)
rows.to_torch()
assert "torch" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
