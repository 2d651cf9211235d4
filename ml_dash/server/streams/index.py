"""The index of a stream: step, time and a few columns of every entry, as compact columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from ml_dash.reading.entries import Floats
from ml_dash.reading.parts import Part
from ml_dash.server.problems import Problem
from ml_dash.server.streams.chart import MOST, MOST_VALUES
from ml_dash.server.streams.chunks import StoredStream
from ml_dash.server.streams.numbers import numbers
from ml_dash.server.streams.table import Table
from ml_dash.server.streams.values import find_value

MOST_TEXTS = 200_000
"""Rows of a stream whose texts are read at once."""


@dataclass(frozen=True, slots=True)
class Index:
    """Entries of a stream in order of time.

    Attributes:
        first: the number of the first of them.
        total: how many the stream has.
        columns: numbers, NaN where there is none: `step`, `timestamp` and those asked for.
        texts: columns that have other values than numbers.
    """

    first: int
    total: int
    columns: dict[str, Floats]
    texts: dict[str, list[Any]]


def read_index(
    stream: StoredStream, columns: Sequence[str], first: int, count: int | None
) -> Index:
    """Entries as rows by number have them.

    Args:
        stream: what to read.
        columns: beside `step` and `timestamp`.
        first: the number of the first entry.
        count: how many; `None` for all.

    Raises:
        Problem: 413, there are too many.
    """
    pieces = stream.pieces()
    rows = sum(piece.chunk.rows for piece in pieces)
    names = [name for name in dict.fromkeys(columns) if name not in ("step", "timestamp")]
    if rows > MOST or rows * len(names) > MOST_VALUES:
        raise Problem(413, f"the stream has {rows:,} rows; ask for fewer columns, or for rows")
    table = Table(numbers.load_all(stream, pieces, names), pieces, stream.is_track)
    part = slice(first, None if count is None else first + count)
    found = {"step": table.steps()[part], "timestamp": table.timestamps[part]}
    texts: dict[str, list[Any]] = {}
    for name in names:
        if table.is_numeric(name):
            found[name] = table.column(name)[0][part]
        else:
            texts[name] = []
    if texts:
        if rows > MOST_TEXTS:
            raise Problem(
                413, f"columns with texts are read of {MOST_TEXTS:,} rows at most; ask for rows"
            )
        decoded = list(chain.from_iterable(stream.block(piece).rows for piece in pieces))
        for name in texts:
            texts[name] = _pick(table, [find_value(row, name) for row in decoded], part)
    return Index(first, len(table), found, texts)


def _pick(table: Table, values: list[Any], part: slice) -> list[Any]:
    """The value of each entry from those of all rows."""
    there = np.fromiter((value is not None for value in values), np.bool_, len(values))
    places = Part("int", np.arange(len(values), dtype=np.int64), ~there)
    picked = table.entries.pick(places, there)
    lost = np.zeros(len(picked), np.bool_) if picked.missing is None else picked.missing
    return [
        None if gone else values[number]
        for number, gone in zip(picked.data[part].tolist(), lost[part].tolist(), strict=True)
    ]
