"""What something costs, told so that other work on the machine does not change it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import FrameType


def calls_of(action: Callable[[], object]) -> int:
    """How many functions, of Python and of C, one call of `action` calls."""
    seen = 0

    def count(_frame: FrameType, event: str, _given: object) -> None:
        nonlocal seen
        seen += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(before)
    return seen


class Stalls:
    """The longest time for which this machine let a thread wait that wanted 5 ms of sleep."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._over.is_set():
            begun = time.perf_counter()
            time.sleep(0.005)
            self.longest = max(self.longest, time.perf_counter() - begun)

    def __enter__(self) -> Stalls:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
