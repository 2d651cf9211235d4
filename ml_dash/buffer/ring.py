"""The memory that rows are handed over in, which outlives the process.

A ring is one preallocated file of fixed size, mapped into memory. What was copied into it is in the
page cache: it survives SIGKILL of the process, and costs its caller no system call.

    header   one block: the magic, the cell `tail`, and who writes (JSON)
    common   a circular log of records, for streams that write little, and for long rows
    slots    blocks of `SLOT` bytes, each lent to one busy stream

**A slot** has a map of its own. Appending to it is one call into C, `mmap.write`, which copies the
line and moves its position, or raises ValueError when the line does not fit or the map was closed.
It is atomic towards other threads, forks and signals without a lock. Lines hold no NUL byte and a
free slot holds nothing else, so its content ends at the first NUL: there is no count that could
disagree with it.

**A record** of the common log is written under the buffer's lock: payload first, the magic number
that makes it valid last. The magic includes its position, so what an earlier lap left is not valid.

Slot and record both say at which offset of which segment their bytes belong. From that, and from
how long the segment is, anyone can tell after a crash which rows had already been written.
"""

from __future__ import annotations

import json
import mmap
import struct
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_dash.buffer.ring_file import close_file, make_file

MAGIC = b"MLDRING1"
BLOCK = 65536  # a multiple of every system's allocation granularity
COMMON = 18 * 1024 * 1024  # holds the longest row, from any position once it has been drained
SLOT = 262144
SLOTS = 184
SIZE = BLOCK + COMMON + SLOT * SLOTS

TAIL = 1  # index of the cell `tail` among the file's 64-bit words
IDENTITY = 4096  # where the identity begins: its length, then JSON

RECORD = struct.Struct("@QIIQQ")  # data length, path length, segment number, offset, magic
SLOT_HEAD = struct.Struct("@QIIQ")  # offset, path length, segment number, serial
SLOT_MAGIC = 0x4D4C44534C4F5431
RECORD_MAGIC = 0x4D4C44524543_0001
_ZEROS = bytes(SLOT)
# All pages of a slot at once: a fault for each of them would be a tenth of what a row costs.
_POPULATE_WRITE = 23  # MADV_POPULATE_WRITE of Linux 5.14, which the module `mmap` does not name
_CAN_POPULATE = sys.platform == "linux"
MAX_PATH = 2048
"""The longest stream path in bytes that a slot's head has room for."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole lines that belong at `offset` of segment number `segment` of the stream `path`."""

    path: str
    segment: int
    offset: int
    data: memoryview

    @property
    def end(self) -> int:
        """The offset behind the last byte."""
        return self.offset + len(self.data)


class Slot:
    """A block of the ring, while it is lent to a stream."""

    __slots__ = ("base", "map", "number", "path", "sealed", "segment", "start")

    def __init__(self, number: int, map_: mmap.mmap, piece: Piece, start: int) -> None:
        self.number = number
        self.map = map_  # who writes into it when it was closed gets a ValueError
        self.path = piece.path
        self.segment = piece.segment
        self.base = piece.offset
        self.start = start  # where in the ring's file the lines begin
        self.sealed = False  # whether its stream has let go of it


class Ring:
    """The ring of one process and one run.

    Not safe for threads by itself: the buffer's lock guards everything but writing into slots.

    Args:
        path: where the file is made; `None` keeps the ring out of the run's folder, so that rows
            in it die with the process.
        identity: who writes here, for the one who finds the file after a crash.

    Raises:
        OSError: the file could not be made, for example because the disk is full.
    """

    def __init__(self, path: Path | None, identity: Mapping[str, Any]) -> None:
        self.path = path
        self._file = make_file(path, SIZE)
        try:
            self.map = mmap.mmap(self._file, SIZE)
        except (OSError, ValueError):
            close_file(self._file)
            if path is not None:
                path.with_suffix(".tmp").unlink(missing_ok=True)
            raise
        self.view = memoryview(self.map)
        self._cells = self.view.cast("Q")
        self.head = 0
        self.tail = 0
        self._free = list(range(SLOTS - 1, -1, -1))  # the lowest first, again and again
        self._write_identity(identity)
        if path is not None:
            path.with_suffix(".tmp").rename(path)

    def lost_path(self) -> Path | None:
        """Where the file was, if somebody removed it: nobody would find what it holds."""
        try:
            if self.path is not None:
                self.path.stat()
        except FileNotFoundError:
            return self.path
        except OSError:
            pass  # nobody knows: it is left as it is
        return None

    def renew(self, path: Path) -> None:
        """Make the file again, with all that the removed one holds.

        Every lent slot must be sealed: nobody writes into the old file after this.

        Raises:
            OSError: it could not be made. The ring goes on without a file that could be found.
        """
        self.path = None
        path.parent.mkdir(parents=True, exist_ok=True)
        file = make_file(path, SIZE)
        try:
            own = mmap.mmap(file, SIZE)
            view = memoryview(own)
            for begin, end in self._used():
                view[begin:end] = self.view[begin:end]
            path.with_suffix(".tmp").rename(path)
        except (OSError, ValueError):
            close_file(file)
            path.with_suffix(".tmp").unlink(missing_ok=True)
            raise
        self.path = path
        # The old map goes when the last piece of it has been written.
        old, self._file = self._file, file
        self.map, self.view, self._cells = own, view, view.cast("Q")
        close_file(old)  # at last: a child that is forked meanwhile closes what it finds

    def _used(self) -> Iterator[tuple[int, int]]:
        """The parts of the file in which there may be anything but zeros."""
        yield 0, BLOCK + min(self.head, COMMON)
        for number in set(range(SLOTS)) - set(self._free):
            begin = BLOCK + COMMON + number * SLOT
            yield begin, begin + SLOT

    def _write_identity(self, identity: Mapping[str, Any]) -> None:
        text = json.dumps(dict(identity)).encode()
        self.view[IDENTITY : IDENTITY + 8] = len(text).to_bytes(8, sys.byteorder)
        self.view[IDENTITY + 8 : IDENTITY + 8 + len(text)] = text
        self.view[0:8] = MAGIC

    def put(self, path: bytes, segment: int, offset: int, line: bytes) -> bool:
        """Copy a line into the common log; false when there is no room until it is drained."""
        length = aligned(RECORD.size + len(path) + len(line))
        at = self.head % COMMON
        if at and self.head == self.tail:
            self.head += COMMON - at  # all is drained: begin at the front, where pages are warm
            self._set_tail(self.head)
            at = 0
        skip = COMMON - at if at + length > COMMON else 0
        if self.head + skip + length - self.tail > COMMON:
            return False
        self.head += skip
        start = BLOCK + self.head % COMMON
        text = start + RECORD.size
        self.map[text : text + len(path)] = path
        self.map[text + len(path) : text + len(path) + len(line)] = line
        # The magic is the last field: a record is valid when all of it is there.
        magic = RECORD_MAGIC ^ (self.head << 16)
        RECORD.pack_into(
            self.map, start, len(line), len(path), segment, offset, magic & 0xFFFFFFFFFFFFFFFF
        )
        self.head += length
        return True

    def drained(self, position: int) -> None:
        """Everything of the common log before `position` is in segments."""
        # A row put meanwhile into a log that was empty has moved the tail to its own beginning.
        self._set_tail(max(self.tail, position))

    def _set_tail(self, position: int) -> None:
        self.tail = position
        self._cells[TAIL] = position

    @property
    def fill(self) -> float:
        """How full the fuller part is, from 0 to 1."""
        return max((self.head - self.tail) / COMMON, 1 - len(self._free) / SLOTS)

    @property
    def free_slots(self) -> int:
        """How many slots could be lent."""
        return len(self._free)

    def lend(self, path: str, segment: int, offset: int) -> Slot | None:
        """Lend a slot to a stream whose next byte is at `offset`; `None` when all are lent."""
        raw = path.encode()
        if not self._free or len(raw) > MAX_PATH:
            return None
        number = self._free[-1]
        at = BLOCK + COMMON + number * SLOT
        try:
            own = mmap.mmap(self._file, SLOT, offset=at)
        except OSError:
            return None  # out of descriptors: the common log needs none
        if _CAN_POPULATE:
            try:
                own.madvise(_POPULATE_WRITE)
            except OSError:
                pass  # an older kernel: the pages come one by one, a little slower
        begin = aligned(8 + SLOT_HEAD.size + len(raw))
        SLOT_HEAD.pack_into(self.map, at + 8, offset, len(raw), segment, 0)
        self.map[at + 8 + SLOT_HEAD.size : at + 8 + SLOT_HEAD.size + len(raw)] = raw
        self._cells[at // 8] = SLOT_MAGIC
        own.seek(begin)
        slot = Slot(number, own, Piece(path, segment, offset, self.view[:0]), at + begin)
        self._free.pop()
        return slot

    def content(self, slot: Slot) -> Piece:
        """The whole lines that `slot` holds by now."""
        end = BLOCK + COMMON + (slot.number + 1) * SLOT
        if not slot.sealed:
            try:
                end = BLOCK + COMMON + slot.number * SLOT + slot.map.tell()
            except ValueError:
                pass  # closed, but not yet marked: an interrupt came in between
        used = whole_lines(self.map, slot.start, end)
        return Piece(slot.path, slot.segment, slot.base, self.view[slot.start : slot.start + used])

    def give_back(self, slot: Slot) -> None:
        """Free a sealed slot whose lines are all in their segment."""
        at = BLOCK + COMMON + slot.number * SLOT
        used = self.map.find(b"\0", slot.start, at + SLOT)
        end = at + SLOT if used < 0 else used
        self._cells[at // 8] = 0  # first, so that a half-wiped slot is never read
        self.view[slot.start : end] = _ZEROS[: end - slot.start]
        self._free.append(slot.number)

    def close(self, *, remove: bool) -> None:
        """Let go of the memory, and `remove` the file unless rows in it are still to be saved."""
        try:
            self._cells.release()
            self.view.release()
            self.map.close()
        except BufferError:
            pass  # a piece is still being looked at (by a thread lost in a fork, for example)
        close_file(self._file)
        if remove and self.path is not None:
            self.path.unlink(missing_ok=True)


def whole_lines(map_: mmap.mmap, start: int, end: int) -> int:
    """The length of the whole lines between `start` and the first NUL, or `end`."""
    stop = map_.find(b"\0", start, end)
    newline = map_.rfind(b"\n", start, end if stop < 0 else stop)
    return 0 if newline < 0 else newline + 1 - start


def aligned(length: int) -> int:
    """The length with what fills it up: records and lines begin at 64-bit words."""
    return (length + 7) & ~7
