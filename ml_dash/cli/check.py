"""`ml-dash check`: whether all of a run is there and whole."""

from __future__ import annotations

import threading
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ml_dash.cli.command import DONE, WRONG, Command, take_json, take_run
from ml_dash.cli.quantities import count, duration, size
from ml_dash.cli.screen import STATUS_STYLES, Screen
from ml_dash.cli.target import find_target
from ml_dash.cli.text import printable

if TYPE_CHECKING:
    from ml_dash.reading import CheckReport
    from ml_dash.reading.check_steps import StepCheck

_MOST_FINDINGS = 100
_TITLES = {
    "error": ("errors", "red"),
    "warning": ("warnings", "yellow"),
    "note": ("notes", "faint"),
}


def _arguments(parser: ArgumentParser) -> None:
    take_run(parser)
    take_json(parser)


def _run(options: Namespace, screen: Screen) -> int:
    from ml_dash.reading import check_run

    view = find_target(options)
    target = view if view.folder is None else view.folder
    far = Far()
    with ticking(screen, options.target, far, quiet=options.json):  # `view.prefix` might drain it
        report = check_run(target, far.take)
    if options.json:
        from ml_dash.cli.json_text import json_text

        screen.line(json_text({**report.to_json(), "lost": view.lost}, indent=2))
    else:
        _print_report(report, view.prefix, view.lost, screen)
    return DONE if report.ok else WRONG


class Far:
    """How far a check has come."""

    def __init__(self) -> None:
        self.text = ""

    def take(self, report: CheckReport, files: int) -> None:
        """Take note of it; `check_run` calls this."""
        self.text = f", {count(report.rows, 'row')}, {count(report.files)} of {count(files)} files"


@contextmanager
def ticking(screen: Screen, prefix: str, far: Far, *, quiet: bool = False) -> Iterator[None]:
    """Show that it goes on, for as long as it takes; a file of many gigabytes takes long."""
    if quiet or not screen.watched:
        yield
        return
    done = threading.Event()
    begun = time.monotonic()

    def tick() -> None:
        while not done.wait(0.5):
            screen.progress(f"checking {prefix}: {duration(time.monotonic() - begun)}{far.text}")

    thread = threading.Thread(target=tick, name="ml-dash-check", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _print_report(report: CheckReport, prefix: str, lost: dict[str, int], screen: Screen) -> None:
    status = screen.style(printable(report.status), *STATUS_STYLES.get(report.status, ()))
    verdict = screen.style("whole", "green") if report.ok else screen.style("NOT WHOLE", "red")
    screen.line(f"{screen.style(printable(prefix), 'bold')}  {status}  {verdict}")
    for name, text in _facts(report, lost):
        screen.line(f"  {screen.style(f'{name:<9}', 'faint')}  {printable(text)}")
    for severity, (title, style) in _TITLES.items():
        found = [finding for finding in report.findings if finding.severity == severity]
        if found:
            screen.line()
            screen.line(f"{screen.style(title, 'bold')}  {count(len(found))}")
        for finding in found[:_MOST_FINDINGS]:
            text = printable(str(finding).removeprefix(f"{severity}: "))
            screen.line(f"  {screen.style(text, style)}")
        if len(found) > _MOST_FINDINGS:
            screen.line(f"  and {count(len(found) - _MOST_FINDINGS)} more; --json has them all")


def _facts(report: CheckReport, lost: dict[str, int]) -> Iterator[tuple[str, str]]:
    yield "folder", report.folder
    segments = count(report.segments, "segment")
    yield "rows", f"{count(report.rows)} in {segments}, {size(report.bytes)}"
    yield "files", f"{count(report.files)}, {size(report.file_bytes)}"
    for step in report.steps:
        yield "frames", _frames(step)
    for stream, rows in report.drained.items():
        yield "recovered", f"{count(rows, 'row')} in {stream}, left by a process that died"
    for stream, rows in lost.items():
        yield "lost", f"{count(rows)} in {stream}, lost while it was recorded"


def _frames(step: StepCheck) -> str:
    parts = [f"{step.matched:,} at the step of a row"]
    if other := step.with_step - step.matched:
        first = ", ".join(f"{number:,}" for number in step.first_unmatched)
        parts.append(f"{other:,} at a step without a row ({first}{', …' if other > 5 else ''})")
    if without := step.frames - step.with_step:
        parts.append(f"{without:,} without a step")
    return f"{step.frames:,} in {step.camera or './'}: {', '.join(parts)}"


CHECK = Command(
    name="check",
    usage="RUN [--json] [--root DIR] [--server] [--url URL]",
    summary="check that a run is whole",
    details=(
        "Finishes what a dead process left, then verifies every line, the index of the\n"
        "files and their checksums, and that frames and rows agree in their steps. It\n"
        "tells what is unreadable with file and byte, and changes no byte of what was\n"
        "recorded.\n\n"
        "The exit code is 0 when all that was stored is whole, else 1."
    ),
    examples=(
        ("ml-dash check robotics/arm", "by its prefix"),
        ("ml-dash check robotics/arm && rsync ...", "copy it if it is whole"),
        ("ml-dash check robotics/arm --json | jq .findings", "for scripts"),
    ),
    arguments=_arguments,
    run=_run,
)
