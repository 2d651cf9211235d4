"""All rows of a stream in order of time: where each is, and reading them from there.

It takes 20 bytes a row. Segments are only read forwards and in pieces of useful size, unless rows
are so far out of order that holding a segment costs less.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice, pairwise
from operator import le

from ml_dash.backends import Backend
from ml_dash.reading.lines import Problems, Row, Segment, decode_block, read_blocks
from ml_dash.reading.source import Source

_BATCH = 1 << 18
_WINDOW = 1 << 18


class Index:
    """Where the rows of one segment are.

    Attributes:
        end: how many of its bytes were taken in.
    """

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.times = array("d")
        self.starts = array("q")
        self.sizes = array("I")
        self.ordered = True
        self.end = 0

    def extend(self, source: Source, segment: Segment) -> None:
        """Take in what was added to the segment since."""
        self.segment = segment
        if segment.size <= self.end:
            return
        last = self.times[-1] if self.times else -math.inf
        for block in read_blocks(source.backend, segment, source.problems, self.end):
            starts, sizes = block.spans()
            self.end = block.offset + len(block.text)
            if not sizes:
                continue
            times = block.timestamps
            self.ordered = self.ordered and last <= times[0] and all(map(le, times, times[1:]))
            last = times[-1]
            self.times.extend(times)
            self.starts.extend(starts)
            self.sizes.extend(sizes)

    def span(self, begin: int, stop: int) -> tuple[int, int]:
        """The bytes from the row `begin` up to the row `stop`: their offset and number."""
        offset = self.starts[begin]
        return offset, self.starts[stop - 1] + self.sizes[stop - 1] - offset

    def within(self, begin: int, stop: int, size: int) -> int:
        """Up to which row those from `begin` on begin within `size` bytes; at least one does."""
        return bisect_right(self.starts, self.starts[begin] + size, begin + 1, stop)


class Timeline:
    """The rows of several segments, numbered in order of time.

    Attributes:
        times: their timestamps, ascending.
    """

    def __init__(self, backend: Backend, indexes: list[Index]) -> None:
        self.times: Sequence[float]
        self._backend = backend
        self._indexes = indexes
        self._bases = list(accumulate((len(index.times) for index in indexes), initial=0))
        self._order, self.times = _merge(indexes)

    def __len__(self) -> int:
        return self._bases[-1]

    def rows(self, first: int, last: int) -> Iterator[Row]:
        """Decode the rows from number `first` up to `last`."""
        for text in self._texts(first, last):
            # Problems in here were noted when the index was made, by their true place.
            yield from decode_block(text, 0, "", Problems()).rows

    def _texts(self, first: int, last: int) -> Iterator[bytes]:
        """The lines of these rows, some thousand at a time."""
        windows = [_Window(self._backend, index.segment) for index in self._indexes]
        gathered: list[bytes] = []
        size = 0
        for number, begin, stop in self._runs(first, last):
            index = self._indexes[number]
            while begin < stop:
                end = index.within(begin, stop, _BATCH - size)
                gathered.append(windows[number].read(*index.span(begin, end)))
                size += len(gathered[-1])
                begin = end
                if size >= _BATCH:
                    yield b"".join(gathered)
                    gathered.clear()
                    size = 0
        if gathered:
            yield b"".join(gathered)

    def _runs(self, first: int, last: int) -> Iterator[tuple[int, int, int]]:
        """Rows that follow one another in a segment: its number, the first, one past the last."""
        bases = self._bases
        for begin, stop in _consecutive(self._order, first, last):
            number = bisect_right(bases, begin) - 1
            while begin < stop:
                end = min(stop, bases[number + 1])
                if begin < end:
                    yield number, begin - bases[number], end - bases[number]
                begin, number = max(begin, end), number + 1


def _merge(indexes: list[Index]) -> tuple[array[int] | None, Sequence[float]]:
    """The order of all rows by number, `None` when it is that of the segments; their times."""
    filled = [index for index in indexes if index.times]
    if len(filled) == 1 and filled[0].ordered:
        return None, filled[0].times
    times = array("d")
    for index in filled:
        times.extend(index.times)
    pairs = pairwise(filled)
    if all(index.ordered for index in filled) and all(a.times[-1] <= b.times[0] for a, b in pairs):
        return None, times
    order = array("q", sorted(range(len(times)), key=times.__getitem__))
    return order, array("d", map(times.__getitem__, order))


def _consecutive(order: array[int] | None, first: int, last: int) -> Iterator[tuple[int, int]]:
    """Where the rows from number `first` up to `last` lie, as ranges."""
    if order is None or first >= last:
        yield first, last
        return
    begin = stop = order[first]
    for number in islice(order, first, last):
        if number != stop:
            yield begin, stop
            begin = number
        stop = number + 1
    yield begin, stop


class _Window:
    """Reads a segment in pieces of useful size, also when rows are asked for one by one."""

    def __init__(self, backend: Backend, segment: Segment) -> None:
        self._backend = backend
        self._segment = segment
        self._begin = 0
        self._data = b""
        self._read = 0

    def read(self, offset: int, size: int) -> bytes:
        end = offset + size
        if offset < self._begin or end > self._begin + len(self._data):
            self._fill(offset, size)
        return self._data[offset - self._begin : end - self._begin]

    def _fill(self, offset: int, size: int) -> None:
        if self._read > 4 * self._segment.size:
            # Rows are all over the segment: to hold it is cheaper than to read it again and again
            self._begin, size = 0, self._segment.size
        else:
            self._begin, size = offset, max(size, _WINDOW)
        self._data = self._segment.read(self._backend, self._begin, size)
        self._read += len(self._data)
