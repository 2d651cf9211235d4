"""Which server a command is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.cli.command import CommandError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ml_dash.remote import RemoteClient

WHICH = "the server (default: ML_DASH_URL, else the one kept by `ml-dash login`)"


def take_url(parser: ArgumentParser) -> None:
    """Add `--url`."""
    parser.add_argument("--url", metavar="URL", help=WHICH)


def server_of(given: str | None) -> str:
    """The server that a command is about.

    Args:
        given: its address, if the user gave one.

    Raises:
        CommandError: there is none, or it is no address.
    """
    from ml_dash.auth.signed_in import server_for

    try:
        return server_for(given)
    except ValueError as error:
        raise CommandError(str(error)) from None


def client_for(options: Namespace) -> RemoteClient:
    """A client of the server that `--url` or the settings name. Asks it nothing yet.

    Raises:
        CommandError: there is none.
    """
    from ml_dash.sync import server

    return server.server_at(server_of(options.url))
