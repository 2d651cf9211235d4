"""Statistics of values that were gathered between two summaries.

    mean std min max count sum median first last    and p0 … p100, also p99.9

- `std` is the sample's (divided by n - 1); of a single value it is 0.
- `median` and percentiles interpolate linearly, as `numpy.percentile` does.
- NaN takes no part: one diverged batch would otherwise hide all others. It is never dropped in
  silence either: whenever there was any, the summary has `nan`, their number. Of NaN alone, `count`
  and `sum` are 0 and everything else is NaN. Infinities take part.
"""

from __future__ import annotations

import math
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Row = dict[str, float]

_PERCENTILE = r"p([0-9]+(?:\.[0-9]+)?)"


def summarize(values: Sequence[float], names: Iterable[str]) -> dict[str, float]:
    """The statistics `names` of `values`, in the order asked for, and `nan` if there are any.

    Raises:
        ValueError: a name is none of those above.
    """
    names = check_names(names)
    numbers = [value for value in values if value == value]
    ordered = sorted(numbers)
    summary = {name: _statistic(name, numbers, ordered) for name in names}
    if len(numbers) < len(values):
        summary["nan"] = len(values) - len(numbers)
    return summary


def check_names(names: Iterable[str]) -> tuple[str, ...]:
    """`names` without repeats.

    Raises:
        ValueError: one of them is unknown; the message lists those there are.
    """
    found = tuple(dict.fromkeys(names))
    for name in found:
        if name not in _STATISTICS and _rank(name) is None:
            raise ValueError(
                f"log_summary: {name!r} is not a statistic; there are {', '.join(_STATISTICS)},"
                " median and p0 to p100, such as p95"
            )
    return found


def percentile(ordered: Sequence[float], rank: float) -> float:
    """The value that `rank` percent of the sorted values `ordered` are at or below, interpolated.

    Args:
        ordered: at least one value, ascending, without NaN.
        rank: from 0 to 100.
    """
    place = (len(ordered) - 1) * rank / 100
    below = math.floor(place)
    low = ordered[below]
    high = ordered[min(below + 1, len(ordered) - 1)]
    part = place - below
    if low == high or part == 0:
        return low  # also where both are infinite, of which the difference would be NaN
    # From the nearer end, as numpy does: what rounding adds is smallest there.
    return low + (high - low) * part if part < 0.5 else high - (high - low) * (1 - part)


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean of at least one value, exact to the last bit or nearly so."""
    try:
        return math.fsum(values) / len(values)
    except (OverflowError, ValueError):  # too large a sum; infinities of both signs
        return sum(value / len(values) for value in values)


def std(values: Sequence[float]) -> float:
    """The sample's standard deviation, 0 for one value."""
    if len(values) == 1:
        return 0.0
    centre = mean(values)
    # Scaled, because squares overflow long before their root does.
    scale = max(abs(value - centre) for value in values)
    if scale == 0 or not math.isfinite(scale):
        return scale if scale == 0 else math.nan
    squares = math.fsum(((value - centre) / scale) ** 2 for value in values)
    return scale * math.sqrt(squares / (len(values) - 1))


def total(values: Sequence[float]) -> float:
    """The sum, rounded once."""
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):
        return sum(values)


_STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": mean,
    "std": std,
    "min": min,
    "max": max,
    "count": len,
    "sum": total,
    "first": lambda values: values[0],
    "last": lambda values: values[-1],
}


def _statistic(name: str, numbers: Sequence[float], ordered: Sequence[float]) -> float:
    if not numbers:
        return 0 if name in ("count", "sum") else math.nan
    rank = _rank(name)
    return _STATISTICS[name](numbers) if rank is None else percentile(ordered, rank)


def _rank(name: str) -> float | None:
    """The rank of a percentile by its name, `None` for other names."""
    if name == "median":
        return 50.0
    found = re.fullmatch(_PERCENTILE, name) if isinstance(name, str) else None
    rank = float(found[1]) if found else math.inf
    return rank if rank <= 100 else None


class Gathered:
    """Values by key that wait for their summary.

    Without a lock, by operations that are atomic: a child forked in the middle of one must not find
    a lock that nobody will ever release. A child begins empty: what was gathered before the fork is
    its parent's to summarize.
    """

    __slots__ = ("_pid", "_rows")

    def __init__(self) -> None:
        self._rows: deque[Row] = deque()
        self._pid = os.getpid()

    def add(self, row: Row) -> None:
        """Add one value for each of some keys."""
        self._own().append(row)

    def __len__(self) -> int:
        return len(self._own())

    def take(self) -> list[Row]:
        """Everything gathered so far, which is then gathered no more."""
        rows = self._own()
        taken: list[Row] = []
        for _ in range(len(rows)):
            try:
                taken.append(rows.popleft())
            except IndexError:  # another thread is taking, too
                break
        return taken

    def put_back(self, taken: Sequence[Row]) -> None:
        """Undo `take`."""
        self._own().extendleft(reversed(taken))

    def columns(self) -> dict[str, list[float]]:
        """The values by key, in the order in which they came."""
        return columns(tuple(self._own()))

    def _own(self) -> deque[Row]:
        if self._pid != os.getpid():
            self._rows = deque()
            self._pid = os.getpid()
        return self._rows


def columns(rows: Iterable[Row]) -> dict[str, list[float]]:
    """Rows turned into one list for each key."""
    found: dict[str, list[float]] = {}
    for row in rows:
        for key, value in row.items():
            found.setdefault(key, []).append(value)
    return found


def numeric(values: Mapping[str, object], where: str) -> Row:
    """`values` as floats; a value that is `None` is left out: it was not measured.

    Takes numbers, numpy scalars and tensors of one element.

    Raises:
        ValueError: a value is not one number; none has been taken then.
    """
    row: Row = {}
    for key, value in values.items():
        if type(value) is float:
            row[key] = value
        elif value is not None:
            row[key] = _number(value, key, where)
    return row


def _number(value: object, key: str, where: str) -> float:
    number: Any = value
    try:
        if hasattr(number, "item"):
            number = number.item()  # numpy and torch: an error unless there is one element
        if isinstance(number, (str, bytes, bytearray)):
            raise TypeError  # float() would read their digits
        return float(number)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise ValueError(
            f"{where}: {key!r} cannot be summarized: {value!r:.80} of type {type(value).__name__}"
            " is not one number; log() takes other values"
        ) from None
