"""Rows that name their frame: the field `frame`, which wins over the frame's own step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_dash.reading.entries import Integers
from ml_dash.reading.files import ends_of
from ml_dash.reading.join import ABSENT, Side
from ml_dash.reading.parts import Part

if TYPE_CHECKING:
    from ml_dash.reading.frames import Frames

_GONE = -2


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera's side of a join.

    Attributes:
        side: frames that no row names, and one row for each naming of a frame.
        frames: the number of the frame of each row of `side`; `ABSENT` for one that never came.
        links: of each topic, which row of `side` each of its rows names, else `ABSENT`.
        without_step: how many frames have no step and are named by no row.
        gone: how many rows name a frame that never came.
    """

    side: Side
    frames: Integers
    links: list[Integers]
    without_step: int
    gone: int


class Names:
    """All names by which rows may speak of the images of a run."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = paths
        self._ends: set[str] | None = None

    def known(self, name: str) -> bool:
        """Whether some file has this path, or a path that ends with it."""
        if self._ends is None:
            self._ends = {end for path in self._paths for end in ends_of(path)}
        return name in self._ends


def link(
    camera: Frames, episodes: Integers, fields: list[Part], topics: list[Side], names: Names
) -> Camera:
    """Find the frames of one camera that rows name.

    Args:
        camera: the frames.
        episodes: of each frame, as a number; `ABSENT` where it has none.
        fields: the column `frame` of each topic, for the rows of `topics`.
        topics: the rows.
        names: of all files of the run.
    """
    number_of = {name: number for number, name in enumerate(camera.names)}
    keys: dict[tuple[Any, ...], int] = {}
    source: list[tuple[int, int]] = []  # the topic and row that first used each key
    frames: list[int] = []
    links = []
    for topic, (field, side) in enumerate(zip(fields, topics, strict=True)):
        found = np.full(len(side), ABSENT, np.int64)
        turns: dict[tuple[Any, ...], int] = {}
        for row, name in _names(field, camera.prefix):
            frame = number_of.get(name, _GONE)
            if frame == _GONE and names.known(name):
                continue  # that of another camera
            key = (name, int(side.steps[row]))
            turns[key] = turn = turns.get(key, 0) + 1
            if (*key, turn) not in keys:
                keys[*key, turn] = len(frames)
                frames.append(ABSENT if frame == _GONE else frame)
                source.append((topic, row))
            found[row] = keys[*key, turn]
        links.append(found)
    return _camera(camera, episodes, topics, links, np.array(frames, np.int64), source)


def _camera(
    camera: Frames,
    episodes: Integers,
    topics: list[Side],
    links: list[Integers],
    named: Integers,
    source: list[tuple[int, int]],
) -> Camera:
    facts = camera.facts
    unnamed = np.ones(len(camera), np.bool_)
    unnamed[named[named != ABSENT]] = False
    stepless = facts.steps.gone
    free = np.flatnonzero(unnamed & ~stepless)

    def of_rows(values: str) -> Integers:
        picked = [getattr(topics[topic], values)[row] for topic, row in source]
        return np.array(picked, np.int64)

    real = np.maximum(named, 0)
    times = np.array([topics[topic].timestamps[row] for topic, row in source], np.float64)
    side = Side(
        np.concatenate([of_rows("steps"), facts.steps.data[free].astype(np.int64)]),
        np.concatenate([times, camera.timestamps[free]]),
        np.concatenate([of_rows("sessions"), facts.sessions[free]]),
        np.concatenate([facts.ids[real] if len(camera) else real, facts.ids[free]]),
        np.concatenate([of_rows("episodes"), episodes[free]]),
    )
    return Camera(
        side,
        np.concatenate([named, free]),
        links,
        int((unnamed & stepless).sum()),
        int((named == ABSENT).sum()),
    )


def _names(field: Part, prefix: str) -> Iterable[tuple[int, str]]:
    """The rows that name a frame, each with the name below `prefix`."""
    if field.kind != "object":
        return
    for row, value in enumerate(field.data.tolist()):
        if isinstance(value, Mapping):
            value = value.get(prefix)
        if type(value) is str and value:
            yield row, value.strip("/").removeprefix(f"{prefix}/")
