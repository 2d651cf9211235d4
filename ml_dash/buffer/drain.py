"""Moves rows from the ring into the segments of a backend.

- Rows of a stream arrive in the order in which they were handed over.
- A row is written once, also after a failed or a short write: the segment's length tells.
- A failing disk is tried again until it works. Rows are dropped only where a stream's own file
  cannot be written (a folder in its place, a name too long) for `GIVE_UP` seconds, while others
  can: a disk that is full is never a reason.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from ml_dash.backends.base import Backend, SegmentGoneError
from ml_dash.buffer.ring import Piece, Ring, Slot
from ml_dash.buffer.ring_reading import read_records
from ml_dash.buffer.stream import Stream
from ml_dash.errors import TRANSIENT

GIVE_UP = 10.0
_KEEP_FREE = 8

Waiting = dict[Stream, list[tuple[int, memoryview]]]


class Drainer:
    """Drains one ring. One thread at a time may call `drain`."""

    def __init__(
        self,
        ring: Ring,
        backend: Backend,
        writer: str,
        lock: threading.RLock,
        streams: Mapping[str, Stream],
        lose: Callable[[str, str, int], None],
        gone: Callable[[], None],
    ) -> None:
        self.ring = ring
        self.backend = backend
        self.writer = writer
        self.slots: list[Slot] = []
        self.owners: dict[int, Stream] = {}
        self.written = 0
        self.error: OSError | None = None
        self.failed = False  # whether the last drain left something
        self.touched: set[str] = set()
        self._lock = lock
        self._streams = streams
        self._lose = lose
        self._gone = gone

    def drain(self) -> int:
        """Write what the ring holds now; how many bytes went out. Never raises `OSError`."""
        before = self.written
        waiting: Waiting = {}
        with self._lock:
            end = self.ring.head
            slots = [(slot, slot.sealed, self.ring.content(slot)) for slot in self.slots]
        for piece in read_records(self.ring.view, self.ring.tail, end):
            self._add(waiting, self._streams[piece.path], piece)
        for slot, _, piece in slots:
            self._add(waiting, self.owners[slot.number], piece)
        self.failed = failed = self._write(waiting)
        waiting.clear()  # gives up the views, so that the ring can be closed
        with self._lock:
            if not failed:
                self.ring.drained(end)
            for slot, sealed, piece in slots:
                stream = self.owners[slot.number]
                done = stream.written >= stream.place(piece.segment, piece.end)
                if sealed and done:
                    self.slots.remove(slot)
                    self.ring.give_back(slot)
                elif done and self.ring.free_slots < _KEEP_FREE:
                    self._take_from_idle(stream, slot, len(piece.data))
        return self.written - before

    def lend(self, stream: Stream, line: bytes) -> bool:
        """Give a busy stream a slot that begins with `line`, if there is one. Under the lock."""
        slot = self.ring.lend(stream.name, stream.segment, stream.offset)
        if slot is None:
            return False
        self.owners[slot.number] = stream
        self.slots.append(slot)
        stream.slot = slot
        stream.quiet = -1
        slot.map.write(line)  # before other threads can, who may fill the slot at once
        stream.write = slot.map.write
        return True

    def seal(self, stream: Stream) -> None:
        """Take a stream's slot away. Under the lock. Doing it twice does no harm."""
        slot = stream.slot
        if slot is not None:
            slot.map.close()
            stream.write = stream.retry
            stream.offset = self.ring.content(slot).end
            slot.sealed = True
            stream.slot = None

    def pending(self) -> int:
        """Bytes of rows that are in the ring only."""
        with self._lock:
            total = 0
            slots = [self.ring.content(slot) for slot in self.slots]
            records = read_records(self.ring.view, self.ring.tail, self.ring.head)
            for piece in [*records, *slots]:
                stream = self._streams[piece.path]
                end = stream.place(piece.segment, piece.end)
                total += max(0, min(len(piece.data), end - stream.written))
            return total

    def _take_from_idle(self, stream: Stream, slot: Slot, held: int) -> None:
        """When slots run short, streams that wrote nothing since the last drain give theirs up."""
        if stream.slot is slot and stream.quiet == held:
            self.seal(stream)
            stream.recent = 0
        stream.quiet = held

    def _add(self, waiting: Waiting, stream: Stream, piece: Piece) -> None:
        start = stream.place(piece.segment, piece.offset)
        data = piece.data
        if start < stream.written:  # a former attempt got that far
            data = data[stream.written - start :]
            start = stream.written
        if len(data):
            waiting.setdefault(stream, []).append((start, data))

    def _write(self, waiting: Waiting) -> bool:
        """Write all streams; whether one failed."""
        failed: list[Stream] = []
        removed = False
        for stream, pieces in waiting.items():
            pieces.sort(key=_start)
            try:
                self._append(stream, pieces)
                stream.failing_since = None
            except SegmentGoneError:
                failed.append(stream)
                removed = True
            except OSError as error:
                failed.append(stream)
                self._note_failure(stream, error)
        if removed:
            self._begin_again()
        elif not failed:
            self.error = None
        elif len(failed) < len(waiting):
            self._give_up_on_stuck(failed, waiting)
        return bool(failed)

    def _append(self, stream: Stream, pieces: list[tuple[int, memoryview]]) -> None:
        segment = stream.segment_path(self.writer)
        self.touched.add(segment)
        try:
            for start, views in _contiguous(pieces):
                # An interrupt may have left a gap between the producer's counts; the segment has
                # none.
                stream.origin += start - stream.written
                stream.written = start
                self.backend.append(segment, start - stream.origin, views)
                size = sum(map(len, views))
                stream.written += size
                self.written += size
                stream.rows += sum(bytes(view).count(b"\n") for view in views)
        except SegmentGoneError:
            raise
        except BaseException:  # also an interrupt, where the caller drains by itself
            with contextlib.suppress(OSError):
                arrived = stream.origin + self.backend.size(segment) - stream.written
                stream.written += arrived
                self.written += arrived
            raise

    def _note_failure(self, stream: Stream, error: OSError) -> None:
        self.error = error.with_traceback(None)  # which would keep the ring's memory for long
        stream.failure = error.errno or 0
        stream.failing_since = stream.failing_since or time.monotonic()

    def _begin_again(self) -> None:
        """Segments were removed from outside: count what they held, go on in new ones."""
        for stream in list(self._streams.values()):
            if not stream.rows or self.backend.size(stream.segment_path(self.writer)):
                continue
            reason = "its segment was removed while the run was written"
            self._lose(stream.name, reason, stream.rows)
            self._begin_segment(stream)
        self._gone()

    def _begin_segment(self, stream: Stream) -> None:
        """Let what the stream has not written yet go into a new segment."""
        with self._lock:
            self.seal(stream)
            ahead = stream.place(stream.segment, stream.offset) - stream.written
            stream.starts.append(stream.written)
            stream.origin = stream.written
            stream.segment += 1
            stream.offset = ahead
            stream.rows = 0

    def _give_up_on_stuck(self, failed: list[Stream], waiting: Waiting) -> None:
        """A stream that cannot be written while others can must not fill the ring for all.

        What comes next goes into a new segment: the old one may end in the middle of a line, and
        its length no longer says how much of what is in the ring was written.
        """
        now = time.monotonic()
        for stream in failed:
            if stream.failing_since is not None and now - stream.failing_since > GIVE_UP:
                # Small rows may still find place on a disk that is full for large ones.
                if stream.failure in TRANSIENT:
                    continue
                pieces = waiting[stream]
                rows = sum(bytes(data).count(b"\n") for _, data in pieces)
                self._lose(stream.name, f"could not be written: {self.error}", rows)
                stream.written = pieces[-1][0] + len(pieces[-1][1])
                stream.failing_since = None
                self._begin_segment(stream)


def _contiguous(
    pieces: list[tuple[int, memoryview]],
) -> Iterator[tuple[int, list[memoryview]]]:
    """Runs of pieces that follow each other without a gap; nearly always one."""
    run: list[memoryview] = []
    start = end = pieces[0][0]
    for place, data in pieces:
        if place != end:
            yield start, run
            run, start = [], place
        run.append(data)
        end = place + len(data)
    yield start, run


def _start(piece: tuple[int, memoryview]) -> int:
    return piece[0]
