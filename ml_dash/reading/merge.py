"""Rows that are one entry, and parts of rows.

Entries of one track with the same explicit timestamp and no conflicting step are one entry: their
fields are united, the later value wins. Automatic timestamps never merge.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ml_dash.reading.lines import Row

EXPLICIT = "_explicit"
"""The key of a row whose timestamp was given by the user."""

ALONE = object()
"""In place of the step of an entry that unites with no other."""


def merged(rows: Iterable[Row]) -> Iterator[Row]:
    """Unite entries of one explicit timestamp. The rows come in order of time, and so do these."""
    held: list[Row] = []  # the entries so far of the timestamp in hand
    steps: list[Any] = []
    for row in rows:
        if held and held[0]["timestamp"] != row["timestamp"]:
            yield from held
            held, steps = [], []
        if row.pop(EXPLICIT, None) is not True:
            held.append(row)
            steps.append(ALONE)
            continue
        number = entry_of(row.get("step"), steps)
        if number is None:
            held.append(row)
            steps.append(row.get("step"))
        else:
            held[number].update(row)
            steps[number] = held[number].get("step")
    yield from held


def entry_of(step: Any, steps: Sequence[Any]) -> int | None:
    """Which of the entries with `steps` a row with `step` belongs to, `None` for a new one.

    That of the same step, else the latest one where either has none.
    """
    for number in range(len(steps) - 1, -1, -1):
        if steps[number] == step:
            return number
    for number in range(len(steps) - 1, -1, -1):
        if steps[number] is None or (step is None and steps[number] is not ALONE):
            return number
    return None


def lookup(row: Any, path: str) -> Any:
    """A field of a row by its dotted name, `None` when there is none.

    A key that has the dots in itself goes before nesting.
    """
    if type(row) is not dict:
        return None
    if path in row:
        return row[path]
    dot = path.find(".")
    while dot >= 0:
        if path[:dot] in row:
            found = lookup(row[path[:dot]], path[dot + 1 :])
            if found is not None:
                return found
        dot = path.find(".", dot + 1)
    return None


def project(row: Row, columns: Sequence[str]) -> Row:
    """A row with its timestamp and these fields only."""
    found: Row = {"timestamp": row["timestamp"]}
    for column in columns:
        value = lookup(row, column)
        if value is not None or column in row:
            found[column] = value
    return found
