"""What every handle writes into.

- A row whose `put` has returned survives the death of the process.
- No call here waits for a disk or a server while that makes progress or the ring has room; in an
  outage callers wait `PATIENCE` seconds in all, then rows are refused and counted.
- Nothing here raises because the world fails. Rows of one stream keep their order.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from ml_dash import ids, lazy
from ml_dash.backends import Backend, LocalBackend
from ml_dash.backends.folders import LinkError
from ml_dash.buffer.drain import Drainer
from ml_dash.buffer.pool import Job, Pool
from ml_dash.buffer.report import FlushReport
from ml_dash.buffer.ring import SLOT, Ring
from ml_dash.buffer.stream import Stream
from ml_dash.environment import process_identity
from ml_dash.errors import ClosedError
from ml_dash.rows import MAX_LINE, too_long
from ml_dash.settings import MEGABYTE, Settings, default_encoders

PATIENCE = 10.0
"""Seconds that callers wait in all for one outage."""

PROMOTE = 16
"""Rows after which a stream gets a slot of its own."""

_BUSY = 0.05  # seconds between drains while rows come
_IDLE = 0.25  # and while none come
_LONGEST_IN_SLOT = SLOT // 4

logger = logging.getLogger("ml_dash")


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
        self.forked = False
        self.first = True  # whether nobody wrote this run before; the run says so
        # How an unpickled copy finds its run; the run says so, whose room is above this one.
        self.rejoin: Callable[[Path | None, Settings], Buffer] | None = None
        self._opened = opened
        self._tick: Callable[[], None] | None = None
        self._warned: set[str] = set()
        self._streams: dict[str, Stream] = {}
        threads = settings.encoders or default_encoders()
        limit = settings.frame_buffer_mb * MEGABYTE
        self._pool = Pool(threads, limit, self._lose_file, self._patience)
        self._begin()
        _buffers.add(self)

    def _begin(self) -> None:
        self.writer = ids.new_writer_id()
        self.lost: dict[str, int] = {}
        self.closed = False
        self._lock = threading.Lock()
        self._drain_lock = threading.Lock()
        self._wake: SimpleQueue[SimpleQueue[None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._drainer: Drainer | None = None
        self._outage: float | None = None  # how much of an outage callers have waited through

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

    def _check_links(self, stream: str) -> None:
        if isinstance(self.backend, LocalBackend):
            try:
                self.backend.check(stream)
            except LinkError as error:
                raise ValueError(
                    f"stream {stream!r} would be written through a link inside the run,"
                    f" {error.filename}; remove the link, or choose another name"
                ) from None

    def put(self, stream: str, line: bytes) -> None:
        """Hand over one encoded row. It survives SIGKILL once this returned."""
        self.stream(stream).put(line)

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
            with self._pool.exclusive(key):
                job()
        except OSError as error:
            self._lose_file(str(error))
            return False
        return True

    def exclusive(self, key: str) -> AbstractContextManager[None]:
        """The caller's own turn at `key`, after all jobs of it that were submitted before."""
        self.ensure_open()
        return self._pool.exclusive(key)

    def hand_over(self, stream: Stream, line: bytes) -> None:
        """Find a place for a line that found none in a slot."""
        if len(line) > MAX_LINE:
            raise too_long(f"stream {stream.name!r}", len(line))
        while not self._place(stream, line):
            if not self._wait_for_room():
                self.lose(stream.name, "the buffer is full and the disk takes nothing")
                return
        if self.synchronous:
            self._drain()

    def _place(self, stream: Stream, line: bytes) -> bool:
        self.ensure_open()
        with self._lock:
            drainer = self._drainer
            if drainer is None:  # closed by another thread just now
                raise _closed_error()
            if stream.slot is not None:
                try:
                    stream.slot.map.write(line)
                    return True
                except ValueError:
                    drainer.seal(stream)
                    stream.recent = PROMOTE
            stream.recent += 1
            busy = stream.recent > PROMOTE and not self.synchronous
            if busy and len(line) < _LONGEST_IN_SLOT and drainer.lend(stream):
                stream.write(line)
                return True
            # Counted first: an interrupt in between leaves a gap, which is harmless; two rows that
            # claim one place would not be.
            offset = stream.offset
            stream.offset += len(line)
            placed = drainer.ring.put(stream.raw, stream.segment, offset, line)
            if not placed:
                stream.offset = offset
            hurry = drainer.ring.fill > 0.5
        if hurry:
            self._wake.put(None)
        return placed

    def _wait_for_room(self) -> bool:
        """Let the drainer make room; whether to try again."""
        if threading.current_thread() is self._thread or self.closed:
            return False
        self.warn_once(
            "full", "rows come faster than the disk takes them; the training loop waits for it"
        )
        if self.synchronous or self._thread is None or not self._thread.is_alive():
            self._drain()
        else:
            self._ask_for_drain(0.5)
        return self._patience() > 0

    def _patience(self) -> float:
        """Seconds that callers may still wait; counts from the first wait of an outage."""
        if (self._drainer is None or self._drainer.error is None) and self._pool.error is None:
            self._outage = None
            return PATIENCE
        now = time.monotonic()
        if self._outage is None:
            self._outage = now
        return PATIENCE - (now - self._outage)

    # -- opening and draining --------------------------------------------------------------------

    def ensure_open(self) -> None:
        """Make the ring and its thread at the first write.

        Raises:
            ClosedError: the run has ended.
        """
        if self._drainer is None:
            self.open()

    def open(self) -> None:
        """Begin to write. Does nothing when open."""
        if self.closed:
            raise _closed_error()
        with self._drain_lock:
            if self._drainer is not None:
                return
            ring = self._make_ring()
            drainer = Drainer(
                ring,
                self.backend,
                self.writer,
                self._lock,
                self._streams,
                self.lose,
                self._segments_gone,
            )
            self._drainer = drainer
            if not self.synchronous:
                self._start_thread()
        if self._opened is not None:
            self._opened(self)

    def _make_ring(self) -> Ring:
        identity = {**process_identity(), "writer": self.writer}
        if isinstance(self.backend, LocalBackend):
            path = self.backend.folder / ".buffer" / f"{self.writer}.ring"
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                return Ring(path, identity)
            except (OSError, AttributeError) as error:  # AttributeError: no posix_fallocate here
                self.warn_once(
                    "ring",
                    f"rows not yet written would not survive a kill of this process, because no "
                    f"buffer file could be made in {path.parent}: {error}",
                )
        return Ring(None, identity)

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._run, name="ml-dash-rows", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is shutting down: `flush` drains by itself
            return
        self._thread = thread

    def _run(self) -> None:
        interval = _BUSY
        while True:
            tickets: list[SimpleQueue[None]] = []
            try:
                ticket = self._wake.get(timeout=interval)
                while True:
                    if ticket is not None:
                        tickets.append(ticket)
                    ticket = self._wake.get_nowait()
            except Empty:
                pass
            stopping = self.closed
            moved = 0
            try:
                moved = self._drain()
                if self._tick is not None and not stopping:
                    self._tick()
            except Exception as error:  # noqa: BLE001 - the thread must outlive a defect of ours
                self.warn_once("drain", f"writing rows failed and is tried again: {error!r}")
            for ticket in tickets:
                ticket.put(None)
            if stopping:
                return
            failing = self._drainer is not None and self._drainer.error is not None
            interval = _IDLE if failing or not moved else _BUSY

    def _drain(self) -> int:
        with self._drain_lock:
            drainer = self._drainer
            if drainer is None:
                return 0
            moved = drainer.drain()
            error = drainer.error
        if error is not None:
            self.warn_once(
                f"disk {error.errno}",
                f"the disk refuses rows, they are kept and tried again: {error}",
            )
        return moved

    def _ask_for_drain(self, timeout: float) -> bool:
        """Have the thread drain once, from now on; whether it was done in time."""
        ticket: SimpleQueue[None] = SimpleQueue()
        self._wake.put(ticket)
        try:
            ticket.get(timeout=timeout)
        except Empty:
            return False
        return True

    def _segments_gone(self) -> None:
        self.warn_once(
            "gone", "the run's folder was removed while the run was written; it is made again"
        )
        if self._opened is not None:
            self._opened(self)

    def on_tick(self, action: Callable[[], None]) -> None:
        """Call `action` from the writing thread, several times a second."""
        self._tick = action

    # -- finishing -------------------------------------------------------------------------------

    def flush(self, timeout: float | None = None, fsync: bool = False) -> FlushReport:
        """Wait until everything recorded so far is in the run. Never raises.

        Args:
            timeout: seconds to wait at most. Without one it waits while there is progress, and for
                `PATIENCE` seconds when there is none.
            fsync: also wait until the operating system says that the disk itself has it.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        self._pool.wait(timeout)
        while not self._drained_once(deadline):
            if self._patience() <= 0 or (deadline is not None and time.monotonic() >= deadline):
                break
        if fsync:
            self._sync()
        return self.report()

    def _drained_once(self, deadline: float | None) -> bool:
        """Drain all that is in the ring now; whether all of it went out."""
        drainer = self._drainer
        if self.closed or drainer is None:
            return True
        thread = self._thread
        if self.synchronous or thread is None or not thread.is_alive():
            self._drain()
            return not drainer.failed
        left = 0.5 if deadline is None else max(0.0, min(0.5, deadline - time.monotonic()))
        return self._ask_for_drain(left) and not drainer.failed

    def report(self) -> FlushReport:
        """How things stand, without waiting."""
        return self._report(self._drainer)

    def _report(self, drainer: Drainer | None) -> FlushReport:
        error = (drainer and drainer.error) or self._pool.error
        return FlushReport(
            written=drainer.written if drainer else 0,
            pending=drainer.pending() if drainer else 0,
            pending_files=self._pool.unfinished,
            lost=dict(self.lost),
            error=str(error) if error else None,
        )

    def _sync(self) -> None:
        drainer = self._drainer
        if drainer is None:
            return
        touched, drainer.touched = drainer.touched, set()
        try:
            self.backend.sync(sorted(touched))
        except OSError as error:
            self.warn_once("fsync", f"the disk did not confirm that it has the rows: {error}")

    def finish_files(self, timeout: float) -> None:
        """Let the queued files be written, for `timeout` seconds at most; they precede the end."""
        self._pool.close(timeout)

    def close(self, timeout: float | None = None) -> FlushReport:
        """Write everything, tell the disk, and let go.

        What a full disk keeps from being written stays in the ring file: whoever opens or checks
        the run next finishes it.
        """
        if self.closed or self._drainer is None:
            self.closed = True
            return self.report()
        timeout = self.settings.close_timeout if timeout is None else timeout
        self.finish_files(timeout)
        self.flush(timeout, fsync=True)
        self.closed = True
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            self._wake.put(None)
            thread.join(timeout)
        with self._drain_lock:
            drainer = self._drainer
            with self._lock:  # from here on, no row finds a place
                self._drainer = None
                for stream in self._streams.values():
                    drainer.seal(stream)
                    stream.write = _refuse
            drainer.drain()
            report = self._report(drainer)
            drainer.ring.close(remove=not report.pending)
            self.backend.close()
        return report

    def abandon(self) -> None:
        """In a forked child: the parent's rows and threads are the parent's affair."""
        drainer = self._drainer
        if drainer is not None:
            for slot in drainer.slots:
                slot.map.close()
            drainer.ring.close(remove=False)
        for stream in self._streams.values():
            stream.reset()
        closed = self.closed
        self._pool.reset_after_fork()
        self._begin()
        self.closed = closed
        self.forked = True
        self.first = False
        if isinstance(self.backend, LocalBackend):
            self.backend.after_fork()

    # -- counting --------------------------------------------------------------------------------

    def lose(self, stream: str, reason: str, count: int = 1) -> None:
        """Count what had to be given up, and say so once for each stream."""
        self.lost[stream] = self.lost.get(stream, 0) + count
        self.warn_once(f"lost {stream}", f"data for {stream!r} is lost: {reason}")

    def _lose_file(self, reason: str) -> None:
        self.lose("files", reason)

    def warn_once(self, key: str, message: str) -> None:
        """Log a warning, once for each `key` of this run."""
        if key not in self._warned:
            self._warned.add(key)
            logger.warning("ml-dash: %s", message)

    @property
    def is_open(self) -> bool:
        """Whether this process has written anything and may write more."""
        return self._drainer is not None

    @property
    def folder(self) -> Path | None:
        """The run's folder, when it has one."""
        return getattr(self.backend, "folder", None)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.rejoin is None:
            raise TypeError("a buffer without a run cannot be taken to another process")
        return self.rejoin, (self.folder, self.settings)


def _refuse(line: bytes) -> None:
    raise _closed_error()


def _closed_error() -> ClosedError:
    return ClosedError(
        "the run has ended, so nothing more can be recorded; start it again with"
        " `experiment.run.start()` or a new `with Experiment(...).run`"
    )


_buffers: weakref.WeakSet[Buffer] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for buffer in list(_buffers):
        buffer.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
