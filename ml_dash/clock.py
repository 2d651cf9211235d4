"""Timestamps that only ever grow, whatever happens to the system's clock.

The wall clock is read once, when the module is first used. From then on time is counted by a clock
that nobody can step (boot time, which also runs while a laptop sleeps). Two stamps of one process
are never equal and never go back; a forked child inherits the anchor.

A stamp is a float of seconds since 1970. Floats near today's epoch are 0.24 µs apart; stamps that
would be equal follow each other at `TICK`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

BOOTTIME: int = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", 0))
read_clock: Callable[[int], float] = getattr(time, "clock_gettime", lambda _: time.monotonic())

TICK = 5e-7
"""Seconds between stamps that follow each other at once; floats tell them apart until 2242."""


class Clock:
    """The process's source of stamps.

    `last` and `offset` are read and written by `Track.append`, too, which does what `now` does
    without the call. There is no lock: from the reading of `last` to its storing nothing is called,
    not even `nextafter`, so under the interpreter lock no other thread comes in between.
    """

    __slots__ = ("last", "offset", "started")

    def __init__(self) -> None:
        self.started = read_clock(BOOTTIME)
        self.offset = time.time() - self.started
        self.last = 0.0

    def now(self) -> float:
        """The next stamp, in seconds since 1970."""
        stamp = read_clock(BOOTTIME) + self.offset
        if stamp <= self.last:
            stamp = self.last + TICK
        self.last = stamp
        return stamp

    def anchor(self) -> dict[str, float | int]:
        """What it takes to compare the clocks of hosts: wall and boot time of one moment."""
        return {"wall": self.started + self.offset, "boot": self.started, "pid": os.getpid()}


clock = Clock()
now = clock.now
anchor = clock.anchor
