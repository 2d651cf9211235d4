"""A track or metric as a table: rows to go through, columns as numpy arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ml_dash.hints import nearest
from ml_dash.reading.columns import Columns, extract, leaves
from ml_dash.reading.entries import Booleans, Entries, Floats, Integers, make_entries, whole_numbers
from ml_dash.reading.lines import Block, Row, Segment
from ml_dash.reading.merge import EXPLICIT
from ml_dash.reading.parts import Array, Part, finish, join, nothing, pack, read_only
from ml_dash.reading.stream import FixedStream, Slice, Stream
from ml_dash.steps import as_time

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

FORMATS = ("json", "numpy")
_EXPLICIT = f'"{EXPLICIT}"'.encode()
_OWN = ("timestamp", "step")


class Table:
    """The entries of one track or metric, in order of time.

    `table["x"]` is a column: a numpy array with one value an entry. Nested fields are written
    `table["pose.x"]`, lists of one shape are stacked to `(entries, *shape)`. Which kinds there are
    and how missing values are marked is said in `ml_dash.reading.parts`. A column that was read
    is kept; several are read faster by one `to_numpy(["x", "y"])`. It cannot be written to, for
    what else is made of the run uses it, too: to calculate in place take a `copy()`.

    What is shown is the run as it was when it was opened or refreshed.
    """

    def __init__(self, stream: Stream, name: str) -> None:
        self.name = name
        self.stream = stream
        self._read: dict[str, Part] = {}
        self._names: list[str] | None = None
        self._entries: Entries | None = None
        self._segments: list[Segment] | None = None

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Row]:
        return self.rows()

    def __contains__(self, column: object) -> bool:
        return column in self.columns

    def __getitem__(self, column: str) -> Array:
        return finish(self.part(column))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    @property
    def columns(self) -> list[str]:
        """The names of all fields in order of appearance, nested ones as `pose.x`."""
        self._forget_old()
        if self._names is None:
            self._names = _own_first(self._find_columns())
        return list(self._names)

    @property
    def timestamps(self) -> Floats:
        """The time of each entry in seconds, ascending: shape (entries,), float64."""
        return read_only(self.entries.timestamps)

    @property
    def steps(self) -> Array:
        """The step of each entry: shape (entries,), int64; a masked array where one has none."""
        return finish(self.step_part)

    def rows(self, start: float | None = None, end: float | None = None) -> Iterator[Row]:
        """The entries as dicts, `timestamp` among them; from `start` to `end`, in seconds."""
        return self.stream.rows(start, end)

    def find(self, timestamp: float) -> Row | None:
        """The latest entry at or before `timestamp`, or `None` when all are later."""
        return self.stream.find(timestamp)

    def slice(self, start: float | None = None, end: float | None = None) -> Slice:
        """The entries between two times, held: to go through again, index, and find in."""
        return self.stream.slice(start, end)

    def to_numpy(self, columns: Sequence[str] | None = None) -> dict[str, Array]:
        """Columns by name, all of them by default, `timestamp` first and `step` where there is one.

        Raises:
            KeyError: there is no such column.
        """
        self._forget_old()
        if columns is None and self._names is None:
            self._names = _own_first(self._load(None))
        else:
            self._want(self.columns if columns is None else columns)
        return {name: self[name] for name in (self.columns if columns is None else columns)}

    def to_pandas(self, columns: Sequence[str] | None = None) -> pandas.DataFrame:
        """Columns as a pandas DataFrame, all of them by default.

        Integers and booleans that may be missing are of pandas' nullable types, lists of one shape
        an array a cell. NaN stands for a missing float as it does for a recorded NaN.

        Raises:
            ImportError: pandas is not installed; the text is the pip line.
            KeyError: there is no such column.
        """
        from ml_dash.reading.tabular import table_parts, to_pandas

        frame: pandas.DataFrame = to_pandas(table_parts(self, columns))
        return frame

    def to_polars(self, columns: Sequence[str] | None = None) -> polars.DataFrame:
        """Columns as a polars DataFrame, all of them by default.

        What is missing is null, a recorded NaN stays one; lists of one shape are of type `Array`.

        Raises:
            ImportError: polars is not installed; the text is the pip line.
            KeyError: there is no such column.
        """
        from ml_dash.reading.tabular import table_parts, to_polars

        frame: polars.DataFrame = to_polars(table_parts(self, columns))
        return frame

    def to_arrow(self, columns: Sequence[str] | None = None) -> pyarrow.Table:
        """Columns as an Arrow table, all of them by default.

        What is missing is null, a recorded NaN stays one; lists of one shape are of fixed size.
        Where the values of a column are of several kinds, which Arrow has not, they are JSON text.

        Raises:
            ImportError: pyarrow is not installed; the text is the pip line.
            KeyError: there is no such column.
        """
        from ml_dash.reading.tabular import table_parts, to_arrow

        return to_arrow(table_parts(self, columns))

    def read(
        self,
        start_timestamp: float | None = None,
        end_timestamp: float | None = None,
        columns: Sequence[str] | None = None,
        format: str = "json",
    ) -> Any:
        """The entries between two times, both inclusive.

        Args:
            start_timestamp: in seconds; from the first one by default.
            end_timestamp: in seconds; to the last one by default.
            columns: only these fields, beside the timestamp.
            format: `json` for a list of dicts, `numpy` for a dict of columns.

        Raises:
            KeyError: there is no such column (`numpy`).
            ValueError: an unknown format, or a time that is no number.
        """
        if format not in FORMATS:
            raise ValueError(f"format is {format!r}; it must be one of {', '.join(FORMATS)}")
        start = None if start_timestamp is None else as_time(start_timestamp, "start_timestamp")
        end = None if end_timestamp is None else as_time(end_timestamp, "end_timestamp")
        if format == "json":
            return list(self.stream.rows(start, end, columns))
        times = self.timestamps
        first = 0 if start is None else int(np.searchsorted(times, start))
        last = len(times) if end is None else int(np.searchsorted(times, end, side="right"))
        names = columns if columns is None else ["timestamp", *columns]
        # Copies: unlike a column of a table, what was read by a call is the caller's own
        return {name: array[first:last].copy() for name, array in self.to_numpy(names).items()}

    def missing(self, column: str) -> NDArray[np.bool_]:
        """Which rows have no value in a column, True for each: tells them from a recorded NaN.

        Raises:
            KeyError: there is no such column.
        """
        return self.part(column).gone.copy()

    def fixed(self) -> Table:
        """The same table, which stays as it is now. What one of the two reads, both have read."""
        found = Table(FixedStream(self.stream), self.name)
        found._entries = self.entries
        found._segments = found.stream.segments
        found._read, found._names = self._read, self._names
        return found

    # -- for joining -----------------------------------------------------------------------------

    @property
    def entries(self) -> Entries:
        """How rows became entries."""
        self._forget_old()
        if self._entries is None:
            self._load(())
        assert self._entries is not None
        return self._entries

    @property
    def step_part(self) -> Part:
        """The steps, missing ones apart."""
        return whole_numbers(self.optional("step")[0])

    def part(self, column: str) -> Part:
        """A column as it is kept, missing values apart.

        Raises:
            KeyError: there is no such column.
        """
        if not isinstance(column, str):
            raise TypeError(f"{self!r}: a column's name is a string, not {column!r}")
        if column == "timestamp":
            return Part("float", self.entries.timestamps, None)
        if column == "step":
            return self.step_part
        self._forget_old()
        self._want([column])
        part = self._read[column]
        if part.kind == "none" and len(part) and column not in self.columns:
            raise self._unknown(column)
        return part

    def optional(self, *columns: str) -> list[Part]:
        """Columns that the table may not have; these are of kind `none`."""
        self._forget_old()
        self._want(columns)
        return [self._read[column] for column in columns]

    # -- loading ---------------------------------------------------------------------------------

    def _want(self, columns: Sequence[str]) -> None:
        """Read those columns that were not read yet."""
        wanted = [name for name in columns if name not in self._read and name != "timestamp"]
        if wanted:
            self._load(wanted)

    def _load(self, names: Sequence[str] | None) -> list[str]:
        """Go through all rows for the columns `names`, or for all; the names of what was found."""
        base = _Base(self.stream) if self._entries is None else None
        columns = Columns(names)
        for number, block in self.stream.blocks():
            if block.rows:
                explicit = self.stream.merge and _EXPLICIT in block.text
                columns.add(block, presence=explicit)
                if base is not None:
                    base.add(number, block, explicit)
            del block  # before the next one is made: memory that is still in cache is used again
        if base is not None:
            self._entries = base.entries()
        assert self._entries is not None
        if columns.count != len(self._entries.rows):
            raise OSError(f"{self.name!r} was cut or removed while it was read; refresh the run")
        found = columns.names
        for name in found:
            self._read[name] = self._entries.pick(*columns.take(name))
        return ["timestamp", *found]

    def _find_columns(self) -> list[str]:
        found: dict[str, None] = {"timestamp": None}
        for _, block in self.stream.blocks():
            found.update(dict.fromkeys(leaves(block)))
        return list(found)

    def _forget_old(self) -> None:
        """After a refresh, what was read before is no longer all there is."""
        segments = self.stream.segments
        if segments is not self._segments:
            self._segments = segments
            self._read = {}  # not emptied: a fixed table goes on with what it has
            self._names = None
            self._entries = None

    def _unknown(self, column: str) -> KeyError:
        near = nearest(column, self.columns) or f"it has {self.columns}"
        return KeyError(f"{self.name!r} has no column {column!r}; {near}")


class _Base:
    """Gathers what entries are made of."""

    def __init__(self, stream: Stream) -> None:
        self._sessions = [stream.source.session(segment.writer) for segment in stream.segments]
        self._merge = stream.merge
        self._numbers: list[Integers] = []
        self._times: list[Floats] = []
        self._explicit: list[Booleans] = []
        self._steps: list[Part] = []

    def add(self, number: int, block: Block, explicit: bool) -> None:
        count = len(block.rows)
        self._times.append(np.fromiter(block.timestamps, np.float64, count))
        self._numbers.append(np.full(count, self._sessions[number], np.int64))
        if not self._merge:
            return
        if explicit:
            given = (row.get(EXPLICIT) is True for row in block.rows)
            self._explicit.append(np.fromiter(given, np.bool_, count))
            self._steps.append(pack(extract(block.rows, "step")))
        else:
            self._explicit.append(np.zeros(count, np.bool_))
            self._steps.append(nothing(count))

    def entries(self) -> Entries:
        return make_entries(
            np.concatenate([np.empty(0), *self._times]),
            np.concatenate([np.empty(0, np.int64), *self._numbers]),
            np.concatenate([np.empty(0, np.bool_), *self._explicit]) if self._merge else None,
            join(self._steps),
        )


def _own_first(names: Sequence[str]) -> list[str]:
    return [*(n for n in _OWN if n in names), *(n for n in names if n not in _OWN)]
