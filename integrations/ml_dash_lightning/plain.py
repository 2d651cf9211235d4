"""Metrics of any kind as rows, and steps of any kind as integers."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import Any

OWN = frozenset({"step", "timestamp"})
"""Columns that are a row's own; a metric of that name is stored as `metric/step`."""

_PLAIN = frozenset({float, int, bool})

DEEPEST = 12
LONGEST_ARRAY = 1_000
LONGEST_TEXT = 2_000


def row_of(metrics: Mapping[Any, Any], mark: str = "metric") -> dict[str, Any]:
    """Metrics as a row: a column for each, none of which replaces another or keeps one out.

    Args:
        metrics: values by name; mappings among them become columns `outer/inner`.
        mark: put before names that a row cannot have.
    """
    row: dict[str, Any] = {}
    for key, value in metrics.items():
        if (
            type(value) in _PLAIN
            and type(key) is str
            and key not in row
            and key[:1] != "_"
            and key not in OWN
        ):
            row[key] = value  # nearly always
        else:
            _put(row, _name(key, mark), value, mark, 0)
    return row


def _put(row: dict[str, Any], name: str, value: Any, mark: str, depth: int) -> None:
    if isinstance(value, Mapping) and value and depth < DEEPEST:
        for key, inner in value.items():
            _put(row, f"{name}/{_name(key, mark)}", inner, mark, depth + 1)
        return
    while name in row:
        name += "'"
    row[name] = metric_value(value)


def _name(key: Any, mark: str) -> str:
    name = key if type(key) is str else str(key)
    return f"{mark}/{name}" if name in OWN or name[:1] == "_" else name


def metric_value(value: Any) -> Any:
    """A metric's value: a number where it is one, an array where it has several, else as it is."""
    if not hasattr(value, "detach"):
        return value
    try:  # a torch tensor
        value = value.detach()
        if value.numel() == 1:
            return value.item()
        if value.layout is not _strided():
            value = value.to_dense()
        value = value.cpu().resolve_conj().resolve_neg()
        try:
            return value.numpy()
        except TypeError:  # one of the small kinds of floats, which NumPy has not
            return value.float().numpy()
    except Exception:  # noqa: BLE001 - of a tensor without data or a kind that nobody can convert
        return _cut(repr(value))


def _strided() -> Any:
    import torch

    return torch.strided


def short(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row once more, for where it could not be stored: what is long or odd as a short text."""
    return {name: _short(value) for name, value in row.items()}


def _short(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return _cut(value)
    shape = getattr(value, "shape", None)
    if shape is not None and math.prod(shape) > LONGEST_ARRAY:
        return f"{type(value).__name__}{tuple(shape)} {getattr(value, 'dtype', '')}".rstrip()
    try:
        return _cut(repr(value))
    except Exception as error:  # noqa: BLE001 - the repr of a user's object may raise anything
        return f"<{type(value).__qualname__}, whose repr raised {type(error).__name__}>"


def whole(step: Any) -> int | None:
    """A step as an integer of 64 bits, whatever it came as; `None` if it is no such number."""
    number = step if step is None or type(step) is int else _whole(step)
    return None if number is None or not -(2**63) <= number < 2**63 else number


def _whole(step: Any) -> int | None:
    try:
        return operator.index(step)
    except TypeError:
        pass
    try:
        number = float(step)
    except (TypeError, ValueError, RuntimeError, OverflowError):  # RuntimeError: several elements
        return None
    return int(number) if math.isfinite(number) and number == int(number) else None


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
