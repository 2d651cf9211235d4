"""Compares a run's folder with a server's copy of it, byte for byte by their checksums."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ml_dash import wire
from ml_dash.backends import LocalBackend
from ml_dash.backends.blobs import CHUNK, BlobFolder
from ml_dash.reading.files import DATA
from ml_dash.run_folder import first_id, prefix_in
from ml_dash.sync.listing import local_crc, local_segments, segment_url, stored_segments

if TYPE_CHECKING:
    from ml_dash.remote import RemoteClient


def differences(
    folder: Path,
    client: RemoteClient,
    prefix: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[str]:
    """What of a run's folder the server has not, or has otherwise; empty when it has all of it.

    Every segment is held against the server's size, CRC-32 and the SHA-256 of each of its chunks,
    every file against the SHA-256 that the server keeps it under.

    Args:
        folder: the run, which nobody writes meanwhile.
        client: the server.
        prefix: the run's key; by default what its first session said.
        progress: called with what is looked at.

    Raises:
        RemoteError: the server does not answer that now, or has no such run.
    """
    backend = LocalBackend(folder)
    about = {"prefix": prefix or prefix_in(folder), "id": first_id(backend) or "", "create": False}
    run = client.json("POST", "/runs", json=about)["run"]
    run_path = f"/runs/{run['id']}"
    stored = {path: (size, crc) for path, size, crc in stored_segments(client, run_path)}
    found: list[str] = []
    for path, size in local_segments(backend):
        if progress is not None:
            progress(path)
        if path not in stored and size == 0:
            continue  # its writer was killed before it came to write: there is nothing to send
        if path not in stored:
            found.append(f"{path}: not on the server")
        elif stored[path] != (size, local_crc(backend, path, size)):
            found.append(f"{path}: other bytes on the server")
        elif not _chunks_agree(client, run_path, folder, path, size):
            found.append(f"{path}: the server's chunks have other checksums")
    return found + list(_missing_files(client, run_path, folder, progress))


def _chunks_agree(client: RemoteClient, run_path: str, folder: Path, path: str, size: int) -> bool:
    """Whether the server's chunks of a segment lie end to end and have our bytes."""
    found = client.json("GET", segment_url(run_path, path), params={"chunks": "true"})
    chunks = found["chunks"] if isinstance(found, dict) else found
    position = 0
    with (folder / path).open("rb") as file:
        for chunk in chunks:
            data = file.read(int(chunk["size"]))
            digest = hashlib.sha256(data, usedforsecurity=False).hexdigest()
            if chunk["offset"] != position or digest != chunk["sha256"]:
                return False
            position += len(data)
    return position == size


def _missing_files(
    client: RemoteClient, run_path: str, folder: Path, progress: Callable[[str], None] | None
) -> Iterator[str]:
    """The files of the folder that the server has not, by what is in them now."""
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
) -> Iterator[str]:
    if not files:
        return
    asked = [{"sha256": sha256, "size": size} for sha256, (_, size) in files.items()]
    answer = client.json("POST", f"{run_path}/blobs/missing", json={"blobs": asked})
    for sha256 in answer["missing"]:
        yield f"{DATA}/{files[sha256][0]}: not on the server"


def _places(folder: Path) -> Iterator[str]:
    """Every file below `files/data`; links are not followed."""
    base = folder / DATA
    for inside, _, names in os.walk(base):
        for name in sorted(names):
            path = Path(inside, name)
            if not path.is_symlink():
                yield path.relative_to(base).as_posix()
