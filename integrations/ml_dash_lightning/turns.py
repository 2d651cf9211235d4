"""Has the processes that record into one run keep their checkpoints one after the other."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST = 30.0
"""Seconds that a process waits for its turn: another one may have been stopped in the middle."""

_PAUSE = 0.005

_having: set[tuple[int, int]] = set()


@contextmanager
def turn(folder: Path | None) -> Iterator[None]:
    """Nobody else on this host has a turn with the same run meanwhile.

    Where the system or the file system knows no locks, everybody has one at once. So does a
    signal's handler that comes in the middle of a turn: its thread cannot give it up.

    Args:
        folder: of the run; `None` for one that is in memory, of this process alone.
    """
    me = os.getpid(), threading.get_ident()
    if folder is None or me in _having:
        yield
        return
    _having.add(me)
    file = None
    try:
        file = _locked(folder / "run")
        yield
    finally:
        _having.discard(me)
        if file is not None:
            _unlock(file)


def _locked(folder: Path) -> int | None:
    try:
        import fcntl

        file = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except (ImportError, OSError):
        return None
    deadline = time.monotonic() + LONGEST
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(_PAUSE)
                continue
        except OSError:
            pass
        else:
            return file
        os.close(file)
        return None


def _unlock(file: int) -> None:
    import fcntl

    # Closing it would not do: a child that another thread has forked meanwhile has it open, too.
    fcntl.flock(file, fcntl.LOCK_UN)
    os.close(file)
