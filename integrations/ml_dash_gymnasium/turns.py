"""Has the processes that record into one run choose their topics one after the other."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST = 10.0
"""Seconds that a process waits for its turn: another one may have been stopped in the middle."""

_PAUSE = 0.002


@contextmanager
def turn(folder: Path | None) -> Iterator[None]:
    """Nobody else on this host has a turn with the same folder meanwhile.

    Where the system or the file system knows no locks, everybody has one at once.

    Args:
        folder: of the run; `None` for one that is in memory, of this process alone.
    """
    file = None if folder is None else _locked(folder)
    try:
        yield
    finally:
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
