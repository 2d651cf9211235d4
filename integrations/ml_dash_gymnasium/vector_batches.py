"""Takes batches of a vector environment apart, for the sub-environments that are recorded.

Only those are touched: a batch of thousands costs what the chosen ones cost. Tensors come to the
host once a leaf, not once a sub-environment.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from gymnasium import Space, spaces

Split = Callable[[Any], list[Any]]


class Chosen:
    """The sub-environments that are recorded.

    Args:
        env_ids: their indices, all by default.
        num_envs: how many there are.

    Attributes:
        ids: the indices, in ascending order.
        num_envs: how many there are.

    Raises:
        TypeError, ValueError: an index is no integer, out of range or given twice, or there is
            none.
    """

    def __init__(self, env_ids: Iterable[int] | int | None, num_envs: int) -> None:
        self.num_envs = num_envs
        self.ids = tuple(range(num_envs)) if env_ids is None else _checked(env_ids, num_envs)
        self._index = np.array(self.ids, np.intp)
        self._pick = operator.itemgetter(*self.ids, self.ids[0])  # of two and more: always a tuple

    def items(self, leaf: Any) -> list[Any]:
        """The chosen items of a leaf: an array or tensor of `num_envs` rows, a tuple or a list.

        Rows of what is in main memory are views; what is on a device is copied from there, at once.
        """
        if is_tensor(leaf):
            if not getattr(leaf, "is_cpu", False):
                return list(on_host(leaf[self._index]))
            leaf = on_host(leaf)
        return list(self._pick(leaf)[:-1])

    def scalars(self, leaf: Any) -> list[Any]:
        """The same of a leaf of one number each, as Python's numbers."""
        if is_tensor(leaf) and getattr(leaf, "is_cpu", False):
            leaf = on_host(leaf)
        if isinstance(leaf, np.ndarray) and leaf.ndim == 1:
            values: list[Any] = leaf[self._index].tolist()
            return values
        return [_plain(item) for item in self.items(leaf)]

    def is_batch(self, value: Any) -> bool:
        """Whether a value has one item for each sub-environment."""
        shape = getattr(value, "shape", None)
        if shape is not None:
            return len(shape) > 0 and shape[0] == self.num_envs
        return isinstance(value, tuple | list) and len(value) == self.num_envs


def splitter(space: Space[Any], chosen: Chosen) -> Split:
    """What takes a batch apart whose items are of `space`.

    Batches nest as the space does: a dict of batches for `Dict`, a tuple of batches for `Tuple`.
    Any other space is a leaf: an array, or a tuple of items (`Text`, `Sequence`, `Graph`, `OneOf`,
    spaces of the user's own).
    """
    if isinstance(space, spaces.Dict):
        return _dict_splitter({key: splitter(part, chosen) for key, part in space.spaces.items()})
    if isinstance(space, spaces.Tuple):
        return _tuple_splitter([splitter(part, chosen) for part in space.spaces])
    return chosen.items


def is_tensor(value: Any) -> bool:
    """Whether it is an array of another library than numpy."""
    kind = type(value)
    if kind is np.ndarray or kind is tuple or kind is list or isinstance(value, np.ndarray):
        return False
    return hasattr(value, "__array__") or hasattr(value, "__dlpack__")


def on_host(value: Any) -> Any:
    """A tensor of any framework as an array in main memory; an array as it is."""
    if isinstance(value, np.ndarray):
        return value
    for name in ("detach", "cpu", "resolve_conj", "resolve_neg"):  # torch
        if hasattr(value, name):
            value = getattr(value, name)()
    try:
        return np.asarray(value)
    except TypeError:  # torch.bfloat16, which numpy does not have
        return np.asarray(value.float())


def _dict_splitter(parts: dict[str, Split]) -> Split:
    def split(batch: Any) -> list[Any]:
        columns = [part(batch[key]) for key, part in parts.items()]
        return [dict(zip(parts, items, strict=True)) for items in zip(*columns, strict=True)]

    return split


def _tuple_splitter(parts: list[Split]) -> Split:
    def split(batch: Any) -> list[Any]:
        return list(zip(*(part(batch[i]) for i, part in enumerate(parts)), strict=True))

    return split


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") and getattr(value, "size", 1) == 1 else value


def _checked(env_ids: Iterable[int] | int, num_envs: int) -> tuple[int, ...]:
    given = [env_ids] if isinstance(env_ids, int | np.integer) else list(env_ids)
    ids = []
    for one in given:
        if isinstance(one, bool) or not isinstance(one, int | np.integer):
            raise TypeError(f"env_ids: {one!r} is no index of a sub-environment; give integers")
        if not 0 <= one < num_envs:
            raise ValueError(
                f"env_ids: there is no sub-environment {one}; this one has {num_envs}, from 0 on"
            )
        ids.append(int(one))
    if len(set(ids)) < len(ids):
        raise ValueError(f"env_ids: {ids} names a sub-environment twice")
    if not ids:
        raise ValueError("env_ids is empty; leave it out to record all, or do not wrap the env")
    return tuple(sorted(ids))
