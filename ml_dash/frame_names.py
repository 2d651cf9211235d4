"""Names of frames: a run never has two alike, whoever writes it and however its steps go."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from ml_dash.buffer import Buffer


@dataclass(slots=True)
class _Names:
    """Which names of frames this process has given out, of one run."""

    writer: str
    highest: int = -(2**63)
    repeats: int = 0


_names: WeakKeyDictionary[Buffer, _Names] = WeakKeyDictionary()
_lock = threading.RLock()  # the handler of a signal may name a frame meanwhile


def new_name(buffer: Buffer, step: int) -> str:
    """A name for the frames of a step, without an ending, that no frame of the run has yet."""
    with _lock:
        names = _names.get(buffer)
        if names is None or names.writer != buffer.writer:
            names = _names[buffer] = _Names(buffer.writer)
        # Sessions after the first one, and other processes, put their own mark in the names.
        mark = "" if buffer.first else f"{names.writer}_"
        if step <= names.highest:
            names.repeats += 1
            mark += f"r{names.repeats}_"
        names.highest = max(names.highest, step)
    return f"frame_{mark}{step:08d}"


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()  # a thread that is not here may hold the parent's


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
