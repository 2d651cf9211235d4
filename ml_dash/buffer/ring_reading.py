"""Reads what is in a ring: the living one, to drain it, and one that was left over."""

from __future__ import annotations

import json
import mmap
import sys
from collections.abc import Iterator
from typing import Any

from ml_dash.buffer.ring import (
    BLOCK,
    COMMON,
    IDENTITY,
    MAGIC,
    RECORD,
    RECORD_MAGIC,
    SIZE,
    SLOT,
    SLOT_HEAD,
    SLOT_MAGIC,
    SLOTS,
    TAIL,
    Piece,
    aligned,
    whole_lines,
)


def read_identity(data: mmap.mmap | memoryview) -> dict[str, Any] | None:
    """Who wrote a ring; `None` when it was never finished."""
    if len(data) != SIZE or bytes(data[0:8]) != MAGIC:
        return None
    length = int.from_bytes(data[IDENTITY : IDENTITY + 8], sys.byteorder)
    identity = json.loads(bytes(data[IDENTITY + 8 : IDENTITY + 8 + length]))
    return identity if isinstance(identity, dict) else None


def read_tail(view: memoryview) -> int:
    """The position up to which the common log of a left-over ring was drained."""
    return int(view.cast("Q")[TAIL])


def read_records(view: memoryview, position: int, end: int | None = None) -> Iterator[Piece]:
    """The valid records from `position` on, to `end` or to the first place that holds none."""
    while end is None or position < end:
        found = _record_at(view, position)
        if found is None and position % COMMON:
            position += COMMON - position % COMMON  # the rest of the lap may have been too short
            if end is not None and position >= end:
                return
            found = _record_at(view, position)
        if found is None:
            return
        piece, length = found
        yield piece
        position += length


def _record_at(view: memoryview, position: int) -> tuple[Piece, int] | None:
    start = BLOCK + position % COMMON
    limit = BLOCK + COMMON
    if start + RECORD.size > limit:
        return None
    size, path_size, segment, offset, magic = RECORD.unpack_from(view, start)
    if magic != (RECORD_MAGIC ^ (position << 16)) & 0xFFFFFFFFFFFFFFFF:
        return None
    text = start + RECORD.size
    body = text + path_size
    piece = Piece(bytes(view[text:body]).decode(), segment, offset, view[body : body + size])
    return piece, aligned(RECORD.size + path_size + size)


def read_slots(map_: mmap.mmap, view: memoryview) -> Iterator[Piece]:
    """What the lent slots of a left-over ring hold."""
    cells = view.cast("Q")
    for number in range(SLOTS):
        at = BLOCK + COMMON + number * SLOT
        if cells[at // 8] != SLOT_MAGIC:
            continue
        offset, path_size, segment, _ = SLOT_HEAD.unpack_from(view, at + 8)
        text = at + 8 + SLOT_HEAD.size
        start = at + aligned(8 + SLOT_HEAD.size + path_size)
        used = whole_lines(map_, start, at + SLOT)
        path = bytes(view[text : text + path_size]).decode()
        yield Piece(path, segment, offset, view[start : start + used])
    cells.release()
