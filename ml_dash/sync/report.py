"""How far a server's copy of a run has come."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReplicaReport:
    """What one replicator has sent, and what is still to be sent.

    Attributes:
        rows: lines sent.
        bytes: bytes of rows sent.
        files: files sent.
        file_bytes: bytes of files sent.
        pending: bytes of rows that the server has not got yet.
        pending_files: files that are known to be still to be sent.
        problems: what will not be sent as things are, and why, one sentence each.
        error: what keeps the rest from being sent now.
        restored: segments and files that the server's store had lost and has again.
        known: whether the server has said what it has; if not, all that is here counts as pending.
    """

    rows: int = 0
    bytes: int = 0
    files: int = 0
    file_bytes: int = 0
    pending: int = 0
    pending_files: int = 0
    problems: tuple[str, ...] = ()
    error: str | None = None
    restored: int = 0
    known: bool = True

    @property
    def ok(self) -> bool:
        """Whether the server has all that there is."""
        return not (self.pending or self.pending_files or self.problems or self.error)

    def __str__(self) -> str:
        parts = []
        if self.pending and self.known:
            parts.append(f"{self.pending:,} bytes of rows not yet on the server")
        elif self.pending:
            parts.append(f"what of the {self.pending:,} bytes of rows is there is not known")
        if self.pending_files:
            parts.append(f"{self.pending_files:,} files not yet on the server")
        parts.extend(self.problems)
        if self.error:
            parts.append(self.error)
        return "; ".join(parts) or "everything is on the server"
