"""Finding runs on a server."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from itertools import islice
from typing import Any

from ml_dash.remote.client import RemoteClient
from ml_dash.remote.errors import NotFoundError, RejectedError
from ml_dash.remote.failures import garbled
from ml_dash.remote.listing import listed
from ml_dash.wire import address

PAGE = 200
"""Runs in one answer."""


def find_run(client: RemoteClient, prefix: str) -> dict[str, Any]:
    """The run of a prefix, as the server shows it.

    Args:
        client: the server.
        prefix: as the client has it, or with its namespace.

    Raises:
        NotFoundError: there is none that the user may see; it names what is of similar name.
        RemoteError: the server does not answer that.
        ValueError: it is no prefix.
    """
    own = client.own if prefix.strip("/").count("/") < 2 else ""
    try:
        where = address(prefix, own)
    except ValueError as error:
        raise ValueError(f"no run {prefix!r} on {client.url}: {error}") from None
    about = {"prefix": where.prefix, "id": "", "create": False}
    try:
        return run_in(client, client.json("POST", "/runs", json=about))
    except NotFoundError:
        pass
    missing = NotFoundError(_not_found(client, where.prefix))
    missing.status = 404
    raise missing


def runs_of(client: RemoteClient, **wanted: str | None) -> Iterator[dict[str, Any]]:
    """All runs that the user may see, page after page.

    Args:
        client: the server.
        wanted: what the API takes: `namespace`, `project`, `prefix`, `filter`, `sort`.

    Raises:
        RemoteError: the server does not answer that.
    """
    params = {name: text for name, text in wanted.items() if text}
    return listed(client, "/runs", "runs", PAGE, **params)


def run_in(client: RemoteClient, answer: Any) -> dict[str, Any]:
    """The run in an answer.

    Raises:
        UnreachableError: there is none in it.
    """
    run = answer.get("run") if isinstance(answer, dict) else None
    if not isinstance(run, dict) or "id" not in run or "prefix" not in run:
        raise garbled(client.url, "has no run in it; is it the address of an ML-Dash server")
    return run


def _not_found(client: RemoteClient, prefix: str) -> str:
    message = f"no run {prefix!r} on {client.url}, or you may not see it"
    project = prefix.rpartition("/")[0]
    namespace = prefix.partition("/")[0]
    try:
        runs = islice(runs_of(client, namespace=namespace), PAGE)
        seen = [str(run["prefix"]) for run in runs]
    except (NotFoundError, RejectedError):
        seen = []
    near = difflib.get_close_matches(prefix, seen, n=3)
    near += [other for other in seen if other.startswith(f"{prefix}/") or other == project]
    found = list(dict.fromkeys(near))[:5]
    return f"{message}. Did you mean {', '.join(map(repr, found))}?" if found else message
