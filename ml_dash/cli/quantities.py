"""Numbers as people read them: sizes, durations, moments, rates."""

from __future__ import annotations

import math
import time

_CALENDAR = (946_684_800.0, 4_102_444_800.0)  # 2000 to 2100; other timestamps are no dates


def count(number: int, noun: str = "", plural: str | None = None) -> str:
    """`1,234`, with a noun `1,234 rows`."""
    if not noun:
        return f"{number:,}"
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def size(number: int) -> str:
    """Bytes as `512 B`, `1.5 kB`, `20 MB`: three digits, steps of 1,000."""
    if number < 1000:
        return f"{number} B"
    value = number / 1000
    units = ["TB", "GB", "MB", "kB"]
    while value >= 999.5 and len(units) > 1:
        value /= 1000
        units.pop()
    return f"{_short(value)} {units[-1]}"


def duration(seconds: float) -> str:
    """Seconds as `4.2s`, `3m 07s`, `2h 05m`, `3d 04h`."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if seconds < 59.95:
        return f"{seconds:.3f}s" if seconds < 0.0995 else f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}h {minutes:02d}m"
    days, hours = divmod(hours, 24)
    return f"{days:,}d {hours:02d}h"


def moment(timestamp: float, *, parts: str = "%Y-%m-%d %H:%M:%S", decimals: int = 0) -> str:
    """A timestamp in local time, or the plain number where it is none of this century.

    Args:
        timestamp: in seconds since 1970, or counted from anywhere, as a robot's clock may.
        parts: what to show, as for `time.strftime`.
        decimals: of the seconds that end it.
    """
    if not _CALENDAR[0] <= timestamp < _CALENDAR[1]:
        return (
            f"{timestamp:,.6f}".rstrip("0").rstrip(".")
            if abs(timestamp) < 1e15
            else f"{timestamp:g}"
        )
    if not decimals:
        return time.strftime(parts, time.localtime(timestamp))
    whole, fraction = divmod(round(timestamp * 10**decimals), 10**decimals)
    return f"{time.strftime(parts, time.localtime(whole))}.{fraction:0{decimals}d}"


def moments(first: float, last: float) -> str:
    """From one timestamp to another, without saying the same day twice."""
    start, end = moment(first), moment(last)
    if start == end:
        return start
    day, _, time_of_day = end.partition(" ")
    return f"{start} to {time_of_day if time_of_day and start.startswith(f'{day} ') else end}"


def rate(number: int, seconds: float) -> str:
    """How often something came `number` times within `seconds`, first and last included."""
    if number < 2 or not 0 < seconds < math.inf:
        return ""
    value = (number - 1) / seconds
    return f"{_short(value)} Hz" if value >= 0.01 else f"1 in {duration(1 / value)}"


def _short(value: float) -> str:
    """Three digits, or all that stand before the point."""
    if value >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}".removesuffix("0")
