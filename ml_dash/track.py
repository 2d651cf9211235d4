"""Tracks: time series of dict rows, such as joint angles or sensor readings."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar

import orjson

from ml_dash import rows
from ml_dash.buffer import Buffer
from ml_dash.clock import BOOTTIME, TICK, clock, read_clock
from ml_dash.moment import BLOCKS, Moment, joined
from ml_dash.names import stream_name, topic_of
from ml_dash.steps import as_step, as_timestamp
from ml_dash.values import MIDNIGHT, OPTIONS, kind_name, text_keys

if TYPE_CHECKING:
    from ml_dash.reading import Stream
    from ml_dash.track_slice import TrackSlice

T = TypeVar("T")

_dumps = orjson.dumps
_OPTIONS = OPTIONS | orjson.OPT_APPEND_NEWLINE
_UNDERSCORE = ord("_")
_N, _U, _L = b"nul"
_T = ord("T")
_MOST_KEYS = 1000


class Track:
    """One topic of a run. `experiment.track("robot/position")` gives it.

    Rows survive the death of the process once `append` has returned.
    """

    __slots__ = ("_buffer", "_keys", "_retry", "_stream", "topic")

    def __init__(self, buffer: Buffer, topic: str) -> None:
        self.topic = topic
        self._buffer = buffer
        self._stream = buffer.stream(stream_name("tracks", topic))
        self._retry = self._stream.retry
        self._keys: set[Any] = {"step"}  # those that a careful look has found to be allowed

    def append(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        timestamp: float | None = None,
        step: int | None = None,
    ) -> Self:
        """Add a row. It is encoded here and now: arrays and dicts may be changed afterwards.

        Args:
            data: values by key: numbers, text, lists, dicts, numpy arrays. Keys that begin with
                `_` are refused. A numeric `timestamp` and an integer `step` among them are the
                row's own.
            timestamp: seconds, on any clock; by default now. Rows with the same explicit timestamp
                are one row when read, later values winning.
            step: the row's step, a whole number. Inside `with recorder.step(n):` a row without
                timestamp, and with no other step, has the step and timestamp of that.

        Raises:
            TypeError: a value has no JSON form; the message names its key.
            ValueError: a reserved key, a timestamp or step of a wrong kind or given twice and
                differently, or a row over 16 MiB.
        """
        if timestamp is None and step is None and not BLOCKS:
            now = read_clock(BOOTTIME) + clock.offset  # clock.now(), without the call
            if now <= clock.last:
                now = clock.last + TICK
            clock.last = now
            try:
                row = data.copy()  # type: ignore[union-attr]  # what has none is told below
                row["timestamp"] = now
                line = _dumps(row, None, _OPTIONS)
                # The plain case is nearly every case: what is looked for is rare, and cheap to look
                # for in the encoded row. A null may stand for a NaN, midnight for no time.
                # Searching for one byte takes a tenth of searching for two.
                plain = (
                    "timestamp" not in data  # type: ignore[operator]  # as above
                    and type(row.get("step", 0)) is int
                    and (_UNDERSCORE not in line or self._keys.issuperset(data))  # type: ignore[arg-type]  # as above
                    and (_U not in line or _L not in line or _N not in line or b"null" not in line)
                    and (_T not in line or MIDNIGHT not in line)
                )
            except (AttributeError, TypeError, ValueError, LookupError):
                plain = False  # not a plain dict of plain values: look closer
            if plain:
                try:
                    self._stream.write(line)
                except ValueError:
                    self._retry(line)
                return self
        return self._append(data, timestamp, step)

    def _append(self, data: Any, timestamp: Any, step: Any) -> Self:
        fields = as_fields(data, self._where)
        timestamp = the_one("timestamp", as_timestamp, timestamp, fields, self._where)
        step = the_one("step", as_step, step, fields, self._where)
        head: dict[str, Any] = {"timestamp": timestamp}
        if timestamp is not None:
            head["_explicit"] = True
        elif (moment := joined(self._buffer, step)) is not None:
            head, step = moment.head(), moment.step
        else:
            head["timestamp"] = clock.now()
        if step is not None:
            head["step"] = step
        self._stream.put(self._encode(fields, head, strict=True))
        return self

    def encode(self, data: Any, moment: Moment, *, frame: str = "", strict: bool = True) -> bytes:
        """Encode a row of a moment as a line. For those who write several rows as one.

        Args:
            data: as `append` takes it; `step` and `timestamp` among it must be the moment's.
            moment: whose step and timestamp the row has.
            frame: the name of its frame, for a row that names none.
            strict: when false, a value that cannot be encoded is stored as its `repr`.
        """
        head = moment.head()
        if frame:
            head["frame"] = frame
        try:
            row = {**head, **data}
            line = _dumps(row, None, _OPTIONS)
            # As in `append`; a row that is shorter than its parts has a key that is looked at.
            if (
                len(row) == len(head) + len(data)
                and self._keys.issuperset(data)
                and (_U not in line or _L not in line or _N not in line or b"null" not in line)
                and (_T not in line or MIDNIGHT not in line)
            ):
                return line
        except (TypeError, ValueError):
            pass
        fields = as_fields(data, self._where)
        the_one("step", as_step, moment.step, fields, self._where)
        the_one("timestamp", as_timestamp, moment.timestamp, fields, self._where)
        if "frame" in fields:
            head.pop("frame", None)
        return self._encode(fields, head, strict=strict)

    def _encode(self, fields: dict[str, Any], head: dict[str, Any], *, strict: bool) -> bytes:
        line = rows.encode_row(fields, head=head, where=self._where, strict=strict)
        if len(self._keys) < _MOST_KEYS:
            self._keys |= {key for key in fields if type(key) is str}
        return line

    def put(self, line: bytes) -> None:
        """Write a row that `encode` has made."""
        self._stream.put(line)

    @property
    def _where(self) -> str:
        return f"track {self.topic!r}"

    # -- reading ---------------------------------------------------------------------------------

    def read(
        self,
        start_timestamp: float | None = None,
        end_timestamp: float | None = None,
        columns: Sequence[str] | None = None,
        format: str = "json",
    ) -> Any:
        """Read entries back, in order of time, those of other sessions and processes among them.

        Rows with the same explicit timestamp and no conflicting step are one entry.

        Args:
            start_timestamp: leave out what is before, in seconds.
            end_timestamp: leave out what is after, in seconds.
            columns: only these fields, beside the timestamp; nested ones are written `pose.x`.
            format: see below.

        Returns:
            `json`: `{"entries": [{"timestamp": …, "step": …, …}, …], "count": …}`; `jsonl`: bytes,
            a line an entry; `numpy`: arrays by column, as `ml_dash.open_run` gives them.

        Raises:
            ValueError: an unknown format, or a time that is no number.
            KeyError: there is no such column.
        """
        from ml_dash.track_slice import read

        return read(self.stored(), start_timestamp, end_timestamp, columns, format)

    def slice(
        self, start_timestamp: float | None = None, end_timestamp: float | None = None
    ) -> TrackSlice:
        """The entries between two times, both inclusive, to go through or to find some in.

        It is of one moment: what is appended later is not in it.

        Raises:
            ValueError: a time is no number.
        """
        from ml_dash.track_slice import TrackSlice

        return TrackSlice(self.stored(), start_timestamp, end_timestamp)

    def find(self, timestamp: float) -> dict[str, Any] | None:
        """The latest entry at or before `timestamp`, or `None` when all are later.

        To find many, make one `slice()` and ask that: this looks at the disk anew each time.

        Raises:
            ValueError: the time is no number.
        """
        return self.stored().find(timestamp)

    def list_entries(self) -> list[dict[str, Any]]:
        """All entries, in order of time."""
        return list(self.stored().rows())

    def flush(self) -> Self:
        """Wait until everything recorded so far is in the run. Never raises."""
        self._buffer.flush()
        return self

    def stored(self) -> Stream:
        """The rows of all sessions and processes, as they are on disk now."""
        from ml_dash.reading import Source, Stream

        self._buffer.flush()
        return Stream(Source(self._buffer.backend), self._stream.name)

    @property
    def stream_name(self) -> str:
        """The stream that the rows go to, relative to the run's folder."""
        return self._stream.name

    def __repr__(self) -> str:
        return f"<Track {self.topic!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Track, (self._buffer, self.topic)


class Tracks(dict[str, Track]):
    """`experiment.track`: gives each topic's track, and knows the topics of this process.

    A dict that is called: looking a topic up is on the path of every row, and this form of it
    needs no Python frame.
    """

    def __init__(self, buffer: Buffer) -> None:
        super().__init__()
        self._buffer = buffer

    def __missing__(self, topic: str) -> Track:
        track = self[topic] = Track(self._buffer, topic)
        return track

    __call__ = dict.__getitem__

    @property
    def names(self) -> builtins.list[str]:
        """The topics of all tracks that have rows, sorted."""
        from ml_dash.reading import Source

        self._buffer.flush()
        return sorted(map(topic_of, Source(self._buffer.backend).streams("tracks")))

    def list(self) -> builtins.list[dict[str, Any]]:
        """All tracks that have rows, by topic.

        Returns:
            For each `topic`, `totalEntries` (rows, before any are united), `firstTimestamp` and
            `lastTimestamp`, in seconds.
        """
        found = []
        for topic in self.names:
            stored = self[topic].stored()
            first, last = stored.span() or (None, None)
            entry = {"topic": topic, "totalEntries": stored.count()}
            found.append({**entry, "firstTimestamp": first, "lastTimestamp": last})
        return found

    def flush(self) -> Self:
        """Wait until everything recorded so far is in the run. Never raises."""
        self._buffer.flush()
        return self

    def __repr__(self) -> str:
        return '<tracks: track("robot/position").append({"step": 0, "x": 0.1}), names, list()>'

    def __reduce__(self) -> tuple[Any, ...]:
        return Tracks, (self._buffer,)


def as_fields(data: Any, where: str) -> dict[str, Any]:
    """A row's data as a dict of its own, whose keys are strings."""
    if data is None:
        return {}
    if isinstance(data, Mapping):
        return text_keys(data, where)
    kind = kind_name(data)
    article = "an" if kind[0] in "aeiou" else "a"
    raise TypeError(
        f"{where}: data is {article} {kind}, it must be a dict of values by key,"
        ' such as {"x": 0.1}'
    )


def the_one(
    name: str, check: Callable[[Any, str], T], given: Any, fields: dict[str, Any], where: str
) -> T | None:
    """The value of `name` given as an argument or among the fields; it is taken out of these."""
    inside = fields.pop(name, None)
    outer = None if given is None else check(given, where)
    inner = None if inside is None else check(inside, where)
    if outer is not None and inner is not None and outer != inner:
        raise ValueError(
            f"{where}: {name} is given twice and differently: {given!r} as an argument and"
            f" {inside!r} in the data; leave one out"
        )
    return inner if outer is None else outer
