"""What samples consist of, and how many of them become one batch of arrays.

| kind | value of one sample | batch in PyTorch | batch in TensorFlow |
|---|---|---|---|
| `image` | array (H, W[, C]) | float32 (B, C, H, W) in [0, 1] | float32 (B, H, W, C) in [0, 1] |
| `number` | number, or array of a fixed shape; NaN where missing | float32 (B, *shape) | the same |
| `exact` | number, or array of a fixed shape | (B, *shape), its type kept | the same |
| `list` of text | str, or `None` | list of B | string (B,), empty where missing |
| `list` of float32 | array of any length, or `None` | list of B float32 tensors | ragged (B, …) |
| `list` of objects | anything | list of B | string (B,): its JSON text |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Integers = NDArray[np.int64]
Key = str | tuple[str, str]
"""The name of a field; `("frames", "left")` is given to users nested: `batch["frames"]["left"]`."""

Values = Array | list[Any]
"""A field of many samples: stacked, or for the kind `list` a list."""

IMAGE, NUMBER, EXACT, LIST = "image", "number", "exact", "list"
TEXT, RAGGED, OBJECTS = "str", "float32", "object"


@dataclass(frozen=True, slots=True)
class Field:
    """What one field of the samples is.

    Attributes:
        kind: `image`, `number`, `exact` or `list`, as in the table above.
        shape: of one sample's value; of an image (H, W, C), of a gray one (H, W, 1).
        dtype: of an `exact` field the type it keeps, by numpy's name; of a `list` what is in it:
            `str`, `float32` (arrays whose lengths differ) or `object`.
        inner: of arrays whose lengths differ what all have beyond their length: (4,) of boxes
            (n, 4). Empty where even that differs: TensorFlow gets those flat.
    """

    kind: str
    shape: tuple[int, ...] = ()
    dtype: str = "float32"
    inner: tuple[int, ...] = ()


class Samples(Protocol):
    """Samples by number. One that also has `gather` with the arguments below is read faster."""

    @property
    def fields(self) -> Mapping[Key, Field]:
        """What there is in each sample."""

    def __len__(self) -> int: ...

    def sample(self, index: int, /) -> Mapping[Key, Any]:
        """One sample: a value for each of the fields."""


def gather(
    samples: Samples, indices: Integers, keys: Iterable[Key] | None = None
) -> dict[Key, Values]:
    """The fields of many samples.

    Args:
        samples: where to take them from.
        indices: the numbers of the samples, n of them.
        keys: only these fields.

    Returns:
        By field an array (n, *shape), or for the kind `list` a list of n.

    Raises:
        ValueError: a value does not have the shape that its field says.
    """
    own = getattr(samples, "gather", None)
    if own is not None:
        found: dict[Key, Values] = own(indices, keys)
        return found
    fields = samples.fields
    wanted = list(fields if keys is None else keys)
    each = [samples.sample(int(index)) for index in indices]
    return {
        key: stacked(key, fields[key], [sample[key] for sample in each], indices) for key in wanted
    }


def stacked(key: Key, field: Field, values: list[Any], indices: Integers) -> Values:
    """The values of one field, one a sample, as one array; lists stay lists."""
    if field.kind == LIST:
        return values
    if field.kind == NUMBER:
        values = [np.nan if value is None else value for value in values]
    arrays = [np.asarray(value) for value in values]
    if field.kind == IMAGE:
        arrays = [with_channels(array) for array in arrays]
    for index, array in zip(indices, arrays, strict=True):
        if array.shape != field.shape and (field.kind == IMAGE or array.ndim):
            raise ValueError(
                f"sample {index}: {shown(key)} has shape {array.shape}, the others {field.shape}"
                + ("; give size=(height, width) to scale frames" if field.kind == IMAGE else "")
            )
    if not arrays:
        return np.empty((0, *field.shape), np.uint8 if field.kind == IMAGE else field.dtype)
    if field.kind == IMAGE:
        return np.stack(arrays)
    return np.stack([np.broadcast_to(a, field.shape) for a in arrays]).astype(field.dtype)


def with_channels(image: Array) -> Array:
    """An image as (H, W, C): gray ones get a channel."""
    return image[..., None] if image.ndim == 2 else image


def nest(values: Mapping[Key, Any]) -> dict[str, Any]:
    """Fields by name, those called by two names in a dict of their own."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(key, tuple):
            found.setdefault(key[0], {})[key[1]] = value
        else:
            found[key] = value
    return found


def shown(key: Key) -> str:
    """A field's name in messages."""
    return repr(key) if isinstance(key, str) else f"{key[0]!r}[{key[1]!r}]"
