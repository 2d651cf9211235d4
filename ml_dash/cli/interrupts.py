"""Ctrl-C that ends a command at whatever moment it comes."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

PAUSE = 0.01
"""Seconds in which Python leaves the finalizer that an interrupt was lost in."""


@contextmanager
def heeded() -> Iterator[None]:
    """Within it a Ctrl-C is not lost.

    Python drops what is raised in a finalizer, a `KeyboardInterrupt`, too; those of connections,
    which run just as a login begins to wait, are hit once in twenty times. So it comes again.
    """
    before = sys.unraisablehook
    coming: list[threading.Thread] = []

    def hook(lost: UnraisableHookArgs, /) -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            # Not from here: what is raised in this hook is dropped as well.
            coming.append(threading.Thread(target=_again, name="ml-dash-interrupt", daemon=True))
            coming[-1].start()
        else:
            before(lost)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
        for thread in coming:
            thread.join()  # the command may have ended meanwhile


def _again() -> None:
    time.sleep(PAUSE)
    if hasattr(signal, "pthread_kill"):
        # To the main thread, so that a sleep in it ends as well.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:  # Windows, where this wakes a sleep
        signal.raise_signal(signal.SIGINT)
