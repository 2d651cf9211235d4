"""When rows and frames are due: by simulation time or by calls, anew in each episode."""

from __future__ import annotations

import math
import operator
import sys
from typing import Any

NEVER = sys.maxsize


class Pace:
    """Says of calls in turn what is due.

    Frames lie on a grid that begins with the episode: the k-th is due at k/fps seconds of
    simulation time after the first, so that small delays do not add up; after a jump one frame is
    taken, not as many as were missed.

    Args:
        fps: frames a second of simulation time.
        every: or a frame at each n-th call.
        rows_every: rows without frames at each n-th call, too.

    Raises:
        ValueError: an argument is out of its range, or the first two are both given.

    Attributes:
        time: simulation time from which the next frame is due.
        calls: how many calls may pass before the next thing that is counted is due.
    """

    def __init__(
        self, fps: float | None = None, every: int | None = None, rows_every: int | None = None
    ) -> None:
        if fps is not None and every is not None:
            raise ValueError("fps and every both pace the frames; give one of them")
        self.fps = 30.0 if fps is None and every is None else fps
        if self.fps is not None:
            self.fps = _rate(self.fps)
        self.every = None if every is None else _count("every", every)
        self.rows_every = None if rows_every is None else _count("rows_every", rows_every)
        self.begin()

    @property
    def described(self) -> dict[str, Any]:
        """What paces it, as JSON types."""
        return {"fps": self.fps, "every": self.every, "rows_every": self.rows_every}

    def begin(self) -> None:
        """Begin an episode: its first call is due, whatever was before."""
        self._origin = -math.inf
        self._frames = 0
        self._index = -1
        self.time = -math.inf if self.fps is not None else math.inf
        self.calls = 0

    def take(self, time: float, passed: int) -> tuple[bool, bool]:
        """Whether a row and a frame are due at a call, at `time`, after `passed` others."""
        self._index += passed + 1
        index = self._index
        rows = self.rows_every is not None and index % self.rows_every == 0
        if self.every is not None:
            frames = index % self.every == 0
        else:
            frames = time >= self.time
            if frames:
                self._advance(time)
        self.calls = min(
            NEVER if n is None else n - 1 - index % n for n in (self.every, self.rows_every)
        )
        return rows or frames, frames

    def _advance(self, time: float) -> None:
        assert self.fps is not None
        if self._origin == -math.inf:
            self._origin = time
        # Simulators add their timestep up: what should lie on the grid may lie just before it.
        slack = 1e-4
        self._frames = math.floor((time - self._origin) * self.fps + slack) + 1
        self.time = self._origin + (self._frames - slack) / self.fps


def _rate(value: Any) -> float:
    try:
        rate = 0.0 if isinstance(value, (bool, str)) else float(value)
    except (TypeError, ValueError):
        rate = 0.0
    if not 0 < rate < math.inf:
        raise ValueError(f"fps is {value!r}; it must be a positive number, such as 30")
    return rate


def _count(name: str, value: Any) -> int:
    try:
        count = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        count = 0
    if count < 1:
        raise ValueError(f"{name} is {value!r}; it must be a whole number from 1 on")
    return count
