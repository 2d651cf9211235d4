"""`ml-dash list` and `ml-dash show`: which runs there are, and what one holds."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.cli.command import (
    DONE,
    Command,
    take_json,
    take_root,
    take_run,
    take_source,
)
from ml_dash.cli.quantities import duration, moment, size
from ml_dash.cli.screen import STATUS_STYLES, Screen
from ml_dash.cli.table import Column, lines
from ml_dash.cli.target import open_target, root_of, source_of, tell_recovery
from ml_dash.cli.text import printable

if TYPE_CHECKING:
    from ml_dash.reading import RunView

_COLUMNS = (
    Column("STATUS"),
    Column("RUN", least=32, middle=True),
    Column("STARTED", spare=1),
    Column("DURATION", right=True, spare=2),
    Column("SIZE", right=True, spare=3),
    Column("TAGS", least=8, spare=4),
)


class _Entry(NamedTuple):
    """One line of the list."""

    status: str
    prefix: str
    started: float | None
    duration: float
    size: int
    tags: list[str]
    folder: str

    def to_json(self) -> dict[str, Any]:
        return self._asdict()


def _list_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "pattern",
        metavar="PATTERN",
        nargs="?",
        help="those whose prefix has this in it, or matches it if it has a * or ?",
    )
    take_root(parser)
    take_source(parser)
    take_json(parser)


def _list(options: Namespace, screen: Screen) -> int:
    from ml_dash.cli.json_text import json_text

    url = source_of(options)
    found = _entries(options, screen) if url is None else _remote_entries(url, options.pattern)
    where = f"on {url}" if url else f"below {root_of(options).absolute()}"
    entries = sorted(found, key=lambda entry: (-(entry.started or 0.0), entry.prefix))
    if options.json:
        screen.line(json_text([entry.to_json() for entry in entries], indent=2))
    elif entries:
        _print_list(entries, screen)
    else:
        matching = f" match {options.pattern!r}" if options.pattern else ""
        screen.say(f"no runs{matching} {where}")
    return DONE


def _entries(options: Namespace, screen: Screen) -> Iterator[_Entry]:
    from ml_dash.reading import list_runs

    for view in list_runs(options.root):
        if not _wanted(view.prefix, options.pattern):
            continue
        screen.progress(view.prefix)
        try:
            entry = _entry(view)
        except OSError as error:  # somebody else's, or removed meanwhile
            screen.say(f"{view.prefix}: cannot be read: {error}")
            continue
        tell_recovery(view, screen)
        yield entry


def _remote_entries(url: str, pattern: str | None) -> Iterator[_Entry]:
    """Those of a server, as it knows them: no run is looked into."""
    from ml_dash.auth.signed_in import signed_in
    from ml_dash.cli.overview import texts
    from ml_dash.remote.runs import runs_of

    client = signed_in(url)
    for run in runs_of(client):
        prefix, started = str(run["prefix"]), run.get("started")
        if _wanted(prefix, pattern):
            yield _Entry(
                status=str(run.get("status")),
                prefix=prefix,
                started=float(started) if started is not None else None,
                duration=float(run.get("duration") or 0.0),
                size=int(run.get("size") or 0) + int(run.get("file_bytes") or 0),
                tags=texts(run.get("tags")),
                folder=f"{client.url}/{prefix}",
            )


def _wanted(prefix: str, pattern: str | None) -> bool:
    if pattern is None:
        return True
    if not any(char in pattern for char in "*?["):
        return pattern.strip("/").casefold() in prefix.casefold()
    from ml_dash.reading.files import matches

    return matches(prefix, pattern)


def _entry(view: RunView) -> _Entry:
    from ml_dash.cli.overview import details_of, seconds_of, sizes_of

    sessions = view.sessions
    return _Entry(
        status=view.status,
        prefix=view.prefix,
        started=sessions[0].start if sessions else None,
        duration=seconds_of(sessions, time.time()),
        size=sum(sizes_of(view).values()),
        tags=details_of(view).tags,
        folder=str(view.folder),
    )


def _print_list(entries: list[_Entry], screen: Screen) -> None:
    rows = [
        (
            printable(entry.status),
            printable(entry.prefix),
            moment(entry.started, parts="%Y-%m-%d %H:%M") if entry.started is not None else "",
            duration(entry.duration),
            size(entry.size),
            printable(", ".join(entry.tags)),
        )
        for entry in entries
    ]
    for number, cells in enumerate(lines(_COLUMNS, rows, screen.room)):
        if number == 0:
            screen.line(screen.style("  ".join(cells), "faint"))
        else:
            first, *rest = cells
            first = screen.style(first, *STATUS_STYLES.get(entries[number - 1].status, ()))
            screen.line("  ".join((first, *rest)).rstrip())


def _show(options: Namespace, screen: Screen) -> int:
    from ml_dash.cli.json_text import json_text
    from ml_dash.cli.overview import look_over
    from ml_dash.cli.page import print_page

    view = open_target(options, screen)
    overview = look_over(view, lambda what: screen.progress(f"reading {what}"))
    if options.json:
        found = {
            **view.to_json(),
            "folder": str(view.folder) if view.folder else None,
            "params": dict(view.params),
            **overview.to_json(),
            "problems": [problem.to_json() for problem in view.problems],
        }
        screen.line(json_text(found, indent=2))
    else:
        print_page(view, overview, screen)
    return DONE


def _show_arguments(parser: ArgumentParser) -> None:
    take_run(parser)
    take_json(parser)


LIST = Command(
    name="list",
    usage="[PATTERN] [--json] [--root DIR] [--server] [--url URL]",
    summary="list the runs there are",
    details="Status, prefix, start, duration, size and tags of each, the newest first.",
    examples=(
        ("ml-dash list", "all runs below ./.dash"),
        ("ml-dash list arm", "those with `arm` in their prefix"),
        ("ml-dash list 'robotics/*' --root /data/runs", "of a project, kept elsewhere"),
        ("ml-dash list --json | jq -r '.[].prefix'", "for scripts"),
    ),
    arguments=_list_arguments,
    run=_list,
)

SHOW = Command(
    name="show",
    usage="RUN [--json] [--root DIR] [--server] [--url URL]",
    summary="show what a run holds",
    details=(
        "Status and error, what was lost, parameters, streams with their rows, rates\n"
        "and times, files by folder, sizes, sessions and environment, and what is\n"
        "unreadable."
    ),
    examples=(
        ("ml-dash show robotics/arm", "by its prefix"),
        ("ml-dash show /data/runs/robotics/arm", "by its folder"),
        ("ml-dash show robotics/arm --json | jq .params", "for scripts"),
    ),
    arguments=_show_arguments,
    run=_show,
)
