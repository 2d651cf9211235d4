"""Spaces: what observations and actions can be, as Minari writes it, and where they are in a run.

They come from `spaces.json`, which the Gymnasium wrapper leaves beside its tracks, or else from the
columns themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ml_dash.export.roles import Source
from ml_dash.hints import hint

FILE = "spaces.json"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Leaf:
    """One array of an observation or action.

    Attributes:
        path: where it is in a group of HDF5: `pose/x`, and for parts of a tuple `_index_0`; empty
            for all of it.
        dtype: what it is stored as.
        shape: of one value.
        source: the column that it is in; or
        camera: the camera whose frames it is.
    """

    path: str
    dtype: str
    shape: tuple[int, ...]
    source: Source | None = None
    camera: str | None = None


@dataclass(frozen=True, slots=True)
class Space:
    """What observations or actions are.

    Attributes:
        json: as Minari's `deserialize_space` takes it.
        leaves: its arrays.
    """

    json: Json
    leaves: list[Leaf] = field(default_factory=list)


class Found:
    """Finds the columns and cameras of the parts of a space.

    Args:
        sources: the columns there are.
        cameras: the cameras there are.
        base: where frames of the environment are: `env`.
    """

    def __init__(self, sources: Sequence[Source], cameras: Sequence[str], base: str) -> None:
        self._columns = {source.column.name: source for source in sources}
        self._cameras = list(cameras)
        self._base = base

    def space(self, facts: Mapping[str, Any], root: str) -> Space:
        """A space that `spaces.json` describes.

        Raises:
            ValueError: Minari has no such space, or the run lacks a part of it.
        """
        leaves: list[Leaf] = []
        json = self._read(facts, root, root, "", leaves)
        return Space(json, leaves)

    def _read(
        self, facts: Mapping[str, Any], column: str, camera: str, path: str, leaves: list[Leaf]
    ) -> Json:
        kind = facts["type"]
        if kind in ("Dict", "Tuple"):
            items = facts["spaces"]
            named = items if kind == "Dict" else list(enumerate(items))
            parts = {}
            for key, part in named:
                name = f"_index_{key}" if kind == "Tuple" else str(key)
                inner = f"{path}/{name}".strip("/")
                parts[key] = self._read(part, f"{column}.{key}", f"{camera}/{key}", inner, leaves)
            return {
                "type": kind,
                "subspaces": parts if kind == "Dict" else list(parts.values()),
            }
        json, dtype, shape = _plain(facts, column)
        source = self._columns.get(column)
        if source is not None:
            leaves.append(Leaf(path, dtype, shape, source=source))
        else:
            leaves.append(Leaf(path, dtype, shape, camera=self._camera(column, camera, shape)))
        return json

    def _camera(self, column: str, camera: str, shape: tuple[int, ...]) -> str:
        name = f"{self._base}/{camera}".strip("/")
        if name not in self._cameras:
            raise ValueError(
                f"{column!r} is neither a column nor the camera {name!r}:"
                f" {hint(column, [*self._columns, *self._cameras])}"
            )
        stacks = {f"{name}_earlier", f"{name}/earlier"}  # the latter in earlier runs
        if stacks & set(self._cameras) or len(shape) not in (2, 3):
            raise ValueError(
                f"{column!r} is a stack of pictures {shape}, which is not put together here; say"
                " which columns are observed with observation="
            )
        return name


def _plain(facts: Mapping[str, Any], where: str) -> tuple[Json, str, tuple[int, ...]]:
    """A space without parts: as Minari writes it, its dtype and shape."""
    kind = facts["type"]
    if kind == "Box":
        shape, dtype = tuple(facts["shape"]), np.dtype(facts["dtype"])
        return box(shape, dtype.name, facts["low"], facts["high"]), dtype.name, shape
    if kind == "Discrete":
        json = {"type": kind, "dtype": "int64", "start": facts["start"], "n": facts["n"]}
        return json, "int64", ()
    if kind == "MultiDiscrete":
        dtype = np.dtype(facts["dtype"])
        json = {"type": kind, "dtype": dtype.name, "nvec": facts["nvec"], "start": facts["start"]}
        return json, dtype.name, np.shape(facts["nvec"])
    if kind == "MultiBinary":
        shape = (facts["n"],) if isinstance(facts["n"], int) else tuple(facts["n"])
        return {"type": kind, "n": facts["n"]}, "int8", shape
    raise ValueError(
        f"{where!r} is a {facts.get('class', kind)} space, for which this format has no array; say"
        " which columns are meant with observation= and action="
    )


def box(shape: tuple[int, ...], dtype: str, low: Any, high: Any) -> Json:
    """A Box; bounds are one number for all, or a flat list, or `None`: as far as the type goes."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        least, most = -np.inf, np.inf
    else:
        info = np.iinfo(kind) if kind.kind in "iu" else np.iinfo(np.uint8)
        least, most = (info.min, info.max) if kind.kind in "iu" else (0, 1)
    return {
        "type": "Box",
        "dtype": dtype,
        "shape": list(shape),
        "low": _bounds(shape, kind, least if low is None else low),
        "high": _bounds(shape, kind, most if high is None else high),
    }


def _bounds(shape: tuple[int, ...], dtype: np.dtype[Any], bound: Any) -> Any:
    values = [float(v) if isinstance(v, str) else v for v in np.ravel(bound).tolist()]
    array = np.array(values, dtype if dtype.kind != "b" else np.int8)
    return np.broadcast_to(array.reshape(shape if array.size > 1 else ()), shape).tolist()


def space_of_columns(
    sources: Sequence[Source], cameras: Mapping[str, tuple[int, ...]], roots: Sequence[str]
) -> Space:
    """A space made of columns and cameras: one array where there is one, else a Dict of them.

    Args:
        sources: the columns.
        cameras: the shape of each camera's frames.
        roots: the names whose columns need no name of their own in it: `obs.x` is `x`.
    """
    leaves = [(_name(source.column.name, roots), source, None, ()) for source in sources]
    found: list[tuple[str, Source | None, str | None, tuple[int, ...]]] = [*leaves]
    taken = {name for name, *_ in found}
    for camera, shape in cameras.items():
        name = camera.rpartition("/")[2]
        found.append((camera.replace("/", "_") if name in taken else name, None, camera, shape))
        taken.add(name)
    if len(found) == 1:
        json, leaf = _leaf("", *found[0][1:])
        return Space(json, [leaf])
    space = Space({"type": "Dict", "subspaces": {}})
    for name, source, one, shape in found:
        path = "/".join(name.split("."))
        inner = space.json
        *groups, last = path.split("/")
        for group in groups:
            inner = inner["subspaces"].setdefault(group, {"type": "Dict", "subspaces": {}})
        inner["subspaces"][last], leaf = _leaf(path, source, one, shape)
        space.leaves.append(leaf)
    return space


def _name(column: str, roots: Sequence[str]) -> str:
    for root in roots:
        if column.startswith(f"{root}."):
            return column[len(root) + 1 :]
    return column


def _leaf(
    path: str, source: Source | None, camera: str | None, shape: tuple[int, ...]
) -> tuple[Json, Leaf]:
    if source is None:
        return box(shape, "uint8", 0, 255), Leaf(path, "uint8", shape, camera=camera)
    column = source.column
    if column.kind == "int" and column.shape == () and (column.low or 0) >= 0:
        count = int(column.high or 0) + 1
        return {"type": "Discrete", "dtype": "int64", "start": 0, "n": count}, Leaf(
            path, "int64", (), source=source
        )
    dtype = {"int": "int64", "bool": "int8"}.get(column.kind, "float64")
    shape = column.shape or ()
    low, high = (0, 1) if column.kind == "bool" else (None, None)
    return box(shape, dtype, low, high), Leaf(path, dtype, shape, source=source)


def described(files: Any, topic: str) -> tuple[str, Json] | None:
    """What `spaces.json` beside a track says, and where it is: the track or one of its parents."""
    place = topic
    while place:
        if files.exists(f"{place}/{FILE}"):
            found = files.read_json(f"{place}/{FILE}")
            if isinstance(found, dict) and "observation_space" in found:
                return place, found
        place = place.rpartition("/")[0]
    return None
