"""`ml-dash logs`: the messages of a run, also while they come."""

from __future__ import annotations

import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ml_dash.cli.command import DONE, Command, take_json, take_run
from ml_dash.cli.screen import Screen
from ml_dash.cli.target import open_target

if TYPE_CHECKING:
    from ml_dash.reading import RunView, Tail

POLL = 0.25
"""Seconds between two looks at a run that is followed."""

_PATIENCE = 5.0  # seconds that the last rows of an ended run are waited for

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
    from ml_dash.cli.messages import json_line, text_lines
    from ml_dash.reading import Tail

    view = open_target(options, screen)
    show = partial(json_line if options.json else text_lines, screen)
    tail = Tail(view.source.backend, "logs")
    if options.follow:
        _follow(view, tail, options, screen, show)
    else:
        for row in tail.begin(options.n, _wanted(options.level)):
            show(row)
    return DONE


def _follow(
    view: RunView, tail: Tail, options: Namespace, screen: Screen, show: Callable[[Row], None]
) -> None:
    """Show what there is and then what comes, from all writers, until the run has ended."""
    from ml_dash.reading.status import RUNNING

    wanted = _wanted(options.level)
    read: Callable[[], Iterable[Row]] = partial(tail.begin, options.n, wanted)
    waited = 0.0
    while True:
        # Asked before the rows are read: what was written before the end is then among them.
        ended = view.status != RUNNING
        over = ended and (waited > _PATIENCE or not _is_written(view))
        for row in filter(wanted, read()):
            show(row)
        read = tail.poll
        screen.flush()
        if over:
            break
        time.sleep(POLL)
        waited = waited + POLL if ended else 0.0
        view.refresh()
    screen.say(f"{view.prefix}: the run is {view.status}")


def _is_written(view: RunView) -> bool:
    """Whether rows of a run are still on their way into its segments.

    The row that ends it and the last ones of its log are written in no certain order; the ring of
    their writer goes when all are.
    """
    from ml_dash.buffer.recovery import rings

    return view.folder is not None and bool(rings(view.folder))


def _wanted(level: str | None) -> Callable[[Row], bool]:
    """Whether a message is of at least a level."""
    from ml_dash.reading.logs import LEVELS, severity

    # What another program wrote with a level of its own is not to be missed.
    lower = LEVELS[: severity(level)] if level is not None else ()
    return lambda row: row.get("level") not in lower


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
    usage="RUN [--follow] [--level LEVEL] [-n N] [--json] [--root DIR] [--server] [--url URL]",
    summary="print the messages of a run",
    details=(
        "Those of all its processes, in order of time, each with its level, step and\n"
        "fields. With --follow also those to come; it ends when the run ends."
    ),
    examples=(
        ("ml-dash logs robotics/arm", "all of them"),
        ("ml-dash logs robotics/arm -n 20 --follow", "the last 20, and what comes"),
        ("ml-dash logs robotics/arm --level warning", "warnings and worse"),
        ("ml-dash logs robotics/arm --json | jq .message", "for scripts"),
    ),
    arguments=_arguments,
    run=_run,
)
