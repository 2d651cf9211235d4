"""The writing end of rows: a ring that callers fill, and a thread that empties it.

`RowWriter` holds what is true of one process: its writer id, its ring, its thread. A forked child
begins anew with `abandon`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue

from ml_dash import ids
from ml_dash.backends import Backend
from ml_dash.buffer.drain import Drainer
from ml_dash.buffer.ledger import Ledger, closed_error
from ml_dash.buffer.reentry import Aside, is_owned
from ml_dash.buffer.ring import SLOT
from ml_dash.buffer.ring_home import RingHome
from ml_dash.buffer.stream import Stream

PROMOTE = 16
"""Rows after which a stream gets a slot of its own."""

PAUSE = 0.02
"""Seconds between two attempts of a caller who waits for a disk that fails."""

_BUSY = 0.05  # seconds between drains while rows come
_IDLE = 0.25  # and while none come
_LONGEST_IN_SLOT = SLOT // 4


class RowWriter:
    """Takes rows into the ring and writes them into segments from a thread of its own.

    Args:
        backend: where the segments are.
        streams: every stream of the run, by name.
        ledger: where losses are counted.
        synchronous: no thread: who hands a row over drains the ring.
        gone: called when somebody removed the run's folder, after what it held was counted lost.
    """

    def __init__(
        self,
        backend: Backend,
        streams: Mapping[str, Stream],
        ledger: Ledger,
        *,
        synchronous: bool,
        gone: Callable[[], None],
    ) -> None:
        self._backend = backend
        self._home = RingHome(backend, ledger)
        self._streams = streams
        self._ledger = ledger
        self._synchronous = synchronous
        self._gone = gone
        self.tick: Callable[[], None] | None = None
        self._begin()

    def _begin(self) -> None:
        self.writer = ids.new_writer_id()
        self._lock = threading.RLock()  # short: the ring's positions and the streams' slots
        self._drain_lock = threading.RLock()  # one drain at a time, for as long as the disk takes
        self.aside = Aside()  # rows of `interrupted` callers
        self._draining = self._again = False
        self._wake: SimpleQueue[SimpleQueue[None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._drainer: Drainer | None = None
        self._stopping = False

    @property
    def is_open(self) -> bool:
        """Whether there is a ring to put rows in."""
        return self._drainer is not None

    @property
    def error(self) -> OSError | None:
        """What kept the last drain from writing everything."""
        return self._drainer.error if self._drainer else None

    @property
    def written(self) -> int:
        """Bytes of rows in segments."""
        return self._drainer.written if self._drainer else 0

    @property
    def pending(self) -> int:
        """Bytes of rows that are in the ring only."""
        return self._drainer.pending() if self._drainer else 0

    def open(self) -> bool:
        """Make the ring and start the thread; false when that was done before."""
        with self._drain_lock:
            if self._drainer is not None:
                return False
            self._drainer = Drainer(
                self._home.make(self.writer),
                self._backend,
                self.writer,
                self._lock,
                self._streams,
                self._ledger.lose,
                self._gone,
            )
            if not self._synchronous:
                self._start_thread()
            return True

    @property
    def interrupted(self) -> bool:
        """Whether the caller came in the middle of a step of its own thread here."""
        return is_owned(self._lock) or (self._drainer is None and is_owned(self._drain_lock))

    @property
    def is_drained_here(self) -> bool:
        """Whether the caller's thread is just emptying the ring."""
        return self._draining and is_owned(self._drain_lock)

    def put_aside(self, stream: Stream, line: bytes) -> None:
        """Keep a row of an `interrupted` caller until that step is over."""
        if self._stopping:
            raise closed_error()
        self.aside.put(stream, line)

    def _place_aside(self) -> None:
        while (late := self.aside.next()) is not None:
            if not self.place(*late):
                self.aside.put_back(late)
                return

    def place(self, stream: Stream, line: bytes) -> bool:
        """Copy a line into the ring; false when there is no room until it is drained."""
        with self._lock:
            drainer = self._drainer
            if drainer is None:  # closed by another thread just now
                raise closed_error()
            if stream.slot is not None:
                try:
                    stream.slot.map.write(line)
                    return True
                except ValueError:
                    drainer.seal(stream)
                    stream.recent = PROMOTE
            stream.recent += 1
            busy = stream.recent > PROMOTE and not self._synchronous
            if busy and len(line) < _LONGEST_IN_SLOT and drainer.lend(stream, line):
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

    def is_own_thread(self) -> bool:
        """Whether the caller is the thread that empties the ring, which must not wait for it."""
        return threading.current_thread() is self._thread

    @property
    def has_thread(self) -> bool:
        """Whether a thread empties the ring, without being asked to."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    def drain_once(self, deadline: float | None = None) -> bool:
        """Write all that is in the ring now; whether all of it went out."""
        drainer = self._drainer
        if drainer is None:
            return True
        if not self.has_thread:
            self._drain()
            return not drainer.failed
        left = 0.5 if deadline is None else max(0.0, min(0.5, deadline - time.monotonic()))
        ticket: SimpleQueue[None] = SimpleQueue()
        self._wake.put(ticket)
        try:
            ticket.get(timeout=left)
        except Empty:
            return False
        return not drainer.failed

    def sync(self, files: Sequence[str] = ()) -> None:
        """Have the disk itself confirm the segments written since the last time, and files."""
        drainer = self._drainer
        if drainer is None:
            return
        touched, drainer.touched = drainer.touched, set()
        try:
            self._backend.sync([*sorted(touched), *files])
        except OSError as error:
            self._ledger.warn_once(
                "fsync", f"the disk did not confirm that it has the rows: {error}"
            )

    def close(self, timeout: float) -> tuple[int, int, OSError | None]:
        """Refuse rows from now on, write those there are, and let go of the ring.

        A ring that still holds rows stays on the disk, for whoever opens the run next.

        Returns:
            Bytes written, bytes still pending, and what keeps them.
        """
        if self.interrupted:
            return self._leave()
        self._stopping = True
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            self._wake.put(None)
            thread.join(timeout)
        # A disk that hangs keeps the thread, and the lock with it: leave the ring to it then.
        idle = not self.is_drained_here and self._drain_lock.acquire(timeout=max(0.1, timeout))
        try:
            with self._lock:  # from here on, no row finds a place
                drainer, self._drainer = self._drainer, None
                assert drainer is not None
                for stream in list(self._streams.values()):  # another thread may add one
                    drainer.seal(stream)
                    stream.write = _refuse
            if not idle:
                return drainer.written, drainer.pending(), drainer.error
            drainer.drain()
            result = drainer.written, drainer.pending(), drainer.error
            drainer.ring.close(remove=not result[1])
            self._backend.close()
            return result
        finally:
            if idle:
                self._drain_lock.release()

    def _leave(self) -> tuple[int, int, OSError | None]:
        """Close in the middle of a step of this thread, which may not be overtaken.

        The thread writes what is in the ring once that step is over; if the process is gone by
        then, whoever opens the run next.
        """
        self._stopping = True
        for stream in list(self._streams.values()):
            stream.write = _refuse
        self.aside.leave(self._backend, self.writer, self._ledger.lose)
        return self.written, self.pending, self.error

    def abandon(self) -> None:
        """In a forked child: the parent's rows and thread are the parent's affair."""
        if self._drainer is not None:
            for slot in self._drainer.slots:
                slot.map.close()
            self._drainer.ring.close(remove=False)
        for stream in self._streams.values():
            stream.reset()
        self._begin()

    def _renew_ring(self, drainer: Drainer, path: Path) -> None:
        with self._lock:  # callers wait for some milliseconds
            for stream in list(self._streams.values()):
                drainer.seal(stream)
            self._home.renew(drainer.ring, path)

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._run, name="ml-dash-rows", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is shutting down: `drain_once` does it by itself
            return
        self._thread = thread

    def _run(self) -> None:
        interval = _BUSY
        while True:
            tickets = self._await_tickets(interval)
            stopping = self._stopping
            moved = 0
            try:
                moved = self._drain()
                if self.tick is not None and not stopping:
                    self.tick()
            except Exception as error:  # noqa: BLE001 - the thread must outlive a defect of ours
                self._ledger.warn_once("drain", f"writing rows failed, trying again: {error!r}")
            for ticket in tickets:
                ticket.put(None)
            if stopping:
                return
            interval = _IDLE if self.error is not None or not moved else _BUSY

    def _await_tickets(self, seconds: float) -> list[SimpleQueue[None]]:
        """Sleep until somebody asks for a drain; who wants to be told when it is done."""
        tickets: list[SimpleQueue[None]] = []
        try:
            ticket = self._wake.get(timeout=seconds)
            while True:
                if ticket is not None:
                    tickets.append(ticket)
                ticket = self._wake.get_nowait()
        except Empty:
            return tickets

    def _drain(self) -> int:
        if self.is_drained_here:
            self._again = True  # a handler in the middle of a drain of this thread
            return 0
        with self._drain_lock:
            drainer = self._drainer
            if drainer is None:
                return 0
            self._draining = True
            try:
                self._place_aside()
                moved = drainer.drain()
                while self._again:
                    self._again = False
                    moved += drainer.drain()
            finally:
                self._draining = False
            error = drainer.error
            if moved and not self._synchronous and (path := drainer.ring.lost_path()):
                self._renew_ring(drainer, path)
        if error is not None:
            self._ledger.warn_once(
                f"disk {error.errno}",
                f"the disk refuses rows, they are kept and tried again: {error}",
            )
        return moved


def _refuse(line: bytes) -> None:
    raise closed_error()
