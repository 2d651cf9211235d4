"""The log of a run, the newest message first, a page at a time.

A request goes through some chunks from the end and stops; its cursor says where. So a search that
finds little in millions of messages gives short pages, and never one long wait.
"""

from __future__ import annotations

import base64
import heapq
import math
import re
from dataclasses import dataclass
from typing import Any

import orjson

from ml_dash.reading.lines import Row
from ml_dash.reading.logs import LEVELS, severity
from ml_dash.reading.merge import EXPLICIT
from ml_dash.server.problems import Problem
from ml_dash.server.streams.chunks import Piece, StoredStream

SCANNED = 64 << 20
"""Bytes of lines that one request goes through."""

Key = tuple[float, int, int]

_CODES = re.compile(
    r"\x1b\[[\d;:?<=>!]*[ -/]*[@-~]"  # a colour, or another control sequence
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # a title or a link
    r"|\x1b[ -/]*[0-~]?"
)
"""What programs send to a terminal beside the text that is read there."""


@dataclass(frozen=True, slots=True)
class Search:
    """Which messages are asked for.

    Attributes:
        text: is in the message or its fields, in whatever case and without the codes by which
            programs colour a terminal; empty for all.
        least: the least severe level, by its place in `LEVELS`.
        start: seconds, inclusive.
        end: likewise.
        limit: how many.
    """

    text: str = ""
    least: int = 0
    start: float | None = None
    end: float | None = None
    limit: int = 200


class Page:
    """Gathers one page.

    Args:
        stream: the log.
        search: what is asked for.
        cursor: from the page before, or empty.
        scanned: bytes that are gone through at most.

    Raises:
        Problem: 422, the cursor is none.
    """

    def __init__(
        self, stream: StoredStream, search: Search, cursor: str, scanned: int = SCANNED
    ) -> None:
        self._stream = stream
        self._search = search
        self._needle = search.text.casefold()
        # Letters and digits stand in a line as they are, so a chunk without them is soon done with
        plain = search.text.isascii() and search.text.replace(" ", "").isalnum()
        self._bytes = search.text.lower().encode() if plain else b""
        self._left = scanned
        high = math.inf if search.end is None else search.end
        self._top: Key = (high, 1 << 62, 1 << 62)
        if cursor:
            self._top = min(self._top, _parse(cursor))

    def gather(self) -> tuple[list[Row], str | None]:
        """The messages, and the cursor of what comes before them, if anything may."""
        found: list[Row] = []
        first = self._top[0]
        waiting = sorted(
            self._stream.pieces(self._search.start, None if math.isinf(first) else first),
            key=lambda piece: piece.last,
        )
        opened: list[tuple[Key, Row]] = []
        while waiting or opened:
            while waiting and (not opened or waiting[-1].last >= -opened[0][0][0]):
                # What overlaps the place where this page begins is read in any case: so each page
                # gets further than the one before
                if self._left <= 0 and waiting[-1].last < first:
                    if opened and -opened[0][0][0] > waiting[-1].last:
                        break
                    return found, _format((waiting[-1].last, 1 << 62, 1 << 62))
                for key, row in self._open(waiting.pop()):
                    heapq.heappush(opened, ((-key[0], -key[1], -key[2]), row))
            if not opened:
                break
            key, row = heapq.heappop(opened)
            found.append(row)
            if len(found) == self._search.limit:
                more = bool(waiting or opened)
                return found, _format((-key[0], -key[1], -key[2])) if more else None
        return found, None

    def _open(self, piece: Piece) -> list[tuple[Key, Row]]:
        self._left -= piece.chunk.size
        search = self._search
        if self._bytes and self._is_without(self._stream.text(piece)):
            return []
        block = self._stream.block(piece)
        low = -math.inf if search.start is None else search.start
        kept: list[tuple[Key, Row]] = []
        for number, row in enumerate(block.rows, piece.chunk.first_row):
            key = (float(row["timestamp"]), piece.rank, number)
            if key < self._top and key[0] >= low and self._wants(row):
                row.pop(EXPLICIT, None)
                kept.append((key, row))
        return kept

    def _is_without(self, text: bytes) -> bool:
        """Whether a chunk certainly has no such text; in others than ASCII `ß` is `ss`, too."""
        return text.isascii() and b"\\u" not in text and self._bytes not in text.lower()

    def _wants(self, row: Row) -> bool:
        if self._search.least and _severity(row) < self._search.least:
            return False
        if not self._needle:
            return True
        if self._needle in _read(str(row.get("message", ""))).casefold():
            return True
        fields = row.get("fields")
        return bool(fields) and self._needle in _read(_plain(fields)).casefold()


def _read(text: str) -> str:
    """The text as it is read: without codes for terminals."""
    return _CODES.sub("", text) if "\x1b" in text else text


def _plain(fields: Any) -> str:
    try:
        return orjson.dumps(fields).decode().replace("\\u001b", "\x1b")
    except TypeError:
        return str(fields)


def _severity(row: Row) -> int:
    try:
        return severity(str(row.get("level")))
    except ValueError:
        return len(LEVELS)  # what another program wrote with a level of its own is shown


def _format(key: Key) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(key)).decode().rstrip("=")


def _parse(cursor: str) -> Key:
    try:
        time, rank, number = orjson.loads(base64.urlsafe_b64decode(cursor + "=="))
        if type(rank) is int and type(number) is int and type(time) in (int, float):
            return float(time), rank, number
    except (ValueError, TypeError):
        pass
    raise Problem(422, "the cursor is not one that was given out here")
