"""Statistics of gathered values, held against numpy."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_dash.metrics.summaries import Gathered, check_names, columns, numeric, percentile, summarize

NUMBERS = st.floats(-1e12, 1e12, allow_nan=False, allow_infinity=False)
LISTS = st.lists(NUMBERS, min_size=1, max_size=60)


@given(LISTS, st.floats(0, 100))
def test_percentiles_are_those_of_numpy(values: list[float], rank: float) -> None:
    """Any percentile of any values is numpy's, up to the last bits."""
    expected = np.percentile(values, rank)
    scale = max(map(abs, values))
    assert percentile(sorted(values), rank) == pytest.approx(expected, rel=1e-12, abs=scale * 1e-12)


@given(LISTS)
def test_all_statistics_are_those_of_numpy(values: list[float]) -> None:
    """Each named statistic is what numpy computes; std is the sample's."""
    found = summarize(
        values, ["mean", "std", "min", "max", "count", "sum", "median", "first", "last", "p95"]
    )
    scale = max(map(abs, values))
    expected = {
        "mean": np.mean(values),
        # Scaled, as numpy squares values, and squares of small ones are zero.
        "std": scale * np.std(np.divide(values, scale or 1.0), ddof=1) if len(values) > 1 else 0.0,
        "min": np.min(values),
        "max": np.max(values),
        "count": len(values),
        "sum": math.fsum(values),
        "median": np.median(values),
        "first": values[0],
        "last": values[-1],
        "p95": np.percentile(values, 95),
    }
    assert list(found) == list(expected)
    assert found == pytest.approx(expected, rel=1e-9, abs=scale * 1e-9)


@given(LISTS, st.floats(0, 100))
def test_a_percentile_lies_within_the_values(values: list[float], rank: float) -> None:
    """Rounding never leads out of the range of the values."""
    ordered = sorted(values)
    assert ordered[0] <= percentile(ordered, rank) <= ordered[-1]


def test_the_mean_of_many_like_values_is_exact() -> None:
    """A plain running sum would be off in the last digits."""
    assert summarize([0.1] * 10, ["mean", "sum"]) == {"mean": 0.1, "sum": 1.0}


def test_std_of_equal_values_is_zero() -> None:
    """No rounding noise where nothing varies."""
    assert summarize([0.1] * 7, ["std"]) == {"std": 0.0}


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_std_of_tiny_and_of_huge_values_is_neither_lost_nor_infinite(size: float) -> None:
    """Squares of such values leave the range of floats."""
    assert summarize([size, 3 * size], ["std"])["std"] == pytest.approx(math.sqrt(2) * size)


def test_the_mean_of_values_whose_sum_is_too_large_is_finite() -> None:
    """The sum is infinite, the mean is not."""
    found = summarize([1.6e308, 1.6e308], ["mean", "sum"])
    assert found == {"mean": 1.6e308, "sum": math.inf}


def test_nan_is_left_out_and_counted() -> None:
    """Statistics are of the other values, and how many were NaN is told."""
    values = [1.0, math.nan, 3.0]
    found = summarize(values, ["mean", "count", "max", "last", "p50"])
    assert found == {"mean": 2.0, "count": 2, "max": 3.0, "last": 3.0, "p50": 2.0, "nan": 1}


def test_nan_alone_gives_nan_and_a_count_of_zero() -> None:
    """What has no number has no mean, and does not vanish either."""
    found = summarize([math.nan, math.nan], ["count", "sum", "mean", "p95", "min"])
    assert (found["count"], found["sum"], found["nan"]) == (0, 0, 2)
    assert all(math.isnan(found[name]) for name in ("mean", "p95", "min"))


def test_infinities_take_part() -> None:
    """They are values: the largest, the mean, the percentile above them."""
    found = summarize([1.0, math.inf], ["mean", "max", "min", "p100", "p0"])
    assert found == {"mean": math.inf, "max": math.inf, "min": 1.0, "p100": math.inf, "p0": 1.0}
    assert math.isnan(summarize([math.inf, -math.inf], ["mean"])["mean"])
    assert summarize([math.inf, math.inf], ["p50"]) == {"p50": math.inf}


@pytest.mark.parametrize("name", ["p101", "p-1", "p", "average", "", "P95", "p1e1", "p९", None, 95])
def test_an_unknown_statistic_is_refused_with_those_there_are(name: object) -> None:
    """The message names what was given, the statistics and the percentiles."""
    with pytest.raises(ValueError, match=r"mean, std.*median and p0 to p100") as caught:
        check_names(["mean", name])  # type: ignore[list-item]
    assert repr(name) in str(caught.value)


def test_a_statistic_named_twice_is_computed_once() -> None:
    """And the order asked for is kept."""
    assert check_names(["p99.9", "mean", "p99.9"]) == ("p99.9", "mean")


def test_what_is_gathered_is_taken_once_and_in_order() -> None:
    """After it was taken nothing is left, and what is put back comes first again."""
    gathered = Gathered()
    for value in range(3):
        gathered.add({"loss": float(value)})
    taken = gathered.take()
    gathered.add({"loss": 9.0})
    gathered.put_back(taken)
    assert gathered.columns() == {"loss": [0.0, 1.0, 2.0, 9.0]}
    assert len(gathered.take()) == 4
    assert gathered.take() == []


def test_a_forked_child_begins_with_nothing_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was gathered before the fork is summarized by the parent, once."""
    gathered = Gathered()
    gathered.add({"loss": 1.0})
    parent = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    gathered.add({"loss": 2.0})
    assert gathered.take() == [{"loss": 2.0}]


def test_columns_follow_the_rows_that_have_them() -> None:
    """Keys may come and go from row to row."""
    assert columns([{"a": 1.0}, {"b": 2.0, "a": 3.0}]) == {"a": [1.0, 3.0], "b": [2.0]}


def test_numbers_of_any_make_are_gathered_as_floats() -> None:
    """Numpy scalars, arrays of one element, bools; what is None was not measured."""
    torch = pytest.importorskip("torch")
    row = numeric(
        {
            "a": 1,
            "b": np.float32(0.5),
            "c": np.array([2.0]),
            "d": True,
            "e": None,
            "f": torch.tensor(3.0, requires_grad=True),
        },
        "metric 'x'",
    )
    assert row == {"a": 1.0, "b": 0.5, "c": 2.0, "d": 1.0, "f": 3.0}


@pytest.mark.parametrize(
    "value", ["0.5", b"1", [1.0], {}, np.zeros(2), np.str_("1"), object(), 1j, 10**400]
)
def test_what_is_not_one_number_is_refused_by_name(value: object) -> None:
    """Text is refused even where it could be read as a number."""
    with pytest.raises(ValueError, match=r"metric 'x': 'loss' cannot be summarized"):
        numeric({"ok": 1.0, "loss": value}, "metric 'x'")
