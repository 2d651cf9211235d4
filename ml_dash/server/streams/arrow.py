"""Rows as an Arrow IPC stream."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import orjson
import pyarrow as pa

from ml_dash.reading.columns import extract
from ml_dash.reading.lines import Row

MOST = 200_000
"""Rows of one answer: their columns are only known, and so held, once all have been read."""


def to_arrow(rows: list[Row], columns: Sequence[str] | None) -> bytes:
    """Rows as columns; a field that is nested is named `a.b`.

    Values of several kinds in one column, and integers over 64 bits, make it a column of JSON text.
    NaN and infinity stay what they are; a value that is missing is null.
    """
    # Selected columns are keys of the rows by now, dots and all
    names = _leaves(rows) if columns is None else ["timestamp", *columns]
    names = list(dict.fromkeys(names))
    table = pa.table({name: _array(extract(rows, name)) for name in names})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=65_536)
    return sink.getvalue()


def _array(values: list[Any]) -> Any:
    try:
        if not any(type(value) is dict for value in values):
            return pa.array(values, from_pandas=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError):
        pass  # of several kinds, or beyond what a column can hold
    return pa.array([None if value is None else text_of(value) for value in values], pa.string())


def text_of(value: Any) -> str:
    """A value as JSON, a text as it is: also what no other format takes, such as 2 to the 70th."""
    if type(value) is str:
        return value.encode("utf-8", "replace").decode()
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value, separators=(",", ":"))


def _leaves(rows: list[Row]) -> list[str]:
    found: dict[str, None] = {"timestamp": None}
    for row in rows:
        for key, value in row.items():
            if key[:1] == "_":
                continue
            if type(value) is dict and value:
                found.update(dict.fromkeys(_below(value, key)))
            else:
                found[key] = None
    return list(found)


def _below(value: Row, path: str) -> list[str]:
    found: list[str] = []
    for key, item in value.items():
        inner = f"{path}.{key}"
        found += _below(item, inner) if type(item) is dict and item else [inner]
    return found
