"""`ml-dash ui`: look at the runs of a folder in a browser."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ml_dash.cli.command import DONE, Command, CommandError, take_root
from ml_dash.cli.screen import Screen


def _arguments(parser: ArgumentParser) -> None:
    take_root(parser)
    parser.add_argument(
        "--port", metavar="NUMBER", type=int, default=3001, help="the port (default: 3001)"
    )
    parser.add_argument("--edit", action="store_true", help="allow to tag and delete runs")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")


def _ui(options: Namespace, screen: Screen) -> int:
    from pathlib import Path

    from ml_dash.settings import load

    try:
        from ml_dash.server.folder.serving import serve_folder
    except ImportError as error:
        raise CommandError(str(error)) from None
    root = Path(load({"root": options.root}).root).absolute()
    if not root.is_dir():
        raise CommandError(f"there is no folder {root}; record a run, or name another with --root")

    def ready(url: str) -> None:
        screen.say(f"the runs of {root}: {url}")
        screen.say("Ctrl-C ends it")
        if not options.no_browser:
            _open(url)

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


def _open(url: str) -> None:
    """Open the browser, where there is a screen that it can be seen on."""
    import os
    import sys
    import webbrowser

    seen = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    if seen and not os.environ.get("SSH_CONNECTION"):
        webbrowser.open(url)


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
