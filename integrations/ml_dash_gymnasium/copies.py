"""Copies of what an environment hands out, taken before it can change them.

Environments reuse their arrays, and so do vector environments with shared memory. What is kept
beyond the call that gave it is therefore copied first, as cheaply as its type allows.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_IMMUTABLE = frozenset({int, float, bool, str, bytes, type(None)})


def keep(value: Any) -> Any:
    """`value`, or a copy of it when it may be changed by whoever gave it.

    Arrays become arrays of their own, tensors arrays, arrays without dimensions numbers; mappings
    and sequences are gone through. What cannot be copied, or holds itself, is kept as it is.
    """
    try:
        return _copied(value)
    except Exception:  # noqa: BLE001 - a user's object may raise anything
        return value


def _copied(value: Any) -> Any:
    kind = type(value)
    if kind in _IMMUTABLE or isinstance(value, np.generic):
        return value
    if kind is np.ndarray:
        return value.copy() if value.ndim else value.item()
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_copied(item) for item in value]
    array = as_own_array(value)
    if array is not None:
        return array if array.ndim else array.item()
    try:
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - a user's object may raise anything; it is stored as it is then
        return value


def as_own_array(value: Any) -> NDArray[Any] | None:
    """An array of its own memory, of an array, a tensor or an array-like; else `None`."""
    if isinstance(value, np.ndarray):
        return value.copy()
    try:
        if hasattr(value, "detach"):  # a tensor, which may live on a device
            value = value.detach().cpu().numpy()
        elif not hasattr(value, "__array__"):
            return None
        return np.array(value)
    except Exception:  # noqa: BLE001 - other libraries' arrays raise what they like
        return None


def as_number(value: Any) -> Any:
    """A reward as a plain float; an array, as of several objectives, as a copy."""
    if type(value) is float:
        return value
    try:
        return float(value)
    except Exception:  # noqa: BLE001 - several numbers, or an object of the user's
        return keep(value)


def as_flag(value: Any) -> bool:
    """What an environment gives for `terminated` and `truncated`, as Python takes it."""
    try:
        return bool(value)
    except Exception:  # noqa: BLE001 - several, or an object of the user's
        array = as_own_array(value)
        return array is not None and bool(array.any())


def as_text(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose values can be stored, whatever they are: all but numbers and arrays as text."""
    plain = (int, float, bool, str, np.ndarray, np.generic)
    return {k: v if isinstance(v, plain) else _text(v) for k, v in row.items()}


def _text(value: Any) -> str:
    try:
        return repr(value)[:10_000]
    except Exception as error:  # noqa: BLE001 - a user's __repr__ may raise anything
        return f"<{type(value).__name__}: repr failed with {type(error).__name__}>"
