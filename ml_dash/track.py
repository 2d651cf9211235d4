"""Tracks: time series of dict rows, such as joint angles or sensor readings."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, nextafter
from typing import Any, Self

import orjson

from ml_dash import rows
from ml_dash.buffer import Buffer
from ml_dash.clock import BOOTTIME, clock, read_clock
from ml_dash.names import stream_name
from ml_dash.steps import as_step, as_timestamp

_dumps = orjson.dumps
_OPTIONS = rows.OPTIONS | orjson.OPT_APPEND_NEWLINE
_UNDERSCORE = ord("_")
_N = ord("n")


class Track:
    """One topic of a run. `experiment.track("robot/position")` gives it.

    Rows survive the death of the process once `append` has returned.
    """

    __slots__ = ("_buffer", "_retry", "_stream", "topic")

    def __init__(self, buffer: Buffer, topic: str) -> None:
        self.topic = topic
        self._buffer = buffer
        self._stream = buffer.stream(stream_name("tracks", topic))
        self._retry = self._stream.retry

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
            step: the row's step, a whole number.

        Raises:
            TypeError: a value has no JSON form; the message names its key.
            ValueError: a reserved key, a timestamp or step of a wrong kind or given twice and
                differently, or a row over 16 MiB.
        """
        if timestamp is None and step is None:
            now = read_clock(BOOTTIME) + clock.offset  # clock.now(), without the call
            if now <= clock.last:
                now = nextafter(clock.last, inf)
            clock.last = now
            try:
                line = _dumps({"timestamp": now, **data}, None, _OPTIONS)  # type: ignore[dict-item]  # None and others raise
                # The plain case is nearly every case: what is looked for is rare, and cheap to look
                # for in the encoded row. A null may stand for a NaN.
                plain = (
                    "timestamp" not in data  # type: ignore[operator]  # as above
                    and type(data.get("step", 0)) is int  # type: ignore[union-attr]  # as above
                    and (_UNDERSCORE not in line or b'"_' not in line)
                    and (_N not in line or b"null" not in line)
                )
            except (TypeError, AttributeError):
                plain = False
            if plain:
                try:
                    self._stream.write(line)
                except ValueError:
                    self._retry(line)
                return self
        return self._append(data, timestamp, step)

    def _append(self, data: Any, timestamp: Any, step: Any, *, strict: bool = True) -> Self:
        where = f"track {self.topic!r}"
        fields = as_fields(data, where)
        timestamp = _the_one("timestamp", timestamp, fields, where)
        step = _the_one("step", step, fields, where)
        at = clock.now() if timestamp is None else as_timestamp(timestamp, where)
        head: dict[str, Any] = {"timestamp": at}
        if step is not None:
            head["step"] = as_step(step, where)
        if timestamp is not None:
            head["_explicit"] = True
        self._stream.put(rows.encode_row(fields, head=head, where=where, strict=strict))
        return self

    def write(
        self, fields: Mapping[str, Any], timestamp: float, step: int | None, *, strict: bool = True
    ) -> None:
        """Add a row with a timestamp drawn from ML-Dash's clock. For the recorder."""
        where = f"track {self.topic!r}"
        head: dict[str, Any] = {"timestamp": timestamp}
        if step is not None:
            head["step"] = step
        self._stream.put(rows.encode_row(fields, head=head, where=where, strict=strict))

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

    def __reduce__(self) -> tuple[Any, ...]:
        return Tracks, (self._buffer,)


def as_fields(data: Any, where: str) -> dict[str, Any]:
    """A row's data as a dict of its own."""
    if data is None:
        return {}
    if isinstance(data, Mapping):
        return dict(data)
    raise TypeError(
        f"{where}: data is a {rows.kind_name(data)}, it must be a dict of values by key,"
        ' such as {"x": 0.1}'
    )


def _the_one(name: str, given: Any, fields: dict[str, Any], where: str) -> Any:
    """The value of `name` given as an argument or among the fields; it is taken out of these."""
    inside = fields.pop(name, None)
    if given is None or inside is None:
        return inside if given is None else given
    if given != inside:
        raise ValueError(
            f"{where}: {name} is given twice and differently: {given!r} as an argument and"
            f" {inside!r} in the data; leave one out"
        )
    return given
