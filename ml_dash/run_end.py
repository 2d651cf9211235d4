"""What is done after a run has ended, and what its user is told then."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from ml_dash import exits, lazy
from ml_dash.backends import Backend, LocalBackend
from ml_dash.buffer import Buffer, FlushReport
from ml_dash.buffer.recovery import drain_dead, rings
from ml_dash.settings import Settings

if TYPE_CHECKING:
    from ml_dash.sync.replicator import Replicator
    from ml_dash.sync.report import ReplicaReport

SILENT = 2.0
"""Seconds that files are waited for before anything is said."""

AGAIN = 5.0
"""Seconds between two times that it is said."""


class Waiting:
    """Says how many files a run that has ended still waits for; nothing when it takes no time.

    Called several times a second by the thread that writes rows: at the end of the interpreter no
    other can be started.

    Args:
        prefix: the run's key.
        buffer: whose files they are.
        limit: seconds that they are waited for at most.
    """

    def __init__(self, prefix: str, buffer: Buffer, limit: float) -> None:
        self._prefix = prefix
        self._buffer = buffer
        self._until = time.monotonic() + limit
        self._next = time.monotonic() + SILENT

    def __call__(self) -> None:
        """Say it, if it is time."""
        now = time.monotonic()
        if now >= self._next and (left := self._buffer.report().pending_files):
            self._next = now + AGAIN
            files = "1 file is" if left == 1 else f"{left:,} files are"
            exits.say(
                f"the run {self._prefix!r} is ending: {files} still to be written;"
                f" waiting {max(0, self._until - now):.0f} s more at most"
            )


def close_books(backend: Backend) -> None:
    """Finish what killed children left, and write the views of the run."""
    if isinstance(backend, LocalBackend):
        drain_dead(backend.folder)
        try:
            lazy.load("ml_dash.reading", "hashlib").write_views(backend.folder)
        except Exception as error:  # noqa: BLE001 - a view must not hide how the run ended
            exits.say(f"run.json could not be written: {error!r}")


def with_replica(report: FlushReport, replica: ReplicaReport) -> FlushReport:
    """What is on the disk, and what of that is on the server."""
    return replace(
        report,
        replicated=replica.ok,
        unsent=replica.pending,
        unsent_files=replica.pending_files,
    )


def finish_replica(
    replicator: Replicator | None, report: FlushReport, settings: Settings
) -> FlushReport:
    """Send what the server has not got yet, as long as closing may wait."""
    if replicator is None:
        return report
    return with_replica(report, replicator.finish(settings.close_timeout))


def tell_end(prefix: str, backend: Backend, report: FlushReport) -> None:
    """Say what is not on the disk, and what finishes it; nothing when all is."""
    if report.ok:
        return
    if not report.pending:
        remedy = ""
    elif _has_ring(backend):
        remedy = (
            f". When the disk takes data again, `ml-dash check {_place(prefix, backend)}` finishes"
            " it"
        )
    else:
        remedy = (
            ". No buffer file could be made, so these rows end with this process: they are lost"
        )
    exits.say(f"the run {prefix!r} ended, but not all is on disk: {report}{remedy}")


def tell_interrupted(prefix: str, backend: Backend, report: FlushReport | None) -> None:
    """Say that the writing was interrupted, what is missing, and what finishes it."""
    safe = _has_ring(backend)
    files = report.pending_files if report is not None else 0
    gone = " 1 file was not saved yet;" if files == 1 else f" {files:,} files were not saved yet;"
    exits.say(
        f"interrupted while the run {prefix!r} was being written;{gone if files else ''}"
        f"{' rows are safe in its buffer file,' if safe else ''}"
        f" `ml-dash check {_place(prefix, backend)}` finishes it"
    )


def _has_ring(backend: Backend) -> bool:
    """Whether a buffer file keeps what is not in the segments yet."""
    return isinstance(backend, LocalBackend) and bool(rings(backend.folder))


def _place(prefix: str, backend: Backend) -> str:
    return str(getattr(backend, "folder", prefix))
