"""Replicates a run while it is written: one thread in the background, never in anybody's way.

The thread holds no rows: it reads from the disk what the server has not got. So an outage costs no
memory, and a killed process leaves nothing that `ml-dash sync` would not find.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ml_dash import exits
from ml_dash.settings import Settings
from ml_dash.sync.report import ReplicaReport
from ml_dash.sync.worker import Worker

if TYPE_CHECKING:
    from ml_dash.remote import RemoteClient
    from ml_dash.sync.trouble import BackOff

SILENT = 2.0
"""Seconds that the end of a run waits for the server before anything is said."""

AGAIN = 5.0
"""Seconds between two times that it is said."""


class Replicator:
    """Sends the rows and files of the run in `folder` to a server while they are written.

    Args:
        folder: the run.
        prefix: its key.
        settings: the server's address, and when to send.
        client: the server; by default that at `settings.url`, as the user that is logged in there.
        back_off: how long to wait after a failure.
    """

    def __init__(
        self,
        folder: Path,
        prefix: str,
        settings: Settings,
        *,
        client: RemoteClient | None = None,
        back_off: BackOff | None = None,
    ) -> None:
        self.folder = folder
        self.prefix = prefix
        self._worker = Worker(folder, prefix, settings, client, back_off)
        self._thread: threading.Thread | None = None
        self._batches = {
            "logs": settings.log_batch_size,
            "metrics": settings.metric_batch_size,
            "tracks": settings.track_batch_size,
        }
        self._counted: dict[str, int] = {}
        self._last: ReplicaReport | None = None
        _replicators.add(self)

    def start(self) -> None:
        """Begin, on a thread of its own. Returns at once."""
        thread = threading.Thread(target=self._worker.work, name="ml-dash-replicator", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is shutting down: `ml-dash sync` does it
            return
        self._thread = thread

    def kick(self) -> None:
        """Send what there is now, rather than at the next interval."""
        self._worker.wake.set()

    def note(self, rows: Mapping[str, int]) -> None:
        """Send, if enough rows have come since the last time.

        Args:
            rows: how many were written so far, by room.
        """
        for room, batch in self._batches.items():
            count, before = rows.get(room, 0), self._counted.get(room, 0)
            if count < before:  # its folder was removed, and begun anew
                self._counted[room] = count
            elif count - before >= batch:
                self._counted = dict(rows)
                self.kick()
                return

    def report(self) -> ReplicaReport:
        """How things stand. Looks at the folder, never at the network."""
        return self._last or self._worker.report()

    def finish(self, timeout: float) -> ReplicaReport:
        """Send the rest, for `timeout` seconds at most, and say what finishes it if some is left.

        To be called when everything is on disk. A server that does not answer, or falls silent, is
        waited for some seconds only, and one that refuses not at all.

        Raises:
            KeyboardInterrupt: Ctrl-C ended the waiting; it was said what finishes it.
        """
        if self._last is not None:
            return self._last
        worker = self._worker
        worker.finish()
        begun = time.monotonic()
        say_at = begun + SILENT
        try:
            while self._thread is not None and (left := begun + timeout - time.monotonic()) > 0:
                if worker.done.wait(min(left, 0.25)):
                    break
                if worker.patience() <= 0:
                    silence = worker.silence()
                    silent = f"the server has been silent for {silence:.0f} s"
                    return self._leave(
                        silent if silence >= 1 else "the server gave no whole answer in time"
                    )
                if time.monotonic() >= say_at:
                    say_at = time.monotonic() + AGAIN
                    self._tell_progress(left)
        except KeyboardInterrupt:
            self._leave("interrupted")
            raise
        return self._leave("" if worker.done.is_set() else f"not done in {timeout:.0f} s")

    def after_fork(self) -> None:
        """In a forked child: the parent replicates the run, by a thread that is not here."""
        self._thread = None
        self._batches = {}
        self._last = ReplicaReport()

    def _tell_progress(self, left: float) -> None:
        report = self._worker.report().moving()
        rest = [f"{report.pending:,} bytes of rows"] if report.pending else []
        rest += [report.files_left] if report.pending_files else []
        silence = self._worker.silence()
        state = (
            report.error
            or (f"the server has been silent for {silence:.0f} s" if silence >= SILENT else "")
            or "it takes them"
        )
        rest_text = " and ".join(rest) or "some requests"
        exits.say(
            f"the run {self.prefix!r} is on disk; still to be sent to the server: {rest_text};"
            f" {state.rstrip('.')}. {_waits(left, self._worker.outlook())} (Ctrl-C ends it now)"
        )

    def _leave(self, unfinished: str) -> ReplicaReport:
        """Let the thread end after what it does now, and say what is not on the server."""
        self._worker.leave()
        self._last = report = self._worker.report(unfinished)
        if not report.ok:
            exits.say(
                f"the run {self.prefix!r} is on disk, but not all of it is on the server: {report}."
                f" {self._worker.remedy()}"
            )
        return report


def _waits(left: float, patience: float) -> str:
    """How long the end of a run still waits: for an answer, and at most."""
    if patience < left:
        return f"Waiting {max(1, patience):.0f} s more for an answer"
    return f"Waiting {max(1, left):.0f} s more at most"


def replicate_run(folder: Path, prefix: str, settings: Settings) -> Replicator | None:
    """Begin to replicate a run, if a server is configured."""
    if not settings.url:
        return None
    replicator = Replicator(folder, prefix, settings)
    replicator.start()
    return replicator


_replicators: weakref.WeakSet[Replicator] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for replicator in list(_replicators):
        replicator.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
