"""What a command is made of, and the arguments that several share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ml_dash.cli.screen import Screen

DONE = 0
WRONG = 1
"""The command was carried out, and what it looked at is not as it should be."""
FAILED = 2
"""The command could not be carried out: a wrong argument, or a run that is not there."""
INTERRUPTED = 130
BROKEN_PIPE = 141
"""As shells tell the end of any program whose reader has gone."""


class CommandError(Exception):
    """Why a command cannot be carried out: one line, told on stderr."""


class Command(NamedTuple):
    """One of the commands of `ml-dash`.

    Attributes:
        name: what the user types.
        usage: its arguments, as the documentation writes them.
        summary: what it does, in one line.
        details: what else its help says.
        examples: commands that work, each with a remark.
        arguments: adds its arguments to its parser.
        run: carries it out; the exit code.
    """

    name: str
    usage: str
    summary: str
    details: str
    examples: tuple[tuple[str, str], ...]
    arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace, Screen], int]


def take_run(parser: ArgumentParser) -> None:
    """Add the argument RUN and where to look for it."""
    parser.add_argument(
        "target",
        metavar="RUN",
        help="its prefix, the path of its folder, its id, or its address on a server",
    )
    take_root(parser)
    take_source(parser)


def take_root(parser: ArgumentParser) -> None:
    """Add `--root`."""
    parser.add_argument(
        "--root",
        metavar="DIR",
        help="the folder that runs are kept in (default: ML_DASH_ROOT, else .dash)",
    )


def take_source(parser: ArgumentParser) -> None:
    """Add `--server` and `--url` of commands that read here unless they are told otherwise."""
    parser.add_argument(
        "--server",
        action="store_true",
        help="look on the server (ML_DASH_URL, else the one kept by `ml-dash login`)",
    )
    parser.add_argument("--url", metavar="URL", help="look on this server")


def take_json(parser: ArgumentParser, what: str = "print JSON, for scripts") -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help=what)
