"""Spaces as JSON, and back: kept beside rows, which can then be read without the environment."""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.spaces import Space
from numpy.typing import NDArray

_MOST_BOUNDS = 10_000  # beyond that, bounds that differ are packed: they would outweigh the data


def about(name: str, observation_space: Space[Any], action_space: Space[Any]) -> dict[str, Any]:
    """What the rows of an environment mean, as JSON types: the content of `spaces.json`."""
    facts = {
        "format": 1,
        "env": name,
        "observation_space": describe(observation_space),
        "action_space": describe(action_space),
    }
    return dict(json.loads(json.dumps(facts)))  # as it will be read back, to be compared with that


def describe(space: Space[Any]) -> dict[str, Any]:
    """A space as JSON types; of a class that gymnasium does not know only its name."""
    kind = next((kind for kind in _KINDS if isinstance(space, kind)), None)
    facts: dict[str, Any] = {"type": kind.__name__ if kind else "other"}
    if isinstance(space, spaces.Box):
        facts |= {"shape": list(space.shape), "dtype": np.dtype(space.dtype).str}
        facts |= {"low": _bound(space.low, facts["dtype"])}
        facts |= {"high": _bound(space.high, facts["dtype"])}
    elif isinstance(space, spaces.Discrete):
        facts |= {"n": int(space.n), "start": int(space.start), "dtype": _dtype(space)}
    elif isinstance(space, spaces.MultiDiscrete):
        facts |= {"nvec": space.nvec.tolist(), "dtype": _dtype(space)}
        facts["start"] = space.start.tolist()
    elif isinstance(space, spaces.MultiBinary):
        facts["n"] = space.n if isinstance(space.n, int) else list(space.shape)
    elif isinstance(space, spaces.Text):
        facts |= {"min_length": int(space.min_length), "max_length": int(space.max_length)}
        facts["charset"] = space.characters
    elif isinstance(space, spaces.Sequence):
        facts |= {"space": describe(space.feature_space), "stack": bool(space.stack)}
    elif isinstance(space, spaces.Graph):
        edges = space.edge_space
        facts["node_space"] = describe(space.node_space)
        facts["edge_space"] = None if edges is None else describe(edges)
    elif isinstance(space, spaces.Dict):
        facts["spaces"] = [[key, describe(part)] for key, part in space.spaces.items()]
    elif isinstance(space, (spaces.Tuple, spaces.OneOf)):
        facts["spaces"] = [describe(part) for part in space.spaces]
    else:
        facts["class"] = f"{type(space).__module__}.{type(space).__qualname__}"
    return facts


def space_from(facts: Mapping[str, Any]) -> Space[Any]:
    """The space that `describe` was given; of an unknown class one that takes anything."""
    kind = facts["type"]
    if kind == "Box":
        shape, dtype = tuple(facts["shape"]), np.dtype(facts["dtype"])
        low, high = (_bounds(facts[side], shape, dtype) for side in ("low", "high"))
        return spaces.Box(low, high, shape, dtype.type)
    if kind == "Discrete":
        # Older releases have one type only, and no argument for it.
        kinds = {} if facts["dtype"] == "<i8" else {"dtype": np.dtype(facts["dtype"])}
        return spaces.Discrete(facts["n"], start=facts["start"], **kinds)
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(
            np.array(facts["nvec"]), np.dtype(facts["dtype"]), start=np.array(facts["start"])
        )
    if kind == "MultiBinary":
        return spaces.MultiBinary(facts["n"])
    if kind == "Text":
        return spaces.Text(
            facts["max_length"], min_length=facts["min_length"], charset=facts["charset"]
        )
    if kind == "Sequence":
        return spaces.Sequence(space_from(facts["space"]), stack=facts["stack"])
    if kind == "Graph":
        edges = facts["edge_space"]
        return spaces.Graph(
            space_from(facts["node_space"]), None if edges is None else space_from(edges)
        )
    if kind == "Dict":
        return spaces.Dict([(key, space_from(part)) for key, part in facts["spaces"]])
    if kind in ("Tuple", "OneOf"):
        parts = [space_from(part) for part in facts["spaces"]]
        return spaces.Tuple(parts) if kind == "Tuple" else spaces.OneOf(parts)
    return Anything()


class Anything(Space[Any]):
    """A space of values of which nothing is known."""

    def contains(self, x: Any) -> bool:
        """Everything is one of them."""
        return True

    @property
    def is_np_flattenable(self) -> bool:
        """They have no shape."""
        return False


_KINDS: tuple[type[Space[Any]], ...] = (
    spaces.Box,
    spaces.Discrete,
    spaces.MultiDiscrete,
    spaces.MultiBinary,
    spaces.Text,
    spaces.Sequence,
    spaces.Graph,
    spaces.Dict,
    spaces.Tuple,
    spaces.OneOf,
)


def _dtype(space: Space[Any]) -> str:
    return str(np.dtype(space.dtype).str)


def _bound(values: NDArray[Any], dtype: str) -> Any:
    """Bounds as one number where all are the same, else as lists; infinities as text."""
    if values.size == 0:
        return 0.0
    first = values.reshape(-1)[0]
    if (values == first).all():
        return _plain(first.item())
    if values.size > _MOST_BOUNDS:
        packed = zlib.compress(values.astype(dtype).tobytes())
        return {"zlib": base64.b64encode(packed).decode()}
    return [_plain(value) for value in values.reshape(-1).tolist()]


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _bounds(values: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    if isinstance(values, dict):
        size = math.prod(shape) * dtype.itemsize
        packed = base64.b64decode(values["zlib"])
        raw = zlib.decompressobj().decompress(packed, size)
        return np.frombuffer(raw, dtype).reshape(shape).copy()
    if isinstance(values, list):
        return np.array([_parsed(value, dtype) for value in values], dtype).reshape(shape)
    return np.full(shape, _parsed(values, dtype), dtype)


def _parsed(value: Any, dtype: np.dtype[Any]) -> Any:
    return dtype.type(float(value)) if isinstance(value, str) else value
