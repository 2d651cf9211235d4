"""`ml-dash ui`: look at the runs of a folder in a browser."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ml_dash.cli.browser import has_screen, open_page
from ml_dash.cli.command import DONE, Command, CommandError, take_root
from ml_dash.cli.screen import Screen
from ml_dash.cli.target import root_of


def _arguments(parser: ArgumentParser) -> None:
    take_root(parser)
    parser.add_argument(
        "--port", metavar="NUMBER", type=int, default=3001, help="the port (default: 3001)"
    )
    parser.add_argument("--edit", action="store_true", help="allow to tag and delete runs")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")


def _ui(options: Namespace, screen: Screen) -> int:
    try:
        from ml_dash.server.folder.serving import serve_folder
    except ImportError as error:
        raise CommandError(str(error)) from None
    root = root_of(options).absolute()
    if not root.is_dir():
        raise CommandError(f"there is no folder {root}; record a run, or name another with --root")

    def ready(url: str) -> None:
        screen.say(f"the runs of {root}: {url}")
        screen.say("Ctrl-C ends it")
        if not options.no_browser and has_screen():
            open_page(url)

    try:
        serve_folder(root, options.port, ready, edit=options.edit)
    except OverflowError:
        raise CommandError(f"{options.port} is no port; use 1 to 65535, or 0 for any") from None
    except OSError as error:
        if error.errno is None:
            raise
        raise CommandError(
            f"cannot listen on port {options.port}: {error.strerror}; try --port 0"
        ) from None
    return DONE


UI = Command(
    name="ui",
    usage="[--root DIR] [--port NUMBER] [--edit] [--no-browser]",
    summary="look at the runs of a folder in a browser",
    details=(
        "Serves pages to this machine alone, at an address with a token in it: the table\n"
        "of runs, curves, the player of frames, logs and files, also of runs that go on.\n"
        "Nothing is changed in the folder unless --edit is given. Needs\n"
        'pip install "ml-dash[server]".'
    ),
    examples=(
        ("ml-dash ui", "the runs in .dash"),
        ("ml-dash ui --root /data/runs --no-browser", "elsewhere; print the address"),
    ),
    arguments=_arguments,
    run=_ui,
)
