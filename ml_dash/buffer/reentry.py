"""What to do when a thread comes again in the middle of its own step.

Python calls the handlers of signals, and finalizers of objects, between any two steps of a thread:
also while it holds a lock of ours. What these record must not wait for that lock, which nobody
could give them. It is put aside, and done by the thread itself as soon as its step is over.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from ml_dash.backends import Backend, LocalBackend

if TYPE_CHECKING:
    from ml_dash.buffer.stream import Stream

_NUMBER = 1_000_000
"""Of the segments that `Aside.leave` writes. A stream counts its own from 1, one at each loss."""


def is_owned(lock: threading.RLock) -> bool:
    """Whether this thread holds the lock."""
    return cast(bool, lock._is_owned())  # type: ignore[attr-defined]  # as `Condition` asks it


class Aside:
    """Rows that came in the middle of a step, in the order in which they came."""

    def __init__(self) -> None:
        self._rows: deque[tuple[Stream, bytes]] = deque()

    def put(self, stream: Stream, line: bytes) -> None:
        """Keep a row until the step is over."""
        self._rows.append((stream, line))

    def put_back(self, row: tuple[Stream, bytes]) -> None:
        """Keep the one that was taken last: there is no room for it yet."""
        self._rows.appendleft(row)

    def next(self) -> tuple[Stream, bytes] | None:
        """Take a row, to be placed now."""
        try:
            return self._rows.popleft()
        except IndexError:
            return None

    def leave(self, backend: Backend, writer: str, lose: Callable[[str, str], None]) -> None:
        """Write all into segments of their own, for a run that ends in the middle of a step."""
        while (row := self.next()) is not None:
            stream, line = row
            try:
                if not isinstance(backend, LocalBackend):
                    raise OSError("the run ended in the middle of recording")
                room = backend.folder / stream.name
                room.mkdir(parents=True, exist_ok=True)
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
                file = os.open(room / f"{writer}-{_NUMBER}.jsonl", flags, 0o666)
                with os.fdopen(file, "wb", buffering=0) as out:
                    out.write(line)
            except OSError as error:
                lose(stream.name, str(error))
