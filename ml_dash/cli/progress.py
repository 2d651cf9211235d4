"""How far a long command has got: one line on a terminal, redrawn."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

from ml_dash.cli.quantities import count, duration
from ml_dash.cli.screen import Screen

_CELLS = 24
_SURE = 1.0  # seconds after which the rate says something
TERMINATED = 128 + signal.SIGTERM


class Bar:
    """Shows `npy [######......]  25%  250 of 1,000  3.2s left`. Called with done and total.

    As a context manager it lets SIGTERM end the block as an exception, so that what the block has
    begun is removed, as after Ctrl-C.
    """

    def __init__(self, screen: Screen, what: str) -> None:
        self._screen = screen
        self._what = what
        self._begun = time.monotonic()
        self._stopped = False
        self._before: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._stop)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def begin(self) -> None:
        """What comes from here on takes a time of its own."""
        self._begun = time.monotonic()

    def __call__(self, done: int, total: int, more: str = "") -> None:
        """Show it, where anybody watches.

        Args:
            done: how much of it.
            total: all.
            more: what else is said of it.
        """
        if self._stopped:  # and the exception came where Python drops it, as in a `__del__`
            raise SystemExit(TERMINATED)
        if not self._screen.watched:
            return
        part = done / total if total else 1.0
        cells = int(part * _CELLS)
        passed = time.monotonic() - self._begun
        left = f"  {duration(passed / part - passed)} left" if passed > _SURE and part > 0 else ""
        self._screen.progress(
            f"{self._what}{more} [{'#' * cells}{'.' * (_CELLS - cells)}] {part:4.0%}"
            f"  {count(done)} of {count(total)}{left}"
        )

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopped = True
        raise SystemExit(TERMINATED)
