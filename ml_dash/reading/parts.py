"""Columns: the values of one field in all rows, as a numpy array.

| values | column | where a value is missing |
|---|---|---|
| floats, or floats and integers | float64 | NaN |
| integers | int64; uint64 from 2**63 on; beyond that objects | masked array |
| booleans | bool | masked array |
| lists of numbers or booleans of one shape | stacked: (rows, *shape) | NaN, or masked |
| text | object, of `str` | `None` |
| anything else, or of several of these kinds | object | `None` |

Missing is a field that a row does not have, and `null`. Lists of numbers whose shapes differ are
objects, an array each; a `null` inside a list of numbers is NaN. NaN that was recorded is NaN.

Columns are kept once they were read, and joins, datasets and exports use the same ones. So what
users get cannot be written to: who calculates in place does it in a copy.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
"""A column: (rows,) or (rows, *shape). A masked array where integers or booleans are missing."""

Item = TypeVar("Item", bound=np.generic)

_NUMBERS = {int, float}
_NONE = type(None)


@dataclass(frozen=True, slots=True)
class Part:
    """The values of some rows, packed as tightly as their kind allows.

    Attributes:
        kind: `none` (all are missing), `float`, `int`, `bool` or `object`.
        data: one value a row; anything where it is missing.
        missing: which rows have none; `None` when all have one.
    """

    kind: str
    data: Array
    missing: NDArray[np.bool_] | None

    def __len__(self) -> int:
        return len(self.data)

    @property
    def gone(self) -> NDArray[np.bool_]:
        """`missing` as an array, whatever there is."""
        return np.zeros(len(self), np.bool_) if self.missing is None else self.missing


def nothing(count: int) -> Part:
    """A part in which every row's value is missing."""
    return Part("none", np.full(count, np.nan), np.ones(count, np.bool_))


def pack(values: list[Any]) -> Part:
    """Pack values as the table above says."""
    quick = _pack_plain(values)
    if quick is not None:
        return quick
    kinds = set(map(type, values))
    missing = None
    if _NONE in kinds:
        kinds.discard(_NONE)
        missing = np.fromiter((value is None for value in values), np.bool_, len(values))
    if not kinds:
        return nothing(len(values))
    if kinds <= _NUMBERS:
        return _pack_numbers(values, kinds, missing)
    if kinds == {bool}:
        return Part("bool", np.array(values, np.bool_), missing)  # None becomes False
    if kinds == {list}:
        return _pack_lists(values, missing)
    return Part("object", as_objects(values), missing)


def _pack_plain(values: list[Any]) -> Part | None:
    """The same for numbers without any doubt, for half the time; `None` for all else."""
    data = _plain(values)
    if data is None:
        return None
    # Booleans among numbers become 0 and 1, and integers of both signs beyond int64 become floats.
    doubtful = (data == 0) | (data == 1)
    if doubtful.any() and any(type(values[at]) is bool for at in np.flatnonzero(doubtful)):
        return None
    if data.dtype == np.int64:
        return Part("int", data, None)
    return None if (np.abs(data) >= 2.0**63).any() else Part("float", data, None)


def _plain(values: list[Any]) -> Array | None:
    """Numbers as int64 or float64; `None` where anything else is among them, or what is too large.

    Not by `np.array`, which makes room for the longest text in each row.
    """
    if not values or type(values[0]) not in _NUMBERS:
        return None
    for code in "qd" if type(values[0]) is int else "d":
        try:
            return np.frombuffer(array(code, values), np.int64 if code == "q" else np.float64)
        except OverflowError:
            return None
        except TypeError:
            continue  # a float among integers; or text, lists, nothing
    return None


def _pack_numbers(values: list[Any], kinds: set[type], missing: NDArray[np.bool_] | None) -> Part:
    try:
        if float in kinds:
            if missing is None:
                return Part("float", np.fromiter(values, np.float64, len(values)), None)
            return Part("float", np.array(values, np.float64), missing)  # None becomes NaN
        filled = values if missing is None else [0 if v is None else v for v in values]
        if max(filled) < 2**63:
            return Part("int", np.fromiter(filled, np.int64, len(filled)), missing)
        if min(filled) >= 0:
            return Part("int", np.array(filled, np.uint64), missing)
    except OverflowError:
        pass
    return Part("object", as_objects(values), missing)


def _pack_lists(values: list[Any], missing: NDArray[np.bool_] | None) -> Part:
    """Stack lists of one shape; otherwise an array each."""
    given = values if missing is None else [value for value in values if value is not None]
    stacked = _stack(given)
    if stacked is None:
        return Part("object", as_objects([_as_element(value) for value in values]), missing)
    kind = {"f": "float", "b": "bool"}.get(stacked.dtype.kind, "int")
    if missing is None:
        return Part(kind, stacked, None)
    data = np.full(
        (len(values), *stacked.shape[1:]), np.nan if kind == "float" else 0, stacked.dtype
    )
    data[~missing] = stacked
    return Part(kind, data, missing)


def _stack(values: list[Any]) -> Array | None:
    """Lists of numbers or booleans of one shape as one array, or `None`."""
    try:
        array = np.array(values)
        flat: Any = values
        for _ in range(array.ndim - 1):
            flat = chain.from_iterable(flat)
        kinds = set(map(type, flat))
        if kinds == {bool} or (kinds == {int} and array.dtype.kind in "iu") or not kinds:
            return array
        if float in kinds and kinds <= {float, int, _NONE}:
            return np.array(values, np.float64)
        if kinds == {int, _NONE}:
            return np.array(values, np.float64)
    except (ValueError, OverflowError):  # shapes differ, or an integer beyond all floats
        pass
    return None


def _as_element(value: Any) -> Any:
    array = _stack([value]) if type(value) is list else None
    return value if array is None else array[0]


def as_objects(values: Sequence[Any]) -> Array:
    """Python objects as an array of one dimension, whatever they are."""
    array = np.empty(len(values), object)
    for index, value in enumerate(values):
        array[index] = value
    return array


def join(parts: Sequence[Part]) -> Part:
    """Put parts of one column together, in the kind that holds them all."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return Part("none", np.empty(0), None)
    count = sum(map(len, parts))
    missing = None
    if any(part.missing is not None for part in parts):
        missing = np.concatenate([part.gone for part in parts])
    filled = [part for part in parts if part.kind != "none"]
    if not filled:
        return nothing(count)
    kind = _common_kind(filled)
    if kind == "object":
        data = as_objects(list(chain.from_iterable(map(_objects, parts))))
        return Part("object", data, missing)
    dtypes = {part.data.dtype for part in filled}
    # Never what numpy would choose for signed and unsigned integers, which is float64
    dtype = dtypes.pop() if len(dtypes) == 1 else np.float64 if kind == "float" else np.uint64
    data = np.empty((count, *filled[0].data.shape[1:]), dtype)
    start = 0
    for part in parts:
        end = start + len(part)
        data[start:end] = part.data if part.kind != "none" else np.nan if kind == "float" else 0
        start = end
    if kind == "float" and missing is not None:
        data[missing] = np.nan
    return Part(kind, data, missing)


def _common_kind(parts: Sequence[Part]) -> str:
    kinds = {part.kind for part in parts}
    if "object" in kinds or len({part.data.shape[1:] for part in parts}) > 1:
        return "object"
    if kinds == {"int"} and len({part.data.dtype for part in parts}) > 1:
        negative = any(part.data.dtype == np.int64 and (part.data < 0).any() for part in parts)
        return "object" if negative else "int"
    if len(kinds) == 1:
        return kinds.pop()
    return "float" if kinds == {"int", "float"} else "object"


def _objects(part: Part) -> list[Any]:
    """A part's values as Python objects, `None` where they are missing."""
    if part.kind == "none":
        return [None] * len(part)
    values = list(part.data) if part.data.ndim > 1 else part.data.tolist()
    if part.missing is not None:
        for index in np.flatnonzero(part.missing):
            values[index] = None
    return values


def finish(part: Part) -> Array:
    """The array that users get, missing values marked. It cannot be written to."""
    data = read_only(part.data)
    if part.missing is None or part.kind in ("float", "none", "object") or not part.missing.any():
        return data
    mask = np.zeros(data.shape, np.bool_)
    mask[part.missing] = True
    return np.ma.MaskedArray(data, mask)


def read_only(array: NDArray[Item]) -> NDArray[Item]:
    """The same array, of which none but its keeper can change a value."""
    view = array.view()
    view.flags.writeable = False
    return view


def select(part: Part, index: NDArray[np.int64]) -> Part:
    """The values of these rows; where the index is -1, missing."""
    absent = index < 0
    if not len(part):
        return nothing(len(index))
    data = part.data[np.where(absent, 0, index)]
    missing = None if part.missing is None else part.missing[index]
    if absent.any():
        missing = absent if missing is None else missing | absent
        data[absent] = {"float": np.nan, "none": np.nan, "object": None}.get(part.kind, 0)
    return Part(part.kind, data, missing)
