"""How often a recorder records: every n-th call, every n-th frame, so many frames a second."""

from __future__ import annotations

import math
from typing import Any

from ml_dash.steps import as_step, as_timestamp


class Pace:
    """Says of each call in turn whether its rows and its frames are due.

    Args:
        every: of each n-th call only, rows and frames.
        frames_every: frames of each n-th call only.
        hz: frames at most this often a second.

    Raises:
        ValueError: an argument is out of its range, or both of the last two are given.
    """

    __slots__ = ("_beats", "_calls", "_every", "_frames_every", "_hz", "_origin", "always")

    def __init__(self, every: int, frames_every: int | None, hz: float | None) -> None:
        if frames_every is not None and hz is not None:
            raise ValueError("recorder: frames_every and hz both pace the frames; give one")
        self._every = _count("every", every)
        self._frames_every = None if frames_every is None else _count("frames_every", frames_every)
        self._hz = None if hz is None else _rate(hz)
        # Whether everything is due at each call, so that nobody need ask.
        self.always = self._every == 1 and self._hz is None and self._frames_every in (None, 1)
        self._calls = 0
        self._origin = -math.inf
        self._beats = 0

    def due(self, timestamp: float) -> tuple[bool, bool]:
        """Whether the rows and the frames of the next call are due, at `timestamp`.

        Where frames are, rows are: a frame is never recorded without the rows of its call.
        """
        count = self._calls
        self._calls = count + 1
        rows = count % self._every == 0
        if self._frames_every is not None:
            frames = count % self._frames_every == 0
        elif self._hz is not None:
            frames = rows and self._on_beat(timestamp, 1 / self._hz)
        else:
            frames = rows
        return rows or frames, frames

    def _on_beat(self, timestamp: float, period: float) -> bool:
        """Whether a frame is due: on a grid, so that small delays do not add up."""
        # Times are rounded, by a simulator that adds them up and by what a float can tell apart.
        slack = 1e-3 * period + 4e-16 * abs(timestamp)
        behind = timestamp - (self._origin + self._beats * period)
        if -2 * period < behind < -slack:
            return False
        if -slack <= behind < period:
            self._beats += 1
        else:  # the first frame, a gap, or a clock that went back: begin a new grid here
            self._origin = timestamp
            self._beats = 1
        return True


def _count(name: str, value: Any) -> int:
    try:
        count = as_step(value, name)
    except ValueError:
        count = 0
    if count < 1:
        raise ValueError(f"recorder: {name} is {value!r}; it must be a whole number from 1 on")
    return count


def _rate(value: Any) -> float:
    try:
        rate = as_timestamp(value, "hz")
    except ValueError:
        rate = 0.0
    if rate <= 0:
        raise ValueError(f"recorder: hz is {value!r}; it must be a positive number, such as 10")
    return rate
