"""Metrics and hyperparameters of any kind, as values that can be stored and read."""

from __future__ import annotations

import dataclasses
import enum
import functools
import math
import operator
from argparse import Namespace
from collections.abc import Mapping, Sequence, Set
from itertools import islice
from pathlib import PurePath
from typing import Any

MOST_ELEMENTS = 64
"""Up to so many, the elements of an array or tensor among hyperparameters are kept."""

MOST_ITEMS = 1_000
"""Up to so many, the items of a list or set are."""

LONGEST_TEXT = 2_000
DEEPEST = 12
OWN = frozenset({"step", "timestamp"})
"""Keys that are a row's own; a metric of that name is stored as `metric/step`."""


def row_of(metrics: Mapping[Any, Any]) -> dict[str, Any]:
    """Metrics as a row: a column for each, none of which replaces another."""
    row: dict[str, Any] = {}
    for key, value in metrics.items():
        name = key if type(key) is str else str(key)
        if name in OWN or name.startswith("_"):
            name = f"metric/{name}"
        while name in row:
            name += "'"
        row[name] = value if type(value) is float else metric_value(value)
    return row


def metric_value(value: Any) -> Any:
    """A metric's value: a number where it is one, an array where it has several, else as it is."""
    if isinstance(value, Mapping):
        return row_of(value)
    if hasattr(value, "detach"):  # a torch tensor
        value = value.detach()
        if value.numel() == 1:
            return value.item()
        value = value.cpu()
        return value.float().numpy() if "bfloat16" in str(value.dtype) else value.numpy()
    return value


def whole(step: Any) -> int | None:
    """A step as an integer, whatever kind of number it came as; `None` if it is no whole one."""
    if step is None or type(step) is int:
        return step
    try:
        return operator.index(step)
    except TypeError:
        pass
    try:
        number = float(step)
        return int(number) if math.isfinite(number) and number == int(number) else None
    except (TypeError, ValueError):
        return None


def hyperparameters(params: Any) -> dict[str, Any]:
    """Hyperparameters of any kind as nested dicts of plain values, readable ones."""
    if isinstance(params, Namespace):
        params = vars(params)
    found = params if isinstance(params, Mapping) else {"params": params}
    plain = readable(found)
    return plain if isinstance(plain, dict) else {"params": plain}


def readable(value: Any, above: tuple[int, ...] = ()) -> Any:
    """A value as plain JSON types; what has no such form as a text that says what it is."""
    if value is None or (
        isinstance(value, (bool, int, float)) and not isinstance(value, enum.Enum)
    ):
        return value
    if isinstance(value, (str, PurePath)):
        return _cut(str(value))
    if isinstance(value, enum.Enum):
        return value.name
    if id(value) in above or len(above) > DEEPEST:
        return "…"  # it contains itself, or goes on and on
    return _composed(value, (*above, id(value)))


def _composed(value: Any, above: tuple[int, ...]) -> Any:
    if isinstance(value, Namespace):
        value = vars(value)
    if isinstance(value, Mapping):
        pairs: Any = value.items()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((part.name, getattr(value, part.name, None)) for part in dataclasses.fields(value))
    elif hasattr(value, "shape") and hasattr(value, "dtype"):
        return _array(value)
    elif isinstance(value, (Sequence, Set)) and not isinstance(value, (bytes, bytearray)):
        items = [readable(item, above) for item in islice(value, MOST_ITEMS)]
        rest = len(value) - MOST_ITEMS
        return items if rest <= 0 else [*items, f"… ({rest} more)"]
    else:
        return _named(value)
    return {_key(key): readable(item, above) for key, item in pairs}


def _key(key: Any) -> str:
    """A parameter's name: a text that neither begins with `_`, which is ours, nor is empty."""
    name = key if isinstance(key, str) else str(key.name if isinstance(key, enum.Enum) else key)
    return f"param{name}" if name.startswith("_") or not name else name


def _array(value: Any) -> Any:
    shape = tuple(value.shape)
    if math.prod(shape) <= MOST_ELEMENTS:
        try:
            return value.tolist()
        except (AttributeError, TypeError, ValueError, NotImplementedError):
            pass
    kind = str(value.dtype).removeprefix("torch.")
    return f"{type(value).__name__}{shape} {kind}"


def _named(value: Any) -> str:
    if isinstance(value, functools.partial):
        parts = [_named(value.func), *map(repr, value.args)]
        parts += [f"{name}={item!r}" for name, item in value.keywords.items()]
        return _cut(f"partial({', '.join(parts)})")
    if callable(value) and hasattr(value, "__qualname__"):  # a function or a class
        return f"{value.__module__}.{value.__qualname__}"
    try:
        return _cut(repr(value))
    except Exception as error:  # noqa: BLE001 - the repr of a user's object may raise anything
        return f"<{type(value).__module__}.{type(value).__qualname__}, whose repr raised {error!r}>"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
