"""Which columns are observation, action and reward: what learning from a run needs to know.

| role | columns, unless the user names others |
|---|---|
| `observation` | `obs` or `observation`, and what is below: `obs.position` |
| `action` | `action`, and what is below |
| `reward`, `terminated`, `truncated`, `episode` | those called so |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml_dash.export.columns import Column, flatten
from ml_dash.export.samples import Sample
from ml_dash.hints import hint

_OBSERVATIONS = ("obs", "observation")
_FLAGS = ("reward", "terminated", "truncated", "episode")
BOOKKEEPING = (*_FLAGS, "episode_step", "frame")


class Source(NamedTuple):
    """A column of a track."""

    topic: str
    column: Column

    @property
    def name(self) -> str:
        """What users call it: `robot/position.x`."""
        return f"{self.topic}.{self.column.name}"

    @property
    def size(self) -> int:
        """How many numbers it is in a row."""
        return int(np.prod(self.column.shape or (1,)))


@dataclass(frozen=True, slots=True)
class Roles:
    """The columns by what they are for.

    Attributes:
        observation: may be none.
        action: may be none.
        flags: `reward`, `terminated`, `truncated` and `episode`, those there are.
        others: what is neither of these.
    """

    observation: list[Source]
    action: list[Source]
    flags: dict[str, Source]
    others: list[Source]


def roles_of(
    columns: Mapping[str, Mapping[str, Column]],
    observation: str | Sequence[str] | None = None,
    action: str | Sequence[str] | None = None,
) -> Roles:
    """Tell what each column is for.

    Args:
        columns: of each track.
        observation: the names of columns, with their track (`robot/joints.q`) or, where only one
            track has it, without; a name that columns are below of stands for all of them.
        action: likewise.

    Raises:
        KeyError: there is no such column, or several tracks have it.
        ValueError: it does not hold numbers of one shape.
    """
    sources = [Source(topic, c) for topic, found in columns.items() for c in found.values()]
    observed = _chosen("observation", observation, sources, _OBSERVATIONS)
    done = _chosen("action", action, sources, ("action",))
    taken = [*observed, *done]
    flags = {
        name: source
        for name in _FLAGS
        for source in sources
        if source.column.name == name and source not in taken
    }
    known = {*taken, *flags.values()}
    return Roles(observed, done, flags, [source for source in sources if source not in known])


def _chosen(
    role: str,
    given: str | Sequence[str] | None,
    sources: Sequence[Source],
    usual: Sequence[str],
) -> list[Source]:
    if given is None:
        named = [s for s in sources if s.column.name.partition(".")[0] in usual]
        return [source for source in named if source.column.is_numeric]
    found: list[Source] = []
    for name in [given] if isinstance(given, str) else given:
        found += _named(role, name, sources)
    for source in found:
        if not source.column.is_numeric:
            raise ValueError(
                f"{role}={source.name!r}: it is {source.column.type}, not numbers of one shape"
            )
    return list(dict.fromkeys(found))


def _named(role: str, name: str, sources: Sequence[Source]) -> list[Source]:
    full = [s for s in sources if s.name == name or s.name.startswith(f"{name}.")]
    short = [s for s in sources if s.column.name == name or s.column.name.startswith(f"{name}.")]
    found = full or short
    topics = {source.topic for source in found}
    if not found:
        raise KeyError(f"{role}={name!r}: {hint(name, [source.name for source in sources])}")
    if len(topics) > 1 and not full:
        raise KeyError(
            f"{role}={name!r} is a column of {', '.join(map(repr, sorted(topics)))}; write it with"
            f" its track, such as {found[0].name!r}"
        )
    return found


def flat_rows(sample: Sample) -> dict[str, dict[str, Any]]:
    """The fields of each track by dotted name; empty where it has no row."""
    return {topic: dict(flatten(row)) if row else {} for topic, row in sample.rows.items()}


def vector(rows: Mapping[str, Mapping[str, Any]], sources: Sequence[Source]) -> NDArray[np.float64]:
    """The numbers of several columns, one after the other; NaN where one is missing."""
    parts = []
    for source in sources:
        value = rows[source.topic].get(source.column.name)
        missing = value is None
        parts.append(
            np.full(source.size, np.nan) if missing else np.asarray(value, np.float64).reshape(-1)
        )
    return np.concatenate(parts) if parts else np.empty(0)


def names_of(sources: Sequence[Source]) -> list[str]:
    """A name for each number of several columns: `q.0`, `q.1`, `gripper`."""
    topics = {source.topic for source in sources}
    found = []
    for source in sources:
        name = source.column.name if len(topics) == 1 else source.name
        places = np.ndindex(*(source.column.shape or ()))
        found += [".".join([name, *map(str, place)]) for place in places]
    return found


def numbered(samples: Iterable[Sample]) -> Iterator[tuple[int, Iterator[Sample]]]:
    """The samples, episode by episode, each as it is read; one ends where another one begins."""
    for number, (_, group) in enumerate(groupby(samples, lambda sample: sample.episode)):
        yield number, group
