"""The samples of aligned rows: columns held as numpy, frames decoded when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any

import numpy as np

from ml_dash.loaders.fields import (
    LIST,
    NUMBER,
    OBJECTS,
    RAGGED,
    TEXT,
    Field,
    Key,
    Values,
    stacked,
    with_channels,
)
from ml_dash.reading.entries import Integers
from ml_dash.reading.frame_files import FrameFiles
from ml_dash.reading.parts import Array, Part, as_objects, read_only


class Camera:
    """The frames of samples: their files, and for each sample the number of its frame.

    Args:
        files: of all frames.
        numbers: of each sample; -1 for a black one.
        size: height and width to scale to.
    """

    def __init__(self, files: FrameFiles, numbers: Integers, size: tuple[int, int] | None) -> None:
        used, inverse = np.unique(numbers[numbers >= 0], return_inverse=True)
        self._files = files if len(used) == len(files) else files.taken(used)
        self._numbers = np.full(len(numbers), -1, np.int64)
        self._numbers[numbers >= 0] = inverse
        self._size = size
        first = self._decoded(0) if len(used) else np.zeros((1, 1, 3), np.uint8)
        self.shape = first.shape
        self._dtype = first.dtype

    def frame(self, index: int) -> Array:
        """The frame of a sample: shape (H, W, C)."""
        number = int(self._numbers[index])
        return np.zeros(self.shape, self._dtype) if number < 0 else self._decoded(number)

    def _decoded(self, number: int) -> Array:
        frame = self._files.decode(number)
        if self._size is not None and frame.shape[:2] != self._size:
            from ml_dash.image import scaling

            frame = scaling.resize(np.ascontiguousarray(frame), self._size)
        return with_channels(frame)


class AlignedSamples:
    """Samples by number, made of aligned rows. It can be pickled, and needs the run's files only.

    Attributes:
        fields: what there is in each sample.
        rows: the numbers of the aligned rows that the samples are.
        episodes: the number of each sample's episode.
    """

    def __init__(
        self,
        fields: Mapping[Key, Field],
        columns: Mapping[Key, Array],
        cameras: Mapping[Key, Camera],
        rows: Integers,
    ) -> None:
        self.fields: Mapping[Key, Field] = dict(fields)
        self.rows = rows
        self._columns = dict(columns)
        self._cameras = dict(cameras)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"<AlignedSamples {len(self)}: {', '.join(map(str, self.fields))}>"

    @property
    def episodes(self) -> Integers:
        """The number of each sample's episode: shape (samples,), int64."""
        return read_only(self._columns["episode_index"])

    def sample(self, index: int, /) -> dict[Key, Any]:
        """One sample: numpy arrays and numbers, text, or `None`, by field."""
        index = range(len(self))[index]
        found: dict[Key, Any] = {key: camera.frame(index) for key, camera in self._cameras.items()}
        # Arrays of its own: whoever changes a sample in place changes no other one
        return found | {key: copy(column[index]) for key, column in self._columns.items()}

    def gather(self, indices: Integers, keys: Iterable[Key] | None = None) -> dict[Key, Values]:
        """Many samples at once: by field an array (n, *shape), or a list of n.

        Raises:
            FileNotFoundError: the bytes of a frame are gone.
            ValueError: frames differ in shape.
        """
        wanted = self.fields if keys is None else list(keys)
        found: dict[Key, Values] = {}
        for key in wanted:
            if key in self._cameras:
                frames = [self._cameras[key].frame(int(index)) for index in indices]
                found[key] = stacked(key, self.fields[key], frames, indices)
            else:
                values = self._columns[key][indices]
                found[key] = list(values) if self.fields[key].kind == LIST else values
        return found


def as_column(part: Part) -> tuple[Field, Array]:
    """A column as samples have it: what it is, and one value a row."""
    if part.kind != "object":
        with np.errstate(over="ignore"):  # what float32 cannot hold is infinite
            values = part.data.astype(np.float32)
        if part.missing is not None and part.kind != "none":
            values[part.missing] = np.nan
        return Field(NUMBER, values.shape[1:]), values
    known = part.data if part.missing is None else part.data[~part.missing]
    kinds = set(map(type, known.tolist()))
    if kinds <= {str}:
        return Field(LIST, (), TEXT), part.data
    if kinds == {np.ndarray}:
        return Field(LIST, (), RAGGED, _inner(known)), part.data
    if kinds <= {int, float}:  # integers of more than 64 bits
        numbers = [np.nan if value is None else float(value) for value in part.data]
        return as_column(Part("float", np.array(numbers), None))
    return Field(LIST, (), OBJECTS), as_objects(part.data.tolist())


def _inner(arrays: Iterable[Array]) -> tuple[int, ...]:
    """What arrays of several lengths have beyond their length, if it is the same in all."""
    found = {array.shape[1:] for array in arrays if array.size}
    return found.pop() if len(found) == 1 else ()
