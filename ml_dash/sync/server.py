"""The server at an address, as the user that is logged in there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml_dash.remote import RemoteClient


def server_at(url: str) -> RemoteClient:
    """A client of the server at `url`, with the token that is kept for it. Asks nothing yet."""
    from ml_dash.auth.tokens import Credentials
    from ml_dash.remote import RemoteClient

    return RemoteClient(url, Credentials(url))
