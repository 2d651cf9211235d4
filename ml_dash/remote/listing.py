"""Lists of a server, page after page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ml_dash.remote.answers import field

if TYPE_CHECKING:
    from ml_dash.remote.client import RemoteClient


def listed(
    client: RemoteClient, path: str, what: str, limit: int, **params: str
) -> Iterator[dict[str, Any]]:
    """All entries of a list.

    Args:
        client: the server.
        path: of the list.
        what: the field of an answer that has the entries.
        limit: how many one answer may have.
        params: what else the API takes.

    Raises:
        RemoteError: the server does not answer that.
    """
    asked = {**params, "limit": str(limit)}
    while True:
        page = client.json("GET", path, params=asked)
        yield from field(client, page, what, list)
        following = page.get("next")
        if not following or following == asked.get("cursor"):
            return
        asked = {**asked, "cursor": following}
