"""Has the processes that record into one run do something one after the other."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PAUSE = 0.003

_having: set[tuple[int, int, Path]] = set()


@contextmanager
def turn(folder: Path | None, patience: float = 10.0) -> Iterator[None]:
    """For those who build on ML-Dash: nobody else on this host has a turn with a folder meanwhile.

    Where the system or the file system knows no locks, everybody has one at once. So does who has
    waited for long, and a signal's handler that comes in the middle of its thread's turn, which
    cannot give it up.

    Args:
        folder: of a run, or one in it, each for turns of its own; `None` where the run is in memory
            and of this process alone.
        patience: seconds to wait: another process may have been stopped in the middle of its turn.
    """
    me = None if folder is None else (os.getpid(), threading.get_ident(), folder)
    if folder is None or me is None or me in _having:
        yield
        return
    _having.add(me)
    file = None
    try:
        file = _locked(folder, patience)
        yield
    finally:
        _having.discard(me)
        if file is not None:
            _unlock(file)


def _locked(folder: Path, patience: float) -> int | None:
    try:
        import fcntl

        file = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except (ImportError, OSError):
        return None
    deadline = time.monotonic() + patience
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
