"""Windows over time, held against a loop that a reader can check by eye."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_dash.loaders.fields import EXACT, IMAGE, LIST, NUMBER, Field, gather
from ml_dash.loaders.windows import Windows


class Rows:
    """Samples whose values tell their own number."""

    def __init__(self, count):
        self.count = count
        self.asked = []
        self.fields = {
            "frame": Field(IMAGE, (1, 2, 1)),
            "x": Field(NUMBER, (2,)),
            "action": Field(NUMBER, ()),
            "word": Field(LIST, (), "str"),
            "step": Field(EXACT, (), "int64"),
        }

    def __len__(self):
        return self.count

    def sample(self, index):
        self.asked.append(index)
        return {
            "frame": np.full((1, 2, 1), index % 256, np.uint8),
            "x": np.array([index, -index], float),
            "action": index + 0.5,
            "word": f"w{index}",
            "step": index,
        }


def expected(episodes, row, offsets):
    """The rows of a window, and which of them only fill it up."""
    own = [number for number, episode in enumerate(episodes) if episode == episodes[row]]
    place = own.index(row)
    wanted = [place + offset for offset in offsets]
    rows = [own[min(max(number, 0), len(own) - 1)] for number in wanted]
    return rows, [not 0 <= number < len(own) for number in wanted]


@given(
    episodes=st.lists(st.integers(0, 3), max_size=30),
    obs=st.integers(1, 6),
    act=st.integers(1, 6),
    pad=st.booleans(),
)
def test_a_window_never_leaves_its_episode(episodes, obs, act, pad):
    """Past observations and future actions are of one episode, also where episodes alternate."""
    samples = Rows(len(episodes))
    windows = Windows(
        samples,
        np.array(episodes, np.int64),
        obs_horizon=obs,
        action_horizon=act,
        actions=["action"],
        pad=pad,
    )
    found = []
    for row in range(len(episodes)):
        past, before = expected(episodes, row, range(1 - obs, 1))
        future, after = expected(episodes, row, range(act))
        if pad or not any(before + after):
            found.append((row, past, before, future, after))
    assert len(windows) == len(found)
    assert windows.rows.tolist() == [row for row, *_ in found]
    for number, (row, past, before, future, after) in enumerate(found):
        window = windows.sample(number)
        assert window["step"] == row
        assert window["x"][:, 0].tolist() == past
        assert window["frame"].shape == (obs, 1, 2, 1)
        assert window["frame"][:, 0, 0, 0].tolist() == past
        assert window["word"] == [f"w{other}" for other in past]
        assert window["action"].tolist() == [other + 0.5 for other in future]
        assert window["obs_is_pad"].tolist() == before
        assert window["action_is_pad"].tolist() == after


def test_the_edge_of_an_episode_is_repeated_and_marked():
    """The first observation stands for what was before, the last action for what would follow."""
    windows = Windows(
        Rows(5),
        np.zeros(5, np.int64),
        obs_horizon=3,
        action_horizon=4,
        actions=["action"],
    )
    first, last = windows.sample(0), windows.sample(4)
    assert first["x"][:, 0].tolist() == [0, 0, 0]
    assert first["obs_is_pad"].tolist() == [True, True, False]
    assert last["action"].tolist() == [4.5] * 4
    assert last["action_is_pad"].tolist() == [False, True, True, True]


def test_the_present_is_the_last_observation_and_the_first_action():
    """What was seen at t and what was done at t belong to one window."""
    windows = Windows(
        Rows(9), np.zeros(9, np.int64), obs_horizon=4, action_horizon=2, actions=["action"]
    )
    window = windows.sample(5)
    assert window["x"][:, 0].tolist() == [2, 3, 4, 5]
    assert window["action"].tolist() == [5.5, 6.5]
    assert window["step"] == 5


def test_fields_say_the_shapes_of_windows():
    """What each field will be is known before a window is made."""
    samples = Rows(3)
    windows = Windows(
        samples, np.zeros(3, np.int64), obs_horizon=2, action_horizon=5, actions=["action"]
    )
    assert windows.fields == {
        "frame": Field(IMAGE, (2, 1, 2, 1)),
        "x": Field(NUMBER, (2, 2)),
        "action": Field(NUMBER, (5,)),
        "word": Field(LIST, (2,), "str"),
        "step": Field(EXACT, (), "int64"),
        "obs_is_pad": Field(EXACT, (2,), "bool"),
        "action_is_pad": Field(EXACT, (5,), "bool"),
    }
    batch = gather(windows, np.arange(3))
    for key, field in windows.fields.items():
        if field.kind != LIST:
            assert batch[key].shape == (3, *field.shape)


def test_each_row_of_a_batch_is_read_once():
    """Windows that overlap share what they have in common: a frame is not decoded twice."""
    samples = Rows(20)
    windows = Windows(
        samples, np.zeros(20, np.int64), obs_horizon=4, action_horizon=1, actions=["action"]
    )
    windows.gather(np.arange(8), ["frame"])
    assert sorted(samples.asked) == list(range(8))


@pytest.mark.parametrize("name", ["obs_horizon", "action_horizon"])
@pytest.mark.parametrize("value", [0, -1, 2.5])
def test_a_horizon_below_one_is_refused(name, value):
    """The error names the argument and the value."""
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        Windows(Rows(3), np.zeros(3, np.int64), **{name: value})
