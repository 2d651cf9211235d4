"""A few threads that work off one batch of uploads.

Daemon threads of our own: an executor of the standard library takes no work while the interpreter
ends, which is just when the last files are sent.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Full, Queue
from types import TracebackType
from typing import Self

THREADS = 4
"""Uploads at a time."""

TICK = 0.2
"""Seconds between two calls of `progress`."""

Job = Callable[[], None]


class UploadThreads:
    """Runs jobs on threads that start with the first ones and end with the block.

    Leaving the block waits for all jobs, and raises the first exception of any; jobs that have not
    begun by then are dropped. Where no thread can be started, the caller runs them.

    Args:
        progress: called now and then by the thread that submits, or leaves, while it waits.
    """

    def __init__(self, progress: Callable[[], None] | None = None) -> None:
        self._progress = progress
        self._queue: Queue[Job | None] = Queue(maxsize=2 * THREADS)
        self._threads: list[threading.Thread] = []
        self._error: BaseException | None = None

    def submit(self, job: Job) -> None:
        """Run `job` on one of the threads; waits while all of them are busy and more wait."""
        if self._error is not None:
            return
        if len(self._threads) < THREADS and not self._start():
            self._work(job)
            return
        while True:
            try:
                self._queue.put(job, timeout=TICK)
                return
            except Full:
                self._tell()

    def _start(self) -> bool:
        """Start one more thread; whether there is any to take a job."""
        thread = threading.Thread(target=self._run, name="ml-dash-upload", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is shutting down
            return bool(self._threads)
        self._threads.append(thread)
        return True

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            if self._error is None:
                self._work(job)

    def _work(self, job: Job) -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            self._error = self._error or error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._error = self._error or error
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            while thread.is_alive():
                thread.join(TICK)
                self._tell()
        if self._error is not None and error is None:
            raise self._error

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress()
