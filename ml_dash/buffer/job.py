"""What the pool does, and who waits for what at one key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

Job = Callable[[], None]


class Shrinkable:
    """A job that can be made to hold on to less, for a caller that would have to wait otherwise."""

    __slots__ = ()

    def __call__(self) -> None:
        """Do it, or what is left of it."""
        raise NotImplementedError

    def shrink(self) -> int:
        """Do the part that needs no disk, in the caller's thread; the bytes held from now on."""
        raise NotImplementedError


@dataclass(slots=True, eq=False)
class Turn:
    """A job waiting for its key; one without a job is a caller that wants the key to itself."""

    key: str
    size: int
    job: Job | None
    granted: SimpleQueue[None] | None = None
    abandoned: bool = False
    number: int = 0
    begun: bool = False
    thread: int = 0  # of the caller
