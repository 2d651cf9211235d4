"""`ml-dash logs`: the messages of a run, also while they come."""

from __future__ import annotations

import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ml_dash.cli.command import DONE, Command, take_json, take_run
from ml_dash.cli.quantities import moment
from ml_dash.cli.screen import Screen
from ml_dash.cli.target import open_target
from ml_dash.cli.text import printable, printable_lines

if TYPE_CHECKING:
    from ml_dash.reading import RunView

POLL = 0.25
"""Seconds between two looks at a run that is followed."""

_PATIENCE = 5.0  # seconds that the last rows of an ended run are waited for
_LONGEST_FIELD = 200  # characters; `--json` has all of them
_STYLES = {
    "debug": ("faint",),
    "info": ("blue",),
    "warn": ("yellow",),
    "warning": ("yellow",),
    "error": ("red",),
    "fatal": ("red", "bold"),
}

Row = Mapping[str, Any]


def _arguments(parser: ArgumentParser) -> None:
    take_run(parser)
    parser.add_argument(
        "-f", "--follow", action="store_true", help="wait for more, until the run ends or Ctrl-C"
    )
    parser.add_argument(
        "-l",
        "--level",
        metavar="LEVEL",
        type=_level,
        help="leave out what is less severe: debug, info, warning, error or fatal",
    )
    parser.add_argument("-n", metavar="N", type=_number, help="begin with the last N messages")
    take_json(parser, "print each message as a JSON object on a line of its own")


def _run(options: Namespace, screen: Screen) -> int:
    view = open_target(options, screen)
    show = _show_json(screen) if options.json else _show_text(screen)
    if not options.follow:
        for row in _last(view.logs.rows(options.level), options.n):
            show(row)
        return DONE
    _follow(view, options, screen, show)
    return DONE


def _follow(view: RunView, options: Namespace, screen: Screen, show: Callable[[Row], None]) -> None:
    """Show what there is and then what comes, from all writers, until the run has ended."""
    from ml_dash.reading import Tail
    from ml_dash.reading.status import RUNNING

    tail = Tail(view.source.backend, "logs")
    limit = options.n
    ended: float | None = None
    while True:
        # Asked before the rows are read: what came before the end is then among them.
        if ended is None and view.status != RUNNING:
            ended = time.monotonic()
        for row in _last(_at_least(tail.poll(), options.level), limit):
            show(row)
        limit = None
        screen.flush()
        if ended is not None and _finished(view, ended):
            break
        time.sleep(POLL)
        view.refresh()
    screen.say(f"{view.prefix}: the run is {view.status}")


def _finished(view: RunView, ended: float) -> bool:
    """Whether all rows of a run that ended are in its segments.

    Its last row and the end of its log are written one after the other, in no certain order; the
    writer's ring goes when both are.
    """
    from ml_dash.buffer.recovery import rings

    writing = view.folder is not None and rings(view.folder)
    return not writing or time.monotonic() - ended > _PATIENCE


def _at_least(rows: Iterable[Row], level: str | None) -> Iterable[Row]:
    from ml_dash.reading.logs import LEVELS, severity

    if level is None:
        return rows
    # What another program wrote with a level of its own is not to be missed.
    lower = LEVELS[: severity(level)]
    return (row for row in rows if row.get("level") not in lower)


def _last(rows: Iterable[Row], limit: int | None) -> Iterable[Row]:
    return rows if limit is None else deque(rows, maxlen=limit)


def _show_json(screen: Screen) -> Callable[[Row], None]:
    from ml_dash.cli.json_text import json_text

    def show(row: Row) -> None:
        screen.line(json_text(row))

    return show


def _show_text(screen: Screen) -> Callable[[Row], None]:
    def show(row: Row) -> None:
        level = str(row.get("level", ""))
        message, *more = printable_lines(str(row.get("message", "")))
        name = printable(level.upper())
        head = screen.style(moment(row["timestamp"], decimals=3), "faint")
        styled = screen.style(f"{name:<7}", *_STYLES.get(level, ()))
        screen.line(f"{head} {styled} {message}{screen.style(_fields(row), 'faint')}")
        # Indented, so that no message can pass for another one
        for line in more:
            screen.line(f"        {line}")

    return show


def _fields(row: Row) -> str:
    fields = row.get("fields")
    found = dict(fields) if isinstance(fields, Mapping) else {}
    if row.get("step") is not None:
        found = {"step": row["step"], **found}
    if not found:
        return ""
    return "  " + " ".join(f"{printable(key)}={_value(value)}" for key, value in found.items())


def _value(value: Any) -> str:
    import json

    from ml_dash.cli.json_text import plain

    bare = isinstance(value, str) and value and not any(char in value for char in " =\"'")
    text = value if bare else json.dumps(plain(value), ensure_ascii=False)
    text = printable(text)
    return text if len(text) <= _LONGEST_FIELD else f"{text[:_LONGEST_FIELD]}…"


def _level(text: str) -> str:
    from ml_dash.reading.logs import severity

    try:
        severity(text.lower())
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
    return text.lower()


def _number(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise ArgumentTypeError(f"{text!r} is no number of messages")
    return number


LOGS = Command(
    name="logs",
    usage="RUN [--follow] [--level LEVEL] [-n N] [--json] [--root DIR]",
    summary="print the messages of a run",
    details=(
        "Those of all its processes, in order of time, each with its level, step and fields.\n"
        "With --follow also those to come; it ends when the run ends."
    ),
    examples=(
        ("ml-dash logs robotics/arm", "all of them"),
        ("ml-dash logs robotics/arm -n 20 --follow", "the last 20, and what comes"),
        ("ml-dash logs robotics/arm --level warning", "warnings, errors, fatal errors"),
        ("ml-dash logs robotics/arm --json | jq .message", "for scripts"),
    ),
    arguments=_arguments,
    run=_run,
)
