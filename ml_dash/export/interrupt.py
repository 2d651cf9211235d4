"""Ctrl-C ends an export, also where Python drops it.

An exception that a signal raises while Python runs a `__del__` or the callback of a weak reference,
of which h5py makes one for each of its objects, is printed and forgotten.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def heeded() -> Iterator[Callable[[], None]]:
    """Remember Ctrl-C within the block; the function that it gives raises one that was dropped.

    Only where Python's own handler is in force: another one has its reasons.
    """
    dropped = False

    def interrupted(number: int, frame: FrameType | None) -> None:
        nonlocal dropped
        dropped = True
        signal.default_int_handler(number, frame)

    def check() -> None:
        if dropped:
            raise KeyboardInterrupt

    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield check
        return
    signal.signal(signal.SIGINT, interrupted)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def put_off(note: Callable[[], None]) -> Iterator[None]:
    """Within the block only note the first Ctrl-C, for code that no exception may cut short.

    Only within `heeded`. A second one does not wait.
    """
    before = signal.getsignal(signal.SIGINT)
    if (
        threading.current_thread() is not threading.main_thread()
        or getattr(before, "__module__", None) != __name__
    ):
        yield
        return

    def noted(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        note()

    signal.signal(signal.SIGINT, noted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
