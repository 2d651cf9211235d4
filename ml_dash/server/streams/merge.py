"""Rows of several chunks in order of time, holding only those chunks that overlap right now."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ml_dash.reading.lines import Row
from ml_dash.server.streams.chunks import Piece


class Placed(NamedTuple):
    """A row and its place in the order of its stream: time, segment, number in the segment."""

    key: tuple[float, int, int]
    row: Row


Load = Callable[[Piece], Sequence[Placed]]
"""Gives the rows of a chunk."""


def ascending(pieces: Sequence[Piece], load: Load) -> Iterator[Placed]:
    """All rows of some chunks, the earliest first; those of one time as they lie in segments."""
    waiting = sorted(pieces, key=lambda p: (p.first, p.rank, p.chunk.offset), reverse=True)
    opened: list[tuple[tuple[float, int, int], int, Iterator[Placed], Placed]] = []
    number = 0
    while waiting or opened:
        while waiting and (not opened or waiting[-1].first <= opened[0][0][0]):
            rows = iter(sorted(load(waiting.pop()), key=lambda placed: placed.key))
            _advance(opened, number, rows)
            number += 1
        if opened:
            _, own, rows, placed = heapq.heappop(opened)
            yield placed
            _advance(opened, own, rows)


def _advance(
    opened: list[tuple[tuple[float, int, int], int, Iterator[Placed], Placed]],
    number: int,
    rows: Iterator[Placed],
) -> None:
    placed = next(rows, None)
    if placed is not None:
        heapq.heappush(opened, (placed.key, number, rows, placed))


def clusters(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """The chunks in groups that share no moment, the earliest first."""
    found: list[list[Piece]] = []
    end = float("-inf")
    for piece in sorted(pieces, key=lambda p: (p.first, p.rank, p.chunk.offset)):
        if not found or piece.first > end:
            found.append([])
        found[-1].append(piece)
        end = max(end, piece.last)
    return found
