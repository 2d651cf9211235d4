"""How much of a run's files goes into one request: less after trouble, more again after a while."""

from __future__ import annotations

import time

from ml_dash import wire

LEAST = 1 << 16
"""Bytes of a part below which nothing is tried any more."""

LARGER = 60.0
"""Seconds after which requests may be larger again."""


class Sizes:
    """What the requests that carry files of one run may have. Threads may share it.

    Attributes:
        part: bytes of a part of a large file.
        together: bytes of small files in one request.
        taken: bytes that the server has taken, in whole files and in parts of others.
    """

    def __init__(self) -> None:
        self.part = wire.PART_SIZE
        self.together = wire.SEND_LIMIT
        self.taken = 0
        self._lowered = 0.0
        self._through = True  # whether anything came through since

    def lower_part(self, size: int) -> None:
        """Make parts as small as that, if they are larger."""
        self.part = min(self.part, max(LEAST, size))
        self._lowered, self._through = time.monotonic(), False

    def lower_together(self, size: int) -> None:
        """Put no more small files than that into one request."""
        self.together = min(self.together, max(LEAST, size))
        self._lowered, self._through = time.monotonic(), False

    def took(self, size: int) -> None:
        """The server has taken so many bytes."""
        self.taken += size
        self._through = True

    def grow(self) -> None:
        """Try larger ones again after a while: what took none may be gone."""
        if self._through and time.monotonic() - self._lowered > LARGER:
            self.part = min(wire.PART_SIZE, self.part * 8)
            self.together = min(wire.SEND_LIMIT, self.together * 8)
            self._lowered = time.monotonic()
