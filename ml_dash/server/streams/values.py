"""The numbers of a chunk, straight from its lines to arrays.

Lines of one shape are scanned; others are read by Arrow, which makes no object of each row either
and lets other threads run meanwhile. Both are handed only what they read as the local reader does:
lines that say what was not finite are read one by one, and whatever else is odd is left to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml_dash.reading.columns import extract
from ml_dash.reading.entries import Booleans, Floats, Integers
from ml_dash.reading.lines import Block, Row
from ml_dash.reading.merge import EXPLICIT, lookup
from ml_dash.rows import BIG_INTEGER, NONFINITE
from ml_dash.server.streams.chunks import decode
from ml_dash.server.streams.parse import ITEM, ITEMS, parse_columns
from ml_dash.server.streams.scan import scan

_STEP = 2**62  # beyond it a step counts as none
_MARKS = (b'"%b":' % NONFINITE.encode(), b'"%b":' % BIG_INTEGER.encode())


@dataclass(frozen=True, slots=True)
class Values:
    """A column of the rows of a chunk.

    Attributes:
        data: one value a row, NaN where `present` is not.
        present: which rows have a number there, NaN and infinity among them.
        mixed: whether rows have something else there, such as a text.
    """

    data: Floats
    present: Booleans
    mixed: bool = False


@dataclass(frozen=True, slots=True)
class Base:
    """What places the rows of a chunk.

    Attributes:
        times: seconds.
        steps: 0 where `stepped` is not.
        stepped: which rows have a step.
        explicit: which timestamps the user gave.
    """

    times: Floats
    steps: Integers
    stepped: Booleans
    explicit: Booleans


Loaded = tuple[Base, dict[str, Values]]
"""The rows of a chunk: where they are, and columns of them."""


def read_numbers(text: bytes, names: Sequence[str], rows: int) -> Loaded:
    """Base and columns of whole lines.

    Args:
        text: whole lines.
        names: of columns, nested ones with dots, elements of lists as `q[0]`.
        rows: how many of the lines are rows, as was found when they came.
    """
    if rows and rows == text.count(b"\n"):
        plain, marked = _part(text)
        if len(marked) * 4 < rows:
            found = _read_fast(plain, names, rows - len(marked))
            if found is not None:
                return _insert(found, marked, names) if marked else found
    return read_slowly(decode(text), names)


def _read_fast(text: bytes, names: Sequence[str], count: int) -> Loaded | None:
    """The same of lines that are all rows, or `None` where only the local reader can tell."""
    try:
        return _read_scanned(text, names, count) or _read_parsed(text, names, count)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None  # values of other kinds than numbers


def _read_scanned(text: bytes, names: Sequence[str], count: int) -> Loaded | None:
    found = scan(text, count)
    if found is None or not {"timestamp", "step", EXPLICIT} & found.keys <= found.spans.keys():
        return None
    columns = {"timestamp": found.numbers("timestamp", pa.float64())}
    if "step" in found.keys:
        columns["step"] = found.numbers("step", pa.int64())
    if EXPLICIT in found.keys:
        columns[EXPLICIT] = pc.equal(found.tokens(EXPLICIT), "true")
    base = _base_of(columns, count)
    values: dict[str, Values] = {}
    for name in names:
        item = ITEM.fullmatch(name)
        if name in found.spans:
            values[name] = _values_of(found.numbers(name, pa.float64()))
        elif name in found.keys or (item is not None and item[1] in found.keys):
            return None  # no number
        else:
            values[name] = _nothing(count)
    return base, values


def _read_parsed(text: bytes, names: Sequence[str], count: int) -> Loaded | None:
    columns = parse_columns(text, [name for name in names if name != "timestamp"])
    if columns is None or len(columns.own["timestamp"]) != count:
        return None
    base = _base_of(columns.own, count)
    found = {
        name: _values_of(leaf) if leaf is not None else _nothing(count)
        for name, leaf in columns.leaves.items()
    }
    if "timestamp" in names:
        found["timestamp"] = Values(base.times, np.ones(count, np.bool_))
    return base, found


def read_slowly(block: Block, names: Sequence[str]) -> Loaded:
    """Base and columns of rows that were decoded."""
    rows = block.rows
    steps = [row.get("step") for row in rows]
    stepped = np.fromiter((type(s) is int and abs(s) < _STEP for s in steps), np.bool_, len(steps))
    numbers = (s if known else 0 for s, known in zip(steps, stepped.tolist(), strict=True))
    base = Base(
        np.array(block.timestamps, np.float64),
        np.fromiter(numbers, np.int64, len(steps)),
        stepped,
        np.fromiter((row.get(EXPLICIT) is True for row in rows), np.bool_, len(rows)),
    )
    return base, {name: _values(_column(block, name)) for name in names}


def find_value(row: Row, name: str) -> Any:
    """A field of a row by its dotted name, or an element of a list; `None` where there is none."""
    found = lookup(row, name)
    item = ITEM.fullmatch(name) if found is None else None
    if item is None:
        return found
    values, number = lookup(row, item[1]), int(item[2])
    if type(values) is not list or number >= min(len(values), ITEMS):
        return None
    return values[number]


def _column(block: Block, name: str) -> list[Any]:
    if name == "timestamp":
        return list(block.timestamps)
    if ITEM.fullmatch(name):
        return [find_value(row, name) for row in block.rows]
    return extract(block.rows, name)


def _values(values: list[Any]) -> Values:
    kinds = set(map(type, values))
    if kinds == {float}:
        return Values(np.array(values, np.float64), np.ones(len(values), np.bool_))
    data = np.full(len(values), np.nan)
    present = np.zeros(len(values), np.bool_)
    for number, value in enumerate(values):
        if type(value) in (int, float, bool):
            data[number] = _float(value)
            present[number] = True
    return Values(data, present, not kinds <= {int, float, bool, type(None)})


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of more than 300 digits
        return float("inf") if value > 0 else float("-inf")


def _base_of(columns: Mapping[str, Any], count: int) -> Base:
    times = columns["timestamp"]
    if times.null_count:
        raise pa.ArrowInvalid("a row without a timestamp")
    numbers, stepped = np.zeros(count, np.int64), np.zeros(count, np.bool_)
    if (steps := columns.get("step")) is not None:
        stepped = ~_nulls(steps)
        numbers = np.array(steps.fill_null(0), np.int64)
        stepped &= np.abs(numbers) < _STEP
        numbers[~stepped] = 0
    explicit = np.zeros(count, np.bool_)
    if (given := columns.get(EXPLICIT)) is not None:
        explicit = np.array(given.fill_null(False), np.bool_)
    return Base(np.array(times, np.float64), numbers, stepped, explicit)


def _values_of(column: Any) -> Values:
    column = column.cast(pa.float64(), safe=False)
    return Values(np.array(column.fill_null(np.nan), np.float64), ~_nulls(column))


def _nothing(count: int) -> Values:
    return Values(np.full(count, np.nan), np.zeros(count, np.bool_))


def _nulls(array: Any) -> Booleans:
    return np.array(array.is_null(), np.bool_)


def _part(text: bytes) -> tuple[bytes, dict[int, bytes]]:
    """Lines without those that say what was not finite; and these by number."""
    if b'"_' not in text or not any(mark in text for mark in _MARKS):
        return text, {}
    plain: list[bytes] = []
    marked: dict[int, bytes] = {}
    for number, line in enumerate(text[:-1].split(b"\n")):
        if any(mark in line for mark in _MARKS):
            marked[number] = line + b"\n"
        else:
            plain += (line, b"\n")
    return b"".join(plain), marked


def _insert(found: Loaded, marked: Mapping[int, bytes], names: Sequence[str]) -> Loaded:
    """Put lines that were read one by one back among the others."""
    base, values = found
    own, single = read_slowly(decode(b"".join(marked.values())), names)
    places = np.array(list(marked), np.int64) - np.arange(len(marked))
    return (
        Base(
            np.insert(base.times, places, own.times),
            np.insert(base.steps, places, own.steps),
            np.insert(base.stepped, places, own.stepped),
            np.insert(base.explicit, places, own.explicit),
        ),
        {
            name: Values(
                np.insert(values[name].data, places, single[name].data),
                np.insert(values[name].present, places, single[name].present),
                single[name].mixed,
            )
            for name in names
        },
    )
