"""Answers that have begun: they wait for a full store rather than break off.

Who asks anew while the store is silent is told to come back; who was told 200 already cannot be. So
such an answer keeps its place. It waits without a thread where it can: threads are for what the
database alone can answer.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

from ml_dash.server.store import SilentError

PATIENCE = 25.0
"""Seconds that an answer waits between two pieces; clients wait for 30."""

PAUSE = 0.5
"""Seconds between two looks whether there is room."""

IN_THREADS = 8
"""Answers that wait in a thread at once; there are more threads than these and the store's."""

T = TypeVar("T")

_threads = threading.BoundedSemaphore(IN_THREADS)


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


def in_a_thread(read: Callable[[], T]) -> T:
    """The same for what cannot be left and taken up again: rows are made of several chunks.

    Args:
        read: reads the next bytes of an answer that has begun.

    Raises:
        SilentError: the store was full for longer than clients wait, or too many wait so.
    """
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return read()
        except SilentError:
            if time.monotonic() > until or not _threads.acquire(blocking=False):
                raise
        try:
            time.sleep(PAUSE)
        finally:
            _threads.release()
