"""Brings a server's copy of a run up to date, once."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ml_dash.buffer.recovery import drain_dead
from ml_dash.sync.listing import local_segments
from ml_dash.sync.report import ReplicaReport
from ml_dash.sync.trouble import BackOff, is_refusal

if TYPE_CHECKING:
    from ml_dash.remote import RemoteClient, RemoteError
    from ml_dash.sync.replica import Progress, Replica

PATIENCE = 20.0
"""Seconds without any progress after which an attempt is given up."""

SLOW = 8
"""Attempts beyond that which are made on a line that is slow: each with smaller requests."""

ROWS_AGAIN = 5.0
"""Seconds between two looks for rows while files are on their way."""


def replicate(
    folder: Path,
    client: RemoteClient,
    prefix: str | None = None,
    progress: Callable[[Progress], None] | None = None,
    *,
    verify: bool = True,
    patience: float = PATIENCE,
    back_off: BackOff | None = None,
    sleep: Callable[[float], object] = time.sleep,
) -> ReplicaReport:
    """Send what a server has not got of a run until it has all, and say how that went.

    Rows that a dead process left in its ring are written into segments first. The run may be
    written meanwhile: what was there at the beginning is sent, and as a rule more. Of what came
    later nothing is said that is not there yet.

    Args:
        folder: the run.
        client: the server.
        prefix: the run's key; by default where it was downloaded from, else what it was
            recorded as.
        progress: called now and then with how far it has come.
        verify: hold what the server has already against its checksums, which reads all of it.
        patience: seconds to go on trying without any progress.
        back_off: how long to wait between two attempts.
        sleep: waits so long.

    Returns:
        What was sent. Its `error` says what kept the rest from being sent, its `problems` what
        will not be sent as things are.
    """
    from ml_dash.remote import RemoteError
    from ml_dash.sync.replica import Replica

    drain_dead(folder)
    replica = Replica(folder, client, prefix, verify=verify, look=True)
    there = dict(local_segments(replica.backend))
    back_off = back_off or BackOff()
    best = replica.taken
    since, due, slow = time.monotonic(), _every(ROWS_AGAIN), 0
    while True:
        begun = time.monotonic()
        try:
            replica.advance(progress, due)
            return replica.report(settled=True, begun=there)
        except RemoteError as error:
            if replica.taken > best:
                best, since, slow = replica.taken, time.monotonic(), 0
                back_off.reset()
            elif slow < SLOW and _is_slow(error, replica, begun):
                slow, since = slow + 1, time.monotonic()  # it takes bytes
            wait = back_off.next(error)
            if is_refusal(error) or time.monotonic() + wait - since > patience:
                return replica.report(str(error), settled=True)
            sleep(wait)


def _is_slow(error: RemoteError, replica: Replica, begun: float) -> bool:
    """Whether the server is there, and an attempt since `begun` failed by the line alone."""
    moved: float = getattr(replica.client, "moved", 0.0)
    return error.kind == "timeout" and replica.connected and moved > begun


def _every(seconds: float) -> Callable[[], bool]:
    """Whether so much time has passed since it last was so."""
    last = time.monotonic()

    def due() -> bool:
        nonlocal last
        if time.monotonic() - last < seconds:
            return False
        last = time.monotonic()
        return True

    return due
