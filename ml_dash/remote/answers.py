"""Fields of an answer, which one that something in between gives in the server's place has not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ml_dash.remote.failures import garbled

if TYPE_CHECKING:
    from ml_dash.remote.client import RemoteClient

T = TypeVar("T")


def field(client: RemoteClient, answer: Any, name: str, kind: type[T]) -> T:
    """The field `name` of a server's answer.

    Args:
        client: the server.
        answer: as `RemoteClient.json` gives it.
        name: of the field.
        kind: its type.

    Raises:
        UnreachableError: there is none, so that it is no answer of the server.
    """
    found = answer.get(name) if isinstance(answer, dict) else None
    if type(found) is not kind:
        raise garbled(client.url, f"has no {name} in it; does a proxy stand in between")
    return found
