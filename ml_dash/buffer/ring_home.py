"""Where the file of a ring is: in the run's folder, or nowhere, which is said."""

from __future__ import annotations

from pathlib import Path

from ml_dash.backends import Backend, LocalBackend
from ml_dash.buffer.ledger import Ledger
from ml_dash.buffer.ring import Ring
from ml_dash.environment import process_identity


class RingHome:
    """Makes the rings of one run's writer, and makes their files again.

    Args:
        backend: where the run is.
        ledger: warns when no file can be made.
    """

    def __init__(self, backend: Backend, ledger: Ledger) -> None:
        self._backend = backend
        self._ledger = ledger

    def make(self, writer: str) -> Ring:
        """A ring for this process, in a file that outlives it where that can be had."""
        identity = {**process_identity(), "writer": writer}
        if isinstance(self._backend, LocalBackend):
            path = self._backend.folder / ".buffer" / f"{writer}.ring"
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                return Ring(path, identity)
            except OSError as error:
                self._tell_no_ring(path.parent, error)
        return Ring(None, identity)

    def renew(self, ring: Ring, path: Path) -> None:
        """Make the ring's file again: it went with the run's folder, or somebody removed it.

        Every lent slot must be sealed.
        """
        try:
            ring.renew(path)
        except FileNotFoundError:
            ring.path = path  # it is being removed just now: again at the next drain
        except (OSError, ValueError) as error:
            self._tell_no_ring(path.parent, error)

    def _tell_no_ring(self, folder: Path, error: Exception) -> None:
        self._ledger.warn_once(
            "ring",
            "rows not yet written would not survive a kill of this process, because no buffer"
            f" file could be made in {folder}: {error}",
        )
