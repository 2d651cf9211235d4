"""Reads what a run's index says of its files, and goes on where it got to."""

from __future__ import annotations

import time
from collections.abc import Container, Iterable, Iterator, Mapping

from ml_dash.backends import LocalBackend
from ml_dash.reading.files import INDEX, changes
from ml_dash.reading.lines import Problems, Segment, read_blocks
from ml_dash.reading.source import SUFFIX
from ml_dash.sync.entries import Entry, entry_of

LONG = 0.05
"""Seconds of counting all files, above which it is not done again for `SHARE` times as long."""

SHARE = 20

Change = tuple[str, float, bytes | None]
"""A path, the time of its row, and the row; none where it says that the file was removed."""


class IndexReader:
    """Reads the index of one run. Remembers how far its rows were taken.

    Args:
        backend: the run's folder.
    """

    def __init__(self, backend: LocalBackend) -> None:
        self._backend = backend
        self._offsets: dict[str, int] = {}
        self._looked: dict[str, int] = {}  # sizes when it was last gone through

    def sizes(self) -> dict[str, int]:
        """The segments of the index, and how long they are."""
        found = list(self._backend.list(INDEX))
        return {info.path: info.size for info in found if info.path.endswith(SUFFIX)}

    def unread(self) -> bool:
        """Whether there is more than when it was last gone through."""
        return any(size > self._looked.get(path, 0) for path, size in self.sizes().items())

    def gone_through(self, sizes: Mapping[str, int]) -> None:
        """All was taken that these sizes tell of."""
        self._looked = dict(sizes)

    def taken(self, ends: Mapping[str, int]) -> None:
        """Begin behind these places of the segments the next time."""
        self._offsets |= ends

    def read(self, *, anew: bool = False) -> Iterator[tuple[str, int, list[Change]]]:
        """What was added to it: the segment, how far that was read, and the changes.

        Args:
            anew: all of it, whatever was taken before.
        """
        for path, size in self.sizes().items():
            start = 0 if anew else self._offsets.get(path, 0)
            if size > start:
                segment = Segment(path, size)
                for block in read_blocks(self._backend, segment, Problems(), start):
                    yield path, block.offset + len(block.text), list(changes(block))

    def drop_explained(self, waiting: dict[str, Entry]) -> None:
        """Drop what later rows explain, wherever they are."""
        for _, _, found in self.read(anew=True):
            for path, timestamp, _ in found:
                known = waiting.get(path)
                if known is not None and timestamp > known.timestamp:
                    del waiting[path]


def keep_latest(
    found: Iterable[Change], gathered: dict[str, Entry], waiting: dict[str, Entry]
) -> None:
    """Add to `gathered` what is to be sent: the latest row of each path."""
    for path, timestamp, line in found:
        for known in (gathered, waiting):
            if path in known and known[path].timestamp <= timestamp:
                del known[path]
        later = gathered.get(path) or waiting.get(path)
        if line is not None and later is None:
            entry = entry_of(line, timestamp)
            if entry is not None:
                gathered[path] = entry


class LocalFiles:
    """Counts the files that the index of a run names. Keeps none of it but the numbers.

    Args:
        backend: the run's folder.
    """

    def __init__(self, backend: LocalBackend) -> None:
        self._index = IndexReader(backend)
        self._counted: object = None
        self._found = (0, 0)
        self._again = 0.0

    def count(self, but: Container[str] = (), *, exact: bool = True) -> tuple[int, int]:
        """How many there are, and their bytes.

        Args:
            but: writers whose rows do not count.
            exact: also where a long index was counted only just now.
        """
        sizes = self._index.sizes()
        sizes = {
            path: size for path, size in sizes.items() if Segment(path, size).writer not in but
        }
        begun = time.monotonic()
        if sizes == self._counted or (begun < self._again and not exact):
            return self._found
        latest: dict[str, tuple[float, int]] = {}
        for segment, _, rows in self._index.read(anew=True):
            for path, timestamp, line in rows if segment in sizes else ():
                if path not in latest or latest[path][0] <= timestamp:
                    entry = entry_of(line, timestamp) if line is not None else None
                    latest[path] = timestamp, entry.size if entry is not None else -1
        there = [size for _, size in latest.values() if size >= 0]
        self._counted, self._found = sizes, (len(there), sum(there))
        cost = time.monotonic() - begun
        self._again = begun + SHARE * cost if cost > LONG else 0.0
        return self._found
