"""Files of the user alone: written whole, and locked between processes."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL = 0.02  # seconds between two attempts at a lock
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)


class LockedError(OSError):
    """Another process holds a lock for too long."""


def write_whole(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace a file by another one, which nobody but its user can read at any moment.

    Args:
        path: its folder is made, for the user alone, where there is none.
        data: all of it.
        mode: who may read it in the end.

    Raises:
        OSError: it cannot be written; what was there stays.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            if mode != 0o600:
                draft.chmod(mode)
        draft.replace(path)
    except BaseException:  # Ctrl-C, too, leaves no half-written secret behind
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


@contextmanager
def locked(
    path: Path, patience: float = 60.0, sleep: Callable[[float], object] = time.sleep
) -> Iterator[None]:
    """Keep every other process, and thread, out of the same place meanwhile.

    The lock is gone with the process that holds it, however that ends.

    Args:
        path: the file that is locked; made where there is none.
        patience: seconds to wait for it.
        sleep: waits so long.

    Raises:
        LockedError: another one did not let go of it.
        OSError: it cannot be made.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | _NOFOLLOW | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        until = time.monotonic() + patience
        while not _taken(handle):
            if time.monotonic() >= until:
                raise LockedError(f"another process holds {path}")
            sleep(_POLL)
        try:
            yield
        finally:
            _let_go(handle)
    finally:
        os.close(handle)


if sys.platform == "win32":
    import msvcrt

    def _taken(handle: int) -> bool:
        os.lseek(handle, 0, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _let_go(handle: int) -> None:
        """Closing it does."""

else:
    import fcntl

    def _taken(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _let_go(handle: int) -> None:
        # Closing does not, where a process was forked meanwhile: that one has it open, too
        fcntl.flock(handle, fcntl.LOCK_UN)
