"""What every handle writes into.

- A row whose `put` has returned survives the death of the process.
- No call here waits for a disk or a server while that makes progress or the ring has room; in an
  outage callers wait `outage.PATIENCE` seconds in all, then rows are refused and counted.
- Nothing here raises because the world fails. Rows of one stream keep their order.
"""

from __future__ import annotations

import os
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from ml_dash import lazy
from ml_dash.backends import Backend, LocalBackend
from ml_dash.backends.folders import LinkError
from ml_dash.buffer.job import Job
from ml_dash.buffer.ledger import Ledger, closed_error
from ml_dash.buffer.outage import Outage
from ml_dash.buffer.pool import Pool
from ml_dash.buffer.report import FlushReport
from ml_dash.buffer.stream import Stream
from ml_dash.buffer.writer import PAUSE, RowWriter
from ml_dash.rows import MAX_LINE, too_long
from ml_dash.settings import MEGABYTE, Settings, default_encoders

MOST_SYNCED = 100
"""Files that the disk is asked to confirm at the end, the last ones saved."""


class Buffer:
    """Takes rows and files of one run in one process, and writes them behind the caller's back.

    Args:
        backend: where they go.
        settings: how much may be in flight, and whether to buffer at all.
        opened: called when this process is about to write for the first time, also in a forked
            child, with the buffer; writes the rows that say who writes.
    """

    def __init__(
        self, backend: Backend, settings: Settings, opened: Callable[[Buffer], None] | None = None
    ) -> None:
        self.backend = backend
        self.settings = settings
        self.synchronous = not settings.buffer_enabled
        self.closed = False
        self.forked = False
        self.first = True  # whether nobody wrote this run before; the run says so
        self.since: float | None = None  # when this session began, if it is not the first one
        # How an unpickled copy finds its run; the run says so, whose room is above this one.
        self.rejoin: Callable[[Path, Settings], Buffer] | None = None
        self._opened = opened
        self._streams: dict[str, Stream] = {}
        self._ledger = Ledger()
        self._rows = RowWriter(
            backend,
            self._streams,
            self._ledger,
            synchronous=self.synchronous,
            gone=self._segments_gone,
        )
        self._outage = Outage(self._is_failing)
        threads = settings.encoders or default_encoders()
        limit = settings.frame_buffer_mb * MEGABYTE
        self._pool = Pool(threads, limit, self._ledger.lose_file, self._outage.left)
        self._unsettled: deque[str] = deque(maxlen=MOST_SYNCED)  # files for the disk to confirm
        self._last: FlushReport | None = None
        _buffers.add(self)

    # -- taking ----------------------------------------------------------------------------------

    def stream(self, name: str) -> Stream:
        """The stream `name`, such as `tracks/robot/position`; components are encoded already.

        Raises:
            ValueError: somebody planted a link in the run that leads its rows elsewhere.
        """
        try:
            return self._streams[name]
        except KeyError:
            self._check_links(name)
            return self._streams.setdefault(name, Stream(self, name))

    def put(self, stream: str, line: bytes) -> None:
        """Hand over one encoded row. It survives SIGKILL once this returned."""
        self.stream(stream).put(line)

    def hand_over(self, stream: Stream, line: bytes) -> None:
        """Find a place for a line that found none in a slot."""
        if len(line) > MAX_LINE:
            raise too_long(f"stream {stream.name!r}", len(line))
        if self._rows.interrupted:
            self._rows.put_aside(stream, line)
            return
        self.ensure_open()
        try:
            self._place(stream, line)
        finally:
            while (late := self._rows.aside.next()) is not None:
                self._place(*late)
        if self.synchronous:
            self._rows.drain_once()

    def _place(self, stream: Stream, line: bytes) -> None:
        while not self._rows.place(stream, line):
            if not self._wait_for_room():
                self.lose(stream.name, "the buffer is full and the disk takes nothing")
                return

    def submit(self, key: str, size: int, job: Job) -> bool:
        """Run `job` on a worker thread, after those of the same `key`.

        Args:
            key: what is written, a path; jobs of one key run in call order.
            size: bytes that the job holds on to; waits while too many are in flight.
            job: encodes and writes. It may raise `OSError`: it is then run again.

        Returns:
            Whether it was taken; when an outage lasts too long it is refused, and counted as lost.
        """
        self.ensure_open()
        lazy.storing()
        if not self.synchronous:
            return self._pool.submit(key, size, job)
        try:
            with self.exclusive(key):
                job()
        except OSError as error:
            self._ledger.lose_file(str(error))
            return False
        return True

    def exclusive(self, *keys: str) -> AbstractContextManager[None]:
        """The caller's own turn at `keys`, after all jobs of them that were submitted before."""
        self.ensure_open()
        lazy.storing()
        return nullcontext() if self.interrupted else self._pool.exclusive(*keys)

    def ensure_open(self) -> None:
        """Begin to write, at the first call.

        Raises:
            ClosedError: the run has ended.
        """
        if not self._rows.is_open:
            if self.closed:
                raise closed_error()
            if self._rows.open() and self._opened is not None:
                self._opened(self)

    def _check_links(self, stream: str) -> None:
        if isinstance(self.backend, LocalBackend):
            try:
                self.backend.check(stream)
            except LinkError as error:
                raise ValueError(
                    f"stream {stream!r} would be written through a link inside the run,"
                    f" {error.filename}; remove the link, or choose another name"
                ) from None

    def _wait_for_room(self) -> bool:
        """Let the drainer make room; whether to try again."""
        if self._rows.is_own_thread() or self.closed:
            return False
        self.warn_once(
            "full", "rows come faster than the disk takes them; the training loop waits for it"
        )
        if self._rows.has_thread and self._outage.left() <= 0:
            return False  # it tries by itself; to wait for that at each row would add up
        if not self._rows.drain_once():
            time.sleep(PAUSE)
        return self._outage.left() > 0

    def _is_failing(self) -> bool:
        return self._rows.error is not None or self._pool.error is not None

    def _segments_gone(self) -> None:
        self.warn_once(
            "gone", "the run's folder was removed while the run was written; it is made again"
        )
        if self._opened is not None:
            self._opened(self)

    # -- finishing -------------------------------------------------------------------------------

    def on_tick(self, action: Callable[[], None]) -> None:
        """Call `action` from the writing thread, several times a second."""
        self._rows.tick = action

    def flush(self, timeout: float | None = None, fsync: bool = False) -> FlushReport:
        """Wait until everything recorded so far is in the run. Never raises.

        Args:
            timeout: seconds to wait at most. Without one it waits while there is progress, and for
                `outage.PATIENCE` seconds when there is none.
            fsync: also wait until the operating system says that the disk itself has it: all rows,
                and of the files the last 100 that are no images, for some seconds at most.

        In the handler of a signal that came in the middle of recording it waits for nothing.
        """
        if self.interrupted:
            return self.report()
        begun = time.monotonic()
        saved = self._pool.wait(timeout)
        shown = self.show_rows(None if timeout is None else begun + timeout - time.monotonic())
        if fsync:
            self._rows.sync(self._settled())
        report = self.report()
        if self.closed:
            return report
        # What others have recorded meanwhile was not asked about.
        report = replace(report, pending_files=0) if saved else report
        return replace(report, pending=0) if shown else report

    def settle(self, path: str) -> None:
        """Have the disk confirm a file, too, when it is asked to confirm the rows."""
        self._unsettled.append(path)

    def _settled(self) -> list[str]:
        found: list[str] = []
        while self._unsettled:
            found.append(self._unsettled.popleft())
        return found

    def show_rows(self, timeout: float | None = None) -> bool:
        """Wait until the rows handed over so far are where readers see them; as `flush` waits."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not (self.closed or self.interrupted):
            if self._rows.drain_once(deadline):
                return True
            if self._outage.left() <= 0 or (deadline is not None and time.monotonic() >= deadline):
                break
            time.sleep(PAUSE)
        return False

    def report(self) -> FlushReport:
        """How things stand, without waiting."""
        if self._last is not None:
            return self._last
        return self._report(self._rows.written, self._rows.pending, self._rows.error)

    def _report(self, written: int, pending: int, error: OSError | None) -> FlushReport:
        error = error or self._pool.error
        return FlushReport(
            written=written,
            pending=pending,
            pending_files=self._pool.unfinished,
            lost=dict(self.lost),
            error=str(error) if error else None,
        )

    def finish_files(self, timeout: float) -> None:
        """Let the queued files be written, for `timeout` seconds at most; they precede the end."""
        if not self.interrupted:
            self._pool.close(timeout)

    @property
    def interrupted(self) -> bool:
        """Whether the caller is a handler or a finalizer in the middle of a step of its thread.

        It must not wait for other threads, since they may wait for that step.
        """
        return self._rows.interrupted or self._rows.is_drained_here or self._pool.interrupted

    def close(self, timeout: float | None = None) -> FlushReport:
        """Write everything, tell the disk, and let go, in about `timeout` seconds at most.

        What a full disk keeps from being written stays in the ring file: whoever opens or checks
        the run next finishes it.
        """
        if not self.closed and self._rows.is_open:
            timeout = self.settings.close_timeout if timeout is None else timeout
            deadline = time.monotonic() + timeout
            self.finish_files(timeout)
            self.flush(max(0.1, deadline - time.monotonic()), fsync=True)
            self.closed = True
            left = max(0.1, deadline - time.monotonic())
            self._last = self._report(*self._rows.close(left))
        self.closed = True
        return self.report()

    def abandon(self) -> None:
        """In a forked child: begin as if nothing had been written."""
        self._rows.abandon()
        self._pool.reset_after_fork()
        self._ledger.after_fork()
        self._unsettled.clear()
        self._outage.restart()
        self.forked = True
        self.first = False
        if isinstance(self.backend, LocalBackend):
            self.backend.after_fork()

    # -- what others ask -------------------------------------------------------------------------

    @property
    def writer(self) -> str:
        """The id that this process's segments are named by."""
        return self._rows.writer

    @property
    def lost(self) -> dict[str, int]:
        """What had to be given up, by stream."""
        return self._ledger.lost

    def rows_by_room(self) -> dict[str, int]:
        """How many rows this process has written into segments, by the folder they are in."""
        found: dict[str, int] = {}
        for stream in list(self._streams.values()):
            room = stream.name.partition("/")[0]
            found[room] = found.get(room, 0) + stream.rows
        return found

    def lose(self, stream: str, reason: str, count: int = 1) -> None:
        """Count what had to be given up, and say so once for each stream."""
        self._ledger.lose(stream, reason, count)

    def warn_once(self, key: str, message: str) -> None:
        """Log a warning, once for each `key` of this run."""
        self._ledger.warn_once(key, message)

    @property
    def is_open(self) -> bool:
        """Whether this process has written anything and may write more."""
        return self._rows.is_open

    @property
    def folder(self) -> Path | None:
        """The run's folder, when it has one."""
        return getattr(self.backend, "folder", None)

    def __deepcopy__(self, memo: object) -> Buffer:
        return self  # copies of a handle write into the same run

    def __reduce__(self) -> tuple[Any, ...]:
        if self.rejoin is None:
            raise TypeError("a buffer without a run cannot be taken to another process")
        if self.folder is None:
            raise TypeError("a run kept in memory cannot be taken to another process")
        return self.rejoin, (self.folder, self.settings)


_buffers: weakref.WeakSet[Buffer] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for buffer in list(_buffers):
        buffer.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
