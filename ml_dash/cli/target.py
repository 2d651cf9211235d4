"""Which run a command is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.cli.command import CommandError
from ml_dash.cli.quantities import count
from ml_dash.cli.screen import Screen
from ml_dash.cli.server_argument import server_of

if TYPE_CHECKING:
    from argparse import Namespace
    from pathlib import Path

    from ml_dash.reading import RunView


def open_target(options: Namespace, screen: Screen) -> RunView:
    """The run that RUN, `--root` and `--url` name; what a dead process left of it is finished.

    Raises:
        CommandError: as `find_target` does.
    """
    view = find_target(options)
    tell_recovery(view, screen)
    return view


def find_target(options: Namespace) -> RunView:
    """The run that RUN and `--root` or `--url` name, not looked into yet.

    Raises:
        CommandError: there is none; it says where it was looked for and what is of similar name.
    """
    from ml_dash.reading import open_run

    try:
        return open_run(options.target, options.root, url=source_of(options))
    except (FileNotFoundError, ValueError) as error:
        raise CommandError(str(error)) from None


def source_of(options: Namespace) -> str | None:
    """The server that `--server` or `--url` names; `None` to look here.

    Raises:
        CommandError: none is known, it is no address, or there is `--root`, too.
    """
    if not (options.server or options.url):
        return None
    if options.root is not None:
        raise CommandError("give --root, or --server or --url: runs are looked up in one place")
    return server_of(options.url)


def root_of(options: Namespace) -> Path:
    """The folder that runs are kept in.

    Raises:
        CommandError: a setting in the environment or the configuration file has no such value.
    """
    from pathlib import Path

    from ml_dash.settings import load

    try:
        return Path(load({"root": options.root}).root)
    except ValueError as error:
        raise CommandError(str(error)) from None


def tell_recovery(view: RunView, screen: Screen) -> None:
    """Say what a dead process had left unfinished, and that it is finished now."""
    view.sessions  # noqa: B018 - the first look at a run is what finishes it
    recovery = view.source.recovery
    if recovery is None:
        return
    if recovery.rings:
        rows = sum(recovery.rows.values())
        whose = "a process" if recovery.rings == 1 else f"{recovery.rings} processes"
        screen.say(f"{view.prefix}: finished what {whose} left: {count(rows, 'row')} recovered")
    for problem in recovery.problems:
        screen.say(f"{view.prefix}: what a process left could not be finished: {problem}")
