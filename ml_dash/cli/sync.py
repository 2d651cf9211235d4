"""`ml-dash sync`: send what a server has not got of local runs."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, NamedTuple

from ml_dash.cli.command import DONE, WRONG, Command, CommandError, take_root
from ml_dash.cli.progress import Bar
from ml_dash.cli.quantities import count, size
from ml_dash.cli.screen import Screen
from ml_dash.cli.server_argument import client_for, take_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ml_dash.remote import RemoteClient
    from ml_dash.sync import ReplicaReport
    from ml_dash.sync.replica import Progress

PAUSE = 5.0
"""Seconds between two looks at runs that are watched."""


class Run(NamedTuple):
    """A run to be sent, and the server that it was downloaded from, if it was."""

    folder: Path
    prefix: str
    url: str | None = None


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "targets", metavar="RUN", nargs="*", help="prefixes, or paths of run folders"
    )
    parser.add_argument("--all", action="store_true", help="all runs below the root")
    parser.add_argument(
        "--watch", action="store_true", help="go on as runs grow, until they end or Ctrl-C"
    )
    take_url(parser)
    take_root(parser)


def _run(options: Namespace, screen: Screen) -> int:
    if options.all == bool(options.targets):
        raise CommandError("name the runs to send, or give --all")
    from ml_dash.sync.report import ReplicaReport

    client = client_for(options)
    known: dict[Path, ReplicaReport] = {}
    while True:
        runs = list(runs_of(options))
        if not runs and not options.watch:
            screen.say("there are no runs to send")
        # Before they are sent: the last rows of one that ends meanwhile come with the next look.
        ended = not options.all and not any(_lives(run) for run in runs)
        for run in runs:
            if (why := elsewhere(run, options, client)) is None:
                _send(run, client, screen, known)
            elif run.folder not in known:
                known[run.folder] = ReplicaReport(error=why)
                screen.say(f"{run.prefix}: {why}")
        if not options.watch or ended:
            return DONE if all(report.ok for report in known.values()) else WRONG
        time.sleep(PAUSE)


def runs_of(options: Namespace) -> Iterator[Run]:
    """The runs that RUN… or `--all` names, under the prefixes that a server knows them by.

    Raises:
        CommandError: one is not there, its note of where it came from cannot be read, or a setting
            has no such value.
    """
    from ml_dash.reading import list_runs, open_run
    from ml_dash.run_folder import prefix_in
    from ml_dash.sync.origin import origin_of

    try:
        if options.all:
            found = list(list_runs(options.root))
        else:
            found = [open_run(target, options.root) for target in options.targets]
    except (FileNotFoundError, ValueError) as error:
        raise CommandError(str(error)) from None
    for view in found:
        folder = view.folder
        assert folder is not None  # whatever the command line names is a folder
        try:
            origin = origin_of(folder)
        except ValueError as error:
            raise CommandError(str(error)) from None
        if origin is None:
            yield Run(folder, prefix_in(folder))
        else:
            yield Run(folder, origin.prefix, origin.url)


def elsewhere(run: Run, options: Namespace, client: RemoteClient) -> str | None:
    """Why a downloaded run is not looked for on a server: it is of another, and none was named."""
    if run.url is None or options.url or run.url == client.url:
        return None
    return (
        f"it was downloaded from {run.url} and not from {client.url};"
        f" give --url {run.url}, or another server, if you mean it"
    )


def _lives(run: Run) -> bool:
    from ml_dash.backends import LocalBackend
    from ml_dash.reading import RunView
    from ml_dash.reading.status import RUNNING

    return RunView(LocalBackend(run.folder), run.prefix).status == RUNNING


def _send(run: Run, client: RemoteClient, screen: Screen, known: dict[Path, ReplicaReport]) -> None:
    """Send one run, and tell what came of it; of one that is watched, only what is new."""
    from ml_dash.sync import replicate

    before = known.get(run.folder)
    with Bar(screen, run.prefix) as bar:
        begun = False

        def show(progress: Progress) -> None:
            nonlocal begun
            if not progress.files_left:
                bar(progress.rows, progress.rows + progress.pending)
                if not progress.pending and progress.files:
                    screen.progress(f"{run.prefix}: {count(progress.files, 'file')} sent")
                return
            if not begun:
                bar.begin()
                begun = True
            total = progress.file_bytes + progress.file_bytes_left
            bar(progress.file_bytes, total, f": {count(progress.files_left, 'file')}, bytes")

        report = replicate(run.folder, client, run.prefix, show, verify=before is None)
    known[run.folder] = report
    moved = report.bytes or report.files
    if report.ok and (moved or before is None):
        screen.line(f"{run.prefix}  {_sent(report)}")
    if not report.ok and (before is None or str(before) != str(report)):
        screen.say(f"{run.prefix}: {_sent(report)}; {report}")


def _sent(report: ReplicaReport) -> str:
    if not (report.bytes or report.files):
        return "nothing to send" if report.ok else "nothing sent"
    parts = []
    if report.bytes:
        parts.append(f"{count(report.rows, 'row')} ({size(report.bytes)})")
    if report.files:
        parts.append(f"{count(report.files, 'file')} ({size(report.file_bytes)})")
    lost = count(report.restored, "segment or file", "segments and files")
    again = f"; the server's store had lost bytes of {lost}" if report.restored else ""
    return f"sent {' and '.join(parts)}{again}"


SYNC = Command(
    name="sync",
    usage="[RUN... | --all] [--watch] [--url URL] [--root DIR]",
    summary="send runs to a server",
    details=(
        "Sends the rows and files that the server has not got, of runs that are live,\n"
        "finished or crashed. It goes on where an earlier attempt stopped, and what the\n"
        "server has is never sent again nor overwritten: where histories differ, that is\n"
        "told, and both stay as they are. What its store has lost is sent again.\n\n"
        "The exit code is 0 when the server has all that was there when it began, else 1."
    ),
    examples=(
        ("ml-dash sync robotics/arm", "one run"),
        ("ml-dash sync --all --root /data/runs", "every run below a folder"),
        ("ml-dash sync robotics/arm --watch", "while it is written"),
    ),
    arguments=_arguments,
    run=_run,
)
