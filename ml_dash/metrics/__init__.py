"""Metrics by name: `metrics("train")`, and several at once: `metrics.log(train={…}, eval={…})`."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from ml_dash.clock import now
from ml_dash.metrics.metric import Metric, united
from ml_dash.metrics.summaries import check_names
from ml_dash.names import topic_of
from ml_dash.steps import as_step

if TYPE_CHECKING:
    from ml_dash.buffer import Buffer

UNNAMED = "default"
"""The metric that `metrics.log(loss=0.5)` writes to."""

_OF_ROW = ("step", "timestamp")


class Metrics:
    """Gives each metric by name, and writes to several of them at once. `experiment.metrics`."""

    __slots__ = ("_buffer", "_metrics")

    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer
        self._metrics: dict[str, Metric] = {}

    def __call__(
        self,
        name: str,
        description: str | None = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Metric:
        """The metric `name`, such as `train` or `eval/cartpole`: always the same object.

        Args:
            name: components joined with `/`.
            description: what a reader should know of it; told by `stats()`, as are the next two.
            tags: labels.
            metadata: anything else, such as units.

        Raises:
            TypeError: the name is no string, or metadata cannot be stored.
            ValueError: the name is none that a folder can have; the message says why.
        """
        try:
            metric = self._metrics[name]
        except (KeyError, TypeError):
            metric = Metric(self._buffer, name)
            # One object for all spellings of a name, for the values that it gathers.
            metric = self._metrics.setdefault(metric.name, metric)
            self._metrics[name] = metric
        if description is not None or tags is not None or metadata is not None:
            metric.describe(description, tags, metadata)
        return metric

    def log(self, data: Mapping[str, Any] | int | None = None, /, **values: Any) -> Self:
        """Write to several metrics at once, with one timestamp and one step.

        Args:
            data: values by key; or the step.
            step: the step of all rows, an integer.
            timestamp: seconds, of all rows; by default now.
            **values: each mapping is a row of the metric of that name, as in
                `log(step=3, train={"loss": 0.5}, eval={"loss": 0.6})`. Other values are added to
                each of these rows; without any mapping they are a row of the metric `default`.

        Raises:
            TypeError, ValueError, RuntimeError: as `Metric.log`; no row is written then.
        """
        values = united(data, values, "metrics")
        rows_of = {k: v for k, v in values.items() if isinstance(v, Mapping) and k not in _OF_ROW}
        shared = {key: value for key, value in values.items() if key not in rows_of}
        at, step = now(), shared.pop("step", None)
        step = None if step is None else as_step(step, "metrics")
        encoded = [
            (metric, metric.encode({**shared, **row}, at=at, step=step))
            for metric, row in [
                (self(name), row) for name, row in (rows_of or {UNNAMED: {}}).items()
            ]
        ]
        for metric, line in encoded:
            metric.put(line)
        return self

    @property
    def buffer(self) -> Gathering:
        """All metrics' gathered values: `buffer.log_summary("mean")`, `buffer.peek()`."""
        return Gathering(self)

    def log_summary(self, *names: str, step: int | None = None) -> Self:
        """Write the statistics `names` of what all metrics gathered, with one timestamp and step.

        See `Metric.log_summary`.
        """
        checked = check_names(names or ("mean",))
        at = now()
        for metric in self.used():
            metric.summarize(checked, step, at)
        return self

    def used(self) -> list[Metric]:
        """The metrics that this process has asked for."""
        return list({id(metric): metric for metric in list(self._metrics.values())}.values())

    @property
    def names(self) -> list[str]:
        """The names of all metrics that have rows, sorted."""
        from ml_dash.reading import Source

        self._buffer.flush()
        return sorted(map(topic_of, Source(self._buffer.backend).streams("metrics")))

    def list(self) -> builtins.list[dict[str, Any]]:
        """All metrics that have rows, by name: `name`, `totalDataPoints`, `firstDataAt`, …"""
        from ml_dash.metrics.points import extent

        return [{"name": name, **extent(self(name).stored())} for name in self.names]

    def flush(self) -> Self:
        """Wait until everything recorded so far is in the run. Never raises."""
        self._buffer.flush()
        return self

    def __repr__(self) -> str:
        return '<metrics: metrics("train").log(step=0, loss=0.5), metrics.log(step=0, train={…})>'

    def __reduce__(self) -> tuple[Any, ...]:
        return Metrics, (self._buffer,)


class Gathering:
    """What all metrics of a process have gathered. `experiment.metrics.buffer`."""

    __slots__ = ("_metrics",)

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def __call__(self, *, step: int | None = None, **values: Mapping[str, Any]) -> Self:
        """Gather values of several metrics: `metrics.buffer(step=3, train={"loss": 0.5})`."""
        for name, row in values.items():
            self._metrics(name).buffer(row if step is None else {"step": step, **row})
        return self

    def log_summary(self, *names: str, step: int | None = None) -> None:
        """See `Metrics.log_summary`."""
        self._metrics.log_summary(*names, step=step)

    def peek(self, name: str | None = None, *keys: str, limit: int | None = 5) -> dict[str, Any]:
        """The latest values of one metric by key, or of all of them by `name/key`."""
        if name is not None:
            return self._metrics(name).peek(*keys, limit=limit)
        return {
            f"{metric.name}/{key}": values
            for metric in self._metrics.used()
            for key, values in metric.peek(*keys, limit=limit).items()
        }
