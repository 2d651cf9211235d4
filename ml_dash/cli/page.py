"""The page that `ml-dash show` prints."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ml_dash.cli.json_text import compact
from ml_dash.cli.overview import Overview, details_of, seconds_of, texts
from ml_dash.cli.quantities import count, duration, moment, moments, rate, size
from ml_dash.cli.screen import STATUS_STYLES, Screen
from ml_dash.cli.table import Column, lines
from ml_dash.cli.text import cut, pad, printable, printable_lines, width

if TYPE_CHECKING:
    from ml_dash.reading import Problem, RunView

_MOST_PROBLEMS = 20
_LONGEST_VALUE = 200  # characters, where no terminal's width says less


def print_page(view: RunView, overview: Overview, screen: Screen) -> None:
    """Print all there is to tell of a run."""
    page = _Page(screen)
    _print_head(page, view, overview)
    page.pairs("params", view.params.flat)
    page.pairs("metadata", details_of(view).metadata)
    _print_streams(page, overview)
    _print_files(page, overview)
    _print_sessions(page, view)
    page.pairs("environment", _summary(overview.environment))
    print_problems(view.problems, screen)


def print_problems(problems: Sequence[Problem], screen: Screen) -> None:
    """Print what is unreadable, each with its file and byte."""
    if not problems:
        return
    page = _Page(screen)
    page.title("unreadable", count(len(problems), "place"))
    for problem in problems[:_MOST_PROBLEMS]:
        screen.line(f"  {screen.style(printable(str(problem)), 'red')}")
    if len(problems) > _MOST_PROBLEMS:
        screen.line(f"  and {count(len(problems) - _MOST_PROBLEMS)} more; --json has them")


class _Page:
    """Prints sections: a title, and below it pairs or a table."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen

    def title(self, name: str, remark: str = "") -> None:
        self.screen.line()
        self.screen.line(self.screen.style(name, "bold") + (f"  {remark}" if remark else ""))

    def pairs(self, title: str, values: Mapping[str, Any]) -> None:
        if values:
            self.title(title)
            self.list((key, _value(value)) for key, value in values.items())

    def list(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Names and printable values, one a line."""
        shown = [(printable(name), value) for name, value in pairs]
        names = min(40, max((width(name) for name, _ in shown), default=0))
        for name, value in shown:
            room = (self.screen.room or _LONGEST_VALUE + names + 4) - 4 - max(names, width(name))
            faint = self.screen.style(pad(name, names), "faint")
            self.screen.line(f"  {faint}  {cut(value, max(10, room))}")

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        room = self.screen.room
        head = True
        for cells in lines(columns, rows, None if room is None else room - 2):
            text = "  ".join(cells).rstrip()
            self.screen.line(f"  {self.screen.style(text, 'faint') if head else text}")
            head = False


def _print_head(page: _Page, view: RunView, overview: Overview) -> None:
    screen = page.screen
    status = screen.style(printable(view.status), *STATUS_STYLES.get(view.status, ()))
    screen.line(f"{screen.style(printable(view.prefix), 'bold')}  {status}")
    for number, line in enumerate(printable_lines(view.error) if view.error else ()):
        screen.line(f"{'  ' if number == 0 else '    '}{screen.style(line, 'red')}")
    details = details_of(view)
    for line in printable_lines(details.description) if details.description else ():
        screen.line(f"  {line}")
    sessions = view.sessions
    pairs = {
        "started": moment(sessions[0].start) if sessions else "",
        "duration": duration(seconds_of(sessions, time.time())) if sessions else "",
        "tags": printable(", ".join(details.tags)),
        "bindrs": printable(", ".join(details.bindrs)),
        "id": printable(view.id),
        "folder": printable(str(view.folder or "")),
        "size": _size(overview),
        "lost": printable(", ".join(f"{n:,} in {name}" for name, n in view.lost.items())),
    }
    # Not cut as other values are: a folder is there to be copied.
    for name, value in pairs.items():
        if value:
            style = "red" if name == "lost" else ""
            screen.line(f"  {screen.style(f'{name:<8}', 'faint')}  {_styled(screen, value, style)}")


def _print_streams(page: _Page, overview: Overview) -> None:
    rows = [
        (
            printable(stream.shown),
            count(stream.rows),
            rate(stream.rows, stream.span[1] - stream.span[0]) if stream.span else "",
            moments(*stream.span) if stream.span else "",
            size(stream.size),
            count(stream.writers) if stream.writers > 1 else "",
        )
        for stream in overview.streams
        if stream.name != "run"
    ]
    if rows:
        page.title("streams")
        columns = (
            Column("NAME", least=24, middle=True),
            Column("ROWS", right=True),
            Column("RATE", right=True, spare=1),
            Column("TIME", spare=2),
            Column("SIZE", right=True, spare=3),
            Column("WRITERS", right=True, spare=4),
        )
        page.table(columns, rows)


def _print_files(page: _Page, overview: Overview) -> None:
    if not overview.folders:
        return
    total = f"{count(overview.file_count, 'file')}, {size(overview.file_size)}"
    page.title("files", total)
    rows = [
        (printable(f"{name}/" if name else "./"), count(folder.count), size(folder.size))
        for name, folder in overview.folders.items()
    ]
    columns = (
        Column("FOLDER", least=24, middle=True),
        Column("FILES", right=True),
        Column("SIZE", right=True),
    )
    page.table(columns, rows)


def _print_sessions(page: _Page, view: RunView) -> None:
    page.title("sessions")
    now = time.time()
    rows = [
        (
            printable(session.id),
            printable(session.status),
            moment(session.start),
            duration(seconds_of([session], now)),
            printable(f"{session.host or '?'}:{session.pid or '?'}"),
            "" if session.root else "child",
        )
        for session in view.sessions
    ]
    columns = (
        Column("WRITER", spare=2),
        Column("STATUS"),
        Column("STARTED"),
        Column("DURATION", right=True),
        Column("HOST:PID", least=12),
        Column("KIND", spare=1),
    )
    page.table(columns, rows)


def _summary(environment: Mapping[str, Any]) -> dict[str, Any]:
    """What most ask of an environment; `--json` has all of it."""
    python, git = _dict(environment.get("python")), _dict(environment.get("git"))
    memory = environment.get("memory_bytes")
    found = {
        "command": " ".join(texts(environment.get("command"))),
        "directory": environment.get("cwd"),
        "git": _git(git),
        "python": " ".join(
            str(python[key]) for key in ("implementation", "version") if key in python
        ),
        "packages": len(_dict(environment.get("packages"))),
        "system": environment.get("distribution") or environment.get("os"),
        "cpus": environment.get("cpus"),
        "memory": size(memory) if type(memory) is int else None,
        "gpus": ", ".join(texts(environment.get("gpus"))),
    }
    return {key: value for key, value in found.items() if value}


def _git(git: Mapping[str, Any]) -> str:
    commit = str(git.get("commit") or "")[:12]
    branch = f" on {git['branch']}" if git.get("branch") else ""
    dirty = ", with changes not committed" if git.get("dirty") else ""
    remote = f", {git['remote']}" if git.get("remote") else ""
    return f"{commit}{branch}{dirty}{remote}"


def _size(overview: Overview) -> str:
    parts = ", ".join(f"{room} {size(number)}" for room, number in overview.sizes.items())
    return f"{size(overview.size)} ({parts})" if parts else size(0)


def _styled(screen: Screen, text: str, style: str) -> str:
    return screen.style(text, style) if style else text


def _value(value: Any) -> str:
    return printable(value if isinstance(value, str) else compact(value))


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
