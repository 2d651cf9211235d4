"""What counts as a step, and as a timestamp, when a user gives one."""

from __future__ import annotations

import math
import operator
from typing import Any

_SMALLEST, _LARGEST = -(2**63), 2**64 - 1  # what fits into 64 bits, with a sign or without


def as_step(value: Any, where: str) -> int:
    """A step as a plain integer; takes those of numpy and torch, too.

    Raises:
        ValueError: it is a fraction, a bool, text, or does not fit into 64 bits.
    """
    try:
        if isinstance(value, bool) or _is_bool(value):
            raise TypeError  # which operator.index would take for 0 or 1
        step = operator.index(value)
    except TypeError:
        raise ValueError(
            f"{where}: step must be an integer, not {value!r:.80} of type {type(value).__name__};"
            " give a fraction or a text another name"
        ) from None
    if not _SMALLEST <= step <= _LARGEST:
        raise ValueError(f"{where}: step {step} does not fit into 64 bits")
    return step


def as_timestamp(value: Any, where: str) -> float:
    """A timestamp as plain seconds since 1970; takes the numbers of numpy and torch, too.

    Raises:
        ValueError: it is no number, or not a finite one.
    """
    try:
        if isinstance(value, (bool, str, bytes)) or _is_bool(value):
            raise TypeError
        timestamp = float(value)
        if not math.isfinite(timestamp):
            raise TypeError
    except (TypeError, ValueError, OverflowError):
        remedy = (
            "give its .timestamp()"
            if callable(getattr(value, "timestamp", None))
            else "give a date or a text another name"
        )
        raise ValueError(
            f"{where}: timestamp must be a finite number of seconds, not {value!r:.80} of type"
            f" {type(value).__name__}; {remedy}"
        ) from None
    return timestamp


def as_time(value: Any, name: str) -> float:
    """A time to look for, in seconds; may be infinite.

    Raises:
        ValueError: it is no number, or NaN, before and after which nothing is.
    """
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        seconds = float(value)
        if seconds != seconds:
            raise TypeError
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f"{name} must be a number of seconds, not {value!r:.80} of type {type(value).__name__};"
            " of a date its timestamp() is one"
        ) from None
    return seconds


def _is_bool(value: Any) -> bool:
    return "bool" in str(getattr(value, "dtype", ""))
