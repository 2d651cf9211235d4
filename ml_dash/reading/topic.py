"""One track brought to the rows of an alignment, of a grid in time, or of several runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_dash.reading.entries import Booleans, Floats, Integers
from ml_dash.reading.parts import Array, Part, finish, join, nothing, select

if TYPE_CHECKING:
    from ml_dash.reading.table import Table

OWN = ("step", "timestamp")
"""Columns that a row as a whole has; they are not repeated among the fields of its tracks."""

HELD = ("step", "episode", "episode_step", "frame")
"""Numbers that count or name: between two of them there is nothing."""


class AlignedTopic:
    """One track, brought to the rows of an `Aligned`.

    Attributes:
        name: the track.
        index: for each row the number of the track's entry, -1 where it has none.
        is_blended: whether numbers lie between those of entries.
    """

    is_blended = False

    def __init__(self, name: str, table: Table, index: Integers) -> None:
        self.name = name
        self.index = index
        self._table = table
        self._parts: dict[str, Part] = {}

    def __getitem__(self, column: str) -> Array:
        return finish(self.part(column))

    def __contains__(self, column: object) -> bool:
        return column in self.columns

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    @property
    def columns(self) -> list[str]:
        """The names of the track's columns."""
        return self._table.columns

    @property
    def table(self) -> Table:
        """The track as it was recorded, when the rows were aligned."""
        return self._table

    @property
    def present(self) -> Booleans:
        """Which rows the track has an entry for: shape (rows,), bool."""
        return self.index >= 0

    @property
    def sessions(self) -> Integers:
        """The number of the session that wrote each row's entry, -1 where there is none."""
        return picked(self.table.entries.sessions, self.index)

    @property
    def arrival(self) -> Integers:
        """Numbers that grow in the order in which the entries were written, -1 without one."""
        return picked(self.table.entries.arrival, self.index)

    def to_numpy(self) -> dict[str, Array]:
        """All columns by name."""
        self.load(self.columns)
        return {name: self[name] for name in self.columns}

    def row(self, index: int) -> dict[str, Any] | None:
        """The fields of one row, `None` when the track has no entry for it."""
        if self.index[index] < 0:
            return None
        names = self.columns
        if any(name not in self._parts for name in names):
            self.to_numpy()  # all columns in one go
        parts = {name: self._parts[name] for name in names if name not in OWN}
        return {
            name: _own(part.data[index]) for name, part in parts.items() if not missing(part, index)
        }

    # -- for what is made of it --------------------------------------------------------------------

    def part(self, column: str) -> Part:
        """A column as it is kept, missing values apart.

        Raises:
            KeyError: there is no such column.
        """
        if column not in self._parts:
            self._parts[column] = self._made(column)
        return self._parts[column]

    def optional(self, column: str) -> Part:
        """A column that the track may not have; it is of kind `none` then."""
        if column == "timestamp":
            return self.part(column)
        return select(self._table.optional(column)[0], self.index)

    def load(self, columns: Sequence[str]) -> None:
        """Read columns in one go, which is faster than one after the other."""
        self._table.optional(*(name for name in columns if name not in OWN))

    def take(self, rows: Integers) -> AlignedTopic:
        """The same track at these rows; where the number is -1 it has no entry."""
        return AlignedTopic(self.name, self._table, picked(self.index, rows))

    def _made(self, column: str) -> Part:
        return _select(self._table.part(column), self.index)


class BlendedTopic(AlignedTopic):
    """A track whose numbers lie between those of two rows. All else is that of the first one.

    Args:
        base: the track.
        before: for each row the one of `base` at or before it, -1 where there is none.
        after: the one behind it, -1 where there is none.
        weight: how far from the one to the other, 0 to 1.
    """

    is_blended = True

    def __init__(
        self, base: AlignedTopic, before: Integers, after: Integers, weight: Floats
    ) -> None:
        self.name = base.name
        self.index = picked(base.index, before)
        self._base = base
        self._before = before
        self._after = after
        self._weight = weight
        self._parts = {}

    @property
    def columns(self) -> list[str]:
        """The names of the track's columns."""
        return self._base.columns

    @property
    def table(self) -> Table:
        """The track as it was recorded."""
        return self._base.table

    def optional(self, column: str) -> Part:
        """A column that the track may not have, not interpolated."""
        return select(self._base.optional(column), self._before)

    def load(self, columns: Sequence[str]) -> None:
        """Read columns in one go."""
        self._base.load(columns)

    def take(self, rows: Integers) -> AlignedTopic:
        """The same track at these rows."""
        before, after = picked(self._before, rows), picked(self._after, rows)
        weight = self._weight[np.maximum(rows, 0)] if len(self._weight) else np.zeros(len(rows))
        return BlendedTopic(self._base, before, after, weight)

    def _made(self, column: str) -> Part:
        whole = self._base.part(column)
        first = select(whole, self._before)
        if whole.kind not in ("float", "int") or column in HELD:
            return first
        second = select(whole, self._after)
        # Where nothing follows, or the moment is the first one's, its own value stays as it is
        blended = np.flatnonzero(~second.gone & (self._weight > 0))
        data = first.data.astype(np.float64)
        weight = self._weight[blended].reshape(-1, *[1] * (data.ndim - 1))
        with np.errstate(invalid="ignore", over="ignore"):  # infinities that were recorded
            data[blended] += weight * (second.data[blended] - data[blended])
        if first.missing is not None:
            data[first.missing] = np.nan
        return Part("float", data, first.missing)


class JoinedTopic(AlignedTopic):
    """One track of several runs, one after the other.

    Args:
        name: the track.
        topics: that of each run.
        rows: numbers of rows of all runs together, in order of the runs.
    """

    def __init__(self, name: str, topics: Sequence[AlignedTopic], rows: Integers) -> None:
        self.name = name
        everything = [topic.index for topic in topics]
        self.index = picked(np.concatenate([np.empty(0, np.int64), *everything]), rows)
        self._topics = list(topics)
        self._rows = rows
        self._parts = {}

    @property
    def columns(self) -> list[str]:
        """The names of the columns of any of the runs."""
        return list(dict.fromkeys(name for topic in self._topics for name in topic.columns))

    def optional(self, column: str) -> Part:
        """A column that no run may have."""
        return select(join([topic.optional(column) for topic in self._topics]), self._rows)

    def load(self, columns: Sequence[str]) -> None:
        """Read columns of each run in one go."""
        for topic in self._topics:
            topic.load(columns)

    def take(self, rows: Integers) -> AlignedTopic:
        """The same track at these rows."""
        return JoinedTopic(self.name, self._topics, picked(self._rows, rows))

    def _made(self, column: str) -> Part:
        parts = [topic.optional(column) for topic in self._topics]
        if all(part.kind == "none" for part in parts) and column not in self.columns:
            raise KeyError(f"{self.name!r} has no column {column!r} in any of the runs")
        # Through `part` where the run has it: what was interpolated is made there
        parts = [
            topic.part(column) if part.kind != "none" else nothing(len(part))
            for topic, part in zip(self._topics, parts, strict=True)
        ]
        return _select(join(parts), self._rows)


def missing(part: Part, index: int) -> bool:
    """Whether a row has no value."""
    return part.missing is not None and bool(np.asarray(part.missing)[index])


def _own(value: Any) -> Any:
    """A value that is nobody else's: an array in a column is a part of it."""
    return value.copy() if isinstance(value, np.ndarray) else value


def picked(index: Integers, rows: Integers) -> Integers:
    """The values of `index` at these rows, -1 where the row is -1."""
    if not len(index):
        return np.full(len(rows), -1, np.int64)
    return np.where(rows < 0, -1, index[rows])


def _select(part: Part, index: Integers) -> Part:
    """As `select`, without a copy where the rows are just those of the track."""
    if len(part) == len(index) and bool((index == np.arange(len(index), dtype=np.int64)).all()):
        return part
    return select(part, index)
