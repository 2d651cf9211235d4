"""What is known of one episode while it goes on."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Episode:
    """One episode of one environment.

    Attributes:
        number: counted from 0 in its stream.
        recorded: whether its rows are.
        first_step: the step of its first observation.
        seed: that its reset was given.
        t: how many steps were made in it.
        total: the sum of its rewards, an array where they are.
    """

    number: int
    recorded: bool
    first_step: int
    seed: Any = None
    t: int = 0
    total: Any = 0.0
    _started: float = field(default_factory=time.perf_counter)

    def add(self, reward: Any) -> int:
        """Count a step, and its reward; the number of the observation that it led to."""
        self.t += 1
        try:
            self.total = self.total + reward
        except Exception:  # noqa: BLE001 - a reward that cannot be added is no sum
            pass
        return self.t

    def result(self) -> dict[str, Any]:
        """Its figures: `return`, `length` in steps, `duration` in seconds."""
        duration = time.perf_counter() - self._started
        return {
            "episode": self.number,
            "return": self.total,
            "length": self.t,
            "duration": round(duration, 6),
        }

    def place(self, last: int, ended: str) -> dict[str, Any]:
        """Where it is in its stream, from its first step to the `last`, and how it came about."""
        place = {"first_step": self.first_step, "last_step": last, "ended": ended}
        return place if self.seed is None else {**place, "seed": self.seed}
