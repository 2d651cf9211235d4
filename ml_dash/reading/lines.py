"""From a segment's bytes to rows: whole blocks at a time, and what is unreadable told by its place.

A line is read when it is there to its end. The bytes behind the last newline are not a row yet: a
live writer may be about to finish it. Lines that are torn, hold NUL bytes or are no row are skipped
and reported with file and byte; the rest of the segment is read as if they were not there.

Speed: a block's lines are joined with commas and parsed as one JSON array. Only a block in which
that fails is halved until the lines that are to blame are found.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from operator import itemgetter
from typing import Any

import orjson

from ml_dash.backends import Backend
from ml_dash.rows import BIG_INTEGER, MAX_LINE, NONFINITE, decode_row

BLOCK = 1 << 18
"""Bytes that are read and parsed at a time; more than this no longer fits into a core's cache."""

_MAX_KEPT = 10_000
_FEW = 8  # lines that are cheaper to parse one by one than to halve further
_FEW_BYTES = 1 << 12
_SPECIAL = (NONFINITE.encode(), BIG_INTEGER.encode())
_timestamp = itemgetter("timestamp")

NOT_JSON = "NaN or Infinity as a number, which JSON has not; it is read all the same"
"""What is wrong with a line that other readers may refuse, and that is read here."""

_CONSTANT = re.compile(rb"[:,[]\s*-?(?:NaN|Infinity)")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Problem:
    """Bytes of a segment that hold no readable row.

    Attributes:
        path: the segment, relative to the run's folder.
        offset: its first byte.
        size: how many bytes.
        reason: what is wrong with them.
    """

    path: str
    offset: int
    size: int
    reason: str

    def __str__(self) -> str:
        if not self.size:  # a file of which nothing could be read
            return f"{self.path}: {self.reason}"
        skipped = "" if self.reason == NOT_JSON else " skipped"
        return f"{self.path}: byte {self.offset:,}: {self.reason} ({self.size:,} bytes{skipped})"

    def to_json(self) -> dict[str, Any]:
        """The problem as plain JSON types."""
        return {
            "path": self.path,
            "offset": self.offset,
            "size": self.size,
            "reason": self.reason,
        }


class Problems:
    """What was unreadable so far, each place once.

    At most 10,000 are kept. `unfinished` are the lines without an end, by segment; they are a
    problem only when their writer is gone.
    """

    def __init__(self) -> None:
        self.unfinished: dict[str, Problem] = {}
        self._kept: dict[tuple[str, int], Problem] = {}

    def add(self, path: str, offset: int, size: int, reason: str) -> None:
        """Note unreadable bytes; those at a known place are not counted again."""
        if len(self._kept) < _MAX_KEPT:
            self._kept[path, offset] = Problem(path, offset, size, reason)

    def __iter__(self) -> Iterator[Problem]:
        return iter(list(self._kept.values()))

    def __len__(self) -> int:
        return len(self._kept)


@dataclass(frozen=True, slots=True)
class Segment:
    """One writer's part of a stream, as long as it was when it was listed.

    Attributes:
        path: relative to the run's folder; also names rows that are only in memory.
        size: how many of its bytes are read.
        data: its bytes, where they are in no file.
    """

    path: str
    size: int
    data: bytes | None = None

    @property
    def stream(self) -> str:
        """The stream it is a part of."""
        return self.path.rpartition("/")[0]

    @property
    def writer(self) -> str:
        """The id of the writer whose rows it holds."""
        return self.path.rpartition("/")[2].removesuffix(".jsonl").partition("-")[0]

    @property
    def part(self) -> int:
        """Its place among those of its writer: the first, those begun anew, that of a recovery."""
        suffix = self.path.rpartition("/")[2].removesuffix(".jsonl").partition("-")[2]
        number = "".join(char for char in suffix if char.isdecimal())
        return int(number or 0) + (1_000_000 if suffix.startswith("r") else 0)

    def read(self, backend: Backend, offset: int, size: int) -> bytes:
        """Up to `size` of its bytes from `offset`."""
        size = min(size, self.size - offset)
        if self.data is not None:
            return self.data[offset : offset + size]
        return backend.read(self.path, offset, size) if size > 0 else b""


@dataclass(slots=True)
class Block:
    """Consecutive whole lines of a segment and the rows in them.

    Attributes:
        rows: decoded; `timestamp` is a finite number in each.
        timestamps: one a row.
        text: the lines, newlines included.
        offset: where in the segment the text begins.
        skipped: numbers of the lines that are no row, ascending.
    """

    rows: list[Row]
    timestamps: list[float]
    text: bytes
    offset: int
    skipped: list[int]

    def lines(self) -> list[bytes]:
        """The line of each row, without its newline and what is no part of the row."""
        lines = self.text[:-1].split(b"\n")
        for number in reversed(self.skipped):
            del lines[number]
        return [line.lstrip(b"\0") for line in lines] if b"\0" in self.text else lines

    def spans(self) -> tuple[list[int], list[int]]:
        """The offset in the segment and the size of each row's line."""
        sizes = [len(line) + 1 for line in self.text[:-1].split(b"\n")]
        starts = list(accumulate(sizes[:-1], initial=self.offset))
        for number in reversed(self.skipped):
            del sizes[number], starts[number]
        return starts, sizes


def read_blocks(
    backend: Backend, segment: Segment, problems: Problems, start: int = 0
) -> Iterator[Block]:
    """Read the whole lines of a segment from the byte `start`, where a line begins."""
    for offset, text in _whole_lines(backend, segment, problems, start):
        yield decode_block(text, offset, segment.path, problems)


def decode_block(text: bytes, offset: int, path: str, problems: Problems) -> Block:
    """Decode whole lines; `offset` and `path` say where they are, for the problems found."""
    together = _decode_together(text[:-1].replace(b"\n", b","), count_byte(text, b"\n"))
    # The single character first: it is found, or not, ten times as fast
    if together is not None and (b"_" not in text or not any(key in text for key in _SPECIAL)):
        return Block(*together, text, offset, [])
    lines = text[:-1].split(b"\n")
    skipped: list[int] = []
    found: list[Row] = []
    reasons: dict[int, str] = {}
    _decode_halves(lines, 0, len(lines), found, skipped, reasons)
    if reasons:
        starts = list(accumulate((len(line) + 1 for line in lines[:-1]), initial=offset))
        for number, reason in reasons.items():
            problems.add(path, starts[number], len(lines[number]) + 1, reason)
    return Block(found, list(map(_timestamp, found)), text, offset, skipped)


def count_byte(text: bytes, byte: bytes) -> int:
    """How often one byte occurs; numpy, where it is loaded anyway, counts ten times as fast."""
    numpy = sys.modules.get("numpy")
    if numpy is None or len(text) < _FEW_BYTES:
        return text.count(byte)
    try:
        return int(numpy.count_nonzero(numpy.frombuffer(text, numpy.uint8) == byte[0]))
    except AttributeError:  # another thread is importing it
        return text.count(byte)


def decode_line(line: bytes) -> tuple[Row | None, str | None]:
    """Decode one line without its newline: the row, and what is wrong.

    Both when a whole row stands behind NUL bytes, which a file system may leave in place of what
    was lost, and when the row is only `NOT_JSON`; neither when the line is empty.
    """
    reason = None
    if b"\0" in line:
        reason = f"{line.count(0):,} NUL bytes"
        line = line.lstrip(b"\0")
    if not line.strip():
        return None, reason
    try:
        row = decode_row(line)
        timestamp: Any = row.get("timestamp")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        # Not only ValueError: in damaged bytes that happen to be JSON, `_nonfinite` may be anything
        return None, reason or _why_undecodable(line)
    if type(timestamp) not in (int, float) or not abs(timestamp) <= sys.float_info.max:
        return None, "a row without a timestamp"
    if reason is None and _CONSTANT.search(line) and _has_constant(line):
        reason = NOT_JSON
    return row, reason


def _has_constant(line: bytes) -> bool:
    """Whether NaN or Infinity stands there as a number, not within a text."""
    found: list[str] = []
    json.loads(line, parse_constant=found.append)
    return bool(found)


def _decode_together(joined: bytes, count: int) -> tuple[list[Row], list[float]] | None:
    """Decode lines joined with commas; `None` unless that gives exactly one row a line.

    Returns:
        The rows and their timestamps.
    """
    try:
        rows: list[Row] = orjson.loads(b"[%b]" % joined)
        if len(rows) != count:  # two torn lines may make one valid row
            return None
        timestamps = list(map(_timestamp, rows))
    except (ValueError, LookupError, TypeError):
        return None
    return (rows, timestamps) if set(map(type, timestamps)) <= {int, float} else None


def _decode_halves(
    lines: list[bytes],
    first: int,
    end: int,
    found: list[Row],
    skipped: list[int],
    reasons: dict[int, str],
) -> None:
    """Decode the lines from `first` to `end`, together where possible."""
    together = None
    if end - first > _FEW:
        together = _decode_together(b",".join(lines[first:end]), end - first)
    if together is not None:
        for number, row in enumerate(together[0], first):
            if NONFINITE in row or BIG_INTEGER in row:
                _decode_one(lines[number], number, found, skipped, reasons)
            else:
                found.append(row)
    elif end - first > _FEW:
        middle = (first + end) // 2
        _decode_halves(lines, first, middle, found, skipped, reasons)
        _decode_halves(lines, middle, end, found, skipped, reasons)
    else:
        for number in range(first, end):
            _decode_one(lines[number], number, found, skipped, reasons)


def _decode_one(
    line: bytes, number: int, found: list[Row], skipped: list[int], reasons: dict[int, str]
) -> None:
    row, reason = decode_line(line)
    if reason is not None:
        reasons[number] = reason
    if row is None:
        skipped.append(number)
    else:
        found.append(row)


def _why_undecodable(line: bytes) -> str:
    if line[:1] != b"{":
        return "not a row: it does not begin with '{'"
    return "a torn line" if line[-1:] != b"}" else "not valid JSON"


def _whole_lines(
    backend: Backend, segment: Segment, problems: Problems, start: int
) -> Iterator[tuple[int, bytes]]:
    """The segment's bytes from `start` in pieces that end with a newline, each with its offset."""
    held: list[bytes] = []  # what has been read from `begin`, where a line begins
    begin = position = start
    overlong = False  # the line at `begin` is longer than any row; its bytes are not held
    while data := segment.read(backend, position, BLOCK):
        position += len(data)
        end = data.rfind(b"\n") + 1
        if overlong and end:
            after = position - len(data) + data.index(b"\n") + 1
            problems.add(segment.path, begin, after - begin, "a line longer than any row")
            data = data[after - position :] if after < position else b""
            begin, overlong = after, False
            end = data.rfind(b"\n") + 1
        if end:
            held.append(data[:end])
            text = b"".join(held)
            yield begin, text
            begin += len(text)
            held = [data[end:]]
        elif not overlong:
            held.append(data)
            overlong = position - begin > MAX_LINE
            held = [] if overlong else held
    problems.unfinished.pop(segment.path, None)
    if begin < position:
        problems.unfinished[segment.path] = Problem(
            segment.path, begin, position - begin, "an unfinished line"
        )
