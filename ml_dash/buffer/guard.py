"""A lock that signal handlers know about.

A Python signal handler runs on the main thread, between two bytecodes of whatever runs there, maybe
inside a `with lock:`. A handler that saves data needs that lock, and would wait for itself forever.
So handlers ask `run_or_defer`: while the main thread is inside any guard, the action is kept and run
when it leaves the last one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

_depth = 0  # guards that the main thread is inside of; only the main thread changes it
_deferred: Callable[[], None] | None = None


def _on_main() -> bool:
    return threading.get_ident() == threading.main_thread().ident


class Guard:
    """A lock that a signal handler never meets locked by the thread it interrupted."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        global _depth
        main = _on_main()
        if main:
            _depth += 1
        try:
            self._lock.acquire()
        except BaseException:  # an interrupt while waiting: we are not inside, so step back
            if main:
                _depth -= 1
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        global _depth, _deferred
        self._lock.release()
        if _on_main():
            _depth -= 1
            if _depth <= 0 and _deferred is not None:
                action, _deferred = _deferred, None
                action()


def run_or_defer(action: Callable[[], None]) -> None:
    """Run `action` now, or as soon as the main thread holds no guard. For signal handlers."""
    global _deferred
    if _depth > 0:
        _deferred = action
    else:
        action()


def reset_after_fork() -> None:
    """In a forked child: nothing of the parent's main thread goes on here."""
    global _depth, _deferred
    _depth = 0
    _deferred = None
