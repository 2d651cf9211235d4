"""Configuration objects of any make, turned into plain nested dicts.

Taken are mappings, dataclasses, `argparse.Namespace`, named tuples, classes whose attributes are
the settings, and objects with public attributes. Left out of objects: methods, properties, other
code, and names that begin with `_`.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import PurePath
from typing import Any

from ml_dash.values import MAX_DEPTH, jsonable, kind_name, too_deep

_VALUES = (str, bytes, bytearray, memoryview, bool, int, float, complex, enum.Enum, PurePath)
_SPOKEN = ("torch.device", "torch.dtype", "numpy.dtype")
"""Types of settings that are known by what they print, by the beginning of their full names."""

_NOTHING = property()


def plain(value: Any, key: str = "", depth: int = 0) -> Any:
    """A value as plain JSON types; configuration objects in it, at any depth, become dicts.

    Args:
        value: anything.
        key: the dotted name of the value, for messages.
        depth: how many objects it is inside of.

    Raises:
        TypeError: a value has no plain form; the message names its key.
        ValueError: an object holds itself, or a name is empty or given twice.
    """
    if depth > MAX_DEPTH:
        raise too_deep(f"params: {re.split(r'[.[]', key)[0]!r}")
    named = entries(value)
    if named is not None:
        return {
            name: plain(item, f"{key}.{name}" if key else name, depth + 1)
            for name, item in named.items()
        }
    if isinstance(value, Sequence) and not isinstance(value, _VALUES):
        return [plain(item, f"{key}[{index}]", depth + 1) for index, item in enumerate(value)]
    if inspect.isroutine(value) or isinstance(value, type):
        raise TypeError(
            f"params: {key!r} is {value!r:.80}, which is code; give its name,"
            f" {getattr(value, '__qualname__', 'a string')!r}"
        )
    return str(value) if _is_spoken(value) else jsonable(value, f"params: {key!r}")


def entries(value: Any) -> dict[str, Any] | None:
    """The named values of a mapping or configuration object; `None` when it is itself a value."""
    if value is None or isinstance(value, _VALUES):
        return None
    if isinstance(value, Mapping):
        return _by_name(value, value)
    if isinstance(value, type):
        return _attributes(value) or None
    if dataclasses.is_dataclass(value):
        return _get(value, (field.name for field in dataclasses.fields(value)))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return _get(value, value._fields)
    if isinstance(value, (Sequence, Set)) or callable(value) or _is_spoken(value):
        return None
    return None if _is_row_value(value) else _entries_of_object(value)


def _entries_of_object(value: Any) -> dict[str, Any] | None:
    if hasattr(value, "keys") and hasattr(value, "__getitem__"):  # a mapping in all but name
        return _by_name(value.keys(), value)
    if hasattr(value, "__array__"):
        return None  # which no row takes, such as a sparse tensor: not an object without settings
    if hasattr(type(value), "model_fields"):  # pydantic, whose classes have attributes of its own
        return _get(value, vars(value))
    if type(value).__module__ == "builtins":
        return None
    found = _attributes(value)
    # Nothing public is nothing to store; but an empty `Namespace` is a group without settings.
    return found if found or getattr(value, "__dict__", None) == {} else None


def _by_name(keys: Iterable[Any], values: Any) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for key in keys:
        name = str(key.value) if isinstance(key, enum.Enum) else str(key)
        if not name:
            raise ValueError("params: a parameter has an empty name; give it one")
        if name in named:
            raise ValueError(f"params: the key {name!r} is given twice, once as {key!r}")
        named[name] = values[key]
    return named


def _get(value: Any, names: Iterable[str]) -> dict[str, Any]:
    found = {name: getattr(value, name, _NOTHING) for name in names if not name.startswith("_")}
    return {name: item for name, item in found.items() if item is not _NOTHING}


def _attributes(value: Any) -> dict[str, Any]:
    """The public attributes that hold data, inherited ones included, in order of definition."""
    kind = value if isinstance(value, type) else type(value)
    names: dict[str, None] = {}
    for base in reversed(kind.__mro__):
        if base.__module__ != "builtins":
            names |= dict.fromkeys(vars(base))
    if value is not kind:
        names |= dict.fromkeys(getattr(value, "__dict__", ()))
    return _get(
        value,
        (
            name
            for name in names
            if not _is_code(inspect.getattr_static(value, name, _NOTHING), value)
        ),
    )


def _is_code(raw: Any, owner: Any) -> bool:
    """Whether an attribute is a method, a property or a class, and not a setting."""
    if isinstance(raw, type):
        # A class written inside of a configuration class is a group of settings.
        return not raw.__qualname__.startswith(f"{getattr(owner, '__qualname__', '')}.")
    if inspect.ismemberdescriptor(raw):
        return isinstance(owner, type)  # of an object it is a value kept in a slot
    return callable(raw) or hasattr(type(raw), "__get__")


def _is_spoken(value: Any) -> bool:
    return kind_name(value).startswith(_SPOKEN)


def _is_row_value(value: Any) -> bool:
    """Whether rows take it as it is: dates, arrays, tensors and the like."""
    try:
        jsonable(value)
    except (TypeError, ValueError):
        return False
    return True
