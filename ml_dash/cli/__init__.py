"""The command line, `ml-dash`: runs looked at here or on a server, copied, and served.

Exit codes: 0 done; 1 done, and something is wrong (`check`, `doctor`); 2 it could not be done; 130
Ctrl-C.
Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ml_dash.cli.account import LOGIN, LOGOUT, WHOAMI
from ml_dash.cli.check import CHECK
from ml_dash.cli.clean import CLEAN
from ml_dash.cli.command import BROKEN_PIPE, FAILED, INTERRUPTED, Command, CommandError
from ml_dash.cli.copies import DELETE, DOWNLOAD
from ml_dash.cli.doctor import DOCTOR
from ml_dash.cli.export import EXPORT
from ml_dash.cli.interrupts import heeded
from ml_dash.cli.logs import LOGS
from ml_dash.cli.pictures import FRAMES, PLOT, VIDEO
from ml_dash.cli.runs import LIST, SHOW
from ml_dash.cli.screen import Screen
from ml_dash.cli.serve import SERVE, SERVER
from ml_dash.cli.sync import SYNC
from ml_dash.cli.token import TOKEN
from ml_dash.cli.ui import UI
from ml_dash.version import __version__

if TYPE_CHECKING:
    from argparse import ArgumentParser

COMMANDS: tuple[Command, ...] = (
    LIST,
    SHOW,
    LOGS,
    CHECK,
    EXPORT,
    PLOT,
    FRAMES,
    VIDEO,
    UI,
    SYNC,
    CLEAN,
    DOWNLOAD,
    DELETE,
    LOGIN,
    LOGOUT,
    WHOAMI,
    TOKEN,
    SERVE,
    SERVER,
    DOCTOR,
)
"""All commands in the order of the help. The documentation is held against it."""

__all__ = ["COMMANDS", "main", "make_parser"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: its arguments without the program's name; those of the process by default.

    Returns:
        The exit code.
    """
    screen = Screen()
    try:
        try:
            with heeded():
                code = _run(argv, screen)
        finally:
            screen.close()
    except KeyboardInterrupt:
        _settle_output()
        return INTERRUPTED
    except BrokenPipeError:
        _settle_output()
        return BROKEN_PIPE
    except OSError as error:
        _settle_output()
        screen.say(_reason(error))
        return FAILED
    return code


def make_parser() -> ArgumentParser:
    """The parser of all commands; what it parses has the `Command` as `command`."""
    import argparse

    parser = argparse.ArgumentParser(
        prog="ml-dash",
        description="Look at recorded runs, make datasets of them, send them to a server, run one.",
        epilog="`ml-dash COMMAND --help` tells more about each, with examples.",
    )
    parser.add_argument("--version", action="version", version=f"ml-dash {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in COMMANDS:
        longest = max(len(line) for line, _ in command.examples)
        shown = "\n".join(f"  {line:<{longest}}   {remark}" for line, remark in command.examples)
        own = commands.add_parser(
            command.name,
            help=command.summary,
            description=f"{command.summary[0].upper()}{command.summary[1:]}.\n\n{command.details}",
            epilog=f"examples:\n{shown}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.arguments(own)
        own.set_defaults(command=command)
    return parser


def _run(argv: Sequence[str] | None, screen: Screen) -> int:
    parser = make_parser()
    try:
        options = parser.parse_args(argv)
    except SystemExit as ended:  # it has printed help, the version, or what is wrong
        return ended.code if isinstance(ended.code, int) else FAILED
    command: Command | None = getattr(options, "command", None)
    if command is None:
        parser.print_help(sys.stderr)
        return FAILED
    _import_orjson()
    try:
        return command.run(options, screen)
    except CommandError as error:
        screen.say(str(error))
        return FAILED
    except RuntimeError as error:
        from ml_dash.remote.errors import RemoteError

        if not isinstance(error, RemoteError):
            raise
        screen.say(str(error))
        return FAILED


def _import_orjson() -> None:
    """Import it with Ctrl-C put off: an import that is interrupted crashes it."""
    import signal

    if not hasattr(signal, "pthread_sigmask"):  # Windows
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        import orjson  # noqa: F401 - nearly every command needs it
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _settle_output() -> None:
    """Let the interpreter say nothing at its end about output that cannot be written."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            _redirect(stream)


def _redirect(stream: object) -> None:
    try:
        target = stream.fileno()  # type: ignore[attr-defined]  # a stream, or what a test put there
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, target)
        os.close(nowhere)
    except (OSError, ValueError, AttributeError):
        pass  # not a file, closed, or none at all


def _reason(error: OSError) -> str:
    text = error.strerror or str(error)
    return f"{text}: {error.filename}" if error.filename else text
