"""What the fields of a track are: found out by one look at all rows, of which none is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, TypeVar

import numpy as np

from ml_dash.hints import hint

OWN = ("timestamp", "step")
"""What every row has beside its fields."""

Item = TypeVar("Item")

_CELLS = 1 << 15  # about how many values there may be in a batch
_MOST_ROWS = 512
_WHOLE = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class Column:
    """One field of a track; nested ones are called `pose.x`.

    Attributes:
        name: of the field.
        kind: `bool`, `int` (64 bits), `float`, `text`, `none` (nothing but null), or `json`:
            of several kinds, or nested in a way that no column of numbers holds.
        shape: `()` for a value a row, `(3,)` for lists or arrays of one shape, `None` for lists
            whose lengths differ.
        optional: whether some row does not have it, or has null.
        low: the least number, `None` where there is none.
        high: the greatest one.
    """

    name: str
    kind: str
    shape: tuple[int, ...] | None = ()
    optional: bool = False
    low: float | int | None = None
    high: float | int | None = None

    @property
    def is_numeric(self) -> bool:
        """Whether each row is a number, or an array of numbers of one shape."""
        return self.kind in ("bool", "int", "float") and self.shape is not None

    @property
    def type(self) -> str:
        """What a person calls it: `float`, `int[6]`, `float[..]`."""
        if self.shape == ():
            return self.kind
        return f"{self.kind}[{'..' if self.shape is None else ','.join(map(str, self.shape))}]"


def flatten(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of a row with their dotted names; an empty dict is a value."""
    for key, value in row.items():
        if type(value) is dict and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def batches(
    rows: Iterable[Item], *, of: Callable[[Item], Any] | None = None
) -> Iterator[list[Item]]:
    """Rows some hundred at a time, fewer where a row is large.

    Args:
        rows: any items.
        of: gives what an item holds; by default the item itself.
    """
    rows = iter(rows)
    number = 1
    while batch := list(islice(rows, number)):
        yield batch
        last = batch[-1] if of is None else of(batch[-1])
        number = max(1, min(_MOST_ROWS, _CELLS // max(1, _cells(last))))


def by_name(rows: Sequence[Mapping[str, Any]], own: Collection[str] = OWN) -> dict[str, list[Any]]:
    """The values of some rows by dotted name, in order of appearance; only those that there are."""
    found: dict[str, list[Any]] = {}
    keys = rows[0].keys()
    if all(row.keys() == keys for row in rows):  # nearly always
        for key in keys:
            if key in own:
                continue
            values = [row[key] for row in rows]
            if dict not in set(map(type, values)):
                found[key] = values
                continue
            for value in values:
                for name, inner in flatten({key: value}):
                    found.setdefault(name, []).append(inner)
        return found
    for row in rows:
        for name, value in flatten(row):
            if name not in own:
                found.setdefault(name, []).append(value)
    return found


def scan(rows: Iterable[Mapping[str, Any]], own: Collection[str] = OWN) -> dict[str, Column]:
    """The columns of a track, in order of appearance.

    Args:
        rows: nested as they were recorded.
        own: what is no column.
    """
    found: dict[str, _Facts] = {}
    count = 0
    for batch in batches(rows):
        values = by_name(batch, own)
        for name, column in values.items():
            facts = found.setdefault(name, _Facts())
            facts.count += len(column)
            _look(column, facts)
        count += len(batch)
    return {name: facts.column(name, count) for name, facts in found.items()}


@dataclass(slots=True)
class _Facts:
    """What was seen of a column so far."""

    count: int = 0
    nulls: int = 0
    scalars: set[str] = field(default_factory=set)
    elements: set[str] = field(default_factory=set)
    shapes: set[tuple[int, ...]] = field(default_factory=set)
    low: Any = None
    high: Any = None

    def column(self, name: str, rows: int) -> Column:
        optional = self.nulls > 0 or self.count < rows
        if not self.scalars and not self.shapes:
            return Column(name, "none", (), True)
        kind = _common(self.scalars or self.elements)
        shape: tuple[int, ...] | None = ()
        if self.shapes:
            shape = next(iter(self.shapes)) if len(self.shapes) == 1 else None
            flat = all(len(one) == 1 for one in self.shapes)
            if self.scalars or (shape is None and not flat) or (kind == "text" and not flat):
                kind = "json"
            elif kind == "text":
                shape = None
        if kind == "json":
            return Column(name, kind, (), optional)
        return Column(name, kind, shape, optional, self.low, self.high)

    def stretch(self, low: Any, high: Any) -> None:
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)


def _common(kinds: set[str]) -> str:
    """The kind that holds values of all these kinds."""
    if len(kinds) == 1:
        return next(iter(kinds))
    return "float" if kinds == {"int", "float"} else "json"


def _look(values: list[Any], facts: _Facts) -> None:
    """Take in some values of a column."""
    types = set(map(type, values))
    if type(None) in types:
        given = [value for value in values if value is not None]
        facts.nulls += len(values) - len(given)
        types.discard(type(None))
        values = given
    for kind in types:
        some: list[Any] = [value for value in values if type(value) is kind]
        if kind is list:
            _look_at_lists(some, facts)
        else:
            facts.scalars.add(_kind_of(some, kind, facts))


def _kind_of(values: list[Any], kind: type, facts: _Facts) -> str:
    if kind is float:
        finite = [value for value in values if math.isfinite(value)]
        if finite:
            facts.stretch(min(finite), max(finite))
        return "float"
    if kind is int:
        low, high = min(values), max(values)
        facts.stretch(low, high)
        return "int" if low in _WHOLE and high in _WHOLE else "json"
    return {bool: "bool", str: "text"}.get(kind, "json")


def _look_at_lists(values: list[list[Any]], facts: _Facts) -> None:
    try:
        array = np.array(values)
    except (ValueError, OverflowError):  # their shapes differ, or a number is too large
        array = np.array(None)
    if array.ndim < 2 or array.dtype == object:
        if len(values) == 1:
            _look_at_list(values[0], facts)
            return
        for value in values:
            _look_at_lists([value], facts)
        return
    flat: Any = values
    for _ in range(array.ndim - 1):
        flat = chain.from_iterable(flat)
    _note(set(map(type, flat)), array, facts)


def _look_at_list(value: list[Any], facts: _Facts) -> None:
    """One list that numpy has no plain array for."""
    types = set(map(type, value))
    if not types <= {float, int, type(None)} or types == {type(None)}:
        facts.shapes.add((len(value),))
        facts.elements.add("json")
        return
    try:
        _note(types, np.array([value], np.float64), facts)
    except OverflowError:
        facts.shapes.add((len(value),))
        facts.elements.add("json")


def _note(types: set[type], array: np.ndarray[Any, Any], facts: _Facts) -> None:
    facts.shapes.add(array.shape[1:])
    if not types:
        return  # nothing but empty lists
    if types <= {float, int, type(None)} and types != {int}:
        facts.elements.add("float")
    elif types == {int} and array.dtype.kind == "i":
        facts.elements.add("int")
    else:
        facts.elements.add({bool: "bool", str: "text"}.get(next(iter(types)), "json"))
        if len(types) > 1:
            facts.elements.add("json")
        return
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    if finite.size:
        facts.stretch(finite.min().item(), finite.max().item())


def _cells(row: Any) -> int:
    """About how many values a row has."""
    if isinstance(row, Mapping):
        return sum(map(_cells, row.values()))
    if isinstance(row, list) and row:
        return len(row) * _cells(row[0])
    if isinstance(row, str):
        return 1 + len(row) // 16
    return 1


def pick(columns: Mapping[str, Column], names: Sequence[str], of: str) -> list[Column]:
    """The columns that a user asked for.

    Raises:
        KeyError: there is no such column; it names similar ones.
    """
    for name in names:
        if name not in columns:
            raise KeyError(f"{of} has no column {name!r}; {hint(name, list(columns))}")
    return [columns[name] for name in names]
