"""A file with a descriptor and no name, for programs and encoders that write into one."""

from __future__ import annotations

import os
import sys
from typing import BinaryIO


def scratch_file() -> BinaryIO:
    """An empty unbuffered file, which is gone when closed; on a disk only where it must be.

    Worker threads use it while others fork, and `tempfile` finds its folder under a lock that a
    forked child would wait for, for ever. Where it is needed, `lazy.storing` has it find the
    folder before any worker runs.
    """
    if sys.platform == "linux":
        try:
            return os.fdopen(os.memfd_create("ml-dash"), "w+b", buffering=0)
        except OSError:
            pass  # some sandboxes forbid it
    import tempfile

    return tempfile.TemporaryFile(buffering=0)
