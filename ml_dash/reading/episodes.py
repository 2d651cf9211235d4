"""Where episodes begin and end among aligned rows."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ml_dash.reading.entries import Integers
from ml_dash.reading.parts import Array, Part
from ml_dash.reading.topic import AlignedTopic

EPISODE = "episode"


def number_episodes(topics: Iterable[AlignedTopic], steps: Part, runs: Integers) -> Integers:
    """The number of the episode that each row belongs to, from 0 in order of appearance.

    Rows of one run that share a value of the column `episode` are an episode, also when rows of
    others lie between them; a row takes it from the first track that has it. Without such a column
    an episode begins where a run begins, and where its step goes back.
    """
    part = _first_known([topic.optional(EPISODE) for topic in topics], len(runs))
    if part is None:
        return _by_steps(steps, runs)
    if part.kind == "int" and part.data.ndim == 1 and part.missing is None:
        return _in_order_of_appearance(part.data, runs)
    known: dict[tuple[int, object], int] = {}
    values = part.data.tolist()
    if part.missing is not None:
        for row in np.flatnonzero(part.missing).tolist():
            values[row] = None
    found = [
        known.setdefault((run, _hashable(value)), len(known))
        for run, value in zip(runs.tolist(), values, strict=True)
    ]
    return np.array(found, np.int64)


def _in_order_of_appearance(episodes: Array, runs: Integers) -> Integers:
    """As below, for whole numbers: quicker, and in less memory."""
    _, numbers = np.unique(episodes, return_inverse=True)
    keys = runs * (int(numbers.max(initial=0)) + 1) + numbers
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.empty(len(first), np.int64)
    order[np.argsort(first)] = np.arange(len(first), dtype=np.int64)
    return order[inverse]


def _first_known(parts: list[Part], count: int) -> Part | None:
    """The column, each value from the first track that has one; `None` where no track has any."""
    parts = [part for part in parts if part.kind != "none" and len(part)]
    if not parts or not count:
        return None
    if parts[0].missing is None or len(parts) == 1:
        return parts[0]
    data = parts[0].data.astype(object)
    unknown = parts[0].missing.copy()
    for part in parts[1:]:
        has = unknown if part.missing is None else unknown & ~part.missing
        data[has] = part.data[has]
        unknown = unknown & ~has
    return Part("object", data, unknown)


def _by_steps(steps: Part, runs: Integers) -> Integers:
    begins = np.ones(len(runs), np.bool_)
    begins[1:] = runs[1:] != runs[:-1]
    known = np.arange(len(runs), dtype=np.int64)
    if steps.missing is not None:
        known = np.flatnonzero(~steps.missing)
    back = steps.data[known[1:]] < steps.data[known[:-1]]
    begins[known[1:][back]] = True
    found: Integers = np.cumsum(begins, dtype=np.int64) - 1
    return found


def _hashable(value: object) -> object:
    return value if isinstance(value, (int, float, str, bool, type(None))) else repr(value)
