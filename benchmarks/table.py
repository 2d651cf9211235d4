"""The table of results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"

_COLUMNS = ("what", "target", "floor", "ours", "ratio", "CPU", "verdict")


@dataclass(slots=True)
class Result:
    """One line of the table.

    Attributes:
        name: what was measured.
        target: what it should reach; empty where there is nothing but to look at.
        floor: the floor's figure, with its unit.
        ours: ours.
        ratio: ours by floor, as the target counts it.
        cpu: the same for CPU time, over all threads.
        met: whether the target is reached; `None` where there is none.
        note: what a reader should know besides.
        failed: what went wrong instead; then there are no figures.
    """

    name: str
    target: str = ""
    floor: str = ""
    ours: str = ""
    ratio: float | None = None
    cpu: float | None = None
    met: bool | None = None
    note: str = ""
    failed: str = ""

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.failed:
            return "**failed**"
        return "" if self.met is None else "met" if self.met else "**missed**"

    def cells(self) -> tuple[str, ...]:
        """The line's cells, in the order of the columns."""
        return (
            self.name,
            self.target,
            self.floor,
            self.failed or self.ours,
            "" if self.ratio is None else f"{self.ratio:.2f}",
            "" if self.cpu is None else f"{self.cpu:.2f}",
            self.verdict,
        )


def markdown(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    rows = [columns, ["---"] * len(columns), *lines]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', '/').replace(chr(10), ' ') for cell in row)} |"
        for row in rows
    )


def report(results: Sequence[Result]) -> str:
    """All results as Markdown: the table, then the notes."""
    text = markdown(_COLUMNS, [result.cells() for result in results])
    notes = [f"* {result.name}: {result.note}" for result in results if result.note]
    return "\n\n".join([text, "\n".join(notes)]) if notes else text


def publish(text: str, path: Path) -> None:
    """Write the report into a file: between its markers where it has them, else as all of it."""
    framed = f"{BEGIN}\n{text}\n{END}"
    try:
        old = path.read_text("utf-8")
    except FileNotFoundError:
        old = ""
    head, begin, rest = old.partition(BEGIN)
    _, end, tail = rest.partition(END)
    path.write_text(f"{head}{framed}{tail}" if begin and end else f"{framed}\n", "utf-8")


def duration(seconds: float) -> str:
    """A time with the unit that suits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def count(value: float) -> str:
    """A number of things, or of things a second: `812 k`, `1.31 M`."""
    for unit, size in ((" M", 1e6), (" k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def megabytes(size: float) -> str:
    """A number of bytes in MB (of a million bytes)."""
    return f"{size / 1e6:,.0f} MB" if size >= 1e7 else f"{size / 1e6:.2g} MB"
