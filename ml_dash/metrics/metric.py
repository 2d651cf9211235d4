"""One metric: `experiment.metrics("train").log(step=0, loss=0.5)`.

A call is one row. Nested values are flattened with `/`. Values that come too often to be kept one
by one are gathered in memory with `buffer` and written as statistics by `log_summary`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import orjson

from ml_dash import rows
from ml_dash.clock import BOOTTIME, TICK, clock, now, read_clock
from ml_dash.metrics.summaries import Gathered, check_names, columns, numeric, summarize
from ml_dash.moment import BLOCKS, joined
from ml_dash.names import stream_name, topic_of
from ml_dash.steps import as_step, as_timestamp
from ml_dash.values import MIDNIGHT, OPTIONS, flatten

if TYPE_CHECKING:
    from ml_dash.buffer import Buffer
    from ml_dash.reading import Stream

_OPTIONS = OPTIONS | orjson.OPT_APPEND_NEWLINE
_U, _L = b"ul"
_T = ord("T")
_MOST_KEYS = 1000  # that a metric remembers
_dumps = orjson.dumps


class Metric:
    """One named series of rows. `experiment.metrics("train")` gives it."""

    __slots__ = ("_buffer", "_described", "_gathered", "_keys", "_stream", "name")

    def __init__(self, buffer: Buffer, name: str) -> None:
        stream = stream_name("metrics", name)
        self.name = topic_of(stream)
        self._buffer = buffer
        self._stream = buffer.stream(stream)
        self._gathered = Gathered()
        self._keys: set[str] = set()  # that were found good in an earlier row
        self._described = b""

    def log(self, data: Mapping[str, Any] | int | None = None, /, **values: Any) -> Self:
        """Write a row. It is encoded here and now.

        Args:
            data: values by key; or the step.
            step: the row's step, an integer. Inside `with recorder.step(n):` a row without
                timestamp, and with no other step, has the step and timestamp of that.
            timestamp: seconds; by default now.
            **values: numbers, and whatever else rows take: text, lists, arrays. Mappings are
                flattened: `eval={"loss": 1}` is `eval/loss`. Keys that begin with `_` are refused.

        Raises:
            TypeError: a value cannot be stored; the message names its key.
            ValueError: a reserved key, a key given twice, a step that is no integer (a bool, a
                fraction), a timestamp that is no number.
            RuntimeError: the run has not started or has ended.
        """
        if data is not None:
            values = united(data, values, self._where)
        # The usual row in few steps: keys that were looked at before, `timestamp` not among them.
        if self._keys.issuperset(values) and type(values.get("step", 0)) is int and not BLOCKS:
            stamp = read_clock(BOOTTIME) + clock.offset  # clock.now(), without the call
            if stamp <= clock.last:
                stamp = clock.last + TICK
            clock.last = stamp
            values["timestamp"] = stamp
            try:
                line = _dumps(values, None, _OPTIONS)
                # Only a mapping or a text has a second brace, a null may stand for a NaN, midnight
                # for no time. Searching for one byte takes a tenth of searching for several.
                if (
                    line.rfind(b"{") == 0
                    and (_U not in line or _L not in line or b"null" not in line)
                    and (_T not in line or MIDNIGHT not in line)
                ):
                    try:
                        self._stream.write(line)
                    except ValueError:
                        self._stream.retry(line)
                    return self
            except TypeError:
                pass  # such as a tensor
            del values["timestamp"]
        self._stream.put(self._encode_new(values))
        return self

    def _encode_new(self, values: dict[str, Any]) -> bytes:
        """Encode a row of which the keys or values are to be looked at; keep its keys in mind."""
        line = self.encode(values)
        if len(self._keys) < _MOST_KEYS:
            self._keys |= {key for key in values if type(key) is str}
            self._keys.discard("timestamp")
        return line

    def encode(
        self,
        values: Mapping[str, Any],
        *,
        at: float | None = None,
        step: int | None = None,
        strict: bool = True,
    ) -> bytes:
        """Encode a row as a line, as `log` would. For those who write several rows as one.

        Args:
            values: as `log` takes them; `timestamp` and `step` among them are the row's own.
            at: a stamp of ML-Dash's clock for a row that is given none; by default a new one.
            step: the row's step, if it is known from elsewhere.
            strict: when false, a value that cannot be encoded is stored as its `repr`.
        """
        where = self._where
        fields = dict(values)
        timestamp = fields.pop("timestamp", None)
        given = fields.pop("step", None)
        if given is not None:
            given = as_step(given, where)
            if step is not None and step != given:
                raise ValueError(f"{where}: two different steps are given, {step} and {given}")
            step = given
        row: dict[str, Any] = {}
        if timestamp is not None:
            row = {"timestamp": as_timestamp(timestamp, where), "_explicit": True}
        elif at is not None:
            row["timestamp"] = at
        elif (moment := joined(self._buffer, step)) is not None:
            row = moment.head()
        else:
            row["timestamp"] = now()
        if step is not None:
            row["step"] = step
        if any(isinstance(value, Mapping) for value in fields.values()):
            fields = flatten(fields, "/", where)
        return rows.encode_row(fields, head=row, where=where, strict=strict)

    @property
    def stream_name(self) -> str:
        """The stream that the rows go to, relative to the run's folder."""
        return self._stream.name

    def put(self, line: bytes) -> None:
        """Write a row that `encode` has made."""
        self._stream.put(line)

    def describe(
        self,
        description: str | None = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Say what the metric is, for `stats()` to tell. What is `None` stays as it was."""
        if isinstance(tags, str):
            tags = [tags]
        details = {"description": description, "tags": tags, "metadata": metadata}
        details = {key: value for key, value in details.items() if value is not None}
        row = {"event": "metric", "name": self.name, **details}
        body = rows.encode_row(row, where=self._where)
        if body != self._described:  # else said already, as by a call in a loop
            self._buffer.put("run", rows.encode_row(row, head={"timestamp": now()}, where="run"))
            self._described = body

    # -- summaries -------------------------------------------------------------------------------

    def buffer(self, data: Mapping[str, Any] | int | None = None, /, **values: Any) -> Self:
        """Gather values in memory, for `log_summary` to write their statistics.

        Args:
            data: values by key; or the step.
            step: the step that the values are of, an integer. It is no value: the summary has the
                last one as its own step, unless it is given another.
            **values: numbers, numpy scalars, tensors of one element. Mappings are flattened as by
                `log`. `None` was not measured and is left out.

        Raises:
            ValueError: a value is not one number, or the step no integer; nothing of this call is
                gathered then.
        """
        if data is not None:
            values = united(data, values, self._where)
        if any(isinstance(value, Mapping) for value in values.values()):
            values = flatten(values, "/", self._where)
        rows.check_keys(values, self._where)
        step = values.pop("step", None)
        row = numeric(values, self._where)
        if step is not None:
            row["step"] = as_step(step, self._where)
        self._gathered.add(row)
        return self

    @property
    def unsummarized(self) -> int:
        """How many calls of `buffer` no summary has been written of."""
        return len(self._gathered)

    def log_summary(self, *names: str, step: int | None = None) -> Self:
        """Write one row of statistics of the values gathered since the last summary.

        Args:
            names: `mean std min max count sum median first last`, and percentiles such as `p95` or
                `p99.9`; by default `mean`. See `ml_dash.metrics.summaries` for what they mean.
            step: the row's step; by default the last one that `buffer` was given.

        The row has `loss.mean` and so on for each key. NaN is left out of the statistics and
        counted in `loss.nan`. Writes nothing when nothing was gathered.

        Raises:
            ValueError: an unknown name, or a step that is no integer; the values stay gathered.
        """
        self.summarize(check_names(names or ("mean",)), step, None)
        return self

    def summarize(self, names: tuple[str, ...], step: int | None, at: float | None) -> None:
        """`log_summary` with checked names and a stamp of ML-Dash's clock."""
        step = None if step is None else as_step(step, self._where)
        taken = self._gathered.take()
        try:
            gathered = columns(taken)
            steps = gathered.pop("step", None)
            if step is None and steps:
                step = int(steps[-1])
            row = {
                f"{key}.{name}": value
                for key, values in gathered.items()
                for name, value in summarize(values, names).items()
            }
            if row:
                self._stream.put(self.encode(row, at=at, step=step))
        except BaseException:  # whatever stops it, the values are not lost
            self._gathered.put_back(taken)
            raise

    def peek(self, *keys: str, limit: int | None = 5) -> dict[str, list[float]]:
        """The values that wait for their summary, the latest `limit` of each key."""
        gathered = self._gathered.columns()
        return {
            key: values[-limit:] if limit else values
            for key, values in gathered.items()
            if (not keys or key in keys) and key != "step"
        }

    # -- reading ---------------------------------------------------------------------------------

    def read(self, start_index: int = 0, limit: int | None = 1000) -> dict[str, Any]:
        """Read rows back, in order of time, those of other sessions and processes among them.

        Args:
            start_index: the first row, counted from 0.
            limit: how many rows at most; `None` for all.

        Returns:
            `data`: a list of `{"index": 0, "timestamp": …, "createdAt": …, "data": {…}}`, where
            `createdAt` is the timestamp as ISO 8601 text in UTC, and `data` holds the values and
            the step. Beside it `startIndex`, `endIndex` (of the last row in `data`, inclusive),
            `total` (rows in `data`) and `hasMore`.
        """
        if start_index < 0 or (limit is not None and limit < 0):
            raise ValueError(
                f"{self._where}: start_index={start_index} and limit={limit} must not be negative"
            )
        from ml_dash.metrics.points import page

        return page(self.stored(), start_index, limit)

    def stats(self) -> dict[str, Any]:
        """What the metric holds.

        Returns:
            `name`, `totalDataPoints` (rows), `firstDataAt` and `lastDataAt` (ISO 8601 in UTC, or
            `None`), and `columns`: for each key that has numbers their `count`, `min`, `max`,
            `mean` and `last`; NaN is left out, and its number is `nan` if there is any. Also
            `description`, `tags` and `metadata`, where they were given.
        """
        from ml_dash.metrics.points import descriptions, overview

        found: dict[str, Any] = {"name": self.name, **overview(self.stored())}
        for row in descriptions(self._buffer.backend, self.name):
            found |= row
        return found

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
    def _where(self) -> str:
        return f"metric {self.name!r}"

    def __repr__(self) -> str:
        return f"<Metric {self.name!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Metric, (self._buffer, self.name)


def united(data: Any, values: dict[str, Any], where: str) -> dict[str, Any]:
    """The values of a call by key; `data` is more of them, or the step."""
    if data is None:
        return values
    if not isinstance(data, Mapping):
        data = {"step": as_step(data, where)}
    for key in values:
        if key in data:
            raise ValueError(f"{where}: the key {key!r} is given twice")
    return {**data, **values}
