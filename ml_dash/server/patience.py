"""Answers that have begun: they wait for a full store rather than break off.

Who asks anew while the store is silent is told to come back; who was told 200 already cannot be. So
such an answer keeps its place. It waits without a thread: threads are for what the database alone
can answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator

from starlette.concurrency import run_in_threadpool

from ml_dash.server.store import SilentError

PATIENCE = 25.0
"""Seconds that an answer waits between two pieces; clients wait for 30."""

PAUSE = 0.5
"""Seconds between two looks whether there is room."""


async def patiently(
    first: bytes, begin: int, read: Callable[[int], Iterator[bytes]]
) -> AsyncIterator[bytes]:
    """The pieces of an answer whose first one is there.

    Args:
        first: that piece.
        begin: where it begins.
        read: gives the pieces from a place on, to the end.

    Raises:
        SilentError: the store was full for longer than clients wait.
    """
    yield first
    place = begin + len(first)
    pieces, until = read(place), time.monotonic() + PATIENCE
    while True:
        try:
            piece = await run_in_threadpool(next, pieces, None)
        except SilentError:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(PAUSE)
            pieces = read(place)  # the other one ended with the error
            continue
        if piece is None:
            return
        yield piece
        place += len(piece)
        until = time.monotonic() + PATIENCE
