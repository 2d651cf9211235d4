"""Hyperparameters of any kind, as values that can be stored and read."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
import math
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence, Set
from itertools import accumulate, islice
from pathlib import PurePath
from typing import Any

MOST_ELEMENTS = 64
"""Up to so many, the elements of an array or tensor are kept."""

MOST_ITEMS = 1_000
"""Up to so many, the items of a list, set or mapping are; also where they are none of their own,
but the same few again and again."""

MOST_PARAMETERS = 10_000
MOST_TEXT = 2_000_000
"""Characters, of all values together: a row takes 16 MiB, and reading them a moment."""

VALUE = 32
"""As many characters a value counts for at least."""

LONGEST_TEXT = 100_000
LONGEST_REPR = 2_000
DEEPEST = 12
REST = "…"


def hyperparameters(params: Any, prefix: str = "") -> dict[str, Any]:
    """Hyperparameters as plain values by dotted name, none of which replaces another.

    Args:
        params: a mapping, a namespace, or anything else.
        prefix: put before each name.
    """
    if isinstance(params, Namespace):
        params = vars(params)
    if not isinstance(params, Mapping):
        params = {"params": params}
    flat: dict[str, Any] = {}
    tree = Reader().mapping(params, (id(params),), MOST_PARAMETERS)
    _flatten({prefix: tree} if prefix else tree, (), flat)
    # Where both `a` and `a.b` are given, `a` cannot have a value.
    outer = {name for full in flat for name in list(accumulate(full.split("."), _joined))[:-1]}
    plain: dict[str, Any] = {}
    for name, value in flat.items():
        if name in outer:
            name += "'"
            while name in flat or name in outer:
                name += "'"
        plain[name] = value
    return plain


def _flatten(tree: Mapping[str, Any], above: tuple[str, ...], flat: dict[str, Any]) -> None:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            _flatten(value, (*above, key), flat)
            continue
        name = ".".join((*above, key))
        while name in flat:
            name += "'"
        flat[name] = value


def _joined(above: str, name: str) -> str:
    return f"{above}.{name}"


class Reader:
    """Reads values into plain JSON types; what has no such form as a text that says what it is.

    Nothing that a value does when it is read comes through, and however large it is, or however
    often it contains the same, it is read to a certain amount.
    """

    def __init__(self) -> None:
        self._left = MOST_TEXT

    def read(self, value: Any, above: tuple[int, ...] = ()) -> Any:
        """A plain value.

        Args:
            value: anything.
            above: the identities of what contains it.
        """
        try:
            plain = self._read(value, above)
        except Exception:  # noqa: BLE001 - whatever a user's object does when it is looked at
            plain = named(value)
        self._left -= VALUE + (len(plain) if isinstance(plain, str) else 0)
        return plain

    def _read(self, value: Any, above: tuple[int, ...]) -> Any:
        if isinstance(value, enum.Enum):
            return value.name
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, (str, PurePath)):
            return _cut(str(value), min(LONGEST_TEXT, max(0, self._left)))
        if isinstance(value, (datetime.date, datetime.time)):
            return value.isoformat()
        if id(value) in above or len(above) > DEEPEST:
            return REST  # it contains itself, or goes on and on
        above = (*above, id(value))
        if isinstance(value, Namespace):
            value = vars(value)
        if isinstance(value, Mapping):
            return self.mapping(value, above)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            parts = {one.name: getattr(value, one.name, None) for one in dataclasses.fields(value)}
            return self.mapping(parts, above)
        if hasattr(value, "shape") and hasattr(value, "dtype"):
            return self._array(value, above)
        if isinstance(value, (Sequence, Set)) and not isinstance(value, (bytes, bytearray)):
            return self._items(value, len(value), above)
        return named(value)

    def mapping(
        self, source: Mapping[Any, Any], above: tuple[int, ...], most: int = MOST_ITEMS
    ) -> dict[str, Any]:
        """A mapping, as far as there is room."""
        found: dict[str, Any] = {}
        taken = 0
        for key in islice(source, most):
            if self._left <= 0:
                break
            taken += 1
            name = _key(key)
            while name in found:
                name += "'"
            try:
                value = source[key]
            except Exception as error:  # noqa: BLE001 - such as a value that is yet to be given
                found[name] = _cut(f"<{type(error).__name__}: {error}>", LONGEST_REPR)
                continue
            found[name] = self.read(value, above)
            self._left -= len(name)
        if taken < len(source):
            found[REST] = f"({len(source) - taken:,} more)"
        return found

    def _items(self, source: Iterable[Any], length: int, above: tuple[int, ...]) -> list[Any]:
        found: list[Any] = []
        for item in islice(source, MOST_ITEMS):
            if self._left <= 0:
                break
            found.append(self.read(item, above))
        return found if len(found) == length else [*found, f"{REST} ({length - len(found):,} more)"]

    def _array(self, value: Any, above: tuple[int, ...]) -> Any:
        shape = tuple(value.shape)
        if math.prod(shape) <= MOST_ELEMENTS:
            try:
                return self.read(value.tolist(), above)
            except Exception:  # noqa: BLE001 - a tensor without data, of whichever framework
                pass
        kind = str(value.dtype).removeprefix("torch.")
        return f"{type(value).__name__}{shape} {kind}"


def _key(key: Any) -> str:
    """A parameter's name: a text that neither begins with `_`, which is ours, nor is empty."""
    try:
        name = str(key.name if isinstance(key, enum.Enum) else key)
    except Exception:  # noqa: BLE001 - as above
        name = named(key)
    return f"param{name}" if name.startswith("_") or not name else name


def named(value: Any) -> str:
    """A text that says what a value is."""
    try:
        if isinstance(value, functools.partial):
            parts = [named(value.func), *map(repr, value.args)]
            parts += [f"{name}={item!r}" for name, item in value.keywords.items()]
            return _cut(f"partial({', '.join(parts)})", LONGEST_REPR)
        if callable(value) and hasattr(value, "__qualname__"):  # a function or a class
            module = getattr(value, "__module__", None)
            return f"{module}.{value.__qualname__}" if module else str(value.__qualname__)
        return _cut(repr(value), LONGEST_REPR)
    except Exception as error:  # noqa: BLE001 - the repr of a user's object may raise anything
        kind = type(value)
        return f"<{kind.__module__}.{kind.__qualname__}, whose repr raised {error!r}>"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"
