"""`ml-dash serve` and `ml-dash server`: run a server, and look after it."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ml_dash.cli.command import DONE, Command, CommandError
from ml_dash.cli.screen import Screen

if TYPE_CHECKING:
    from ml_dash.server.settings import ServerSettings

_OPTIONS = (
    ("folder", "DIR", "what SQLite and the files are kept in (default: ml-dash-server)"),
    ("database", "URL", "another database, such as postgresql+psycopg://user@host/name"),
    ("store", "URL", "another store for the bytes, such as s3://bucket/prefix"),
    ("endpoint", "URL", "of the S3 server, where it is not Amazon's"),
    ("region", "NAME", "of the bucket"),
)
_LISTENING = (
    ("host", "ADDRESS", "the address to listen on (default: 127.0.0.1)"),
    ("port", "NUMBER", "the port (default: 3000)"),
    ("url", "URL", "how users reach the server, where a proxy stands before it"),
)


def _arguments(parser: ArgumentParser) -> None:
    for name, metavar, text in (*_OPTIONS, *_LISTENING):
        parser.add_argument(
            f"--{name}", metavar=metavar, help=text, type=int if name == "port" else str
        )


def _settings(options: Namespace) -> ServerSettings:
    from dataclasses import fields

    try:
        from ml_dash.server.settings import ServerSettings
    except ImportError as error:
        raise CommandError(str(error)) from None
    given = {field.name: getattr(options, field.name, None) for field in fields(ServerSettings)}
    try:
        return ServerSettings.load(given)
    except ValueError as error:
        raise CommandError(str(error)) from None


@contextmanager
def _privately() -> Iterator[None]:
    """Have what is made meanwhile be for this user alone: rows of everybody, hashes of secrets."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@_privately()
def _serve(options: Namespace, screen: Screen) -> int:
    settings = _settings(options)
    from ml_dash.server.serving import OutdatedError, UnreachableError, serve

    try:
        serve(settings, screen.say)
    except (OutdatedError, UnreachableError, ValueError) as error:
        raise CommandError(str(error)) from None
    return DONE


def _server_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "action",
        metavar="ACTION",
        choices=("upgrade", "add-user"),
        help="upgrade or add-user",
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="of the user that is added")
    parser.add_argument("--admin", action="store_true", help="the user looks after the server")
    for name, metavar, text in _OPTIONS:
        parser.add_argument(f"--{name}", metavar=metavar, help=text)
    parser.add_argument("--url", metavar="URL", help="how users reach the server")


@_privately()
def _server(options: Namespace, screen: Screen) -> int:
    settings = _settings(options)
    import time

    from ml_dash.server.accounts.users import create_user, issue_link
    from ml_dash.server.database import Database
    from ml_dash.server.serving import OutdatedError, UnreachableError, prepare, reach, upgrade

    if options.action == "add-user" and settings.is_local and not Path(settings.folder).is_dir():
        raise CommandError(
            f"there is no server in {settings.folder}; name its folder with --folder, or begin one"
            " with `ml-dash serve`"
        )
    try:
        reach(settings)
    except UnreachableError as error:
        raise CommandError(str(error)) from None
    data = Database(settings.database)
    try:
        if options.action == "upgrade":
            upgrade(data)
            screen.say("the database has the version of this program")
            return DONE
        if not options.name:
            raise CommandError("add-user takes the name of the user")
        prepare(settings)
        now = time.time()
        user = data.transaction(
            lambda session: create_user(session, options.name, None, options.admin, now=now)
        )
        link = data.transaction(lambda session: issue_link(session, user.id, now))
        url = settings.url or f"http://{settings.host}:{settings.port}"
        screen.say(f"{options.name} sets a password here, once, within a day: {url}{link}")
        return DONE
    except (OutdatedError, ValueError) as error:
        raise CommandError(str(error)) from None
    finally:
        data.close()


SERVE = Command(
    name="serve",
    usage=(
        "[--folder DIR] [--host ADDRESS] [--port NUMBER] [--url URL] [--database URL]"
        " [--store URL] [--endpoint URL] [--region NAME]"
    ),
    summary="run a server that a team sends its runs to",
    details=(
        "Needs nothing but a folder: SQLite and the files are in it. At the first start\n"
        "it prints a link with which the administrator sets a password. Each option can\n"
        "be given as a variable, such as ML_DASH_SERVER_DATABASE. Needs\n"
        'pip install "ml-dash[server]".'
    ),
    examples=(
        ("ml-dash serve", "data in ml-dash-server"),
        ("ml-dash serve --folder /srv/dash --port 8080", "elsewhere"),
    ),
    arguments=_arguments,
    run=_serve,
)

SERVER = Command(
    name="server",
    usage=(
        "ACTION [NAME] [--admin] [--url URL] [--folder DIR] [--database URL]"
        " [--store URL] [--endpoint URL] [--region NAME]"
    ),
    summary="look after a server: upgrade its database, add a user",
    details=(
        "ACTION is one of\n"
        "  upgrade    bring the database to the version of this program\n"
        "  add-user   make a user, and print the link with which they set a password\n"
        "Make a backup before an upgrade."
    ),
    examples=(
        ("ml-dash server upgrade", "after an update"),
        ("ml-dash server add-user anna", "prints a link for anna"),
    ),
    arguments=_server_arguments,
    run=_server,
)
