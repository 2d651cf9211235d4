"""The file that a ring is kept in: allocated beforehand, and locked while its process lives."""

from __future__ import annotations

import os
from pathlib import Path


def make_file(path: Path | None, size: int) -> int:
    """An empty file that has its place on the disk, so that no write can fail.

    Args:
        path: where it is to be, once it is renamed: it ends in `.tmp` until then. `None`: nowhere,
            and it dies with the process.
        size: in bytes.

    Returns:
        Its descriptor.

    Raises:
        OSError: it could not be made, or its room not be had.
    """
    if path is None:
        return _make_anonymous(size)
    if not hasattr(os, "posix_fallocate"):
        raise OSError("this system cannot set room aside for a file")
    temporary = path.with_suffix(".tmp")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    file = os.open(temporary, flags, 0o666)  # for whoever may read the segments
    try:
        os.posix_fallocate(file, 0, size)
        import fcntl

        # Held for as long as the process lives: by this the living are told from the dead.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:  # Ctrl-C, too: it takes a while where room is made by writing
        os.close(file)
        temporary.unlink(missing_ok=True)
        raise
    _own.add(_identity(file))
    return file


def close_file(file: int) -> None:
    """Let go of it, and of the lock. A forked child that does so takes neither from its parent."""
    _own.discard(_identity(file))
    os.close(file)


def is_own(path: Path) -> bool:
    """Whether this process writes the ring at `path`.

    Asked instead of opening it: on NFS a process gives up its lock of a file with any descriptor of
    it that it closes, and would be taken for dead by other hosts.
    """
    return _identity(path) in _own


_own: set[tuple[int, int]] = set()


def _identity(file: Path | int) -> tuple[int, int]:
    status = os.stat(file)  # noqa: PTH116 - takes a descriptor, too
    return status.st_dev, status.st_ino


def _make_anonymous(size: int) -> int:
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("ml-dash-ring", os.MFD_CLOEXEC)
    else:
        import tempfile  # with `random` and `shutil`; Linux does without

        file, name = tempfile.mkstemp(prefix="ml-dash-ring-")
        try:
            Path(name).unlink()
        except OSError:
            pass  # Windows keeps a file that is open; it is a temporary one
    os.truncate(file, size)
    return file
