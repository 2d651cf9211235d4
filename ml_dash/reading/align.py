"""Aligning streams: on step, with the key that `join` describes, or on timestamp, as of a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_dash.errors import AlignmentError
from ml_dash.reading.aligned import Aligned, AlignmentReport
from ml_dash.reading.entries import Floats, Integers
from ml_dash.reading.join import (
    ABSENT,
    Side,
    Units,
    alone,
    bring_together,
    first_or_last,
    number,
)
from ml_dash.reading.links import Camera, Names, link
from ml_dash.reading.parts import Part, finish, select

if TYPE_CHECKING:
    from ml_dash.reading.files import Files
    from ml_dash.reading.frames import Frames
    from ml_dash.reading.table import Table

_SHOWN = 5


def align(
    tables: Mapping[str, Table],
    cameras: Mapping[str, Frames],
    files: Files,
    *,
    on: str = "step",
    tolerance: float | None = None,
    repeats: str | None = None,
) -> Aligned:
    """Join tables and frames. See `RunView.aligned`."""
    _check(tables, cameras, on, tolerance, repeats)
    if on == "timestamp":
        return _on_timestamp(tables, cameras, tolerance)
    return _OnStep(tables, cameras, files).result(repeats)


def _check(
    tables: Mapping[str, Table],
    cameras: Mapping[str, Frames],
    on: str,
    tolerance: float | None,
    repeats: str | None,
) -> None:
    if not tables and not cameras:
        raise ValueError("aligned: nothing to align; name a track, or frames=")
    if on not in ("step", "timestamp"):
        raise ValueError(f"aligned: on is {on!r}; it must be 'step' or 'timestamp'")
    if repeats not in (None, "first", "last"):
        raise ValueError(f"aligned: repeats is {repeats!r}; it must be 'first', 'last' or None")
    if on == "step" and tolerance is not None:
        raise ValueError("aligned: tolerance is for on='timestamp'; steps agree or they do not")
    if on == "timestamp" and repeats is not None:
        raise ValueError("aligned: repeats is for on='step'; on timestamps nothing repeats")
    if tolerance is not None and not tolerance >= 0:
        raise ValueError(f"aligned: tolerance is {tolerance!r}; it must be seconds, 0 or more")


class _OnStep:
    """A join on step in the making."""

    def __init__(
        self, tables: Mapping[str, Table], cameras: Mapping[str, Frames], files: Files
    ) -> None:
        self.tables = tables
        self.cameras = cameras
        self.names = labels(tables, cameras)
        self.without_step: dict[str, int] = {}
        self.kept: list[Integers] = []  # which entries of each table take part
        self._episode_numbers: dict[Any, int] = {}
        self._frame_steps: dict[str, int | None] | None = None
        loaded = {
            name: table.optional("step", "frame", "episode")[1:] for name, table in tables.items()
        }
        # Every track must have episodes for them to be part of the key
        self.by_episode = bool(tables) and all(e.kind != "none" for _, e in loaded.values())
        self.sides: list[Side] = []
        fields = []
        for name, (frame, episode) in loaded.items():
            self.sides.append(self._side(name, frame, episode))
            fields.append(select(frame, self.kept[-1]))
        known = Names(files)
        topics = list(self.sides)
        self.links: list[Camera] = []
        for frames in cameras.values():
            episodes = self._numbered(frames.facts.episodes)
            self.links.append(link(frames, episodes, fields, topics, known))
            self.without_step[self.names[len(self.sides)]] = self.links[-1].without_step
            self.sides.append(self.links[-1].side)

    def _side(self, name: str, frame: Part, episode: Part) -> Side:
        entries = self.tables[name].entries
        part = self.tables[name].step_part
        steps, missing = part.data.copy(), part.missing
        if missing is not None:
            missing = missing.copy()
            for row in np.flatnonzero(missing).tolist():
                step = self._step_of_frame(frame.data[row]) if frame.kind == "object" else None
                if step is not None:
                    steps[row], missing[row] = step, False
        kept = (
            np.arange(len(entries), dtype=np.int64) if missing is None else np.flatnonzero(~missing)
        )
        self.kept.append(kept)
        self.without_step[name] = len(entries) - len(kept)
        return Side(
            steps[kept],
            entries.timestamps[kept],
            entries.sessions[kept],
            entries.arrival[kept],
            self._numbered(episode)[kept],
        )

    def _step_of_frame(self, name: Any) -> int | None:
        """A row without a step that names its frame has that frame's."""
        if self._frame_steps is None:
            self._frame_steps = {}
            for frames in self.cameras.values():
                steps = finish(frames.facts.steps).tolist()  # None where masked
                self._frame_steps.update(zip(frames.paths, steps, strict=True))
                self._frame_steps.update(zip(frames.names, steps, strict=True))
        return self._frame_steps.get(name) if isinstance(name, str) else None

    def _numbered(self, episodes: Part) -> Integers:
        """Episodes, which may be anything, as numbers that are the same in all streams."""
        if not self.by_episode or episodes.kind == "none":
            return np.full(len(episodes), ABSENT, np.int64)
        numbers = self._episode_numbers
        found = [
            ABSENT if value is None or value != value else numbers.setdefault(value, len(numbers))
            for value in map(_hashable, episodes.data.tolist())
        ]
        result = np.array(found, np.int64)
        if episodes.missing is not None:
            result[episodes.missing] = ABSENT
        return result

    def result(self, repeats: str | None) -> Aligned:
        units = self._by_names(alone(self.sides))
        if self._is_plain(units):
            units, _ = bring_together(units, self.sides, self._keys(units)[-1])
        else:
            calls = number(units.steps, units.timestamps)
            units, _ = bring_together(units, self.sides, calls)
            if repeats is not None:
                units = first_or_last(units, self.sides, self._keys(units)[-1], repeats == "last")
            units = self._by_step(units, strict=repeats is None)
        return self._finished(units)

    def _is_plain(self, units: Units) -> bool:
        """Whether no step repeats in any stream: then there is only one way to join."""
        if self.by_episode and bool((units.episodes == ABSENT).any()):
            return False
        groups = self._keys(units)[-1]
        for column in range(len(self.sides)):
            members = groups[units.rows[:, column] != ABSENT]
            if len(members) and int(np.bincount(members).max()) > 1:
                return False
        return True

    def _keys(self, units: Units) -> list[Integers]:
        """The groups of units that share session and key, and then those that share the key."""
        key = number(units.episodes, units.steps) if self.by_episode else number(units.steps)
        return [number(units.sessions, key), key]

    def _by_names(self, units: Units) -> Units:
        """Bring rows and the frames that they name together."""
        for index, camera in enumerate(self.links):
            column = len(self.tables) + index
            groups = np.full(len(units), ABSENT, np.int64)
            for topic, links in enumerate(camera.links):
                has = units.rows[:, topic] != ABSENT
                groups[has] = np.maximum(groups[has], links[units.rows[has, topic]])
            has = units.rows[:, column] != ABSENT
            groups[has] = units.rows[has, column]
            units, _ = bring_together(units, self.sides, groups)
        return units

    def _by_step(self, units: Units, *, strict: bool) -> Units:
        for level in range(2):
            units = self._level(units, self._keys(units)[level], strict)
        if self.by_episode and bool((units.episodes == ABSENT).any()):
            groups = number(units.steps)
            # Only steps at which something without an episode is left
            groups[~np.isin(groups, groups[units.episodes == ABSENT])] = ABSENT
            units = self._level(units, groups, strict)
        return units

    def _level(self, units: Units, groups: Integers, strict: bool) -> Units:
        after, ambiguous = bring_together(units, self.sides, groups)
        if strict and len(ambiguous):
            raise self._error(np.unique(units.steps[np.isin(groups, ambiguous)]))
        return after

    def _error(self, steps: Integers) -> AlignmentError:
        lines = []
        for step in steps[:_SHOWN].tolist():
            counts = [int((side.steps == step).sum()) for side in self.sides]
            listed = zip(self.names, counts, strict=True)
            lines.append(f"step {step}: " + ", ".join(f"{n!r} {c}x" for n, c in listed if c))
        more = f", and {len(steps) - _SHOWN} more steps" if len(steps) > _SHOWN else ""
        return AlignmentError(
            f"steps repeat, and not equally often in all streams: {'; '.join(lines)}{more}."
            " Give repeats='first' or repeats='last' to keep one row of each step, record an"
            " 'episode' with every row, or record rows and frames together with a recorder"
        )

    def _finished(self, units: Units) -> Aligned:
        count = len(self.tables)
        if count:  # frames that no row belongs to are counted, not kept
            units = units.take(np.flatnonzero((units.rows[:, :count] != ABSENT).any(axis=1)))
        units = units.take(np.lexsort((units.steps, units.sessions, units.timestamps)))
        rows = units.rows.copy()
        for column in range(len(self.names)):
            real = self.kept[column] if column < count else self.links[column - count].frames
            has = rows[:, column] != ABSENT
            rows[has, column] = real[rows[has, column]]
        report = _report(
            "step",
            "episode, step" if self.by_episode else "step",
            self.tables,
            self.cameras,
            rows,
            without_step={name: n for name, n in self.without_step.items() if n},
            frames_gone=sum(camera.gone for camera in self.links),
        )
        steps = Part("int", units.steps, None)
        return Aligned(self.tables, self.cameras, rows, steps, units.timestamps, report)


def _on_timestamp(
    tables: Mapping[str, Table], cameras: Mapping[str, Frames], tolerance: float | None
) -> Aligned:
    """To each row of the first stream the latest of each other one."""
    times = [table.timestamps for table in tables.values()]
    times += [frames.timestamps for frames in cameras.values()]
    base = times[0]
    rows = np.stack([_as_of(base, other, tolerance) for other in times], axis=1)
    rows[:, 0] = np.arange(len(base), dtype=np.int64)
    steps = next(iter(tables.values())).step_part if tables else None
    if steps is None:
        steps = next(iter(cameras.values())).facts.steps
    report = _report("timestamp", "timestamp", tables, cameras, rows)
    return Aligned(tables, cameras, rows, steps, base, report)


def _as_of(base: Floats, other: Floats, tolerance: float | None) -> Integers:
    """For each time of `base` the last of `other` at or before it, `ABSENT` if there is none."""
    found = np.searchsorted(other, base, side="right") - 1
    if tolerance is not None and len(other):
        found[base - other[np.maximum(found, 0)] > tolerance] = ABSENT
    return found


def _report(
    on: str,
    key: str,
    tables: Mapping[str, Table],
    cameras: Mapping[str, Frames],
    rows: Integers,
    **more: Any,
) -> AlignmentReport:
    without: dict[str, int] = {}
    unused: dict[str, int] = {}
    first_unused: dict[str, list[int]] = {}
    names = labels(tables, cameras)
    all_steps = [table.step_part for table in tables.values()]
    all_steps += [frames.facts.steps for frames in cameras.values()]
    for column, (name, steps) in enumerate(zip(names, all_steps, strict=True)):
        used = np.zeros(len(steps), np.bool_)
        has = rows[:, column] != ABSENT
        used[rows[has, column]] = True
        without[name] = int((~has).sum())
        unused[name] = int((~used).sum())
        known = ~used if steps.missing is None else ~used & ~steps.missing
        first_unused[name] = np.unique(steps.data[known])[:_SHOWN].tolist()
    filmed = names[len(tables) :]
    return AlignmentReport(on, key, len(rows), filmed, without, unused, first_unused, **more)


def labels(tables: Mapping[str, Any], cameras: Mapping[str, Any]) -> list[str]:
    """What streams are called in reports: a camera may have the name of a track."""
    return [*tables, *(f"{name} (frames)" if name in tables else name for name in cameras)]


def _hashable(value: Any) -> Any:
    return value if isinstance(value, (int, float, str, bool, type(None))) else repr(value)
