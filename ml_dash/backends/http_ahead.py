"""Reading ahead in a run on a server, so that many small files do not cost as many requests."""

from __future__ import annotations

import hashlib
import threading
from typing import Any, NamedTuple

from ml_dash import wire
from ml_dash.remote.client import RemoteClient
from ml_dash.remote.errors import NotFoundError, RejectedError

MOST = 64
"""Files in one request."""

SMALL = 1 << 20
"""Bytes of a file that is read ahead at most."""

HELD = 8 << 20
"""Bytes of one request, and of what is held."""

_PAGE = 1000
_LOOKS = 3


class _Known(NamedTuple):
    """A file as the server's index has it."""

    place: str
    sha256: str
    size: int


class FilesAhead:
    """Fetches files before they are asked for, while they are asked for in order.

    As frames are, one after the other. Each request brings twice as many as the one before; whoever
    reads here and there gets nothing ahead. Threads may share it.

    Args:
        client: the server.
        path: of the run, below the API.
    """

    def __init__(self, client: RemoteClient, path: str) -> None:
        self._client = client
        self._path = path
        self._lock = threading.Lock()
        self._known: list[_Known] = []  # of one folder, in order
        self._at: dict[str, int] = {}
        self._held: dict[str, bytes] = {}
        self._last = ""
        self._window = 1
        self._looks = _LOOKS
        self._able = True

    def take(self, place: str) -> bytes | None:
        """A file, if it was read ahead or is with those that are; each is given once.

        Args:
            place: where it is, below the folder of files.

        Raises:
            RemoteError: the server does not give the files.
        """
        with self._lock:
            found = self._held.pop(place, None)
            last, self._last = self._last, place
            if found is not None or not self._able or not _are_beside(last, place):
                return found
            if not self._follows(last, place):
                self._window = 1
                return None
            self._window = min(MOST, self._window * 2)
            self._fetch(self._at[place])
            return self._held.pop(place, None)

    def clear(self) -> None:
        """Forget what was read ahead."""
        with self._lock:
            self._held.clear()

    def _follows(self, last: str, place: str) -> bool:
        """Whether a file is the next one. Who never reads in order costs a few looks in all."""
        if self._at.get(place) is None or self._at[place] + 1 == len(self._known) > 1:
            if not self._looks:
                return False
            self._looks -= 1
            self._look(last)
        before = self._at.get(last)
        follows = before is not None and self._at.get(place) == before + 1
        self._looks = _LOOKS if follows else self._looks
        return follows

    def _look(self, last: str) -> None:
        """See which files come behind one."""
        params = {"prefix": _folder(last), "cursor": last, "limit": str(_PAGE)}
        page = self._client.json("GET", f"{self._path}/files", params=params)
        rows = page.get("files") if isinstance(page, dict) else None
        known = [_known(row) for row in rows or () if isinstance(row, dict)]
        self._known = sorted(file for file in known if file is not None)
        self._at = {file.place: number for number, file in enumerate(self._known)}
        self._at[last] = -1

    def _fetch(self, begin: int) -> None:
        wanted: list[_Known] = []
        size = 0
        for file in self._known[begin : begin + self._window]:
            size += file.size
            if file.size > SMALL or size > HELD or not _are_beside(file.place, self._last):
                break
            wanted.append(file)
        if len(wanted) < 2:
            return
        names = ",".join(dict.fromkeys(file.sha256 for file in wanted))
        try:
            answer = self._client.request(
                "GET", f"{self._path}/blobs/batch", params={"sha256": names}
            )
            header, parts = wire.unpack(answer.content)
            bytes_of = {
                str(piece["sha256"]): bytes(part)
                for piece, part in zip(header["pieces"], parts, strict=True)
            }
        except (NotFoundError, RejectedError, wire.WireError, LookupError, ValueError):
            self._able = False  # a server of another version: then one by one
            return
        self._held = {
            file.place: data
            for file in wanted
            if (data := bytes_of.get(file.sha256)) is not None and _is(data, file)
        }


def _known(row: dict[str, Any]) -> _Known | None:
    place, sha, size = row.get("data"), row.get("sha256"), row.get("size")
    if not isinstance(place, str) or not isinstance(sha, str) or not isinstance(size, int):
        return None
    return _Known(place, sha, size) if row.get("stored", True) else None


def _is(data: bytes, file: _Known) -> bool:
    return hashlib.sha256(data, usedforsecurity=False).hexdigest() == file.sha256


def _folder(place: str) -> str:
    return place[: place.rfind("/") + 1]


def _are_beside(place: str, other: str) -> bool:
    return bool(place) and _folder(place) == _folder(other)
