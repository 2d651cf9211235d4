"""Whether all of a run is there and whole: every line, every file, every step.

Nothing of what was recorded is changed. What dead processes left in their rings is written into
segments of its own first, as by every reader.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from ml_dash.backends import LocalBackend
from ml_dash.reading.check_files import check_files, index_faults, leftovers
from ml_dash.reading.check_report import CheckReport
from ml_dash.reading.check_steps import Steps
from ml_dash.reading.files import INDEX
from ml_dash.reading.lines import NOT_JSON, Problem, Problems, Segment, read_blocks
from ml_dash.reading.locate import is_run
from ml_dash.reading.run_view import RunView
from ml_dash.reading.source import ROOMS
from ml_dash.reading.status import RUNNING

_SPAN = 1 << 20


Progress = Callable[[CheckReport, int], object]
"""Called with what was looked at so far, and how many files the index names."""


def check_run(
    folder: str | os.PathLike[str] | RunView, progress: Progress | None = None
) -> CheckReport:
    """Check the run in a folder, or one that is open, such as a server's.

    Args:
        folder: the run's, as `RunView.folder` has it; or the run.
        progress: called again and again while it goes on.

    Raises:
        FileNotFoundError: there is no run in it.
    """
    if isinstance(folder, RunView):
        run, path = folder, folder.folder
    else:
        path = Path(folder).absolute()
        if not is_run(path):
            raise FileNotFoundError(f"there is no run in {path}")
        run = RunView(LocalBackend(path))
    place = run.prefix if path is None else str(path)
    report = CheckReport(place, run.prefix, run.status)
    _take_recovery(run, report)
    steps = Steps(run.files)
    total = len(run.files)

    def tell() -> None:
        if progress is not None:
            progress(report, total)

    for stream in (name for room in ROOMS for name in run.source.streams(room)):
        for segment in run.source.segments(stream):
            _check_segment(run, segment, steps, report, tell)
    for severity, place, message in check_files(run, report, tell):
        report.add(severity, place, message)
    if path is not None:
        for severity, place, message in leftovers(path, run.files, running=run.status == RUNNING):
            report.add(severity, place, message)
    report.steps = steps.result()
    for severity, place, message in steps.findings(running=run.status == RUNNING):
        report.add(severity, place, message)
    order = ("error", "warning", "note")
    report.findings.sort(key=lambda f: (order.index(f.severity), f.path, f.offset or 0))
    return report


def _take_recovery(run: RunView, report: CheckReport) -> None:
    recovery = run.source.recovery
    if recovery is None:
        return
    report.drained = dict(recovery.rows)
    running = {session.id for session in run.sessions if session.status == RUNNING}
    for unread in run.source.unread(running):
        report.add("error", unread.path, unread.reason)
    for problem in recovery.problems:
        if problem.partition(":")[0] not in recovery.unread:
            message = f"rows of a dead process could not be written into segments: {problem}"
            report.add("warning", ".buffer", message)


def _check_segment(
    run: RunView, segment: Segment, steps: Steps, report: CheckReport, tell: Callable[[], None]
) -> None:
    """Read every line of a segment."""
    problems = Problems()
    report.segments += 1
    report.bytes += segment.size
    for block in read_blocks(run.source.backend, segment, problems):
        report.rows += len(block.rows)
        if segment.stream == INDEX:
            for offset, message in index_faults(block):
                report.add("error", segment.path, message, offset)
        elif segment.stream.startswith("tracks/"):
            steps.take(block)
        tell()
    for problem in problems:
        _add_problem(run, segment, problem, report)
    unfinished = problems.unfinished.get(segment.path)
    running = {session.id for session in run.sessions if session.status == RUNNING}
    if unfinished is not None and segment.writer not in running:
        _add_problem(run, segment, unfinished, report)


def _add_problem(run: RunView, segment: Segment, problem: Problem, report: CheckReport) -> None:
    message = f"{problem.reason} ({problem.size:,} bytes)"
    if problem.reason == NOT_JSON:
        report.add("warning", problem.path, message, problem.offset)
    elif _is_rewritten(run, segment, problem):
        message += "; its row was written again, whole"
        report.add("note", problem.path, message, problem.offset)
    else:
        report.add("error", problem.path, message, problem.offset)


def _is_rewritten(run: RunView, segment: Segment, problem: Problem) -> bool:
    """Whether a row that was cut off stands whole somewhere behind: a writer that could not finish
    a line ends it and writes the row again, and so does whoever drains a ring.
    """
    cut = segment.read(run.source.backend, problem.offset, problem.size).rstrip(b"\n")
    if problem.offset + problem.size >= segment.size and run.source.is_continued(problem):
        return True
    if b"," not in cut or b"\0" in cut:  # not even its timestamp, or not a beginning of it
        return False
    return any(
        _holds(run, other, cut, problem.offset + problem.size if other == segment else 0)
        for other in run.source.segments(segment.stream)
        if other.writer == segment.writer and other.part >= segment.part
    )


def _holds(run: RunView, segment: Segment, cut: bytes, start: int) -> bool:
    """Whether a line of the segment, from the byte `start` on, begins with `cut`."""
    for text in _overlapping(run, segment, start, len(cut) + 1):
        if text.startswith(cut) or b"\n" + cut in text:
            return True
    return False


def _overlapping(run: RunView, segment: Segment, start: int, overlap: int) -> Iterator[bytes]:
    """The bytes of a segment in pieces; what is near a seam is in both."""
    while start < segment.size:
        text = segment.read(run.source.backend, start, _SPAN + overlap)
        if not text:
            return
        yield text
        start += _SPAN
