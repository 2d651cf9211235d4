"""Metrics: rows, several at once, summaries, reading back."""

from __future__ import annotations

import math
import os
import pickle
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeBuffer
from hypothesis import given
from hypothesis import strategies as st

from ml_dash import Experiment, clock
from ml_dash.backends import LocalBackend, MemoryBackend
from ml_dash.metrics import Metrics
from ml_dash.metrics.metric import Metric
from ml_dash.reading import read_rows
from ml_dash.rows import MAX_LINE

EPOCH = 1_700_000_000.0


@pytest.fixture
def buffer() -> FakeBuffer:
    """What the handles write into."""
    return FakeBuffer()


@pytest.fixture
def metrics(buffer: FakeBuffer) -> Metrics:
    """The metrics of an empty run."""
    return Metrics(buffer)  # type: ignore[arg-type]


def stored(buffer: FakeBuffer, name: str = "train") -> list[dict[str, Any]]:
    """The rows of a metric without their timestamps."""
    rows = buffer.rows(f"metrics/{name}")
    assert all(type(row["timestamp"]) is float for row in rows)
    return [{key: value for key, value in row.items() if key != "timestamp"} for row in rows]


# -- one metric -----------------------------------------------------------------------------------


def test_a_call_is_a_row_with_time_step_and_values(metrics: Metrics, buffer: FakeBuffer) -> None:
    """Times grow from call to call, and no call is lost where a slot is full."""
    before = clock.now()
    for step in range(10):
        assert metrics("train").log(step=step, loss=0.5) is metrics("train")
    times = [row["timestamp"] for row in buffer.rows("metrics/train")]
    assert before < times[0]
    assert times == sorted(set(times))
    assert times[-1] < clock.now()
    assert stored(buffer) == [{"step": step, "loss": 0.5} for step in range(10)]


def test_values_come_as_a_dict_too_and_the_step_first(metrics: Metrics, buffer: FakeBuffer) -> None:
    """All forms of one call."""
    train = metrics("train")
    train.log({"loss": 1, "step": 3})
    train.log({"loss": 1}, step=3)
    train.log(3, loss=1)
    train.log(step=np.int64(3), loss=1)
    assert stored(buffer) == [{"step": 3, "loss": 1}] * 4


def test_a_row_may_lack_step_or_values(metrics: Metrics, buffer: FakeBuffer) -> None:
    """Twice, as the second call goes another way."""
    for _ in range(2):
        metrics("train").log()
        metrics("train").log(step=1)
        metrics("train").log(loss=2)
        metrics("train").log(step=None, loss=3)
    assert stored(buffer) == [{}, {"step": 1}, {"loss": 2}, {"loss": 3}] * 2


def test_nested_values_are_flattened_with_slashes(metrics: Metrics, buffer: FakeBuffer) -> None:
    """Every time, also after the same key has had a number."""
    for value in (0.5, {"loss": 1, "by": {"class": [1, 2]}}, 0.5, {"loss": 1, "by": {"class": 3}}):
        metrics("train").log(eval=value)
    assert stored(buffer) == [
        {"eval": 0.5},
        {"eval/loss": 1, "eval/by/class": [1, 2]},
        {"eval": 0.5},
        {"eval/loss": 1, "eval/by/class": 3},
    ]


def test_names_on_disk_follow_those_given(metrics: Metrics, buffer: FakeBuffer) -> None:
    """Distinct names stay distinct, and one name is one metric however it is spelled."""
    for name in ("a/b", "a_b", "A/b", "a%2Fb", "a.jsonl/b"):
        metrics(name).log(x=1)
    assert len(buffer.lines) == 5
    assert metrics("a/b/") is metrics("a/b")
    assert metrics("A/b").name == "A/b"


@pytest.mark.parametrize("name", ["", "..", "/etc/passwd", "CON", "a//b", "x" * 300, "a\0b"])
def test_a_name_that_is_no_path_is_refused(metrics: Metrics, name: str) -> None:
    """The message says what it is the name of."""
    with pytest.raises(ValueError, match="metrics name"):
        metrics(name)


@pytest.mark.parametrize("name", [None, 5, ["a"]])
def test_a_name_that_is_no_text_is_refused(metrics: Metrics, name: Any) -> None:
    """Also one that cannot be looked up."""
    with pytest.raises(TypeError, match="metrics name must be a string"):
        metrics(name)


# -- what is refused ------------------------------------------------------------------------------

BAD_STEPS = [True, 0.5, 3.0, "3", np.float32(3), np.bool_(True), 2**64, [3], {"a": 1}]


@pytest.mark.parametrize("step", BAD_STEPS, ids=repr)
def test_a_step_that_is_no_integer_is_refused(
    metrics: Metrics, buffer: FakeBuffer, step: Any
) -> None:
    """By every way of giving it, at first and later on."""
    train = metrics("train")
    for _ in range(2):
        for call in (
            lambda: train.log(step=step, loss=1.0),
            lambda: train.log({"step": step, "loss": 1.0}),
            lambda: metrics.log(step=step, train={"loss": 1.0}),
            lambda: metrics.log(train={"loss": 1.0, "step": step}),
            lambda: train.log_summary(step=step),
        ):
            with pytest.raises(ValueError, match="step"):
                call()
        assert not stored(buffer)[:-1]
        train.log(step=1, loss=1.0)


def test_a_reserved_key_is_refused_every_time(metrics: Metrics, buffer: FakeBuffer) -> None:
    """Nothing of the row is stored, and the key is not taken for a good one later."""
    metrics("train").log(loss=1.0)
    for _ in range(3):
        with pytest.raises(ValueError, match=r"metric 'train'.*'_loss'"):
            metrics("train").log(loss=1.0, _loss=2.0)
        with pytest.raises(ValueError, match=r"'_x"):
            metrics("train").log(_x={"a": 1})
    assert stored(buffer) == [{"loss": 1.0}]


def test_a_value_that_cannot_be_stored_is_named(metrics: Metrics, buffer: FakeBuffer) -> None:
    """By metric and key, at first and later on."""
    for _ in range(2):
        with pytest.raises(TypeError, match=r"metric 'train'.*'loss'"):
            metrics("train").log(step=1, loss=object())
        assert not stored(buffer)[:-1]
        metrics("train").log(step=1, loss=1.0)


def test_a_key_given_twice_is_refused(metrics: Metrics) -> None:
    """In the dict and by name, or nested and written out."""
    with pytest.raises(ValueError, match="'loss' is given twice"):
        metrics("train").log({"loss": 1}, loss=2)
    with pytest.raises(ValueError, match="'a/b' is given twice"):
        metrics("train").log({"a": {"b": 1}, "a/b": 2})
    with pytest.raises(ValueError, match="two different steps are given, 1 and 2"):
        metrics.log(step=1, train={"step": 2})


def test_a_given_timestamp_is_the_row_s_own(metrics: Metrics, buffer: FakeBuffer) -> None:
    """Such rows are marked; what is no number of seconds is refused."""
    for _ in range(2):
        metrics("train").log(timestamp=EPOCH, loss=1.0)
        metrics.log(timestamp=np.float64(EPOCH), train={"loss": 1.0})
    for line in buffer.lines["metrics/train"]:
        assert line == b'{"timestamp":%.1f,"_explicit":true,"loss":1.0}\n' % EPOCH
    for bad in ("2025-01-01", True, math.nan, math.inf, [1]):
        with pytest.raises(ValueError, match="timestamp"):
            metrics("train").log(timestamp=bad, loss=1.0)


def test_a_row_of_over_16_mib_is_refused() -> None:
    """The limit is that of all rows, whichever way a row takes."""
    with Experiment("p/m", backend=MemoryBackend(), environment=False).run as run:
        train = run.metrics("train")
        for _ in range(2):
            train.log(text="x" * 100)
            with pytest.raises(ValueError, match="16,777,216"):
                train.log(text="x" * MAX_LINE)
        assert train.stats()["totalDataPoints"] == 2


def test_a_handle_of_an_ended_run_raises(metrics: Metrics, buffer: FakeBuffer) -> None:
    """And what was gathered stays gathered."""
    train = metrics("train").log(loss=1.0).buffer(loss=2.0)
    buffer.closed = True
    for call in (lambda: train.log(loss=1.0), lambda: metrics.log(train={}), train.log_summary):
        with pytest.raises(RuntimeError, match="ended"):
            call()
    assert train.peek() == {"loss": [2.0]}


# -- values of all kinds --------------------------------------------------------------------------


def test_values_of_all_kinds_come_back(metrics: Metrics, buffer: FakeBuffer) -> None:
    """At first, when the key is known, and when it has had plain numbers before."""
    torch = pytest.importorskip("torch")
    values: list[tuple[Any, Any]] = [
        (1, 1),
        (-0.0, -0.0),
        (True, True),
        (None, None),
        ("text {with} null", "text {with} null"),
        ([1, [2]], [1, [2]]),
        ({}, {}),
        (2**64 - 1, 2**64 - 1),
        (2**70, 2**70),
        (10**400, 10**400),
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.arange(3.0), [0.0, 1.0, 2.0]),
        (np.array([1.0]), [1.0]),
        (np.array(2.0), 2.0),
        (torch.tensor(0.5, requires_grad=True), 0.5),
        (math.inf, math.inf),
        ("\ud800", "\ud800"),
    ]
    for value, expected in values:
        metric = metrics(f"m{len(buffer.lines)}")
        for _ in range(2):
            metric.log(step=1, loss=value, other=1.5)
            metric.log(step=1, loss=0.25, other=1.5)
        lines = stored(buffer, metric.name)
        assert (
            lines
            == [
                {"step": 1, "loss": expected, "other": 1.5},
                {"step": 1, "loss": 0.25, "other": 1.5},
            ]
            * 2
        )
        assert type(lines[0]["loss"]) is type(expected)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_non_finite_numbers_come_back(metrics: Metrics, buffer: FakeBuffer, bad: float) -> None:
    """In a row of known keys too, alone and where they cancel out to a finite sum of none."""
    train = metrics("train")
    for other in (1.0, -bad, np.float64(1.0), 1.0):
        train.log(step=1, loss=bad, other=other)
    for line in buffer.lines["metrics/train"]:
        assert b'"loss":null' in line
    assert all(repr(row["loss"]) == repr(bad) for row in stored(buffer))


def test_numpy_numbers_that_overflow_when_added_cause_no_warning(
    metrics: Metrics, buffer: FakeBuffer
) -> None:
    """What is logged is nobody's business but the reader's."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(4):
            metrics("train").log(a=np.uint8(200), b=np.uint8(100), c=np.float16(60000))
            metrics("train").log(a=np.float32(3e38), b=np.float32(3e38), c=np.float32(math.inf))
            metrics("other").log(a=np.float64(math.inf), b=np.float64(-math.inf))
    assert caught == []
    assert stored(buffer)[::2] == [{"a": 200, "b": 100, "c": 60000.0}] * 4


VALUES = st.dictionaries(
    st.sampled_from(["loss", "step", "null", "a{b", "eval/x", "timestamp", "_x", ""]),
    st.integers(-(2**70), 2**70)
    | st.floats()
    | st.booleans()
    | st.none()
    | st.text(max_size=3)
    | st.lists(st.floats(), max_size=2)
    | st.dictionaries(st.sampled_from("ab"), st.floats(), max_size=2),
    max_size=4,
)


@given(st.lists(VALUES, max_size=8))
def test_each_row_is_what_it_would_be_without_the_quick_way(rows: list[dict[str, Any]]) -> None:
    """Whatever came before it: the same values, or the same refusal."""
    buffer = FakeBuffer()
    metric = Metric(buffer, "train")  # type: ignore[arg-type]
    for row in rows:
        try:
            expected = Metric(FakeBuffer(), "train").encode(row, at=EPOCH)  # type: ignore[arg-type]
        except ValueError as error:
            with pytest.raises(ValueError, match="metric 'train'") as caught:
                metric.log(row)
            assert str(caught.value) == str(error)
        else:
            metric.log(row)
            line = buffer.lines["metrics/train"].pop()
            assert eval_row(line) == eval_row(expected)


def eval_row(line: bytes) -> str:
    """A line's values as text, in which NaN equals NaN and 1 differs from True."""
    from ml_dash.rows import decode_row

    row = decode_row(line)
    if "_explicit" not in row:
        assert type(row.pop("timestamp")) is float
    return repr(sorted(row.items()))


# -- several at once ------------------------------------------------------------------------------


def test_several_metrics_share_time_and_step(metrics: Metrics, buffer: FakeBuffer) -> None:
    """Each mapping is a row of the metric of its name; other values are in all of them."""
    assert (
        metrics.log(step=3, lr=0.1, train={"loss": 1, "lr": 9}, eval={"loss": {"a": 2}}) is metrics
    )
    assert stored(buffer, "train") == [{"step": 3, "lr": 9, "loss": 1}]
    assert stored(buffer, "eval") == [{"step": 3, "lr": 0.1, "loss/a": 2}]
    (first,), (second,) = buffer.rows("metrics/train"), buffer.rows("metrics/eval")
    assert first["timestamp"] == second["timestamp"]
    assert list(buffer.lines) == ["metrics/train", "metrics/eval"]


def test_values_without_a_name_go_to_the_default_metric(
    metrics: Metrics, buffer: FakeBuffer
) -> None:
    """With a step and without, by name and in a dict."""
    metrics.log(step=3, loss=1).log({"loss": 2}).log(loss=3).flush()
    assert stored(buffer, "default") == [{"step": 3, "loss": 1}, {"loss": 2}, {"loss": 3}]


def test_one_bad_row_of_several_stores_none(metrics: Metrics, buffer: FakeBuffer) -> None:
    """Neither those before it nor those behind it."""
    with pytest.raises(TypeError, match=r"metric 'eval'.*'loss'"):
        metrics.log(train={"loss": 1}, eval={"loss": object()}, test={"loss": 3})
    with pytest.raises(ValueError, match="metrics name"):
        metrics.log({"train": {"loss": 1}, "..": {"loss": 2}})
    assert not any(buffer.lines.values())


def test_the_recorder_s_way_in_writes_the_same_rows(metrics: Metrics, buffer: FakeBuffer) -> None:
    """With a stamp and a step of its own, and a repr where it is not strict."""
    stamp = clock.now()
    train = metrics("train")
    assert train.stream_name == "metrics/train"
    train.put(train.encode({"loss": {"a": 1}}, at=stamp, step=7))
    train.put(train.encode({"loss": object}, at=stamp, strict=False))
    assert buffer.rows("metrics/train") == [
        {"timestamp": stamp, "step": 7, "loss/a": 1},
        {"timestamp": stamp, "loss": "<class 'object'>"},
    ]


# -- summaries ------------------------------------------------------------------------------------


def test_gathered_values_become_one_row_of_statistics(metrics: Metrics, buffer: FakeBuffer) -> None:
    """Keys are the value's and the statistic's name; afterwards nothing is gathered."""
    train = metrics("train")
    for value in (1.0, 2.0, 6.0):
        assert train.buffer(loss=value, eval={"acc": value / 10}) is train
    train.buffer(loss=None, rare=5)
    assert train.peek("loss", limit=2) == {"loss": [2.0, 6.0]}
    assert train.log_summary("mean", "max", "count", "median", step=np.int32(4)) is train
    assert stored(buffer) == [
        {
            "step": 4,
            "loss.mean": 3.0,
            "loss.max": 6.0,
            "loss.count": 3,
            "loss.median": 2.0,
            "eval/acc.mean": pytest.approx(0.3),
            "eval/acc.max": 0.6,
            "eval/acc.count": 3,
            "eval/acc.median": 0.2,
            "rare.mean": 5.0,
            "rare.max": 5.0,
            "rare.count": 1,
            "rare.median": 5.0,
        }
    ]
    train.log_summary("mean")
    assert len(stored(buffer)) == 1


def test_the_mean_is_the_default_summary(metrics: Metrics, buffer: FakeBuffer) -> None:
    """As it is for the metrics together."""
    metrics("train").buffer({"loss": 1}).buffer(loss=3).log_summary()
    assert stored(buffer) == [{"loss.mean": 2.0}]


def test_a_diverged_value_shows_in_the_summary(metrics: Metrics, buffer: FakeBuffer) -> None:
    """NaN spoils no mean, and is told."""
    train = metrics("train")
    for value in (1.0, math.nan, 3.0):
        train.buffer(loss=value, only=math.nan)
    train.log_summary("mean")
    (row,) = stored(buffer)
    assert math.isnan(row.pop("only.mean"))
    assert row == {"loss.mean": 2.0, "loss.nan": 1, "only.nan": 3}


def test_all_metrics_are_summarized_at_one_time(metrics: Metrics, buffer: FakeBuffer) -> None:
    """By `metrics.buffer.log_summary` or `metrics.log_summary`; only those that gathered."""
    metrics("train").buffer(loss=1.0)
    metrics("idle")
    metrics.buffer(train={"loss": 3.0}, val={"loss": 5.0})
    assert metrics.buffer.peek() == {"train/loss": [1.0, 3.0], "val/loss": [5.0]}
    assert metrics.buffer.peek("train", "loss", limit=1) == {"loss": [3.0]}
    metrics.buffer.log_summary("mean", "count", step=9)
    assert stored(buffer, "train") == [{"step": 9, "loss.mean": 2.0, "loss.count": 2}]
    assert stored(buffer, "val") == [{"step": 9, "loss.mean": 5.0, "loss.count": 1}]
    times = {
        row["timestamp"] for name in ("train", "val") for row in buffer.rows(f"metrics/{name}")
    }
    assert len(times) == 1
    metrics("train").buffer(loss=1.0)
    assert metrics.log_summary() is metrics
    assert stored(buffer, "train")[1] == {"loss.mean": 1.0}
    assert "metrics/idle" not in buffer.lines


def test_a_refused_summary_keeps_what_was_gathered(metrics: Metrics, buffer: FakeBuffer) -> None:
    """An unknown statistic, of one metric or of all."""
    train = metrics("train").buffer(loss=1.0)
    for log_summary in (train.log_summary, metrics.log_summary, metrics.buffer.log_summary):
        with pytest.raises(ValueError, match="'average' is not a statistic"):
            log_summary("mean", "average")
    assert train.peek() == {"loss": [1.0]}
    assert not buffer.lines


def test_a_value_that_is_not_one_number_gathers_nothing(metrics: Metrics) -> None:
    """The good values of that call are left out, too."""
    train = metrics("train")
    with pytest.raises(ValueError, match=r"metric 'train': 'text'"):
        train.buffer(loss=1.0, text="high")
    with pytest.raises(ValueError, match="'_x'"):
        train.buffer(_x=1.0)
    assert train.peek() == {}


def test_a_buffered_step_is_no_value(metrics: Metrics, buffer: FakeBuffer) -> None:
    """The summary has the last one as its step, unless it is given another."""
    train = metrics("train")
    for step in range(3):
        train.buffer(step=step, loss=float(step))
    train.buffer({"loss": 5.0}, step=None)
    assert train.peek() == {"loss": [0.0, 1.0, 2.0, 5.0]}
    train.log_summary()
    train.buffer(2**60 + 1, loss=1.0).log_summary("max")
    train.buffer(step=4, loss=1.0).log_summary("max", step=9)
    train.buffer(step=4).log_summary()
    metrics.buffer(step=7, train={"loss": 1.0}, val={"loss": 2.0}).log_summary("max")
    assert stored(buffer) == [
        {"step": 2, "loss.mean": 2.0},
        {"step": 2**60 + 1, "loss.max": 1.0},
        {"step": 9, "loss.max": 1.0},
        {"step": 7, "loss.max": 1.0},
    ]
    assert metrics.names == ["train", "val"]
    with pytest.raises(ValueError, match=r"step must be an integer, not 1\.5"):
        train.buffer(step=1.5, loss=1.0)
    assert train.unsummarized == 0


def test_threads_gather_into_one_summary(metrics: Metrics, buffer: FakeBuffer) -> None:
    """No value is lost or counted twice while another thread writes summaries."""
    train = metrics("train")

    def gather() -> None:
        for _ in range(2000):
            train.buffer(loss=1.0)

    threads = [threading.Thread(target=gather) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        train.log_summary("sum", "count")
    train.log_summary("sum", "count")
    assert sum(row["loss.count"] for row in stored(buffer)) == 8000


# -- reading back ---------------------------------------------------------------------------------


def test_rows_are_read_back_page_by_page(metrics: Metrics, buffer: FakeBuffer) -> None:
    """With index and time; after a flush, so that all that was logged is there."""
    for step in range(25):
        metrics("train").log(step=step, loss=step / 2)
    page = metrics("train").read(start_index=10, limit=5)
    assert {key: page[key] for key in page if key != "data"} == {
        "startIndex": 10,
        "endIndex": 14,
        "total": 5,
        "hasMore": True,
    }
    first = page["data"][0]
    assert (first["index"], first["data"]) == (10, {"step": 10, "loss": 5.0})
    assert first["timestamp"] == buffer.rows("metrics/train")[10]["timestamp"]
    assert first["createdAt"].startswith("20")
    assert first["createdAt"].endswith("+00:00")
    last = metrics("train").read(start_index=20)
    assert (last["total"], last["endIndex"], last["hasMore"]) == (5, 24, False)
    assert metrics("train").read(limit=None)["total"] == 25
    assert metrics("train").read(start_index=99)["data"] == []
    with pytest.raises(ValueError, match="start_index=-1"):
        metrics("train").read(start_index=-1)


def test_stats_tell_what_a_metric_holds(metrics: Metrics) -> None:
    """Rows, times, and statistics of each column of numbers."""
    for step, loss in enumerate([3.0, math.nan, 1, 10**400]):
        metrics("eval/test").log(step=step, loss=loss, text="x")
    stats = metrics("eval/test").stats()
    assert stats["name"] == "eval/test"
    assert stats["totalDataPoints"] == 4
    assert stats["firstDataAt"] < stats["lastDataAt"]
    assert stats["columns"] == {
        "loss": {
            "count": 3,
            "min": 1.0,
            "max": math.inf,
            "mean": math.inf,
            "last": math.inf,
            "nan": 1,
        }
    }


def test_a_metric_without_rows_reads_as_empty(metrics: Metrics) -> None:
    """It is no error to look before anything was logged."""
    assert metrics("train").read() == {
        "data": [],
        "startIndex": 0,
        "endIndex": -1,
        "total": 0,
        "hasMore": False,
    }
    assert metrics("train").stats() == {
        "name": "train",
        "totalDataPoints": 0,
        "firstDataAt": None,
        "lastDataAt": None,
        "columns": {},
    }
    assert metrics.names == []
    assert metrics.list() == []


def test_what_is_said_of_a_metric_is_told_by_its_stats(
    metrics: Metrics, buffer: FakeBuffer
) -> None:
    """Said once, however often the call is repeated; the later wins, piece by piece."""
    for _ in range(3):
        metrics("train", description="per batch", tags=["a"]).log(loss=1.0)
    metrics("train", metadata={"unit": "nats"})
    metrics("other", description="else")
    assert len(buffer.lines["run"]) == 3
    metrics("train", tags="b")
    stats = metrics("train").stats()
    assert stats["description"] == "per batch"
    assert stats["tags"] == ["b"]
    assert stats["metadata"] == {"unit": "nats"}
    with pytest.raises(TypeError, match=r"metric 'train'.*'metadata'"):
        metrics("train", metadata={"unit": object()})


# -- end to end -----------------------------------------------------------------------------------


def test_metrics_of_a_run_are_read_back(tmp_path: Path) -> None:
    """While it is written, by a later session, and from its folder."""

    def experiment() -> Experiment:
        return Experiment("p/arm", dash_root=tmp_path, environment=False)

    with experiment().run as first:
        for step in range(100):
            first.metrics("train").log(step=step, loss=1 / (step + 1))
        first.metrics.log(step=100, train={"loss": 0.0}, Eval={"loss": 0.1})
        assert first.metrics("train").read(start_index=98)["total"] == 3
    with experiment().run as second:
        assert second.metrics.names == ["Eval", "train"]
        second.metrics("train").buffer(loss=1.0).log_summary("mean", "p95", step=101)
        copy = pickle.loads(pickle.dumps(second.metrics("train")))
        copy.log(step=102, loss=2.0)
        assert second.metrics("train").stats()["totalDataPoints"] == 103
        counts = {entry["name"]: entry["totalDataPoints"] for entry in second.metrics.list()}
        assert counts == {"Eval": 1, "train": 103}
        assert pickle.loads(pickle.dumps(second.metrics)).names == ["Eval", "train"]
    rows = list(read_rows(LocalBackend(tmp_path / "p" / "arm"), "metrics/train"))
    assert [row["step"] for row in rows] == list(range(103))
    assert rows[101] == {**rows[101], "loss.mean": 1.0, "loss.p95": 1.0}


def test_explicit_timestamps_do_not_merge_rows_of_metrics(tmp_path: Path) -> None:
    """Only entries of tracks do; the mark is not among the values."""
    with Experiment("p/arm", dash_root=tmp_path, environment=False).run as experiment:
        for loss in (1.0, 2.0):
            experiment.metrics("train").log(timestamp=EPOCH, loss=loss)
        data = experiment.metrics("train").read()["data"]
    assert [point["data"] for point in data] == [{"loss": 1.0}, {"loss": 2.0}]
    assert data[0]["timestamp"] == EPOCH


def test_the_handles_load_no_numpy() -> None:
    """Logging numbers must not make a program wait for an import it does not need."""
    program = """
import sys
from ml_dash import Experiment
from ml_dash.backends import MemoryBackend
with Experiment("p/m", backend=MemoryBackend(), environment=False, echo=False).run as run:
    run.params.set(a={"b": 1})
    run.log("x", a=1)
    run.metrics("train").log(step=1, loss=0.5).buffer(loss=1).log_summary("mean", "std", "p95")
    run.params.get(), run.metrics("train").read(), run.metrics("train").stats()
print("numpy" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert done.stdout.strip() == "False", done.stderr


def test_values_that_no_summary_was_written_of_are_told_at_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `buffer` gathered and nobody summarized is gone, but not in silence."""
    with Experiment("e", dash_root=tmp_path, echo=False, environment=False).run as experiment:
        for loss in range(10):
            experiment.metrics("train").buffer(loss=loss)
    assert "10 values that metrics('train')" in capsys.readouterr().err
