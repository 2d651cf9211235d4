"""The producer's end of a stream: where rows go in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml_dash.buffer.buffer import Buffer
    from ml_dash.buffer.ring import Slot


class Stream:
    """One stream of one run, as this process writes it.

    `write` is where the next line goes: into a slot of the ring while the stream is busy, otherwise
    to `Buffer.hand_over`. A slot's `write` raises ValueError when the slot is full or was taken
    away; then `Buffer.hand_over` finds the line another place. So appending is

        try:
            stream.write(line)
        except ValueError:
            stream.retry(line)

    Positions are bytes. The producer counts in the current segment (`segment`, `offset`); the
    drainer counts over all segments (`written`), of which number i begins at `starts[i]`. The file
    that is written now has its first byte at `origin`: not at its segment's start where an
    interrupt left a gap in the producer's count.
    """

    __slots__ = (
        "buffer",
        "failing_since",
        "failure",
        "name",
        "offset",
        "origin",
        "quiet",
        "raw",
        "recent",
        "rows",
        "segment",
        "slot",
        "starts",
        "write",
        "written",
    )

    def __init__(self, buffer: Buffer, name: str) -> None:
        self.buffer = buffer
        self.name = name
        self.raw = name.encode()
        self.reset()

    def reset(self) -> None:
        """Begin as if nothing had been written: at first, and in a forked child."""
        self.write: Callable[[bytes], Any] = self.retry
        self.slot: Slot | None = None
        self.segment = 0
        self.offset = 0
        self.recent = 0  # rows since it last had a slot
        self.starts = [0]
        self.origin = 0
        self.written = 0
        self.rows = 0  # rows in the segment now written, for counting a loss
        self.failing_since: float | None = None
        self.failure = 0  # the error number of the last attempt that failed
        self.quiet = -1  # what the slot held at the last drain, to find idle ones

    def put(self, line: bytes) -> None:
        """Hand over one encoded row. It survives SIGKILL once this returned."""
        try:
            self.write(line)
        except ValueError:
            self.buffer.hand_over(self, line)

    def retry(self, line: bytes) -> None:
        """Hand over a line that has no slot to go to."""
        self.buffer.hand_over(self, line)

    def place(self, segment: int, offset: int) -> int:
        """An offset in one of the segments, counted over all of them."""
        return self.starts[segment] + offset

    def segment_path(self, writer: str) -> str:
        """The segment that is written now, relative to the run."""
        suffix = f"-{self.segment_number + 1}" if self.segment_number else ""
        return f"{self.name}/{writer}{suffix}.jsonl"

    @property
    def segment_number(self) -> int:
        """The number of the segment that the drainer writes."""
        return len(self.starts) - 1

    def __reduce__(self) -> tuple[Any, ...]:
        return self.buffer.stream, (self.name,)
