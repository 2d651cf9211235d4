"""How a run ends when a trainer does: by an exception, or by a signal."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


def exception() -> BaseException | None:
    """The one that is being handled: a trainer calls `finalize` while it handles one."""
    return sys.exc_info()[1]


def end_by(run: Any, error: BaseException | None) -> None:
    """End a run as an exception ended its fit.

    Args:
        run: an experiment's.
        error: what ended the fit, if that is known.
    """
    if isinstance(error, KeyboardInterrupt) or _is_sigterm(error):
        run.cancel()
    elif isinstance(error, SystemExit) and error.code in (None, 0):
        run.complete()
    else:
        run.fail(error)


def _is_sigterm(error: BaseException | None) -> bool:
    # By its name: each of the framework's packages has its own.
    return any(kind.__name__ == "SIGTERMException" for kind in type(error).__mro__)


def leave_sigterm_to_the_trainer() -> None:
    """See to it that SIGTERM does in a fit what it does without a logger.

    While it is at work, a trainer takes note of the signal, goes on to the end of the batch, calls
    `on_exception`, and leaves by an exception: a chance to write a checkpoint. It also calls the
    handler that it found, and that of a run which is open would end the process there and then.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    handler = signal.getsignal(signal.SIGTERM)
    if callable(handler) and str(getattr(handler, "__module__", "")).startswith("ml_dash."):
        try:
            signal.signal(signal.SIGTERM, _OutsideOfTrainers(handler))
        except ValueError:
            pass  # a subinterpreter, where signals cannot be set


class _OutsideOfTrainers:
    """A handler that is not called by a trainer's, only by Python."""

    def __init__(self, handler: Callable[[int, FrameType | None], Any]) -> None:
        self._handler = handler

    def __call__(self, number: int, frame: FrameType | None) -> None:
        caller = sys._getframe(1).f_globals.get("__name__", "")
        if not caller.endswith("connectors.signal_connector"):
            self._handler(number, frame)


def call_aside(action: Callable[[], Any], seconds: float) -> None:
    """Call `action` in a thread, and wait for it, for so long at most.

    For handlers of signals: Python runs them between two bytecodes of whatever the main thread is
    doing. What waits in a handler for a lock that it holds waits forever; here, until the handler
    is done. By the bare thread call, since the module `threading` has locks, too.
    """
    done = _thread.allocate_lock()
    done.acquire()

    def run() -> None:
        try:
            action()
        finally:
            done.release()

    _thread.start_new_thread(run, ())
    done.acquire(timeout=seconds)
