"""What had to be given up, and what has been said about it."""

from __future__ import annotations

import logging
import threading

from ml_dash.errors import ClosedError

logger = logging.getLogger("ml_dash")


class Ledger:
    """Counts losses of one run in one process, and says each thing once."""

    def __init__(self) -> None:
        self.lost: dict[str, int] = {}
        self._said: set[str] = set()
        self._lock = threading.RLock()  # the handler of a signal may lose something, too

    def lose(self, stream: str, reason: str, count: int = 1) -> None:
        """Count what had to be given up, and say so once for each stream."""
        with self._lock:
            self.lost[stream] = self.lost.get(stream, 0) + count
        self.warn_once(f"lost {stream}", f"data for {stream!r} is lost: {reason}")

    def lose_file(self, reason: str) -> None:
        """Count a file that had to be given up."""
        self.lose("files", reason)

    def warn_once(self, key: str, message: str) -> None:
        """Log a warning, once for each `key`."""
        if key not in self._said:
            self._said.add(key)
            logger.warning("ml-dash: %s", message)

    def after_fork(self) -> None:
        """In a forked child: the losses are the parent's; what was said was heard."""
        self.lost = {}
        self._lock = threading.RLock()


def closed_error() -> ClosedError:
    """The error for recording after the end."""
    return ClosedError(
        "the run has ended, so nothing more can be recorded; start it again with"
        " `experiment.run.start()` or a new `with Experiment(...).run`"
    )
