"""Makes a signal reach Python's handler, also when the main thread was just going to sleep.

A signal only sets a flag; Python looks at it between two bytecodes, and a blocking call ends early
when a signal interrupts it. One that comes after the last look and before the call has begun does
neither: the handler waits until the call returns, which may be never. With the default action the
process would have ended. A parent that ends a worker as soon as it has its answer hits that moment
once in a hundred times, and then waits for the worker forever.

So where it matters, a thread hears of each signal by the file descriptor that Python has for that,
and interrupts the main thread once more.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

PAUSE = 0.02
"""Seconds that a handler gets before its signal is sent again; doubled each time."""

_pipe: tuple[int, int] | None = None


def insist(number: int, waiting: Callable[[], bool]) -> None:
    """From now on, send signal `number` again to the main thread while `waiting()` says so.

    Does nothing where another library has the wake-up descriptor, or outside of the main thread.
    """
    global _pipe
    if _pipe is not None or threading.current_thread() is not threading.main_thread():
        return
    if not hasattr(signal, "pthread_kill"):
        return  # Windows, where SIGTERM ends a process without asking it
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        other = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    except ValueError:  # a subinterpreter
        other = None
    if other != -1:
        if other is not None:
            signal.set_wakeup_fd(other)
        os.close(reader)
        os.close(writer)
        return
    _pipe = reader, writer
    arguments = (reader, number, waiting)
    threading.Thread(target=_listen, args=arguments, name="ml-dash-signals", daemon=True).start()


def after_fork() -> None:
    """In a forked child: the descriptor would tell the parent of the child's signals."""
    global _pipe
    if _pipe is not None:
        (reader, writer), _pipe = _pipe, None
        if (other := signal.set_wakeup_fd(-1)) not in (writer, -1):
            signal.set_wakeup_fd(other)
        os.close(reader)
        os.close(writer)


def _listen(reader: int, number: int, waiting: Callable[[], bool]) -> None:
    main = threading.main_thread().ident
    while received := os.read(reader, 512):
        pause = PAUSE
        time.sleep(pause)
        while number in received and main is not None and waiting():
            signal.pthread_kill(main, number)
            time.sleep(pause := min(1.0, 2 * pause))
