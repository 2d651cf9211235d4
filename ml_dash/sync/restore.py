"""Sends again what the store behind a server has lost, as far as the folder still has it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ml_dash import wire
from ml_dash.backends import LocalBackend
from ml_dash.sync.segments import compressed

if TYPE_CHECKING:
    from ml_dash.remote import RemoteClient

_Lines = tuple[dict[str, Any], bytes]


def send_rows_again(
    client: RemoteClient, run_path: str, backend: LocalBackend, chunks: Iterable[Any]
) -> tuple[int, int]:
    """Send the lines of lost chunks again; how many lines and bytes were taken.

    The server takes those alone that are the lines it had.

    Args:
        client: the server.
        run_path: of the run there.
        backend: the run's folder.
        chunks: each with its `segment`, `offset` and `size`, as the server tells them.

    Raises:
        RemoteError: it does not take them now.
    """
    rows = size = 0
    for batch in _batches(backend, chunks):
        for text in _send(client, run_path, batch):
            rows, size = rows + text.count(b"\n"), size + len(text)
    return rows, size


def _batches(backend: LocalBackend, chunks: Iterable[Any]) -> Iterator[list[_Lines]]:
    """The lines that the folder has of chunks, as many as go into one request."""
    batch: list[_Lines] = []
    held = 0
    for chunk in chunks:
        path, offset, size = str(chunk["segment"]), int(chunk["offset"]), int(chunk["size"])
        try:
            text = bytes(backend.read(wire.check_segment(path), offset, size))
        except (wire.WireError, OSError):
            continue
        if len(text) != size:
            continue  # this folder has not all of it
        if batch and (held + size > wire.SEND_LIMIT or len(batch) >= wire.MAX_PIECES):
            yield batch
            batch, held = [], 0
        batch.append(({"segment": path, "offset": offset, "size": size}, text))
        held += size
    if batch:
        yield batch


def _send(client: RemoteClient, run_path: str, batch: list[_Lines]) -> Iterator[bytes]:
    """Send some, in halves where that is too large; what was taken."""
    from ml_dash.remote import RejectedError
    from ml_dash.remote.answers import field

    body = wire.pack({"pieces": [piece for piece, _ in batch]}, [text for _, text in batch])
    headers = {"Content-Type": wire.FRAMES, "Content-Encoding": "gzip"}
    where = f"{run_path}/lost/rows"
    try:
        answer = client.json("POST", where, body=compressed(body), headers=headers)
    except RejectedError as error:
        if error.code != "too_large":
            raise
        if len(batch) > 1:
            middle = len(batch) // 2
            yield from _send(client, run_path, batch[:middle])
            yield from _send(client, run_path, batch[middle:])
        return
    if field(client, answer, "stored", int):
        yield from (text for _, text in batch)
