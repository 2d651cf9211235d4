"""How far a server's copy of a run has come."""

from __future__ import annotations

from dataclasses import dataclass, replace


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
        pending_file_bytes: bytes of those.
        underway: bytes that have gone out and of which the server has not said that it has them.
        unasked: whether there may be more, which the server was not asked about yet.
        problems: what will not be sent as things are, and why, one sentence each.
        error: what keeps the rest from being sent now.
        restored: segments and files that the server's store had lost and has again.
        known: whether the server has said which rows it has; if not, all that are here count as
            pending.
        files_known: likewise, of files.
    """

    rows: int = 0
    bytes: int = 0
    files: int = 0
    file_bytes: int = 0
    pending: int = 0
    pending_files: int = 0
    pending_file_bytes: int = 0
    underway: int = 0
    unasked: bool = False
    problems: tuple[str, ...] = ()
    error: str | None = None
    restored: int = 0
    known: bool = True
    files_known: bool = True

    @property
    def ok(self) -> bool:
        """Whether the server has all that there is."""
        pending = self.pending or self.pending_files or self.unasked
        return not (pending or self.problems or self.error)

    @property
    def files_left(self) -> str:
        """The files that are still to be sent, in words; empty if none is known."""
        if not self.pending_files:
            return ""
        files = "1 file" if self.pending_files == 1 else f"{self.pending_files:,} files"
        return f"{files} ({self.pending_file_bytes:,} bytes)"

    def moving(self) -> ReplicaReport:
        """The same, where what has gone out is not still to be sent."""
        left = max(0, self.pending_file_bytes - self.underway)
        return replace(self, pending_file_bytes=left)

    def __str__(self) -> str:
        parts, unknown = [], []
        if self.pending and self.known:
            parts.append(f"{self.pending:,} bytes of rows not yet on the server")
        elif self.pending:
            unknown.append(f"{self.pending:,} bytes of rows")
        if self.pending_files and self.files_known:
            parts.append(f"{self.files_left} not yet on the server")
        elif self.pending_files:
            unknown.append(self.files_left)
        elif self.unasked and not parts:
            parts.append("the server was not asked about all files yet")
        if unknown:
            parts.append(f"what of the {' and '.join(unknown)} is there is not known")
        parts.extend(self.problems)
        if self.error:
            parts.append(self.error)
        return "; ".join(parts) or "everything is on the server"
