"""What client and server say to each other: addresses, framed bytes, the proof of a tail, limits.

Pure: no network, no threads. Both sides import it, so that neither can say it differently.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import orjson

from ml_dash.names import check_prefix

API = "/api/v1"
"""What every path of the API begins with."""

FRAMES = "application/x-ml-dash-frames"
"""The media type of what `pack` makes."""

TAIL = 4096
"""Bytes before an append that prove that both sides have the same history."""

SEND_LIMIT = 8 << 20
"""Bytes of rows that a client puts into one request; one longer line goes alone."""

CODES = frozenset(
    (
        *("conflict", "csrf", "defect", "differs", "error", "filter", "forbidden", "invalid"),
        *("last_owner", "lost", "no_such_method", "no_such_range", "not_found", "parts", "pending"),
        *("sort", "too_large", "too_many", "too_slow", "unauthorized", "unavailable", "wrong_type"),
    )
)
"""The words that the server has for errors: whatever says another one is something else."""

REQUEST_LIMIT = 48 << 20
"""Bytes of a decoded request that a server takes; three times the longest line."""

SMALL_BLOB = 1 << 20
"""Files up to this size go many to a request, larger ones in parts of their own."""

PART_SIZE = 8 << 20
"""Bytes in a part of a large file; the last one is shorter."""

MAX_PIECES = 10_000
"""Pieces, or hashes, in one request."""

_SEGMENT = re.compile(
    r"(?:(?:run|params|logs|files/index)|(?:metrics|tracks)/[^\0]+)/[A-Za-z0-9_-]{1,64}\.jsonl"
)
_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,37}[a-z0-9])?")
_HEADER_LIMIT = 4 << 20


class WireError(ValueError):
    """Bytes or names that do not keep to the protocol; the text says what is wrong."""


class Address(NamedTuple):
    """Where a run is on a server."""

    namespace: str
    project: str
    name: str

    @property
    def prefix(self) -> str:
        """The run's key on the server."""
        return f"{self.namespace}/{self.project}/{self.name}"


def address(prefix: str, own: str) -> Address:
    """Where the run of a local prefix is on a server.

    Three and more segments are namespace, project and name; two are project and name in the user's
    own namespace; one is a name in the project `default` there.

    Args:
        prefix: the run's key on the client.
        own: the user's own namespace.

    Raises:
        ValueError: it is no prefix, or its first segment of three cannot be a namespace.
    """
    parts = check_prefix(prefix).split("/")
    if len(parts) == 1:
        return Address(own, "default", parts[0])
    if len(parts) == 2:
        return Address(own, parts[0], parts[1])
    return Address(check_namespace(parts[0]), parts[1], "/".join(parts[2:]))


def check_namespace(name: str) -> str:
    """The name of a namespace.

    Raises:
        ValueError: it is none.
    """
    if not _NAMESPACE.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be a namespace; use up to 39 lower-case letters, digits and dashes,"
            " with no dash at the ends"
        )
    return name


def check_segment(path: str) -> str:
    """The path of a segment, relative to its run.

    Raises:
        WireError: it is none, or leads elsewhere.
    """
    if len(path.encode("utf-8", "surrogatepass")) > 1200 or not _SEGMENT.fullmatch(path):
        raise WireError(f"{path!r:.200} is not the path of a segment")
    for part in path.split("/"):
        if part in ("", ".", "..") or any(ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 for c in part):
            raise WireError(f"{path!r:.200} is not the path of a segment")
    return path


def tail_crc(before: bytes) -> int:
    """The proof of what stands before an append.

    Args:
        before: all bytes before it, or at least the last `TAIL` of them.
    """
    return zlib.crc32(before[-TAIL:])


def pack(header: dict[str, Any], parts: Iterable[bytes | memoryview]) -> bytes:
    """A header and the bytes that it describes, as one body."""
    return b"".join([orjson.dumps(header), b"\n", *parts])


def unpack(body: bytes) -> tuple[dict[str, Any], Sequence[memoryview]]:
    """Undo `pack`. Each entry of the header's list `pieces` says its `size`.

    Raises:
        WireError: the body is not what its header says.
    """
    end = body.find(b"\n", 0, _HEADER_LIMIT)
    if end < 0:
        raise WireError("the body has no header line")
    try:
        header = orjson.loads(body[:end])
        pieces = header["pieces"]
        sizes = [piece["size"] for piece in pieces]
    except (ValueError, LookupError, TypeError):
        raise WireError("the header is not a JSON object with a list of pieces") from None
    if len(sizes) > MAX_PIECES:
        raise WireError(f"{len(sizes):,} pieces in one request; the limit is {MAX_PIECES:,}")
    if any(type(size) is not int or size < 0 for size in sizes):
        raise WireError("the size of a piece is not a whole number")
    if sum(sizes) != len(body) - end - 1:
        raise WireError(
            f"the header speaks of {sum(sizes):,} bytes, and {len(body) - end - 1:,} follow"
        )
    view = memoryview(body)
    parts: list[memoryview] = []
    begin = end + 1
    for size in sizes:
        parts.append(view[begin : begin + size])
        begin += size
    return header, parts
