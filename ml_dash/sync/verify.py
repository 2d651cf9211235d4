"""Compares a run's folder with a server's copy of it, byte for byte by their checksums."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_dash import wire
from ml_dash.backends import LocalBackend
from ml_dash.backends.blobs import CHUNK, BlobFolder
from ml_dash.reading.files import DATA, Files
from ml_dash.reading.source import Source
from ml_dash.run_folder import first_id
from ml_dash.sync.listing import (
    file_rows,
    local_crc,
    local_segments,
    lost_there,
    segment_url,
    stored_segments,
)
from ml_dash.sync.origin import key_of

if TYPE_CHECKING:
    from ml_dash.remote import RemoteClient

NOT_GIVEN = "the server does not give these bytes back"
"""What is said of bytes that its database knows and its store has lost."""

_NOT_THERE = "not on the server"
_UNNAMED = "no row names it: a process died while it saved or deleted it; it may be deleted"

_TOGETHER = 64
_BATCH = 15 << 20
"""How many small contents, and bytes of them, one answer brings."""


def differences(
    folder: Path,
    client: RemoteClient,
    prefix: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[str]:
    """What of a run's folder the server has not, or has otherwise; empty when it has all of it.

    Every segment and every file is read back and compared: what a database says is no proof that
    the store behind it still has the bytes.

    Args:
        folder: the run, which nobody writes meanwhile.
        client: the server.
        prefix: the run's key; by default where it was downloaded from, else what it was
            recorded as.
        progress: called with what is looked at.

    Raises:
        RemoteError: the server does not answer that now, or has no such run.
    """
    from ml_dash.remote.runs import run_in

    backend = LocalBackend(folder)
    about = {"prefix": prefix or key_of(folder), "id": first_id(backend) or "", "create": False}
    run = run_in(client, client.json("POST", "/runs", json=about))
    run_path = f"/runs/{run['id']}"
    stored = {path: (size, crc) for path, size, crc in stored_segments(client, run_path)}
    found: list[str] = []
    for path, size in local_segments(backend):
        if progress is not None:
            progress(path)
        if path not in stored and size == 0:
            continue  # its writer was killed before it came to write: there is nothing to send
        if path not in stored:
            found.append(f"{path}: {_NOT_THERE}")
        elif stored[path] != (size, local_crc(backend, path, size)):
            found.append(f"{path}: other bytes on the server")
        elif not _same_bytes(client, run_path, folder, path):
            found.append(f"{path}: {NOT_GIVEN}")
    found += _replaced(client, run_path, backend)
    found += [
        f"{place}: {why}" for place, why in _missing_files(client, run_path, backend, progress)
    ]
    if not found:  # a server may still hold in memory what its store has lost
        found = [f"{name}: {NOT_GIVEN}" for name in lost_there(client, run_path).names]
    return found


def _same_bytes(client: RemoteClient, run_path: str, folder: Path, path: str) -> bool:
    """Whether the server gives a segment back: its database may know more than is left."""
    from ml_dash.remote import RemoteError

    try:
        with (folder / path).open("rb") as file:
            for piece in _pieces(client, segment_url(run_path, path)):
                if file.read(len(piece)) != piece:
                    return False
            return not file.read(1)
    except RemoteError as error:
        if error.code != "lost":
            raise
        return False


def _replaced(client: RemoteClient, run_path: str, backend: LocalBackend) -> Iterator[str]:
    """The files that nobody would get back: the server has others of the same paths, or none.

    So it is where two folders of one prefix were begun apart, or the run went on elsewhere.
    """
    there = {str(row.get("path")): row for row in file_rows(client, run_path)}
    for row in Files(Source(backend)).list():
        other = there.get(row["path"])
        if other is None:
            yield f"{row['path']}: on the server a file of this path has been deleted"
        elif other.get("sha256") != row.get("sha256"):
            when = "later" if other.get("timestamp", 0.0) > row["timestamp"] else "earlier"
            yield f"{row['path']}: the server has another file of this path, saved {when}"


def _missing_files(
    client: RemoteClient,
    run_path: str,
    backend: LocalBackend,
    progress: Callable[[str], None] | None,
) -> Iterator[tuple[str, str]]:
    """The files of the folder that the server has not, by what is in them now, and why."""
    named: set[Any] | None = None
    for place, why in _missing_contents(client, run_path, backend.folder, progress):
        if why == _NOT_THERE:
            if named is None:
                named = {row.get("data") for row in Files(Source(backend)).list()}
            why = why if place in named else f"{why}, as {_UNNAMED}"
        yield f"{DATA}/{place}", why


def _missing_contents(
    client: RemoteClient, run_path: str, folder: Path, progress: Callable[[str], None] | None
) -> Iterator[tuple[str, str]]:
    waiting: dict[str, tuple[str, int]] = {}
    for place in _places(folder):
        if progress is not None:
            progress(f"{DATA}/{place}")
        digest, size = hashlib.sha256(usedforsecurity=False), 0
        with BlobFolder(folder, DATA).open(place) as file:
            while data := file.read(CHUNK):
                digest.update(data)
                size += len(data)
        waiting[digest.hexdigest()] = place, size
        if len(waiting) >= wire.MAX_PIECES:
            yield from _not_stored(client, run_path, waiting)
            waiting = {}
    yield from _not_stored(client, run_path, waiting)


def _not_stored(
    client: RemoteClient, run_path: str, files: dict[str, tuple[str, int]]
) -> Iterator[tuple[str, str]]:
    from ml_dash.remote import ForbiddenError
    from ml_dash.remote.answers import field

    if not files:
        return
    asked = [{"sha256": sha256, "size": size} for sha256, (_, size) in files.items()]
    try:
        answer = client.json("POST", f"{run_path}/blobs/missing", json={"blobs": asked})
        missing = set(field(client, answer, "missing", list))
    except ForbiddenError:
        missing = set()  # only a writer may ask that; a reader sees what is given
    for sha256 in missing:
        yield files[sha256][0], _NOT_THERE
    for sha256 in _not_given(
        client, run_path, {key: size for key, (_, size) in files.items() if key not in missing}
    ):
        yield files[sha256][0], NOT_GIVEN


def _not_given(client: RemoteClient, run_path: str, sizes: dict[str, int]) -> Iterator[str]:
    """Of contents that the server says it has those that it does not give; small ones together."""
    group: list[str] = []
    total = 0
    for sha256, size in sizes.items():
        if size > wire.SMALL_BLOB:
            if not _is_given(client, run_path, sha256):
                yield sha256
            continue
        if len(group) == _TOGETHER or total + size > _BATCH:
            yield from _not_in_batch(client, run_path, group)
            group, total = [], 0
        group.append(sha256)
        total += size
    yield from _not_in_batch(client, run_path, group)


def _is_given(client: RemoteClient, run_path: str, sha256: str) -> bool:
    from ml_dash.remote import NotFoundError, RemoteError

    digest = hashlib.sha256(usedforsecurity=False)
    try:
        for piece in _pieces(client, f"{run_path}/blobs/{sha256}"):
            digest.update(piece)
    except NotFoundError:
        return False
    except RemoteError as error:
        if error.code != "lost":
            raise
        return False
    return digest.hexdigest() == sha256


def _pieces(client: RemoteClient, path: str) -> Iterator[bytes]:
    """The bytes of an answer. Where it breaks off, the rest is asked for: the server says why."""
    from requests import RequestException

    from ml_dash.remote.failures import of_exception

    place, broken = 0, -1
    while True:
        rest: dict[str, Any] = {"headers": {"Range": f"bytes={place}-"}} if place else {}
        failure: RequestException
        try:
            with client.request("GET", path, stream=True, **rest) as answer:
                for piece in answer.iter_content(CHUNK):
                    place += len(piece)
                    yield piece
            return
        except RequestException as error:
            failure = error
        if place == broken:
            raise of_exception(failure, client.url)
        broken = place


def _not_in_batch(client: RemoteClient, run_path: str, wanted: list[str]) -> list[str]:
    if not wanted:
        return []
    answer = client.request("GET", f"{run_path}/blobs/batch", params={"sha256": ",".join(wanted)})
    try:
        header, parts = wire.unpack(answer.content)
        given = {
            str(piece["sha256"])
            for piece, part in zip(header["pieces"], parts, strict=True)
            if hashlib.sha256(part, usedforsecurity=False).hexdigest() == piece["sha256"]
        }
    except (wire.WireError, LookupError):
        return wanted
    return [sha256 for sha256 in wanted if sha256 not in given]


def _places(folder: Path) -> Iterator[str]:
    """Every file below `files/data`; links are not followed."""
    base = folder / DATA
    for inside, _, names in os.walk(base):
        for name in sorted(names):
            path = Path(inside, name)
            if not path.is_symlink():
                yield path.relative_to(base).as_posix()
