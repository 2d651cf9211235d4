"""A session's samples for PyTorch and TensorFlow, in two shapes.

`Columns` names every field with dots, a number each: what `to_torch` of aligned rows gives.
`Keys` has the fields as they stand in a sample: a number is an array of one, a dict of numbers an
array of as many, which batch as (B, 1) and (B, K).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ml_dash.export.columns import Column, flatten, pick, scan
from ml_dash.loaders.fields import EXACT, IMAGE, LIST, NUMBER, OBJECTS, RAGGED, TEXT, Field, Key
from ml_dash.loaders.windows import Windows

if TYPE_CHECKING:
    from ml_dash.session import Session

FRAME = "frame"
TIME = "frame_timestamp_ms"
_ACTIONS = {"action", "actions"}
_EXACTLY = {"timestamp": "float64", "timestamp_ms": "float64", "time_elapsed_s": "float64"}
"""What float32 would round: times. So is `step`, where all samples have one."""


class Columns:
    """Samples by dotted names.

    Args:
        session: where they come from.
        numbers: which of its samples.
        names: only these columns.

    Raises:
        KeyError: there is no such column.
    """

    def __init__(
        self,
        session: Session,
        numbers: NDArray[np.int64],
        names: Sequence[str] | None = None,
    ) -> None:
        self.session = session
        self.numbers = numbers
        self.fields: dict[Key, Field] = {}
        shape = frame_shape(session)
        if shape is not None:
            self.fields[FRAME] = Field(IMAGE, shape)
        self.fields[TIME] = Field(EXACT, (), "float64")
        # Timestamps and steps are not a track's own here: they are fields like the others
        self._columns = session.columns
        if names is not None:
            chosen = pick(session.columns, names, f"session {session.name!r}")
            self._columns = {column.name: column for column in chosen}
        self.fields.update((name, _field(column)) for name, column in self._columns.items())

    def __len__(self) -> int:
        return len(self.numbers)

    def sample(self, index: int, /) -> dict[Key, Any]:
        """One sample."""
        number = int(self.numbers[index])
        found = dict(flatten(self.session.fields(number)))
        values: dict[Key, Any] = {name: found.get(name) for name in self._columns}
        return self._framed(number, values)

    def _framed(self, number: int, values: dict[Key, Any]) -> dict[Key, Any]:
        values[TIME] = float(self.session.frame_timestamps[number])
        if FRAME in self.fields:
            values[FRAME] = self.session.frame(number)
        return values


class Keys(Columns):
    """Samples by the keys they have: numbers as (1,), dicts of numbers as (K,)."""

    def __init__(self, session: Session, numbers: NDArray[np.int64]) -> None:
        super().__init__(session, numbers)
        columns, self.parts = self._columns, grouped(self._columns)
        kept: dict[Key, Field] = {
            key: field for key, field in self.fields.items() if key in (FRAME, TIME)
        }
        self.fields = {**kept, TIME: Field(EXACT, (1,), "float64")}
        for name, column in columns.items():
            key = name.partition(".")[0]
            if key in self.parts:
                size = sum(_size(columns[part]) for part in self.parts[key])
                self.fields[key] = Field(NUMBER, (size,))
            if name not in self.parts.get(key, ()):
                field = _field(column)
                shape = field.shape or (1,)
                scalar = field.kind in (NUMBER, EXACT)
                self.fields[name] = Field(field.kind, shape if scalar else (), field.dtype)

    def sample(self, index: int, /) -> dict[Key, Any]:
        """One sample."""
        number = int(self.numbers[index])
        found = dict(flatten(self.session.fields(number)))
        values: dict[Key, Any] = {name: found.get(name) for name in self._columns}
        for key, parts in self.parts.items():
            numbers = [_numbers(found.get(part), self._columns[part]) for part in parts]
            values[key] = np.concatenate(numbers)
        return self._framed(number, {key: values[key] for key in self.fields if key in values})


def windows(
    session: Session,
    numbers: NDArray[np.int64],
    names: Sequence[str] | None,
    horizons: tuple[int | None, int | None],
    actions: Sequence[str] | None,
    pad: bool,
) -> Columns | Windows:
    """Samples by dotted names, several rows each where a horizon is given.

    Raises:
        ValueError: windows of actions are asked for, and no column is one.
    """
    columns = Columns(session, numbers, names)
    if horizons == (None, None):
        return columns
    found = [n for n in columns.fields if isinstance(n, str) and {*n.split(".")} & _ACTIONS]
    if actions is not None:
        found = [column.name for column in pick(session.columns, actions, repr(session.name))]
    if not found and (horizons[1] or 1) > 1:
        raise ValueError(f"{session!r} has no column called action; say which are with actions=")
    return Windows(
        columns,
        _episodes(session, numbers),
        obs_horizon=horizons[0] or 1,
        action_horizon=horizons[1] or 1,
        actions=found,
        pad=pad,
    )


def _episodes(session: Session, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """The episode of each sample: new where a column `episode` changes, or the step goes back."""
    known = [name for name in session.columns if name.rpartition(".")[2] == "episode"]
    found = np.zeros(len(numbers), np.int64)
    episode: Any = None
    step: Any = None
    for place, number in enumerate(numbers.tolist()):
        fields = dict(flatten(session.fields(number)))
        value = fields.get(known[0], episode) if known else None
        now = fields.get("step")
        now = now if isinstance(now, (int, float)) else step
        begins = value != episode or (step is not None and now < step)
        found[place] = (found[place - 1] if place else 0) + bool(place and begins)
        episode, step = value, now
    return found


def grouped(columns: Mapping[str, Column]) -> dict[str, list[str]]:
    """The keys whose values are dicts, each with those of its columns that are numbers."""
    found: dict[str, list[str]] = {}
    for name, column in columns.items():
        key, dot, _ = name.partition(".")
        if dot and column.is_numeric:
            found.setdefault(key, []).append(name)
    return found


def columns_of(lines: Iterable[Mapping[str, Any]]) -> dict[str, Column]:
    """The columns of a session's lines, times and steps among them."""
    return scan(lines, own=())


def frame_shape(session: Session) -> tuple[int, ...] | None:
    """Height, width and 3, by the first frame there is; `None` where there is none."""
    for number in range(len(session)):
        picture = session.frame(number)
        if picture is not None:
            return picture.shape if picture.ndim == 3 else (*picture.shape, 1)
    return None


def _field(column: Column) -> Field:
    if column.name in _EXACTLY and column.is_numeric and not column.optional:
        return Field(EXACT, column.shape or (), _EXACTLY[column.name])
    if column.name == "step" and column.kind == "int" and not column.optional:
        return Field(EXACT, column.shape or (), "int64")
    if column.is_numeric or column.kind == "none":
        return Field(NUMBER, column.shape or ())
    if column.shape is None and column.kind in ("int", "float", "bool"):
        return Field(LIST, (), RAGGED)
    return Field(LIST, (), TEXT if column.kind == "text" and column.shape == () else OBJECTS)


def _size(column: Column) -> int:
    return int(np.prod(column.shape or (1,)))


def _numbers(value: Any, column: Column) -> NDArray[np.float64]:
    if value is None:
        return np.full(_size(column), np.nan)
    return np.asarray(value, np.float64).reshape(-1)
