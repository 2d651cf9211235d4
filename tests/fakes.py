"""A buffer that only remembers, for tests of what hands rows over."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from ml_dash.backends import MemoryBackend
from ml_dash.errors import ClosedError
from ml_dash.rows import decode_row


class FakeStream:
    """Takes the lines of one stream; every third does not fit where it is put at first."""

    def __init__(self, buffer: FakeBuffer, name: str) -> None:
        self.buffer = buffer
        self.name = name
        self.calls = 0

    def write(self, line: bytes) -> None:
        """Keep a line, or refuse it as a full slot does."""
        self.calls += 1
        if self.calls % 3 == 0:
            raise ValueError("data out of range")
        self.retry(line)

    def retry(self, line: bytes) -> None:
        """Keep a line."""
        if self.buffer.closed:
            raise ClosedError("the run has ended")
        self.buffer.lines[self.name].append(line)

    def put(self, line: bytes) -> None:
        """Keep a line."""
        self.retry(line)


class FakeBuffer:
    """Keeps encoded lines by stream."""

    writer = "abcdefghijkl"

    def __init__(self) -> None:
        self.backend = MemoryBackend()
        self.lines: dict[str, list[bytes]] = defaultdict(list)
        self.closed = False
        self.flushes = 0

    def stream(self, name: str) -> FakeStream:
        """The stream `name`."""
        return FakeStream(self, name)

    def put(self, stream: str, line: bytes) -> None:
        """Keep a line of a stream."""
        self.stream(stream).put(line)

    def flush(self, timeout: float | None = None, fsync: bool = False) -> None:
        """Show what was kept to those who read the backend."""
        self.flushes += 1
        for name, lines in self.lines.items():
            segment = f"{name}/{self.writer}.jsonl"
            data = b"".join(lines)
            size = self.backend.size(segment)
            self.backend.append(segment, size, [data[size:]])

    def rows(self, stream: str) -> list[dict[str, Any]]:
        """The rows of a stream, decoded."""
        return [decode_row(line) for line in self.lines[stream]]
