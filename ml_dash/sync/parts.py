"""Sends a large file in parts, from where an earlier attempt got to."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, BinaryIO

from ml_dash import wire
from ml_dash.sync.entries import Entry, ReplacedError, unreadable
from ml_dash.sync.sizes import LEAST, Sizes
from ml_dash.sync.trouble import is_cut

if TYPE_CHECKING:
    from ml_dash.remote import RemoteClient
    from ml_dash.remote.errors import UnreachableError

AGAIN = 10.0
"""Seconds after which a file is tried again of which the least part was too large."""

CUTS = 3
"""Times that one part is cut off before the file is begun anew in smaller ones."""


def send_large(client: RemoteClient, run: str, entry: Entry, file: BinaryIO, sizes: Sizes) -> None:
    """Send what is missing of a file, in parts that get through.

    Where the connection breaks it goes on at once, as long as that leads anywhere.

    Args:
        client: the server.
        run: the path of the run there.
        entry: what the index says of the file.
        file: the file, open.
        sizes: bytes of a part; made smaller where parts do not get through.

    Raises:
        ReplacedError: it is another file than the index says, or the server, an older one, wants
            larger parts than get through.
        RemoteError: the server does not take it now.
    """
    from ml_dash.remote import UnreachableError

    while True:
        try:
            part = _send_parts(client, run, entry, file, sizes)
        except UnreachableError as error:
            if not _goes_on(error, entry, sizes):
                raise
            continue
        if not part:
            return
        entry.again = time.monotonic() + AGAIN
        if part <= LEAST:
            raise ReplacedError(
                f"the server, or a proxy before it, takes no request of {part:,} bytes"
            )
        sizes.lower_part(part // 2)
        entry.part = sizes.part


def _goes_on(error: UnreachableError, entry: Entry, sizes: Sizes) -> bool:
    """Whether to go on at once with a file that was broken off, and with what parts."""
    stuck, entry.stuck = entry.stuck, 0
    taken, entry.taken = entry.taken, 0
    if error.kind == "timeout" and stuck and entry.sent == 0:  # not one has come through
        # What a slow line holds back is more than an answer is waited for.
        sizes.lower_part(stuck // 2)
        return False
    if not is_cut(error):
        return False
    if taken:
        entry.cuts = 0
        return True
    if not stuck:  # it was a question that found no answer
        return False
    entry.cuts += 1
    if entry.sent and entry.cuts < CUTS:  # smaller parts would give up those that are there
        return True
    if stuck <= LEAST or 0 < entry.part < stuck:
        return False  # as small as it gets, or an older server, which has no smaller ones
    entry.cuts = 0
    sizes.lower_part(stuck // 2)
    entry.part = sizes.part
    return True


def _begun(client: RemoteClient, run: str, entry: Entry, sizes: Sizes) -> tuple[str, int, int]:
    """The upload of a file, new or from before: its address, bytes that are there, and of a part.

    To ask for smaller parts begins it anew: that is done where nothing is there, or the file's own
    did not get through.
    """
    from ml_dash.remote.answers import field

    while True:
        about: dict[str, str | int] = {"sha256": entry.sha256, "size": entry.size}
        if 0 < entry.part < wire.PART_SIZE:
            about["part_size"] = entry.part
        upload = client.json("POST", f"{run}/uploads", json=about)
        address = f"{run}/uploads/{field(client, upload, 'upload', str)}"
        offset = field(client, upload, "offset", int)
        part_size = field(client, upload, "part_size", int)
        if offset or part_size <= sizes.part or 0 < entry.part <= sizes.part:
            return address, offset, part_size
        entry.part = sizes.part


def _send_parts(client: RemoteClient, run: str, entry: Entry, file: BinaryIO, sizes: Sizes) -> int:
    """Send part after part; bytes of one that was too large, 0 if none was."""
    from ml_dash.remote import NotFoundError, RejectedError, UnreachableError
    from ml_dash.remote.answers import field

    file.seek(0)
    address, offset, part_size = _begun(client, run, entry, sizes)
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
                if 0 < entry.part < len(data):  # asking for smaller ones again would have no end
                    raise ReplacedError(
                        f"a proxy takes no request of {len(data):,} bytes, and the server behind it"
                        " is older and has no smaller parts"
                    ) from None
                return len(data)
            except UnreachableError:
                entry.stuck = len(data)
                raise
            if field(client, answer, "offset", int) != position:
                raise NotFoundError(f"another one sends {entry.path!r}, too")
            entry.sent = position
            entry.taken += len(data)
            sizes.took(len(data))
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
