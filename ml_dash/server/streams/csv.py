"""Rows as a table of commas, made as they are read: for spreadsheets, and for a look by eye."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from ml_dash.reading.lines import Row
from ml_dash.server.streams.arrow import text_of
from ml_dash.server.streams.values import find_value

MEDIA = "text/csv; charset=utf-8"
"""The media type of such an answer."""

_GATHERED = 1 << 18
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_lines(rows: Iterator[Row], columns: Sequence[str]) -> Iterator[bytes]:
    """A head and a line for each row, some hundred KiB at a time.

    Args:
        rows: whole ones.
        columns: dotted names and elements of lists, such as `pose.x` or `q[0]`; before them come
            `timestamp` and `step`. Numbers are written so that they read back the same; a value
            that is missing is empty.
    """
    names = ["timestamp", "step", *(c for c in columns if c not in ("timestamp", "step"))]
    gathered = [",".join(map(_text, names))]
    size = len(gathered[0])
    for row in rows:
        line = ",".join(_cell(find_value(row, name)) for name in names)
        gathered.append(line)
        size += len(line)
        if size >= _GATHERED:
            yield _joined(gathered)
            gathered, size = [], 0
    if gathered:
        yield _joined(gathered)


def _joined(lines: list[str]) -> bytes:
    return ("\r\n".join(lines) + "\r\n").encode("utf-8", "replace")


def _cell(value: Any) -> str:
    kind = type(value)
    if value is None:
        return ""
    if kind is float:
        if math.isfinite(value):
            return repr(value)
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return str(value)
    return _text(value if kind is str else text_of(value))


def _text(text: str) -> str:
    """Text in a table; a spreadsheet must not take it for a formula."""
    inert = f"'{text}" if text.startswith(_FORMULA) else text
    if any(mark in inert for mark in ',"\r\n'):
        return '"{}"'.format(inert.replace('"', '""'))
    return inert
