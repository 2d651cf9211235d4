"""Gathers columns from blocks of rows: the values of the wanted fields, and of no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_dash.reading.lines import Block, Row, count_byte
from ml_dash.reading.merge import lookup
from ml_dash.reading.parts import Part, join, nothing, pack


class Columns:
    """Gathers columns from block after block of rows.

    Args:
        names: the fields wanted; `None` for all there are but the timestamp.
    """

    def __init__(self, names: Sequence[str] | None) -> None:
        self.count = 0
        self._all = names is None
        self._parts: dict[str, list[Part]] = {name: [] for name in names or ()}
        self._present: dict[str, list[NDArray[np.bool_]]] = {name: [] for name in self._parts}

    def add(self, block: Block, *, presence: bool = False) -> None:
        """Take in the rows of a block.

        Args:
            block: where to take them from.
            presence: note which rows have a field at all; otherwise they count as if all had.
        """
        rows = block.rows
        found = {name: _by_key(rows, name) for name in self._parts}
        if self._all and not self._is_familiar(rows, block, found):
            for name in leaves(block):
                if name not in self._parts and name != "timestamp":
                    self._parts[name] = [nothing(self.count)]
                    self._present[name] = [np.zeros(self.count, np.bool_)]
        for name, parts in self._parts.items():
            values = found.get(name)
            parts.append(pack(extract(rows, name) if values is None else values))
            present = has(rows, name) if presence else np.ones(len(rows), np.bool_)
            self._present[name].append(present)
        self.count += len(rows)

    def _is_familiar(
        self, rows: list[Row], block: Block, found: Mapping[str, list[Any] | None]
    ) -> bool:
        """Whether no row has a key that is not in `found`, nor anything nested. Quick."""
        keys = {key for key in rows[0] if key != "timestamp"}
        return (
            set(map(len, rows)) == {len(keys) + 1}
            and all(found.get(key) is not None or _by_key(rows, key) is not None for key in keys)
            and all(key in found or key[:1] == "_" for key in keys)
            and count_byte(block.text, b"{") == len(rows)
        )

    @property
    def names(self) -> list[str]:
        """The fields gathered, in order of appearance."""
        return list(self._parts)

    def take(self, name: str) -> tuple[Part, NDArray[np.bool_]]:
        """One column of all rows, and which rows have it. Frees what it was gathered in."""
        parts, present = self._parts.pop(name), self._present.pop(name)
        return join(parts), np.concatenate([np.empty(0, np.bool_), *present])


def leaves(block: Block) -> list[str]:
    """The fields of a block's rows in order of appearance, nested ones as `a.b`; ours left out."""
    rows = block.rows
    keys = dict.fromkeys(map(tuple, rows))
    names = [key for key in dict.fromkeys(chain.from_iterable(keys)) if key[:1] != "_"]
    if count_byte(block.text, b"{") == len(rows):
        return names  # nothing is nested
    found: dict[str, None] = {}
    for name in names:
        for value in (row[name] for row in rows if name in row):
            if type(value) is dict and value:
                found.update(dict.fromkeys(_leaves_below(value, name)))
            else:
                found[name] = None
    return list(found)


def _leaves_below(value: dict[str, Any], path: str) -> list[str]:
    found: list[str] = []
    for key, item in value.items():
        inner = f"{path}.{key}"
        found += _leaves_below(item, inner) if type(item) is dict and item else [inner]
    return found


def extract(rows: list[Row], path: str) -> list[Any]:
    """The values of one field, `None` where a row has none."""
    values = _by_key(rows, path)
    if values is not None:
        return values
    head, dot, rest = path.partition(".")
    if not dot:
        return [row.get(path) for row in rows]
    # Rows that are all nested in one way, which nearly all are
    inner = _by_key(rows, head)
    if inner and set(map(type, inner)) == {dict} and not any(path in row for row in rows):
        values = _by_key(inner, rest)
    return [lookup(row, path) for row in rows] if values is None else values


def _by_key(rows: list[Row], key: str) -> list[Any] | None:
    """The values of a key that every row has, else `None`."""
    try:
        return list(map(itemgetter(key), rows))
    except KeyError:
        return None


def has(rows: list[Row], path: str) -> NDArray[np.bool_]:
    """Which rows say anything about a field: they have it, or what it is nested in."""
    tops = [path, *(path[:dot] for dot, char in enumerate(path) if char == ".")]
    return np.fromiter((any(top in row for top in tops) for row in rows), np.bool_, len(rows))
