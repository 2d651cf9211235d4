"""The log of a run."""

from __future__ import annotations

from collections.abc import Iterator

from ml_dash.reading.lines import Row
from ml_dash.reading.stream import Stream

LEVELS = ("debug", "info", "warning", "error", "fatal")
"""The levels of a message, the least severe first."""

_SEVERITY = {level: number for number, level in enumerate(LEVELS)} | {"warn": 2}


class LogView:
    """The messages of a run in order of time: dicts of `timestamp`, `level`, `message` and, where
    given, `fields` and `step`.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def __len__(self) -> int:
        return self.stream.count()

    def __iter__(self) -> Iterator[Row]:
        return self.stream.rows()

    def __repr__(self) -> str:
        return f"<LogView {len(self)} messages>"

    def rows(
        self, level: str | None = None, start: float | None = None, end: float | None = None
    ) -> Iterator[Row]:
        """Messages of at least a level, between two times.

        Args:
            level: the least severe one wanted, such as `warning`.
            start: leave out what is before, in seconds.
            end: leave out what is after, in seconds.

        Raises:
            ValueError: there is no such level.
        """
        least = None if level is None else severity(level)
        rows = self.stream.rows(start, end)
        return rows if least is None else (row for row in rows if _of(row) >= least)


def severity(level: str) -> int:
    """The place of a level in `LEVELS`; `warn` is `warning`.

    Raises:
        ValueError: there is no such level.
    """
    if level not in _SEVERITY:
        raise ValueError(f"level is {level!r}; it must be one of {', '.join(LEVELS)}")
    return _SEVERITY[level]


def _of(row: Row) -> int:
    # What another program wrote with a level of its own is not to be missed
    return _SEVERITY.get(str(row.get("level")), len(LEVELS))
