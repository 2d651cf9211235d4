"""`ml-dash download` and `ml-dash delete`: a run's copies on a server and on this disk."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ml_dash.cli.clean import agreed
from ml_dash.cli.command import DONE, WRONG, Command, CommandError, take_root
from ml_dash.cli.quantities import count, size
from ml_dash.cli.screen import Screen
from ml_dash.cli.server_argument import WHICH, server_of, take_url
from ml_dash.cli.target import root_of
from ml_dash.cli.text import printable

if TYPE_CHECKING:
    from ml_dash.reading import RunView
    from ml_dash.remote import RemoteClient


def _download_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("target", metavar="RUN", help="its prefix, or its address on the server")
    parser.add_argument("--to", metavar="DIR", help="the run's folder (default: ROOT/PREFIX)")
    take_url(parser)
    take_root(parser)


def _download(options: Namespace, screen: Screen) -> int:
    from ml_dash.names import prefix_folder
    from ml_dash.sync.download import DownloadError, DownloadReport, download
    from ml_dash.sync.listing import way_back

    client, run = _on_server(options)
    prefix = str(run["prefix"])
    try:
        folder = Path(options.to) if options.to else root_of(options) / prefix_folder(prefix)
        whole = size(int(run.get("size") or 0))

        def show(report: DownloadReport) -> None:
            screen.progress(f"{prefix}: {size(report.bytes)}; {whole} of rows in all")

        report = download(str(run["id"]), client, folder, show, prefix=prefix)
    except (DownloadError, ValueError) as error:
        raise CommandError(str(error)) from None
    except OSError as error:  # a full disk names no path
        why = f"{error.strerror or error}: {error.filename or folder}"
        raise CommandError(f"{why}; the same command goes on from there") from None
    brought = f"{count(report.segments, 'segment')} and {count(report.files, 'file')}"
    screen.line(printable(f"{folder}  {brought}, {size(report.bytes)}"))
    for path in report.missing[:10]:
        screen.say(f"{path}: the server has not got this file")
    for path in report.damaged[:10]:
        screen.say(f"{path}: the server does not give this file as it was saved")
    if report.damaged:
        screen.say(f"{count(len(report.damaged), 'file')}: {way_back(prefix)}")
    return WRONG if report.missing or report.damaged else DONE


def _delete_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("target", metavar="RUN", help="its prefix, folder, or address on a server")
    parser.add_argument("--local", action="store_true", help="from this disk (as by default)")
    parser.add_argument("--server", action="store_true", help="from the server")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--url", metavar="URL", help=f"{WHICH}; implies --server")
    take_root(parser)


def _delete(options: Namespace, screen: Screen) -> int:
    remote = options.server or options.url or _is_address(options.target)
    local = options.local or not remote
    found: tuple[RemoteClient, dict[str, Any]] | None = _on_server(options) if remote else None
    view = _local(options) if local else None
    for place in _places(found, view):
        screen.line(printable(place))
    if not options.yes and not agreed("delete this for good?", "--yes to delete it"):
        screen.say("nothing was deleted")
        return WRONG
    if found is not None:
        client, run = found
        client.request("DELETE", f"/runs/{quote(str(run['id']), safe='')}").close()
        screen.say(f"deleted {run['prefix']} from {client.url}")
    if view is not None and view.folder is not None:
        from ml_dash.run_paths import remove_run

        remove_run(view.folder)
        screen.say(f"deleted {view.folder}")
    return DONE


def _places(found: tuple[RemoteClient, dict[str, Any]] | None, view: RunView | None) -> list[str]:
    """What is to be deleted, for a person."""
    from ml_dash.cli.overview import sizes_of

    places = []
    if found is not None:
        client, run = found
        files = count(int(run.get("files") or 0), "file")
        places.append(f"{run['prefix']} on {client.url}  {files}")
    if view is not None:
        places.append(f"{view.folder}  {size(sum(sizes_of(view).values()))}")
    return places


def _local(options: Namespace) -> RunView:
    from ml_dash.buffer.recovery import rings
    from ml_dash.reading import open_run
    from ml_dash.reading.status import RUNNING

    if _is_address(options.target):
        raise CommandError("name the run by its prefix or folder to delete it from this disk")
    try:
        view = open_run(options.target, options.root)
    except (FileNotFoundError, ValueError) as error:
        raise CommandError(str(error)) from None
    if view.status == RUNNING or (view.folder is not None and rings(view.folder)):
        raise CommandError(f"{view.prefix} is still written; end it first")
    return view


def _on_server(options: Namespace) -> tuple[RemoteClient, dict[str, Any]]:
    """The server, and the run as it knows it.

    Raises:
        CommandError: there is none.
    """
    from ml_dash.auth.signed_in import signed_in, split_address
    from ml_dash.remote import NotFoundError
    from ml_dash.remote.runs import find_run

    try:
        if _is_address(options.target):
            url, prefix = split_address(options.target)
        else:
            url, prefix = server_of(options.url), options.target
        client = signed_in(url)
        return client, find_run(client, prefix)
    except (NotFoundError, ValueError) as error:
        raise CommandError(str(error)) from None


def _is_address(text: str) -> bool:
    return text.startswith(("https://", "http://"))


DOWNLOAD = Command(
    name="download",
    usage="RUN [--to DIR] [--url URL] [--root DIR]",
    summary="copy a run from a server to this disk",
    details=(
        "The folder that it makes has the same segments, byte for byte, and the same\n"
        "files. A second time it brings what is new. What is there and differs is never\n"
        "overwritten.\n\n"
        "The exit code is 1 when the server lacks some of the files."
    ),
    examples=(
        ("ml-dash download lab/robotics/arm", "to .dash/lab/robotics/arm"),
        ("ml-dash download robotics/arm --to /tmp/arm", "of your own namespace"),
    ),
    arguments=_download_arguments,
    run=_download,
)

DELETE = Command(
    name="delete",
    usage="RUN [--local] [--server] [--yes] [--url URL] [--root DIR]",
    summary="delete a run",
    details=(
        "From this disk, or with --server from the server, or with both options from\n"
        "both. It shows what it is about to delete and asks. Runs below it stay."
    ),
    examples=(
        ("ml-dash delete robotics/arm", "from this disk"),
        ("ml-dash delete robotics/arm --server", "from the server"),
        ("ml-dash delete robotics/arm --server --local --yes", "from both"),
    ),
    arguments=_delete_arguments,
    run=_delete,
)
