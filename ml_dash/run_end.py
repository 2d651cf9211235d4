"""What is done after a run has ended, and what its user is told then."""

from __future__ import annotations

from ml_dash import exits
from ml_dash.backends import Backend, LocalBackend
from ml_dash.buffer import FlushReport
from ml_dash.buffer.recovery import drain_dead


def close_books(backend: Backend) -> None:
    """Finish what killed children left, and write the views of the run."""
    if isinstance(backend, LocalBackend):
        drain_dead(backend.folder)
        try:
            from ml_dash.reading import write_views

            write_views(backend.folder)
        except Exception as error:  # noqa: BLE001 - a view must not hide how the run ended
            exits.say(f"run.json could not be written: {error!r}")


def tell_end(prefix: str, backend: Backend, report: FlushReport) -> None:
    """Say what is not on the disk, and what finishes it; nothing when all is."""
    if not report.ok:
        remedy = (
            f". When the disk takes data again, `ml-dash check {_place(prefix, backend)}` finishes"
            " it"
            if report.pending
            else ""
        )
        exits.say(f"the run {prefix!r} ended, but not all is on disk: {report}{remedy}")


def tell_interrupted(prefix: str, backend: Backend) -> None:
    """Say that the writing was interrupted, and what finishes it."""
    exits.say(
        f"interrupted while the run {prefix!r} was being written; rows are safe in its buffer file,"
        f" `ml-dash check {_place(prefix, backend)}` finishes it"
    )


def _place(prefix: str, backend: Backend) -> str:
    return str(getattr(backend, "folder", prefix))
