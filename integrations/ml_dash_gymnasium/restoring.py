"""Values of a space again, from what JSON holds of them.

Numbers get the space's type only where they are the same in it: what an environment gave that is
not of its space, such as 2.7 of a `Discrete`, stays what it is. Floats are as precise as the space.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.spaces import Space
from numpy.typing import NDArray


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
        return _array(value, space.dtype)[()]
    if isinstance(space, (spaces.Box, spaces.MultiDiscrete, spaces.MultiBinary)):
        return _array(value, space.dtype).reshape(space.shape)
    if isinstance(space, spaces.Dict):
        return {key: restored(part, value[key]) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(restored(part, item) for part, item in zip(space.spaces, value, strict=True))
    if isinstance(space, spaces.OneOf):
        index = _array(value[0], np.int64)[()]
        return index, restored(space.spaces[int(index)], value[1])
    if isinstance(space, spaces.Sequence):
        feature = space.feature_space
        return _batch(feature, value) if space.stack else _several(feature, value)
    if isinstance(space, spaces.Graph):
        nodes, edges, links = value
        return spaces.GraphInstance(
            _batch(space.node_space, nodes),
            None if edges is None or space.edge_space is None else _batch(space.edge_space, edges),
            None if links is None else _array(links, np.int32).reshape(-1, 2),
        )
    return value


def _batch(space: Space[Any], value: Any) -> Any:
    """Several values of a space as gymnasium batches them: along a first axis of each part."""
    if isinstance(space, spaces.Discrete):
        return _array(value, space.dtype).reshape(-1)
    if isinstance(space, (spaces.Box, spaces.MultiDiscrete, spaces.MultiBinary)):
        return _array(value, space.dtype).reshape(len(value), *space.shape)
    if isinstance(space, spaces.Dict):
        return {key: _batch(part, value[key]) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_batch(part, item) for part, item in zip(space.spaces, value, strict=True))
    return _several(space, value)


def _several(space: Space[Any], values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(restored(space, value) for value in values)


def _array(value: Any, dtype: Any) -> NDArray[Any]:
    """An array of a type, of the same numbers.

    Raises:
        ValueError, TypeError, OverflowError: they are others in this type, or no numbers.
    """
    given = np.asarray(value)
    kind, numbers = np.dtype(dtype).kind, given.dtype.kind
    with np.errstate(all="ignore"):  # what does not fit is found out below
        # Integers of 64 bits may be floats in `given`, which are less precise.
        array = given.astype(dtype) if numbers == kind else np.asarray(value, dtype)
        same = np.isinf(given) == np.isinf(array) if numbers == kind == "f" else given == array
    if numbers not in "biuf" or not np.all(same):
        raise ValueError("not of this type")
    return array
