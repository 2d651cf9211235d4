"""Aligning streams: on step, with the key that `join` describes, or on timestamp, as of a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_dash.errors import AlignmentError
from ml_dash.reading.aligned import Aligned, of_one_run
from ml_dash.reading.aligned_parts import Streams
from ml_dash.reading.as_of import align_on_timestamp, whole_streams
from ml_dash.reading.entries import Booleans, Floats, Integers
from ml_dash.reading.episodes import hashable
from ml_dash.reading.join import (
    ABSENT,
    Side,
    Units,
    alone,
    bring_together,
    first_or_last,
    number,
    plainly,
)
from ml_dash.reading.links import Camera, Names, link
from ml_dash.reading.parts import Part, finish, select
from ml_dash.reading.report import SHOWN, labels, make_report

if TYPE_CHECKING:
    from ml_dash.reading.files import Files
    from ml_dash.reading.frames import Frames
    from ml_dash.reading.table import Table


def align(
    tables: Mapping[str, Table],
    cameras: Mapping[str, Frames],
    files: Files,
    *,
    on: str = "step",
    tolerance: float | None = None,
    repeats: str | None = None,
    rows_without_frame: str = "keep",
    frames_without_row: str = "drop",
) -> Aligned:
    """Join tables and frames. See `RunView.aligned`."""
    _check(tables, cameras, on, tolerance, repeats)
    for name, value in (
        ("rows_without_frame", rows_without_frame),
        ("frames_without_row", frames_without_row),
    ):
        if value not in ("keep", "drop"):
            raise ValueError(f"aligned: {name} is {value!r}; it must be 'keep' or 'drop'")
    keep = frames_without_row == "keep"
    if on == "timestamp":
        found = align_on_timestamp(tables, cameras, tolerance, keep)
    else:
        found = _OnStep(tables, cameras, files).result(repeats, keep)
    return found if rows_without_frame == "keep" else _with_frames_only(found)


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
        if episodes.kind in ("int", "bool") and episodes.data.ndim == 1:
            values, places = np.unique(episodes.data, return_inverse=True)
            known = [numbers.setdefault(value, len(numbers)) for value in values.tolist()]
            result: Integers = np.array(known, np.int64)[places]
        else:
            found = [
                ABSENT if value is None else numbers.setdefault(value, len(numbers))
                for value in map(hashable, episodes.data.tolist())
            ]
            result = np.array(found, np.int64)
        if episodes.missing is not None:
            result[episodes.missing] = ABSENT
        return result

    def result(self, repeats: str | None, keep: bool) -> Aligned:
        if len(self.sides) == 1 and repeats is None:
            return self._finished(alone(self.sides), keep)  # there is nothing to bring together
        plain = None if self.cameras else plainly(self.sides, self.by_episode)
        if plain is not None:
            return self._finished(plain, keep)
        units = self._by_names(alone(self.sides))
        if self._is_plain(units):
            units, _ = bring_together(units, self.sides, self._keys(units)[-1])
        else:
            calls = number(units.steps, units.timestamps)
            units, _ = bring_together(units, self.sides, calls)
            if repeats is not None:
                units = first_or_last(units, self.sides, self._keys(units)[-1], repeats == "last")
            units = self._by_step(units, strict=repeats is None)
        return self._finished(units, keep)

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
        for step in steps[:SHOWN].tolist():
            counts = [int((side.steps == step).sum()) for side in self.sides]
            listed = zip(self.names, counts, strict=True)
            lines.append(f"step {step}: " + ", ".join(f"{n!r} {c}x" for n, c in listed if c))
        more = f", and {len(steps) - SHOWN} more steps" if len(steps) > SHOWN else ""
        return AlignmentError(
            f"steps repeat, and not equally often in all streams: {'; '.join(lines)}{more}."
            " Give repeats='first' or repeats='last' to keep one row of each step, record an"
            " 'episode' with every row, or record rows and frames together with a recorder"
        )

    def _finished(self, units: Units, keep: bool) -> Aligned:
        count = len(self.tables)
        alone = 0
        if count:
            with_row = (units.rows[:, :count] != ABSENT).any(axis=1)
            named = (units.rows[:, count:] != ABSENT).any(axis=1)
            if keep:
                alone = int((~with_row & named).sum())
            else:  # frames that no row belongs to are counted, not kept
                units = units.take(np.flatnonzero(with_row))
        units = units.take(np.lexsort((units.steps, units.sessions, units.timestamps)))
        rows = units.rows.copy()
        for column in range(len(self.names)):
            real = self.kept[column] if column < count else self.links[column - count].frames
            has = rows[:, column] != ABSENT
            rows[has, column] = real[rows[has, column]]
        report = make_report(
            "step",
            "episode, step" if self.by_episode else "step",
            self.tables,
            self.cameras,
            rows,
            without_step={name: n for name, n in self.without_step.items() if n},
            frames_gone=sum(camera.gone for camera in self.links),
            frames_alone=alone,
        )
        steps = Part("int", units.steps, None)
        found = of_one_run(self.tables, self.cameras, rows, steps, units.timestamps, report)
        found.parts = replace(found.parts, streams=self._without_steps(units.timestamps))
        return found

    def _without_steps(self, times: Floats) -> Streams | None:
        """Streams none of whose rows has a step: a grid takes them by their times.

        Those that have no moment in common with the rows are left alone: they have another clock.
        """

        def meets(own: Floats) -> bool:
            return bool(len(own) and len(times) and own[0] <= times[-1] and own[-1] >= times[0])

        tables = {
            name: table
            for (name, table), kept in zip(self.tables.items(), self.kept, strict=True)
            if not len(kept) and meets(table.entries.timestamps)
        }
        cameras = {
            name: frames
            for (name, frames), link in zip(self.cameras.items(), self.links, strict=True)
            if not len(link.side) and meets(frames.timestamps)
        }
        return whole_streams(tables, cameras) if tables or cameras else None


def _with_frames_only(aligned: Aligned) -> Aligned:
    """Without the rows for which a camera has no frame, which are counted."""
    has: Booleans = np.ones(len(aligned), np.bool_)
    for camera in aligned.cameras:
        has &= aligned.has_frame(camera)
    found = aligned.take(has)
    dropped = len(aligned) - len(found)
    found.report = replace(found.report, rows_dropped=dropped)
    return found
