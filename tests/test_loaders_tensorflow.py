"""From a recording to the batches of a `tf.data.Dataset`.

What TensorFlow makes of it is tested where TensorFlow is installed, which it need not be: it is
large, and no part of the suite's environment. What it is handed is tested everywhere.
"""

import sys

import numpy as np
import pytest

from ml_dash import Experiment
from ml_dash.loaders.fields import EXACT, IMAGE, LIST, NUMBER, Field
from ml_dash.loaders.tensorflow import _parts, _types
from ml_dash.reading import concat_runs, open_run

COUNT = 10


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """A run of two episodes, recorded as users do, aligned."""
    root = tmp_path_factory.mktemp("recorded")
    with Experiment("robot", dash_root=root, echo=False).run as experiment:
        recorder = experiment.recorder(format="png")
        for step in range(COUNT):
            row = {
                "episode": step // 5,
                "observation": np.array([step, -step], np.float64),
                "action": step + 0.5,
                "label": f"ś{step}" if step % 2 else None,
                "hits": list(range(step % 3)),
                "boxes": [[step, 0.5]] * (step % 3),
                "info": [{"n": step}],
            }
            shot = np.full((4, 6, 3), step * 20, np.uint8)
            recorder.record(step, tracks={"env": row}, frames={"cam": shot})
    return open_run("robot", root).aligned("env", frames="cam")


@pytest.fixture
def tf():
    """TensorFlow, where it is installed."""
    return pytest.importorskip("tensorflow")


# -- what it is handed -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "values", "types", "expected"),
    [
        (Field(NUMBER), np.array([1, 2]), ["float32"], [[1, 2]]),
        (Field(EXACT, (), "int64"), np.array([2**60]), ["int64"], [[2**60]]),
        (Field(IMAGE, (1, 1, 1)), np.full((1, 1, 1, 1), 51, np.uint8), ["float32"], [[[[[0.2]]]]]),
        (Field(LIST, (), "str"), ["a", None], ["string"], [[b"a", b""]]),
        (Field(LIST, (), "object"), [{"a": [1]}, None], ["string"], [[b'{"a":[1]}', b""]]),
        (Field(LIST, (2,), "str"), [["a", None]], ["string"], [[[b"a", b""]]]),
        (
            *(Field(LIST, (), "float32"), [np.array([1, 2]), None, np.array([3])]),
            *(["float32", "int64"], [[1, 2, 3], [2, 0, 1]]),
        ),
        (
            *(Field(LIST, (), "float32", (2,)), [np.array([[1, 2], [3, 4]]), [], None]),
            *(["float32", "int64"], [[[1, 2], [3, 4]], [2, 0, 0]]),
        ),
    ],
    ids=lambda value: f"{value.kind}{value.dtype}" if isinstance(value, Field) else "",
)
def test_each_kind_of_field_becomes_plain_arrays(field, values, types, expected):
    """Of the types that are announced: ragged ones as values and lengths, text as bytes."""
    parts = _parts(values, field)
    assert _types(field) == types
    for part, name, wanted in zip(parts, types, expected, strict=True):
        assert part.dtype == (object if name == "string" else name)
        if name == "string":
            assert part.tolist() == wanted
        else:
            np.testing.assert_allclose(part, wanted)


def test_without_tensorflow_the_error_is_the_pip_line(rows, monkeypatch):
    """What to install is said."""
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ImportError, match=r'pip install "ml-dash\[tensorflow\]"'):
        rows.to_tensorflow()


# -- what TensorFlow makes of it -----------------------------------------------------------------


def test_a_batch_has_frames_channels_last_and_columns_of_known_shapes(rows, tf):
    """(B, H, W, C) within 0 and 1; shapes are known before the first batch is read."""
    dataset = rows.to_tensorflow(batch_size=4)
    assert isinstance(dataset, tf.data.Dataset) and len(dataset) == 3
    assert dataset.element_spec["frame"] == tf.TensorSpec((None, 4, 6, 3), tf.float32)
    assert dataset.element_spec["env.observation"] == tf.TensorSpec((None, 2), tf.float32)
    assert dataset.element_spec["step"] == tf.TensorSpec((None,), tf.int64)
    batch = next(iter(dataset))
    np.testing.assert_allclose(batch["frame"][:, 0, 0, 0], np.arange(4) * 20 / 255, rtol=1e-6)
    assert batch["env.observation"].numpy().tolist() == [[n, -n] for n in range(4)]
    assert batch["env.label"].numpy().tolist() == [b"", "ś1".encode(), b"", "ś3".encode()]
    assert batch["env.hits"].to_list() == [[], [0], [0, 1], []]
    assert batch["env.boxes"].shape.as_list() == [4, None, 2]
    assert batch["env.boxes"].to_list() == [[[n, 0.5]] * (n % 3) for n in range(4)]
    assert batch["env.info"].numpy().tolist() == [b'[{"n":%d}]' % n for n in range(4)]
    assert [len(batch["step"]) for batch in dataset] == [4, 4, 2]
    assert [len(batch["step"]) for batch in rows.to_tensorflow(4, drop_last=True)] == [4, 4]


def test_shuffling_gives_each_sample_once_and_another_order_each_time(rows, tf):
    """Over two passes; a seed gives the same passes again."""

    def passes(seed):
        dataset = rows.to_tensorflow(3, shuffle=True, seed=seed, columns=["action"])
        return [[n for batch in dataset for n in batch["step"].numpy().tolist()] for _ in range(2)]

    first = passes(1)
    assert all(sorted(order) == list(range(COUNT)) for order in first)
    assert first[0] != first[1]
    assert passes(1) == first


def test_samples_come_one_by_one_without_a_batch_size(rows, tf):
    """As many as there are, each as it is in a batch."""
    dataset = rows.to_tensorflow(None)
    assert len(dataset) == COUNT
    for number, sample in enumerate(dataset):
        assert sample["frame"].shape == (4, 6, 3) and sample["step"] == number
        assert sample["env.hits"].numpy().tolist() == list(range(number % 3))
        assert sample["env.boxes"].numpy().tolist() == [[number, 0.5]] * (number % 3)


def test_windows_are_those_of_numpy(rows, tf):
    """Every field of every window, held against `rows.windows`."""
    chosen = {"columns": {"obs": "observation", "action": "action", "label": "label"}}
    windows = rows.windows(3, 4, **chosen)
    dataset = rows.to_tensorflow(4, obs_horizon=3, action_horizon=4, **chosen)
    number = 0
    for batch in dataset:
        for row in range(len(batch["step"])):
            expected = windows.sample(number)
            np.testing.assert_allclose(batch["frame"][row], expected["frame"] / 255, rtol=1e-6)
            for name in ("obs", "action", "obs_is_pad", "action_is_pad", "step"):
                np.testing.assert_array_equal(batch[name][row], expected[name])
            labels = [(label or "").encode() for label in expected["label"]]
            assert batch["label"][row].numpy().tolist() == labels
            number += 1
    assert number == COUNT


def test_a_keras_model_trains_from_it(rows, tf):
    """The loss falls; runs that were joined are as good as one."""
    tf.keras.utils.set_random_seed(0)
    model = tf.keras.Sequential([tf.keras.layers.Dense(1)])
    model.compile(tf.keras.optimizers.Adam(0.05), "mse")
    dataset = concat_runs([rows, rows]).to_tensorflow(5, columns=["observation", "action"])
    pairs = dataset.map(lambda batch: (batch["observation"], batch["action"]))
    losses = model.fit(pairs, epochs=20, verbose=0, shuffle=False).history["loss"]
    assert losses[-1] < losses[0] / 2
