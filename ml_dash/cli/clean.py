"""`ml-dash clean --synced`: free the disk of runs that a server has."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ml_dash.cli.command import DONE, WRONG, Command, CommandError, take_root
from ml_dash.cli.quantities import count, size
from ml_dash.cli.screen import Screen
from ml_dash.cli.server_argument import client_for, take_url
from ml_dash.cli.target import root_of

if TYPE_CHECKING:
    from ml_dash.cli.sync import Run
    from ml_dash.remote import RemoteClient

_MOST_SHOWN = 5


class _Clean(NamedTuple):
    """A run that the server has all of, and what it is called here."""

    name: str
    folder: Path
    size: int
    state: dict[Path, tuple[int, int]]


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "targets", metavar="RUN", nargs="*", help="prefixes, or paths of run folders (default: all)"
    )
    parser.add_argument(
        "--synced", action="store_true", help="runs that a server has, byte for byte"
    )
    parser.add_argument("--dry-run", action="store_true", help="only list them")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    take_url(parser)
    take_root(parser)


def _run(options: Namespace, screen: Screen) -> int:
    from ml_dash.run_paths import remove_run

    if not options.synced:
        raise CommandError("say what to clean: --synced frees runs that a server has")
    client = client_for(options)
    options.all = not options.targets
    found, refused = [], 0
    for clean in _examine(options, client, screen):
        if clean is None:
            refused += 1
        else:
            found.append(clean)
    if not found:
        screen.say("there is nothing to free")
        return WRONG if refused and options.targets else DONE
    for clean in found:
        screen.line(f"{clean.name}  {size(clean.size)}")
    total = size(sum(clean.size for clean in found))
    if options.dry_run:
        screen.say(f"{count(len(found), 'run')} of {total} could be freed")
        return DONE
    if not options.yes and not agreed(f"remove {count(len(found), 'run')} from this disk?"):
        screen.say("nothing was removed")
        return WRONG
    freed = 0
    for clean in found:
        if _is_written(clean.folder) or _state(clean.folder) != clean.state:
            screen.say(f"{clean.name} stays: it was written since it was checked")
            continue
        remove_run(clean.folder)
        freed += clean.size
    screen.say(f"freed {size(freed)}")
    return DONE


def _examine(options: Namespace, client: RemoteClient, screen: Screen) -> Iterator[_Clean | None]:
    """Each run that may be removed, `None` for one that may not, after saying why."""
    from ml_dash.buffer.recovery import drain_dead
    from ml_dash.cli.sync import elsewhere, runs_of
    from ml_dash.remote import RemoteError
    from ml_dash.sync.listing import way_back
    from ml_dash.sync.verify import NOT_GIVEN

    for run in runs_of(options):
        name = _name(run, root_of(options))
        if why := elsewhere(run, options, client):
            screen.say(f"{name} stays: {why}")
            yield None
            continue
        drain_dead(run.folder)
        before = _state(run.folder)
        try:
            reasons = _reasons(run.folder, run.prefix, client, screen)
        except (RemoteError, OSError) as error:
            reasons = [str(error)]
        if not reasons:
            yield _Clean(name, run.folder, _size(run.folder), before)
            continue
        shown = "; ".join(reasons[:_MOST_SHOWN])
        more = f"; and {len(reasons) - _MOST_SHOWN:,} more" if len(reasons) > _MOST_SHOWN else ""
        screen.say(f"{name} stays: {shown}{more}")
        if all(reason.endswith(NOT_GIVEN) for reason in reasons):
            screen.say(f"{name}: {way_back(run.prefix, run.folder)}")
        yield None


def _name(run: Run, root: Path) -> str:
    """The run's prefix, and its folder where that is not the prefix: a copy, or one elsewhere."""
    if run.folder.resolve() == (root / run.prefix).resolve():
        return run.prefix
    return f"{run.prefix} in {run.folder}"


def _reasons(folder: Path, prefix: str, client: RemoteClient, screen: Screen) -> list[str]:
    """Why a run must stay on the disk; empty if it need not."""
    from ml_dash.sync.verify import differences

    if _is_written(folder):
        return ["it is still written"]
    return differences(
        folder, client, prefix, lambda what: screen.progress(f"checking {prefix}: {what}")
    )


def _is_written(folder: Path) -> bool:
    from ml_dash.backends import LocalBackend
    from ml_dash.buffer.recovery import rings
    from ml_dash.reading import RunView
    from ml_dash.reading.status import RUNNING

    return bool(rings(folder)) or RunView(LocalBackend(folder), "").status == RUNNING


def _state(folder: Path) -> dict[Path, tuple[int, int]]:
    from ml_dash.run_paths import paths_of

    found = {path: path.lstat() for path in paths_of(folder)}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in found.items()}


def _size(folder: Path) -> int:
    from ml_dash.run_paths import paths_of

    return sum(path.lstat().st_size for path in paths_of(folder))


def agreed(question: str, else_give: str = "--yes, or --dry-run to look") -> bool:
    """Whether the user says yes.

    Args:
        question: that is asked.
        else_give: the options for where nobody is there.

    Raises:
        CommandError: nobody is there to be asked.
    """
    if not sys.stdin.isatty():
        raise CommandError(f"nobody is there to be asked; give {else_give}")
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


CLEAN = Command(
    name="clean",
    usage="--synced [RUN...] [--dry-run] [--yes] [--url URL] [--root DIR]",
    summary="free the disk of runs that a server has",
    details=(
        "Compares every segment and every file with the checksums that the server has,\n"
        "and removes only runs of which it has all. Runs that are still written stay.\n"
        "Lists them first, and asks."
    ),
    examples=(
        ("ml-dash clean --synced --dry-run", "what could be freed"),
        ("ml-dash clean --synced robotics/arm", "one run"),
        ("ml-dash clean --synced --yes", "in a script"),
    ),
    arguments=_arguments,
    run=_run,
)
