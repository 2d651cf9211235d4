"""Batches and infos of vector environments, taken apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import batch_space, iterate
from hypothesis import given
from hypothesis import strategies as st
from vector_envs import Walk, same

from ml_dash_gymnasium.vector_batches import Chosen, splitter
from ml_dash_gymnasium.vector_infos import split_infos

LEAVES = st.sampled_from(
    [
        spaces.Box(-1, 1, (2,), np.float32),
        spaces.Box(0, 255, (4, 5, 3), np.uint8),
        spaces.Box(-1, 1, (), np.float64),
        spaces.Discrete(7, start=-3),
        spaces.MultiDiscrete([3, 4]),
        spaces.MultiBinary((2, 2)),
        spaces.Text(6),
        spaces.Sequence(spaces.Discrete(3)),
        spaces.Sequence(spaces.Box(0, 1, (2,), np.float32), stack=True),
        spaces.Graph(spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(2)),
        spaces.OneOf((spaces.Discrete(3), spaces.Text(4))),
    ]
)
SPACES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from("abcd"), inner, min_size=1).map(spaces.Dict),
        st.lists(inner, min_size=1, max_size=3).map(spaces.Tuple),
    ),
    max_leaves=4,
)


@given(SPACES, st.lists(st.integers(0, 4), min_size=1, unique=True))
def test_items_of_any_space_are_those_that_gymnasium_iterates_over(space: Any, ids: Any) -> None:
    """Of all spaces and their nestings, for any choice of sub-environments."""
    batched = batch_space(space, 5)
    batched.seed(0)
    batch = batched.sample()
    expected = list(iterate(batched, batch))
    chosen = Chosen(ids, 5)
    items = splitter(space, chosen)(batch)
    assert len(items) == len(ids)
    for i, item in zip(sorted(ids), items, strict=True):
        assert same(item, expected[i])


def test_tensors_come_to_the_host() -> None:
    """Tensors that need a gradient, of bfloat16, in a dict, become numpy arrays."""
    space = spaces.Dict({"a": spaces.Box(-9, 9, (2,)), "b": spaces.Discrete(4)})
    batch = {
        "a": torch.arange(8.0, requires_grad=True).reshape(4, 2),
        "b": torch.arange(4).to(torch.bfloat16),
    }
    items = splitter(space, Chosen([1, 3], 4))(batch)
    assert [item["a"].tolist() for item in items] == [[2, 3], [6, 7]]
    assert [float(item["b"]) for item in items] == [1, 3]
    assert all(isinstance(item["a"], np.ndarray) for item in items)


class OnDevice(torch.Tensor):
    """Looks as if it were on a device, from which nothing but a choice of rows may come."""

    is_cpu = False

    def cpu(self, *_: Any, **__: Any) -> torch.Tensor:
        assert len(self) == 2, "the whole batch was copied"
        return self.as_subclass(torch.Tensor)


def test_only_the_chosen_rows_leave_a_device() -> None:
    """A batch of thousands stays where it is."""
    batch = torch.arange(6000.0).reshape(3000, 2).as_subclass(OnDevice)
    chosen = Chosen([7, 2000], 3000)
    assert [item.tolist() for item in chosen.items(batch)] == [[14, 15], [4000, 4001]]
    assert chosen.scalars(batch[:, 0]) == [14, 4000]


def test_numbers_are_plain() -> None:
    """Rewards and flags are Python's, from arrays, tensors and lists."""
    chosen = Chosen([0, 2], 3)
    for leaf in (np.array([1.5, 2, 3]), torch.tensor([1.5, 2, 3]), [1.5, 2.0, 3.0]):
        values = chosen.scalars(leaf)
        assert values == [1.5, 3.0]
        assert {type(value) for value in values} == {float}
    assert [type(flag) for flag in chosen.scalars(torch.tensor([True, False, True]))] == [bool] * 2


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([], ValueError, "leave it out to record all"),
        ([3], ValueError, "no sub-environment 3; this one has 3"),
        ([-1], ValueError, "no sub-environment -1"),
        ([1, 1], ValueError, "twice"),
        ([0.5], TypeError, "integers"),
        ([True], TypeError, "integers"),
        ("01", TypeError, "integers"),
    ],
)
def test_a_wrong_choice_is_refused(ids: Any, error: Any, message: str) -> None:
    """With a message that says what there is."""
    with pytest.raises(error, match=message):
        Chosen(ids, 3)


def test_a_choice_may_be_of_any_integers() -> None:
    """A range, an array, one number; in any order."""
    assert Chosen(range(1, 3), 3).ids == Chosen(np.array([2, 1]), 3).ids == (1, 2)
    assert Chosen(2, 3).ids == Chosen(np.int64(2), 3).ids == (2,)
    assert Chosen(None, 3).ids == (0, 1, 2)


def test_filler_of_infos_is_dropped() -> None:
    """A value whose mask is false for a sub-environment is nobody's; also in nested dicts."""
    infos = {
        "odd": np.array([1.0, 0.0, 3.0]),
        "_odd": np.array([True, False, True]),
        "at": {
            "time": np.array([0, 5, 0]),
            "_time": np.array([False, True, False]),
        },
        "_at": np.array([False, True, False]),
        "note": np.array(["a", None, None], object),
        "_note": np.array([True, False, False]),
    }
    assert split_infos(infos, Chosen(None, 3)) == [
        {"odd": 1.0, "note": "a"},
        {"at": {"time": 5}},
        {"odd": 3.0},
    ]
    assert split_infos(infos, Chosen([1], 3)) == [{"at": {"time": 5}}]


def test_infos_are_those_of_the_environments() -> None:
    """What gymnasium puts together is what comes out again."""
    vector = VectorEnv()
    vector.num_envs = 4
    infos: dict[str, Any] = {}
    singles = []
    for i in range(4):
        env = Walk()
        env.reset(seed=i)
        info = env.step(i)[4] if i % 2 else {"only": {"deep": {"x": np.ones(2)}}, "_private": i}
        singles.append(info)
        infos = vector._add_info(infos, info, i)
    assert same(split_infos(infos, Chosen(None, 4)), singles)


def test_infos_of_other_shapes_are_kept() -> None:
    """Lists of dicts, values without a mask, values of the whole batch, tensors, unmasked dicts."""
    chosen = Chosen([0, 2], 3)
    assert split_infos([{"a": 1}, {}, None], chosen) == [{"a": 1}, {}]
    assert split_infos(({"a": 1}, {}, {"b": 2}), chosen) == [{"a": 1}, {"b": 2}]
    infos = {
        "fps": 30,
        "name": "abc",
        "log": {"loss": 0.5},
        "height": torch.tensor([1.0, 2.0, 3.0]),
        "episode": {"r": np.array([5.0, 0.0, 0.0])},
        "_episode": torch.tensor([True, False, False]),
        "_own": np.array([7, 8, 9]),
        "grid": np.zeros((2, 2)),
    }
    first, second = split_infos(infos, chosen)
    assert first.pop("grid").shape == second.pop("grid").shape == (2, 2)
    assert first == {
        "fps": 30,
        "name": "abc",
        "log": {"loss": 0.5},
        "height": 1.0,
        "episode": {"r": 5.0},
        "_own": 7,
    }
    assert second == {"fps": 30, "name": "abc", "log": {"loss": 0.5}, "height": 3.0, "_own": 9}
