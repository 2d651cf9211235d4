"""Figures in the pages: quoted from what was measured, never typed.

A page has `<!-- quote NAME: begin -->` and `<!-- quote NAME: end -->`; what stands between them is
put there by `python -m benchmarks --quote`, and a test holds that it is what was measured.
"""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks import table
from benchmarks.peers import Measured, pages

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / "benchmarks/README.md"
QUOTING = ("README.md", "docs/comparison.md", "benchmarks/peers.md")
"""The pages that quote."""

_REGION = re.compile(r"(<!-- quote ([\w-]+): begin -->\n)(.*?)(<!-- quote \2: end -->)", re.DOTALL)

# Of the table of `make bench`: what the README shows, by how the line begins.
_COSTS = (
    "`track(topic).append(row)`, 4 scalars: p50",
    "the same: p99.9",
    "rows/s until `close()` returned, 1,000,000 rows",
    "`save_image` 480x640 JPEG, in the caller: p50",
    "JPEG frames/s durable, 1 encoder",
    "a pure-Python loop beside frames encoded flat out: rate kept",
    "NumPy loop at 30 iterations/s",
    "peak memory: 10,000 480x640 frames",
    "`python -c 'import ml_dash'`",
    "1,000,000 rows of 4 scalars as numpy columns",
)
_SHOWN = ("what", "target", "floor", "ours", "verdict")


def regions() -> dict[str, str]:
    """By name, all that a page may quote: of the report, and of the last comparison."""
    return {**costs(REPORT.read_text("utf-8")), **pages.regions(Measured.read())}


def costs(report: str) -> dict[str, str]:
    """What the README quotes of the report of `make bench`.

    Raises:
        ValueError: a line that it shows is not in the report.
    """
    text = report.partition(table.BEGIN)[2].partition(table.END)[0].strip()
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    if not lines:
        raise ValueError("the report has no table")
    head, found = lines[0], []
    for begin in _COSTS:
        cells = next((line for line in lines if line[0].startswith(begin)), None)
        if cells is None:
            raise ValueError(f"the report has no line {begin!r}")
        cells = [*cells, *[""] * len(head)]
        found.append([cells[head.index(name)].strip() for name in _SHOWN])
    return {"costs": table.markdown(_SHOWN, found), "costs-about": text.splitlines()[0]}


def quoted(text: str, said: dict[str, str]) -> str:
    """A page with what it quotes brought up to date.

    Raises:
        KeyError: it quotes what there is not.
    """
    return _REGION.sub(lambda found: f"{found[1]}{said[found[2]]}\n{found[4]}", text)


def names(text: str) -> list[str]:
    """What a page quotes."""
    return [found[2] for found in _REGION.finditer(text)]


def without(text: str) -> str:
    """A page without what it quotes."""
    return _REGION.sub("", text)


def refresh() -> None:
    """Bring every page that quotes up to date."""
    said = regions()
    for name in QUOTING:
        page = ROOT / name
        page.write_text(quoted(page.read_text("utf-8"), said), "utf-8")
