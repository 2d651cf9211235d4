"""Copying a file without copying its bytes, where the file system can."""

from __future__ import annotations

_FICLONE = 0x40049409  # from linux/fs.h: share another file's blocks, copied when one is written


def reflink(source: int, target: int) -> bool:
    """Let the open file `target` share the blocks of `source`; false where that cannot be done."""
    try:
        import fcntl

        fcntl.ioctl(target, _FICLONE, source)
    except (ImportError, OSError):
        return False
    return True
