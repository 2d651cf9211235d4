"""The cameras of a run: folders of images, and their frames in order of time."""

from __future__ import annotations

import base64
import threading
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import func, or_, select

from ml_dash.reading.files import IMAGES, INDEX
from ml_dash.server.database import Database
from ml_dash.server.problems import Problem
from ml_dash.server.streams.clocks import Clocks, Span
from ml_dash.server.tables import File, Segment

KEPT = 300_000
"""Frames that a process keeps."""

_DIGITS = 19  # of an id at most: it is of 63 bits

Key = tuple[float, int, str]
"""Where a frame is among those of its camera: its time, its id, its path."""


@dataclass(slots=True)
class Camera:
    """The frames of one folder in order of time, one entry each.

    Attributes:
        keys: time in seconds, id and path.
        steps: `None` where unknown.
        hashes: SHA-256 of the file; `None` where it is not known.
        types: content types, as recorded.
    """

    keys: list[Key] = field(default_factory=list)
    steps: list[int | None] = field(default_factory=list)
    hashes: list[str | None] = field(default_factory=list)
    types: list[Any] = field(default_factory=list)


class Cameras:
    """The cameras of runs that were asked for last, as of a version of their index of files.

    The index only grows, so its size is its version. Safe to use from any thread.

    Args:
        limit: frames that are kept.

    Attributes:
        reads: how often they had to be read.
    """

    def __init__(self, limit: int = KEPT) -> None:
        self._limit = limit
        self.reads = 0
        self._kept: OrderedDict[str, tuple[int, dict[str, Camera]]] = OrderedDict()
        self._lock = threading.Lock()

    def load(self, data: Database, run_id: str, *, fresh: bool = False) -> dict[str, Camera]:
        """The cameras of a run by name.

        Args:
            data: the database.
            run_id: the run.
            fresh: read them anew in any case.
        """
        version = -1 if fresh else _version(data, run_id)
        with self._lock:
            known = self._kept.get(run_id)
            if known is not None and known[0] == version and not fresh:
                self._kept.move_to_end(run_id)
                return known[1]
            self.reads += 1
        found = _read(data, run_id)
        if fresh:
            return found
        with self._lock:
            self._kept[run_id] = version, found
            self._kept.move_to_end(run_id)
            held = sum(_size(cameras) for _, cameras in self._kept.values())
            while held > self._limit and self._kept:
                held -= _size(self._kept.popitem(last=False)[1][1])
        return found


cameras = Cameras()
"""Those of this process."""


def describe(found: dict[str, Camera], clocks: Clocks) -> list[dict[str, Any]]:
    """What cameras there are: name, count, and from which step and time to which they go.

    `origin` is from when on their seconds count.
    """
    told = []
    spans = {name: Span(camera.keys[0][0], camera.keys[-1][0]) for name, camera in found.items()}
    clocks = clocks.joined(spans.values())
    for name, camera in sorted(found.items()):
        steps = [step for step in camera.steps if step is not None]
        told.append(
            {
                "name": name,
                "count": len(camera.keys),
                "steps": [min(steps), max(steps)] if steps else None,
                "times": list(spans[name]),
                "origin": clocks.origin(spans[name]),
            }
        )
    return told


def page(name: str, camera: Camera, cursor: str, limit: int) -> dict[str, Any]:
    """Frames of a camera as columns.

    Args:
        name: of the camera.
        camera: its frames.
        cursor: the frame after which to begin, or empty.
        limit: how many at most.

    Raises:
        Problem: 422, the cursor is none.
    """
    begin = bisect_right(camera.keys, _parse(cursor)) if cursor else 0
    end = min(begin + limit, len(camera.keys))
    keys = camera.keys[begin:end]
    last = _format(keys[-1]) if keys else cursor or None
    skip = len(name) + 1 if name else 0
    return {
        "camera": name,
        "count": len(camera.keys),
        "names": [path[skip:] for _, _, path in keys],
        "steps": camera.steps[begin:end],
        "timestamps": [time for time, _, _ in keys],
        "sha256": camera.hashes[begin:end],
        "types": camera.types[begin:end],
        "last": last,
        "next": last if end < len(camera.keys) else None,
    }


def _version(data: Database, run_id: str) -> int:
    query = select(func.sum(Segment.size)).where(Segment.run_id == run_id, Segment.stream == INDEX)
    with data.reading() as session:
        return int(session.scalar(query) or 0)


def _read(data: Database, run_id: str) -> dict[str, Camera]:
    path = func.lower(File.path)
    query = select(
        File.path,
        File.timestamp,
        File.step,
        File.sha256,
        File.row["at"],
        File.row["id"],
        File.row["content_type"],
    ).where(
        File.run_id == run_id,
        File.place.is_not(None),
        or_(*(path.endswith(suffix) for suffix in IMAGES)),
    )
    with data.reading() as session:
        rows = session.execute(query).all()
    frames = []
    for name, saved, step, sha256, at, number, kind in rows:
        time = float(at) if type(at) in (int, float) else saved
        is_id = isinstance(number, str) and number.isdecimal() and len(number) <= _DIGITS
        frames.append(((time, int(number) if is_id else 0, name), step, sha256, kind))
    frames.sort(key=lambda frame: frame[0])
    found: dict[str, Camera] = {}
    for key, step, sha256, kind in frames:
        camera = found.setdefault(key[2].rpartition("/")[0], Camera())
        camera.keys.append(key)
        camera.steps.append(step)
        camera.hashes.append(sha256)
        camera.types.append(kind)
    return found


def _size(found: dict[str, Camera]) -> int:
    return sum(len(camera.keys) for camera in found.values())


def _format(key: Key) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(key)).decode().rstrip("=")


def _parse(cursor: str) -> Key:
    try:
        time, number, path = orjson.loads(base64.urlsafe_b64decode(cursor + "=="))
        if type(time) is float and type(number) is int and type(path) is str:
            return time, number, path
    except (ValueError, TypeError):
        pass
    raise Problem(422, "the cursor is not one that was given out here")
