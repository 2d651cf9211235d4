"""What the thread of a replicator does: send, sleep, complain once, and try again."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ml_dash import lazy
from ml_dash.settings import Settings
from ml_dash.sync.report import ReplicaReport

if TYPE_CHECKING:
    from ml_dash.remote import RemoteClient
    from ml_dash.sync.replica import Progress, Replica
    from ml_dash.sync.trouble import BackOff

logger = logging.getLogger("ml_dash")

UNANSWERED = 5.0
"""Seconds that the end of a run waits for a server that does not answer."""

STALLED = 10.0
"""Seconds that it waits for one that has answered before, while no byte goes out or comes in."""

SOON = 1.0
"""Seconds between two attempts at most while the run is ending."""

PASSES = 5
"""Times at most that the end of a run looks for what has come meanwhile."""

_NEEDED = (
    *("ml_dash.sync.replica", "ml_dash.sync.trouble", "ml_dash.sync.server", "ml_dash.remote"),
    *(
        "ml_dash.remote.pace",
        "ml_dash.auth",
        "ml_dash.reading",
        "requests",
        "idna",
        "encodings.idna",
        "netrc",
    ),
    *("deflate", "hashlib"),
)


class Worker:
    """Keeps a server's copy of a run up to date, on the thread that calls `work`.

    Args:
        folder: the run.
        prefix: its key.
        settings: the server's address, and when to send.
        client: the server; by default that at `settings.url`.
        back_off: how long to wait after a failure.

    Attributes:
        wake: set, it ends a sleep.
        done: set once nothing more is tried.
    """

    def __init__(
        self,
        folder: Path,
        prefix: str,
        settings: Settings,
        client: RemoteClient | None,
        back_off: BackOff | None,
    ) -> None:
        self.wake = threading.Event()
        self.done = threading.Event()
        self._folder = folder
        self._prefix = prefix
        self._settings = settings
        self._client = client
        self._back_off = back_off
        self._replica: Replica | None = None
        self._finishing: float | None = None  # since when the run is ending
        self._leaving = False
        self._failing: float | None = None  # since when nothing works
        self._failure: Exception | None = None
        self._error: str | None = None
        self._refusal: Exception | None = None  # what no further attempt would mend
        self._heard = 0.0  # when something was last taken
        self._taken = (0, 0)
        self._far = (0, 0, False)  # how far the last attempt that failed had come
        self._rows_at = 0.0  # when rows were last looked for
        self._passes = 0  # that went well since the run ended
        self._settled: ReplicaReport | None = None  # once all was sent that was there by then
        self._said: set[str] = set()

    # -- asked by other threads ------------------------------------------------------------------

    def finish(self) -> None:
        """All that there will be is on disk now: end when it is sent."""
        self._finishing = time.monotonic()
        self.wake.set()

    def patience(self) -> float:
        """Seconds after which the end of the run waits no more, unless the server is heard of."""
        if self._finishing is None:
            return STALLED
        if self._replica is None or not self._replica.connected:
            return UNANSWERED - (time.monotonic() - self._finishing)
        known = max(self._finishing, self._failing or 0.0, self._sign())
        return STALLED - (time.monotonic() - known)

    def outlook(self) -> float:
        """Seconds that it is likely to wait: attempts that fail are not made for as long."""
        if self._failing is None:
            return self.patience()
        failed = time.monotonic() - max(self._finishing or 0.0, self._failing)
        return min(self.patience(), UNANSWERED - failed)

    def silence(self) -> float:
        """Seconds since the run began to end, or the server was heard of later than that."""
        return time.monotonic() - max(self._finishing or 0.0, self._sign())

    def remedy(self) -> str:
        """What brings the rest to the server, once this has ended."""
        import shlex

        from ml_dash.remote import ForbiddenError, NotFoundError

        sync = f"`ml-dash sync {shlex.quote(str(self._folder))}`"
        if isinstance(self._refusal, ForbiddenError):
            return (
                "Have an owner of the namespace make you a writer there, or use a token that may"
                f" write; only then {sync} sends it"
            )
        if isinstance(self._refusal, NotFoundError):
            return f"{sync} would make it there anew"
        if self._refusal is not None:
            return f"Until that is put right, {sync} is refused as well"
        return f"{sync} sends the rest"

    def leave(self) -> None:
        """End as soon as what is going on has ended."""
        self._leaving = True
        self.wake.set()

    def report(self, unfinished: str = "") -> ReplicaReport:
        """How things stand, by what is on the disk and what the server has said.

        Args:
            unfinished: why nothing more is waited for, if there is no better reason.
        """
        if self._settled is not None:
            return self._settled
        error = self._error or unfinished or None
        ending = self._finishing is not None
        if self._replica is not None:
            return self._replica.report(error, own=ending)
        from ml_dash.backends import LocalBackend
        from ml_dash.sync.index import LocalFiles
        from ml_dash.sync.listing import local_size
        from ml_dash.sync.writers import other_senders

        backend = LocalBackend(self._folder)
        but = other_senders(backend) if ending else ()
        count, size = LocalFiles(backend).count(but)
        return ReplicaReport(
            pending=local_size(backend, but),
            pending_files=count,
            pending_file_bytes=size,
            error=error,
        )

    # -- the thread ------------------------------------------------------------------------------

    def work(self) -> None:
        """Send what there is, again and again, until the run has ended and all is sent."""
        try:
            wait: float | None = 0.0
            while self._refusal is None:
                finishing = self._sleep(wait)
                if self._leaving:
                    return
                wait = self._attempt()
                if finishing is None:
                    continue
                if self._settle() if wait is None else self._is_hopeless(finishing):
                    return
        finally:
            self.done.set()

    def _settle(self) -> bool:
        """Whether all is sent but what other processes go on to write and send themselves.

        To be asked after a pass that went well.
        """
        assert self._replica is not None
        found = self._replica.report(settled=True, own=True)
        self._passes += 1
        # One that has ended since the last look wrote its last rows after it.
        if found.pending and self._passes < PASSES:
            return False
        self._settled = found
        return True

    def _sleep(self, failed: float | None) -> float | None:
        """Sleep until there is something to do; since when the run is ending, if it is.

        Args:
            failed: seconds to wait after a failure, which nothing but the end of the run shortens;
                without one, rows that come end the sleep.
        """
        if failed is None:
            if self._finishing is None:
                self.wake.wait(self._settings.flush_interval)
        else:
            until = time.monotonic() + failed
            known = self._finishing
            while (left := until - time.monotonic()) > 0 and not self._leaving:
                if self._finishing != known:
                    break
                # Once the run is ending it is short of time: ask again soon.
                self.wake.wait(left if known is None else min(left, SOON))
                self.wake.clear()
                if known is not None:
                    break
        self.wake.clear()
        return self._finishing

    def _attempt(self) -> float | None:
        """Send what there is; seconds to wait before the next attempt, `None` after a success."""
        # Under the lock that a fork waits for: this is not the thread of a caller.
        lazy.load(*_NEEDED)
        try:
            self._rows_at = time.monotonic()
            self._connected().advance(self._hear, self._due)
        except Exception as error:  # noqa: BLE001 - not even a defect of ours may end the training
            return self._fail(error)
        self._succeed()
        return None

    def _connected(self) -> Replica:
        if self._replica is None:
            from ml_dash.sync.replica import Replica
            from ml_dash.sync.server import server_at

            client = self._client or server_at(self._settings.url or "")
            self._replica = Replica(self._folder, client, self._prefix)
        return self._replica

    def _due(self) -> bool:
        """Whether rows are to be looked for again, though files are still on their way."""
        now, interval = time.monotonic(), self._settings.flush_interval
        if self._leaving or now - self._rows_at < min(SOON, interval):
            return False
        if not self.wake.is_set() and now - self._rows_at < interval:
            return False
        self._rows_at = now
        return True

    def _sign(self) -> float:
        """When the server was last heard of, or bytes went out to it; 0 for never."""
        client = self._client or (self._replica.client if self._replica is not None else None)
        return max(self._heard, getattr(client, "moved", 0.0))

    def _hear(self, progress: Progress) -> None:
        if (taken := (progress.rows, progress.files)) != self._taken:
            self._taken, self._heard = taken, time.monotonic()

    def _succeed(self) -> None:
        self._heard = time.monotonic()
        if self._back_off is not None:
            self._back_off.reset()
        if self._failing is not None:
            self._failing = self._error = None
            self._said.clear()
            logger.warning(
                "ml-dash: the server takes the run %r again; nothing was lost", self._prefix
            )
        assert self._replica is not None
        for problem in self._replica.report().problems:
            self._say(problem, f"{problem}. Everything else is sent")

    def _fail(self, error: Exception) -> float:
        """Take note of a failure; seconds to wait."""
        from ml_dash.remote import RemoteError
        from ml_dash.sync.trouble import MOST_ASKED, BackOff, ends_replication, kind_of

        known = isinstance(error, RemoteError)
        self._error = str(error) if known else f"replication failed: {error!r}"
        text = self._error.rstrip(".")
        if self._failing is None:
            self._failing = time.monotonic()
        connected = self._replica is not None and self._replica.connected
        if ends_replication(error, connected=connected):
            self._refusal = error
            self._say("stopped", f"{text}. The run {self._prefix!r} stays in {self._folder} only")
            return 0.0
        then = "is sent as soon as that works"
        if (getattr(error, "retry_after", None) or 0.0) > MOST_ASKED:
            then = f"the server is asked again every {MOST_ASKED / 60:.0f} min"
        self._say(kind_of(error), f"{text}. The run goes on, and {then}")
        self._back_off = self._back_off or BackOff()
        self._failure = error
        if self._replica is not None and self._replica.taken > self._far:
            self._far = self._replica.taken
            self._back_off.reset()  # the line is bad, but it leads somewhere
        return self._back_off.next(error)

    def _is_hopeless(self, finishing: float) -> bool:
        """Whether the end of the run need not wait any longer, after an attempt that failed."""
        from ml_dash.sync.trouble import is_refusal

        # One that asks to be left alone for longer is not asked again, but not waited for either.
        asked = getattr(self._failure, "retry_after", None) or 0.0
        if self._failure is not None and (is_refusal(self._failure) or asked > SOON):
            return True
        return time.monotonic() - max(finishing, self._failing or 0.0) > UNANSWERED

    def _say(self, key: str, text: str) -> None:
        if key not in self._said and not self._leaving:  # the end of the run has said it all
            self._said.add(key)
            logger.warning("ml-dash: %s", text)
