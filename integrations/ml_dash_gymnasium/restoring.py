"""Values of a space again, from what JSON holds of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.spaces import Space


def restored(space: Space[Any] | None, value: Any) -> Any:
    """A value of a space in the space's own types; as it is where it does not fit.

    Args:
        space: what it is of.
        value: the lists, numbers, texts and dicts that a row has of it.
    """
    if value is None or space is None:
        return value
    try:
        return _restored(space, value)
    except (TypeError, ValueError, LookupError, OverflowError):
        return value


def _restored(space: Space[Any], value: Any) -> Any:
    if isinstance(space, spaces.Discrete):
        return np.dtype(space.dtype).type(value)
    if isinstance(space, (spaces.Box, spaces.MultiDiscrete, spaces.MultiBinary)):
        return np.asarray(value, space.dtype).reshape(space.shape)
    if isinstance(space, spaces.Dict):
        return {key: restored(part, value[key]) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(restored(part, item) for part, item in zip(space.spaces, value, strict=True))
    if isinstance(space, spaces.OneOf):
        return np.int64(value[0]), restored(space.spaces[int(value[0])], value[1])
    if isinstance(space, spaces.Sequence):
        feature = space.feature_space
        return _batch(feature, value) if space.stack else _several(feature, value)
    if isinstance(space, spaces.Graph):
        nodes, edges, links = value
        return spaces.GraphInstance(
            _batch(space.node_space, nodes),
            None if edges is None or space.edge_space is None else _batch(space.edge_space, edges),
            None if links is None else np.asarray(links, np.int32).reshape(-1, 2),
        )
    return value


def _batch(space: Space[Any], value: Any) -> Any:
    """Several values of a space as gymnasium batches them: along a first axis of each part."""
    if isinstance(space, spaces.Discrete):
        return np.asarray(value, space.dtype).reshape(-1)
    if isinstance(space, (spaces.Box, spaces.MultiDiscrete, spaces.MultiBinary)):
        return np.asarray(value, space.dtype).reshape(len(value), *space.shape)
    if isinstance(space, spaces.Dict):
        return {key: _batch(part, value[key]) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_batch(part, item) for part, item in zip(space.spaces, value, strict=True))
    return _several(space, value)


def _several(space: Space[Any], values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(restored(space, value) for value in values)
