"""What the pages show of a comparison: tables and sentences, made of what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.peers import Measured
from benchmarks.peers.known import FLOOR, OURS
from benchmarks.table import count, duration, markdown
from benchmarks.timing import median, ratio

_NONE = "–"


def regions(measured: Measured) -> dict[str, str]:
    """By name, what a page may quote."""
    names = list(measured.found)
    return {
        "peers-about": _about(measured),
        "peers": markdown(_COLUMNS, [_line(measured, name) for name in names]),
        "peers-ratios": markdown(_RATIO_COLUMNS, [_ratios(measured, name) for name in names]),
        "peers-losses": markdown(_LOSS_COLUMNS, [_losses(measured, name) for name in names]),
        "peers-failures": "\n".join(_failures(measured)),
    }


_COLUMNS = (
    "logger",
    "a row of 4 scalars",
    "rows/s until closed",
    "a 480x640 frame",
    "frames/s until closed",
    "loop with both",
    "start of a run",
    "lost",
    "lost after `kill -9`",
)
_RATIO_COLUMNS = (
    "× the floor / × ML-Dash",
    "a row, in the loop",
    "a row, until closed",
    "its CPU",
    "a frame, in the loop",
    "a frame, until closed",
    "its CPU",
    "start of a run",
)
_LOSS_COLUMNS = (
    "lost, of all whose calls had returned",
    "rows flat out",
    "frames flat out",
    "loop with both",
    "100 Hz and 10 Hz",
    "the same, killed: rows",
    "frames",
    "rows flat out, killed",
)
_ENDED = ("rows", "images", "loop", "calm")
_KILLED = ("calm-killed", "rows-killed")


def _line(measured: Measured, name: str) -> tuple[str, ...]:
    def figure(task: str, key: str, show: Callable[[float], str]) -> str:
        values = _values(measured, name, task, key)
        return show(median(values)) if values else _NONE

    pictures = {found["picture"] for found in measured.found[name]["images"] if found} - {"JPEG"}
    return (
        name,
        figure("rows", "p50", duration),
        figure("rows", "rate", count),
        figure("images", "p50", duration) + "".join(f" ({picture})" for picture in pictures),
        figure("images", "rate", count),
        figure("loop", "loop", "{:.2f} ×".format),
        figure("rows", "started", duration),
        _lost_of_both(measured, name, _ENDED),
        _lost_of_both(measured, name, _KILLED),
    )


def _lost_of_both(measured: Measured, name: str, tasks: tuple[str, ...]) -> str:
    """In short: nothing of a kind, or how much of how much."""
    if not any(found for task in tasks for found in measured.found[name][task]):
        return _NONE
    parts = ((kind, _lost(measured, name, tasks, (kind,))) for kind in ("rows", "frames"))
    return ", ".join(
        f"0 {kind}" if lost.startswith("0 of") else f"{lost} {kind}" for kind, lost in parts
    )


def _ratios(measured: Measured, name: str) -> tuple[str, ...]:
    def cell(task: str, key: str) -> str:
        if name == FLOOR.name:
            return "1"
        beside = [_NONE] if name == OURS.name else [_beside(measured, name, OURS.name, task, key)]
        return " / ".join([_beside(measured, name, FLOOR.name, task, key), *beside]).replace(
            f" / {_NONE}", ""
        )

    keys = ("p50", "rate", "cpu")
    return (
        name,
        *(cell("rows", key) for key in keys),
        *(cell("images", key) for key in keys),
        cell("rows", "started"),
    )


def _beside(measured: Measured, name: str, other: str, task: str, key: str) -> str:
    """How many times the other's time it takes: the median of the rounds' own ratios."""
    both = [
        (one[key], two[key])
        for one, two in zip(
            measured.found[name][task], measured.found.get(other, {}).get(task, ()), strict=False
        )
        if one and two
    ]
    if not both:
        return _NONE
    ones, others = zip(*both, strict=True)
    times = ratio(others, ones) if key == "rate" else ratio(ones, others)
    return f"{times:,.0f}" if times >= 10 else f"{times:.2g}"


def _losses(measured: Measured, name: str) -> tuple[str, ...]:
    ended = (_lost(measured, name, [task]) for task in _ENDED)
    calm = (_lost(measured, name, ["calm-killed"], [kind]) for kind in ("rows", "frames"))
    return (name, *ended, *calm, _lost(measured, name, ["rows-killed"], ["rows"]))


def _lost(
    measured: Measured,
    name: str,
    tasks: list[str] | tuple[str, ...],
    kinds: list[str] | tuple[str, ...] = ("rows", "frames"),
) -> str:
    """What was lost of how much, over all rounds."""
    rounds = [found for task in tasks for found in measured.found[name][task] if found]
    if not rounds:
        return _NONE
    lost = sum(found[f"{kind}_lost"] for found in rounds for kind in kinds)
    of = sum(found[kind] for found in rounds for kind in kinds)
    return f"**{lost:,}** of {of:,}" if lost else f"0 of {count(of)}"


def _values(measured: Measured, name: str, task: str, key: str) -> list[float]:
    return [found[key] for found in measured.found[name][task] if found]


def _about(measured: Measured) -> str:
    return (
        f"{measured.machine} Each logger works in a process and a virtual environment of its own;"
        f" they take turns, {measured.rounds} rounds of {measured.seconds:g} s for each task, every"
        " other round in reverse. Figures are medians; a ratio is the median of the rounds' own."
        " Where the load was above one a core, others were at work, too: look at ratios, not times."
    )


def _failures(measured: Measured) -> Iterator[str]:
    if not measured.failures:
        yield "None: each was installed and did every task."
    for name, reason in measured.failures.items():
        yield f"* {name}: {reason}"
