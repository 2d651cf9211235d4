"""A run kept in memory: for tests, yours included. It is gone when the process ends."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from ml_dash.backends.base import SegmentInfo


class MemoryBackend:
    """Keeps a run in dictionaries.

    Example:
        >>> backend = MemoryBackend()
        >>> with Experiment("test", backend=backend).run as experiment:
        ...     experiment.log("hello")
        >>> backend.read("logs/...")
    """

    def __init__(self) -> None:
        self._files: dict[str, bytearray] = {}
        self._lock = threading.Lock()

    def append(self, segment: str, offset: int, data: Sequence[bytes | memoryview]) -> None:
        """See `Backend.append`."""
        with self._lock:
            held = self._files.setdefault(segment, bytearray())
            if len(held) != offset:
                raise OSError(f"segment {segment!r} ends at {len(held)}, not at {offset}")
            for piece in data:
                held += piece

    def size(self, segment: str) -> int:
        """See `Backend.size`."""
        return len(self._files.get(segment, b""))

    def read(self, path: str, offset: int = 0, size: int | None = None) -> bytes:
        """See `Backend.read`."""
        with self._lock:
            data = self._files.get(path, b"")
            return bytes(data[offset : None if size is None else offset + size])

    def list(self, prefix: str = "") -> Iterator[SegmentInfo]:
        """See `Backend.list`."""
        with self._lock:
            found = [
                SegmentInfo(path, len(data))
                for path, data in self._files.items()
                if not prefix or path.startswith(f"{prefix}/")
            ]
        return iter(found)

    def sync(self, segments: Sequence[str]) -> None:
        """Nothing to do: memory has no disk."""

    def put_blob(self, path: str, data: bytes | bytearray | memoryview) -> None:
        """See `Backend.put_blob`."""
        with self._lock:
            self._files[path] = bytearray(data)

    def put_blob_file(self, path: str, source: Path) -> tuple[int, str]:
        """See `Backend.put_blob_file`."""
        from hashlib import sha256  # with OpenSSL: who stores no file does without

        data = source.read_bytes()
        self.put_blob(path, data)
        return len(data), sha256(data).hexdigest()

    def open_blob(self, path: str) -> BinaryIO:
        """See `Backend.open_blob`."""
        with self._lock:
            if path not in self._files:
                raise FileNotFoundError(path)
            return io.BytesIO(bytes(self._files[path]))

    def delete_blob(self, path: str) -> None:
        """See `Backend.delete_blob`."""
        with self._lock:
            self._files.pop(path, None)

    def close(self) -> None:
        """Nothing to do: what was recorded stays readable."""
