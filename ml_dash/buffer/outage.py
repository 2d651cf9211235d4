"""How long callers wait for a disk or a server that takes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 10.0
"""Seconds that callers wait in all for one outage."""


class Outage:
    """The time that callers have left in the outage there is, if there is one.

    Args:
        failing: asked whether what is written into refuses it.
    """

    def __init__(self, failing: Callable[[], bool]) -> None:
        self._failing = failing
        self._since: float | None = None  # when callers first waited in it

    def left(self) -> float:
        """Seconds that callers may still wait; counts from the first wait of an outage."""
        if not self._failing():
            self._since = None
            return PATIENCE
        now, since = time.monotonic(), self._since
        if since is None:
            since = self._since = now
        return PATIENCE - (now - since)

    def restart(self) -> None:
        """Forget when it began: the next wait is the first."""
        self._since = None
