"""A server over HTTP: one client, and one error for each way in which it can fail."""

from __future__ import annotations

from ml_dash.remote.address import server_url
from ml_dash.remote.client import RemoteClient
from ml_dash.remote.errors import (
    BusyError,
    ForbiddenError,
    NotFoundError,
    RejectedError,
    RemoteError,
    UnauthorizedError,
    UnreachableError,
)

__all__ = [
    "BusyError",
    "ForbiddenError",
    "NotFoundError",
    "RejectedError",
    "RemoteClient",
    "RemoteError",
    "UnauthorizedError",
    "UnreachableError",
    "server_url",
]
