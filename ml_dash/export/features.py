"""The features of a LeRobot dataset: what each sample has beside its pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml_dash.export.job import Job
from ml_dash.export.roles import BOOKKEEPING, Roles, Source, names_of, vector
from ml_dash.export.samples import Sample


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature.

    Attributes:
        name: without `/`, which the format does not allow.
        dtype: `float32`, `float64`, `int64`, `bool` or `string`.
        sources: the columns that it is made of, one after the other.
        own: what it is where it is made of no column: `timestamp`, `step` or `done`.
        zero: what a timestamp is counted from: LeRobot makes float32 of it, which no date fits.
    """

    name: str
    dtype: str
    sources: tuple[Source, ...] = ()
    own: str = ""
    zero: float = 0.0

    @property
    def size(self) -> int:
        """How many numbers it is."""
        return sum(source.size for source in self.sources) if not self.own else 1

    @property
    def is_numeric(self) -> bool:
        """Whether it is numbers, and not text."""
        return self.dtype != "string"

    def value(self, rows: Mapping[str, Mapping[str, Any]], sample: Sample) -> Any:
        """Its value in a sample: a number, a text, or a list of numbers."""
        if self.own == "timestamp":
            return sample.timestamp - self.zero
        if self.own == "step":
            return sample.step
        if self.own == "done":
            return any(rows[s.topic].get(s.column.name) is True for s in self.sources)
        if self.dtype == "string":
            return rows[self.sources[0].topic].get(self.sources[0].column.name) or ""
        if self.dtype in ("int64", "bool"):
            (source,) = self.sources
            found = rows[source.topic].get(source.column.name)
            return found if self.size == 1 and not source.column.shape else _flat(found)
        numbers = vector(rows, self.sources)
        return float(numbers[0]) if self.size == 1 else numbers.astype(np.float32)

    def arrow(self, arrow: Any) -> Any:
        """Its type in pyarrow."""
        kinds = {"bool": "bool_", "string": "string"}
        kind = getattr(arrow, kinds.get(self.dtype, self.dtype))()
        return kind if self.size == 1 else arrow.list_(kind, self.size)

    def info(self) -> dict[str, Any]:
        """What `info.json` says of it."""
        names = names_of(self.sources) if self.sources and not self.own else None
        return {"dtype": self.dtype, "shape": [self.size], "names": names}


def features_of(roles: Roles, job: Job) -> list[Feature]:
    """All features: observation, action, reward, and every other column there is a type for."""
    found = []
    if roles.observation:
        found.append(Feature("observation.state", "float32", tuple(roles.observation)))
    if roles.action:
        found.append(Feature("action", "float32", tuple(roles.action)))
    else:
        job.notes.append("no action: policies need one; say which columns are with action=")
    if "reward" in roles.flags:
        found.append(Feature("next.reward", "float32", (roles.flags["reward"],)))
    ends = tuple(roles.flags[name] for name in ("terminated", "truncated") if name in roles.flags)
    if ends:
        found.append(Feature("next.done", "bool", ends, "done"))
    others = [s for s in roles.others if s.column.name not in BOOKKEEPING]
    left = []
    for source in others:
        feature = _other(source)
        if feature is None:
            left.append(source.name)
        else:
            found.append(feature)
    if left:
        job.notes.append(f"the format has no type for {', '.join(left)}")
    zero = float(job.samples.timestamps[0])
    found.append(Feature("recorded.timestamp", "float64", own="timestamp", zero=zero))
    if not np.ma.getmaskarray(np.ma.asarray(job.samples.steps)).any():
        found.append(Feature("recorded.step", "int64", own="step"))
    return found


def _other(source: Source) -> Feature | None:
    column = source.column
    name = source.name.replace("/", ".")
    if column.kind == "text" and column.shape == ():
        return Feature(name, "string", (source,))
    if not column.is_numeric or not source.size:
        return None
    exact = {"int": "int64", "bool": "bool"}.get(column.kind)
    return Feature(name, exact if exact and not column.optional else "float32", (source,))


def _flat(value: Any) -> Any:
    found = np.asarray(value).reshape(-1).tolist()
    return found if len(found) > 1 else found[0]
