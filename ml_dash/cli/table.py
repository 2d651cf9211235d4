"""Columns of text that fit the width of a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ml_dash.cli.text import cut, pad, width

_GAP = 2


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        title: its heading.
        right: whether it is aligned to the right, as numbers are.
        least: down to how many columns of the terminal it may be cut; `None`: it is never cut.
        spare: those with the highest number are left out first when there is no room; 0: never.
        middle: whether cutting leaves out the middle.
    """

    title: str
    right: bool = False
    least: int | None = None
    spare: int = 0
    middle: bool = False


def lines(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int | None
) -> Iterator[list[str]]:
    """Lay out a table, its headings first.

    Args:
        columns: what they are.
        rows: printable texts, one a column. A column without any text is left out.
        room: the width of the terminal; `None`: as wide as it gets.

    Yields:
        The cells of a line, cut and padded; joined with two spaces they make the line.
    """
    kept = [index for index in range(len(columns)) if any(row[index] for row in rows)]
    widths = {
        index: max(width(text) for text in (columns[index].title, *(row[index] for row in rows)))
        for index in kept
    }
    if room is not None:
        _fit(columns, widths, room)
    last = max(widths, default=0)
    for row in ([column.title for column in columns], *rows):
        cells = []
        for index, columns_wide in widths.items():
            column = columns[index]
            text = cut(row[index], columns_wide, middle=column.middle)
            ends = index == last and not column.right
            cells.append(text if ends else pad(text, columns_wide, right=column.right))
        yield cells


def _fit(columns: Sequence[Column], widths: dict[int, int], room: int) -> None:
    """Cut columns down to their least, then leave out, then cut whatever is left."""
    while (over := sum(widths.values()) + _GAP * (len(widths) - 1) - room) > 0:
        loose = [
            (widths[index] - least, index)
            for index in widths
            if (least := columns[index].least) is not None and widths[index] > least
        ]
        spare = [(columns[index].spare, index) for index in widths if columns[index].spare]
        if loose:
            slack, index = max(loose)
            widths[index] -= min(slack, over)
        elif spare:
            del widths[max(spare)[1]]
        else:
            index = max(widths, key=widths.__getitem__)
            widths[index] = max(1, widths[index] - over)
            if widths[index] == 1:
                return  # no terminal is as narrow as that
