"""One episode of `hdf5` and `minari`: arrays that grow, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_dash.export.roles import Source
from ml_dash.export.spaces import Leaf, Space

_BATCH = 128
_CELLS = 1 << 18


class EpisodeWriter:
    """One episode on its way into its group."""

    def __init__(self, group: Any, observed: Space, done: Space, others: list[Source]) -> None:
        self._observed = [_Array(group, "observations", leaf) for leaf in observed.leaves]
        self._done = [_Array(group, "actions", leaf) for leaf in done.leaves]
        names = [source.column.name for source in others]
        infos = [
            Leaf(_info(name, names), "float64", source.column.shape or (), source=source)
            for name, source in zip(names, others, strict=True)
        ]
        self._infos = [_Array(group, "infos", leaf) for leaf in infos]
        self._rewards = _Array(group, "rewards", Leaf("", "float64", ()))
        self._ends = [
            _Array(group, name, Leaf("", "bool", ())) for name in ("terminations", "truncations")
        ]
        self._last: tuple[dict[str, Any], dict[str, NDArray[Any]]] | None = None
        self._flags: tuple[float, bool, bool] = (0.0, False, False)

    def add(
        self,
        row: dict[str, Any],
        frames: dict[str, NDArray[Any]],
        flags: tuple[float, bool, bool],
    ) -> None:
        """Add a row. What the row before it said of its action is now known to lead somewhere."""
        if self._last is not None:
            self._put_action()
        for array in (*self._observed, *self._infos):
            array.add(row, frames)
        self._last = row, frames
        self._flags = flags

    def end(self) -> tuple[int, bool]:
        """End the episode: how many steps it has, and whether its last observation is there."""
        if self._last is None:
            return 0, True
        row, frames = self._last
        acted = self._acted(row)
        if acted and self._flags[1]:
            self._put_action()
            for array in (*self._observed, *self._infos):
                array.add(row, frames)
        for array in (*self._observed, *self._infos, *self._done, self._rewards, *self._ends):
            array.flush()
        steps = self._rewards.count
        if steps:
            ended = any(bool(array.data[-1]) for array in self._ends)
            self._ends[1].data[-1] = bool(self._ends[1].data[-1]) or not ended
        return steps, not acted

    def _put_action(self) -> None:
        assert self._last is not None
        row, frames = self._last
        for array in self._done:
            array.add(row, frames)
        for array, value in zip((self._rewards, *self._ends), self._flags, strict=True):
            array.put(value)

    def _acted(self, row: Mapping[str, Any]) -> bool:
        sources = (array.leaf.source for array in self._done)
        return any(s is not None and row.get(s.column.name) is not None for s in sources)


class _Array:
    """A dataset that grows."""

    def __init__(self, group: Any, name: str, leaf: Leaf) -> None:
        self.leaf = leaf
        self.count = 0
        self._most = max(1, min(_BATCH, _CELLS // max(1, int(np.prod(leaf.shape)))))
        self.data = group.create_dataset(
            f"{name}/{leaf.path}".rstrip("/"),
            shape=(0, *leaf.shape),
            maxshape=(None, *leaf.shape),
            dtype=leaf.dtype,
            chunks=(self._most, *(max(1, side) for side in leaf.shape)),
        )
        self._waiting: list[Any] = []

    def add(self, row: Mapping[str, Any], frames: Mapping[str, NDArray[Any]]) -> None:
        """Add the value that a row, or a frame of it, has."""
        leaf = self.leaf
        if leaf.source is not None:
            value = row.get(leaf.source.column.name)
            self.put(_missing(leaf) if value is None else value)
        elif leaf.camera is not None:
            self.put(as_shape(frames[leaf.camera], leaf.shape))

    def put(self, value: Any) -> None:
        """Add a value."""
        self._waiting.append(value)
        if len(self._waiting) >= self._most:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self._waiting:
            values = np.array(self._waiting, self.leaf.dtype).reshape(-1, *self.leaf.shape)
            self.data.resize(self.count + len(values), 0)
            self.data[self.count :] = values
            self.count += len(values)
            self._waiting.clear()


def as_shape(pixels: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """A frame (H, W, 3) as an observation of this shape: gray, or channels first.

    Raises:
        ValueError: it has other sides.
    """
    gray = len(shape) == 2 or 1 in (shape[0], shape[-1])
    picture = pixels[:, :, :1] if gray else pixels
    if len(shape) == 3 and picture.shape != shape:
        picture = np.moveaxis(picture, -1, 0)
    if picture.size != int(np.prod(shape)):
        raise ValueError(f"a frame of {pixels.shape} is no observation of shape {shape}")
    return picture.reshape(shape)


def _info(column: str, columns: list[str]) -> str:
    """Where a column is among an episode's infos: those of the environment by their own names,
    where that is not the place of another column.
    """
    own = column.removeprefix("info.")
    taken = any(f"{own}.".startswith(f"{c}.") or f"{c}.".startswith(f"{own}.") for c in columns)
    return (column if taken else own).replace(".", "/")


def _missing(leaf: Leaf) -> NDArray[Any]:
    return np.full(leaf.shape, np.nan if np.dtype(leaf.dtype).kind == "f" else 0, leaf.dtype)
