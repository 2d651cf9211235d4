"""The exceptions that ML-Dash raises on its own behalf::

    Exception
     ├─ ValueError
     │   └─ AlignmentError      streams that cannot be paired without guessing
     └─ RuntimeError
         ├─ NotStartedError     a handle was used before `start()`
         └─ ClosedError         a handle was used after the run ended

A wrong argument is a plain `ValueError` or `TypeError`, a missing extra an `ImportError` whose text
is the command that installs it, and a folder that cannot be written at start an `OSError`.
Nothing that happens to the disk or the network later is ever raised from a recording call.
"""

from __future__ import annotations

import errno

TRANSIENT = frozenset(
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EIO", "EROFS", "ESTALE", "EMFILE", "ENFILE", "ENOMEM")
    if hasattr(errno, name)
)
"""Errors of a failing world, which may pass; others are about this one file."""


class NotStartedError(RuntimeError):
    """A handle of an experiment was used before its run was started."""


class ClosedError(RuntimeError):
    """A handle of an experiment was used after its run had ended."""


class AlignmentError(ValueError):
    """Streams have rows that cannot be paired without guessing."""


def missing_extra(package: str, what: str, extra: str | None = None) -> ImportError:
    """The error for `what` needing `package`, with the command that brings it."""
    target = f'"ml-dash[{extra}]"' if extra else package
    return ImportError(f"{what} needs {package}, which is not installed: pip install {target}")
