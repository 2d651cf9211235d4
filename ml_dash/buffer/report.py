"""What `flush()` answers."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class FlushReport:
    """Where everything recorded so far is.

    Attributes:
        written: bytes of rows that are in the run's segments.
        pending: bytes of rows, and queued files, that are not on the disk yet.
        pending_files: files still being encoded or written.
        replicated: whether a server has all that is on the disk; `None` when the run is local.
        unsent: bytes of rows on the disk that the server has not got yet.
        unsent_files: files that are known to be still to be sent.
        lost: rows and files given up, by stream.
        error: what keeps the rest from being written.
    """

    written: int
    pending: int
    pending_files: int = 0
    replicated: bool | None = None
    unsent: int = 0
    unsent_files: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether everything is on disk and nothing was lost."""
        return not (self.pending or self.pending_files or self.lost)

    def __str__(self) -> str:
        if self.ok:
            return "everything is on disk"
        parts = []
        if self.pending:
            parts.append(f"{self.pending:,} bytes of rows not yet on disk")
        if self.pending_files:
            parts.append(f"{self.pending_files:,} files not yet on disk")
        for stream, count in sorted(self.lost.items()):
            parts.append(f"{count:,} lost from {stream}")
        if self.error:
            parts.append(self.error)
        return "; ".join(parts)
