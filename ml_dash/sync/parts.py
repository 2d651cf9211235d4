"""Sends a large file in parts, from where an earlier attempt got to."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, BinaryIO

from ml_dash import wire
from ml_dash.sync.entries import Entry, ReplacedError, unreadable

if TYPE_CHECKING:
    from ml_dash.remote import RemoteClient

LEAST = 1 << 16
"""Bytes of a part below which nothing is tried any more."""


def smaller(part: int) -> int:
    """Bytes of the next parts, after one of so many was too large.

    Raises:
        ReplacedError: they are as small as they get.
    """
    if part <= LEAST:
        raise ReplacedError(f"the server, or a proxy before it, takes no request of {part:,} bytes")
    return max(LEAST, part // 2)


def send_parts(client: RemoteClient, run: str, entry: Entry, file: BinaryIO, part_size: int) -> int:
    """Send what is missing of a file; bytes of a part that was too large, 0 if none was.

    Args:
        client: the server.
        run: the path of the run there.
        entry: what the index says of the file.
        file: the file, open.
        part_size: bytes of a part at most.

    Raises:
        ReplacedError: it is another file than the index says, or the server, an older one, wants
            larger parts than get through.
        RemoteError: the server does not take it now.
    """
    from ml_dash.remote import NotFoundError, RejectedError, UnreachableError
    from ml_dash.remote.answers import field

    file.seek(0)
    most = part_size
    about: dict[str, str | int] = {"sha256": entry.sha256, "size": entry.size}
    if part_size < wire.PART_SIZE:
        about["part_size"] = part_size
    upload = client.json("POST", f"{run}/uploads", json=about)
    address = f"{run}/uploads/{field(client, upload, 'upload', str)}"
    offset = field(client, upload, "offset", int)
    part_size = field(client, upload, "part_size", int)
    digest = hashlib.sha256(usedforsecurity=False)
    position, entry.sent = 0, offset
    while position < entry.size:
        # Up to where the server has it, it is only read, to know that it is the same file.
        size = min(part_size, offset - position if position < offset else part_size)
        data = _read(file, size)
        digest.update(data)
        position += len(data)
        if position == entry.size and digest.hexdigest() != entry.sha256:
            raise ReplacedError("another file has taken its place")
        if position > offset:
            try:
                at = {"offset": position - len(data)}
                answer = client.json("PUT", address, params=at, body=data)
            except RejectedError as error:
                if error.code != "too_large":
                    raise
                if len(data) > most:  # asking for smaller ones again would have no end
                    raise ReplacedError(
                        f"a proxy takes no request of {len(data):,} bytes, and the server behind it"
                        " is older and has no smaller parts"
                    ) from None
                return len(data)
            except UnreachableError as error:
                if error.kind == "timeout" and position == len(data):  # not one has come through
                    entry.stuck = len(data)
                raise
            if field(client, answer, "offset", int) != position:
                raise NotFoundError(f"another one sends {entry.path!r}, too")
            entry.sent = position
    field(client, client.json("POST", f"{address}/complete"), "sha256", str)
    return 0


def _read(file: BinaryIO, size: int) -> bytes:
    try:
        data = file.read(size)
    except OSError as error:
        raise unreadable(error) from None
    if not data:
        raise ReplacedError("it became shorter while it was sent")
    return data
