"""From rows as they lie in segments to the entries of a table: ordered by time, and united.

The same rules as in `merge`, for all rows at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_dash.reading.merge import entry_of
from ml_dash.reading.parts import Array, Part, select

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Entries:
    """How the rows of a stream become entries.

    Attributes:
        rows: the number of each row as it lies in the segments, so that rows of one entry follow
            one another, entries in order of time.
        starts: where in `rows` each entry begins; `None` when every row is one.
        timestamps: of each entry, in seconds.
        sessions: the number of the session that wrote each entry, in the order they began.
        united: how many rows were taken into another one.
        in_place: whether the rows lie in the segments in order of time.
    """

    rows: Integers
    starts: Integers | None
    timestamps: Floats
    sessions: Integers
    united: int
    in_place: bool

    def __len__(self) -> int:
        return len(self.timestamps)

    @property
    def arrival(self) -> Integers:
        """The order in which the entries were written, sessions one after the other."""
        return self.rows if self.starts is None else self.rows[self.starts]

    def pick(self, part: Part, present: Booleans) -> Part:
        """The value of each entry from the values of all rows.

        Args:
            part: one value a row, as they lie in the segments.
            present: which rows have the field.
        """
        if self.starts is None:
            return part if self.in_place else select(part, self.rows)
        return select(part, _latest(self.rows, self.starts, present))


def make_entries(
    timestamps: Floats, sessions: Integers, explicit: Booleans | None, steps: Part
) -> Entries:
    """Order rows by time, and unite those of one explicit timestamp.

    Args:
        timestamps: of the rows as they lie in the segments.
        sessions: the number of each row's session.
        explicit: which timestamps were given by the user; `None` when nothing is to be united.
        steps: of the rows whose timestamp is explicit.
    """
    in_place = bool(np.all(timestamps[1:] >= timestamps[:-1]))
    rows = (
        np.arange(len(timestamps), dtype=np.int64)
        if in_place
        else np.argsort(timestamps, kind="stable")
    )
    alone = Entries(rows, None, timestamps[rows], sessions[rows], 0, in_place)
    if explicit is None or not explicit.any():
        return alone
    owner = _owners(alone.timestamps, select(whole_numbers(steps), rows), explicit[rows])
    if bool(np.all(owner == np.arange(len(owner), dtype=np.int64))):
        return alone
    grouped = np.argsort(owner, kind="stable")
    owner = owner[grouped]
    rows = rows[grouped]
    starts = np.flatnonzero(np.concatenate([[True], owner[1:] != owner[:-1]]))
    first = rows[starts]
    united = len(rows) - len(starts)
    return Entries(rows, starts, timestamps[first], sessions[first], united, False)


def whole_numbers(part: Part) -> Part:
    """Steps as integers; what is no whole number of 64 bits counts as missing."""
    if part.kind == "int" and part.data.ndim == 1 and part.data.dtype == np.int64:
        return part
    data = np.zeros(len(part), np.int64)
    missing = np.ones(len(part), np.bool_)
    if part.kind in ("float", "int", "object") and part.data.ndim == 1:
        for index, value in enumerate(part.data.tolist()):
            if type(value) in (float, int) and abs(value) < 2**63 and value == int(value):
                data[index] = int(value)
                missing[index] = part.missing is not None and part.missing[index]
    return Part("int", data, missing if missing.any() else None)


def _owners(timestamps: Floats, steps: Part, explicit: Booleans) -> Integers:
    """For each row, in order of time, the first row of the entry it belongs to."""
    owner = np.arange(len(timestamps), dtype=np.int64)
    given = np.flatnonzero(explicit)
    times = timestamps[given]
    begins = np.flatnonzero(np.concatenate([[True], times[1:] != times[:-1]]))
    sizes = np.diff(np.append(begins, len(given)))
    owner[given] = given[np.repeat(begins, sizes)]
    for begin, size in _conflicts(steps, given, begins, sizes):
        _separate(owner, given[begin : begin + size], steps)
    return owner


def _conflicts(
    steps: Part, given: Integers, begins: Integers, sizes: Integers
) -> Sequence[tuple[int, int]]:
    """The runs of one timestamp in which rows have different steps."""
    data: Array = steps.data[given]
    known = np.ones(len(given), np.bool_) if steps.missing is None else ~steps.missing[given]
    info = np.iinfo(np.int64)
    low = np.minimum.reduceat(np.where(known, data, info.max), begins)
    high = np.maximum.reduceat(np.where(known, data, info.min), begins)
    found = np.flatnonzero(low < high)
    return list(zip(begins[found].tolist(), sizes[found].tolist(), strict=True))


def _separate(owner: Integers, run: Integers, steps: Part) -> None:
    """Tell apart the entries of one timestamp, row after row as `merge.merged` does."""
    owners: list[int] = []
    known: list[Any] = []
    for row in run.tolist():
        missing = steps.missing is not None and bool(steps.missing[row])
        step = None if missing else int(steps.data[row])
        number = entry_of(step, known)
        if number is None:
            owners.append(row)
            known.append(step)
            number = len(owners) - 1
        elif known[number] is None:
            known[number] = step
        owner[row] = owners[number]


def _latest(rows: Integers, starts: Integers, present: Booleans) -> Integers:
    """The last row of each entry that has a value, -1 where none has."""
    places = np.where(present[rows], np.arange(len(rows), dtype=np.int64), -1)
    last = np.maximum.reduceat(places, starts)
    found: Integers = np.where(last < 0, -1, rows[np.maximum(last, 0)])
    return found
