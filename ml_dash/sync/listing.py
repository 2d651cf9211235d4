"""The segments of a run as a folder has them, and as a server lists them."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ml_dash import wire
from ml_dash.backends import LocalBackend
from ml_dash.backends.blobs import CHUNK
from ml_dash.reading.lines import Segment
from ml_dash.reading.source import ROOMS, SUFFIX

if TYPE_CHECKING:
    from ml_dash.remote import RemoteClient

NAMED = 3
"""Segments and files that a sentence names."""

PAGE = 10_000
"""Segments that are asked for at a time."""


def local_segments(backend: LocalBackend) -> Iterator[tuple[str, int]]:
    """The segments of a folder with their sizes. What is none of ours is left out."""
    for room in ROOMS:
        for info in backend.list(room):
            if info.path.endswith(SUFFIX):
                with contextlib.suppress(wire.WireError):
                    yield wire.check_segment(info.path), info.size


def local_size(backend: LocalBackend, but: Container[str] = ()) -> int:
    """Bytes of rows in a run's folder, without those of some writers."""
    found = local_segments(backend)
    return sum(size for path, size in found if Segment(path, size).writer not in but)


def stored_segments(client: RemoteClient, run_path: str) -> Iterator[tuple[str, int, int]]:
    """The segments that the server has of a run: path, size, CRC-32 of all bytes."""
    from ml_dash.remote.listing import listed

    for found in listed(client, f"{run_path}/segments", "segments", PAGE):
        yield str(found["path"]), int(found["size"]), int(found["crc"])


def stored_files(client: RemoteClient, run_path: str) -> set[str]:
    """The SHA-256 of the files that the server has of a run, which a reader may ask, too."""
    rows = file_rows(client, run_path)
    return {str(row.get("sha256")) for row in rows if row.get("stored", True)}


def file_rows(client: RemoteClient, run_path: str) -> Iterator[dict[str, Any]]:
    """The rows of the files of a run as the server has them."""
    from ml_dash.remote.listing import listed

    return listed(client, f"{run_path}/files", "files", PAGE)


@dataclass(frozen=True, slots=True)
class Lost:
    """What the store behind a server has lost of a run that its database knows.

    Attributes:
        count: of segments and files.
        names: the first of them.
        chunks: lines that can be sent again: `segment`, `offset`, `size`.
        contents: the SHA-256 of files that can be; both are empty with older servers.
    """

    count: int
    names: tuple[str, ...]
    chunks: tuple[Any, ...]
    contents: frozenset[str]


def lost_there(client: RemoteClient, run_path: str) -> Lost:
    """What the server's store has lost of a run. Older servers do not tell.

    It costs the server a list of objects, and nothing is read.
    """
    from ml_dash.remote import NotFoundError
    from ml_dash.remote.failures import garbled

    try:
        found = client.json("GET", f"{run_path}/lost")
    except NotFoundError:
        return Lost(0, (), (), frozenset())
    try:
        names = (*map(str, found["segments"]), *map(str, found["files"]))
        contents = frozenset(map(str, found.get("contents", ())))
        return Lost(int(found["count"]), names, tuple(found.get("chunks", ())), contents)
    except (LookupError, TypeError, ValueError, AttributeError):
        raise garbled(client.url, "does not say what is lost") from None


def lost_said(lost: Lost, prefix: str, folder: Path) -> list[str]:
    """What is lost, in one sentence, if anything is.

    Args:
        lost: what.
        prefix: of the run on the server.
        folder: which has all of it.
    """
    if not lost.count:
        return []
    more = f" and {lost.count - NAMED:,} more" if lost.count > NAMED else ""
    return [f"{', '.join(lost.names[:NAMED])}{more}: {way_back(prefix, folder)}"]


def way_back(prefix: str, folder: str | Path = "FOLDER") -> str:
    """How a damaged copy on a server is replaced.

    Args:
        prefix: of the run there.
        folder: which has all of it.
    """
    return (
        "the server's store has lost bytes. From a folder that has the whole run,"
        f" `ml-dash delete {prefix} --server` and then `ml-dash sync {folder}` replace its copy"
    )


def local_crc(backend: LocalBackend, path: str, size: int) -> int:
    """The CRC-32 of the first `size` bytes of a segment, or of all if there are fewer."""
    crc = position = 0
    while position < size and (data := backend.read(path, position, min(CHUNK, size - position))):
        crc = zlib.crc32(data, crc)
        position += len(data)
    return crc


def segment_url(run_path: str, path: str) -> str:
    """The address of one segment's bytes."""
    return f"{run_path}/segments/{quote(path)}"
