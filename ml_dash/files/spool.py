"""Takes what an encoder writes: into memory while it is little, else into the run's folder."""

from __future__ import annotations

from ml_dash.backends.blobs import Bytes
from ml_dash.files.shelves import Draft

HELD = 64 << 20
"""Bytes up to which a value waits in memory for its turn; a larger one is written by the caller."""


class Spool:
    """A sink that need not know how much is coming.

    An encoder (`torch.save`) must not see the disk fail in the middle: it goes on writing into
    nothing, and `error` tells.
    """

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.size = 0
        self.error: OSError | None = None
        self._held = HELD
        self._pieces: list[bytes] | None = []

    def write(self, data: Bytes) -> int:
        """Take some bytes; how many."""
        size = memoryview(data).nbytes
        self.size += size
        if self._pieces is not None:
            self._pieces.append(bytes(data))
            if self.size > self._held:
                self._spill()
        else:
            self._write(data)
        return size

    def flush(self) -> None:
        """Nothing to do."""

    @property
    def content(self) -> list[bytes] | None:
        """Everything, in pieces; `None` once it went to the draft."""
        return self._pieces

    def _spill(self) -> None:
        pieces, self._pieces = self._pieces or [], None
        for piece in pieces:
            self._write(piece)

    def _write(self, data: Bytes) -> None:
        if self.error is None:
            try:
                self.draft.write(data)
            except OSError as error:
                self.error = error
