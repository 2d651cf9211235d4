"""A run on a server, to be read as one in a folder is."""

from __future__ import annotations

import errno
import io
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn
from urllib.parse import quote

from ml_dash.backends.base import SegmentInfo
from ml_dash.backends.http_ahead import FilesAhead
from ml_dash.remote.answers import field
from ml_dash.remote.client import RemoteClient
from ml_dash.remote.errors import NotFoundError, RejectedError
from ml_dash.remote.failures import garbled
from ml_dash.remote.listing import listed
from ml_dash.remote.transport import MOST

BLOCK = 1 << 20
"""Bytes that are fetched at once, aligned: whoever reads on finds them here."""

BLOCKS = 32
"""Blocks that are kept."""

AHEAD = 8
"""Blocks that one request brings at most, while a segment is read in order."""

PAGE = 10_000
DATA = "files/data/"


class HttpBackend:
    """Reads the segments and files of one run of a server. Threads may share it.

    What would write raises `io.UnsupportedOperation`. A server that does not answer is a
    `RemoteError`.

    Args:
        client: the server.
        run: the run's id there.
    """

    def __init__(self, client: RemoteClient, run: str) -> None:
        self.client = client
        self.run = str(run)
        self._path = f"/runs/{quote(self.run, safe='')}"
        self._blocks: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._ahead: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._files = FilesAhead(client, self._path)
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<HttpBackend {self.client.url} run {self.run}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self.client.url, self.run)  # tokens stay in their process

    def list(self, prefix: str = "") -> Iterator[SegmentInfo]:
        """See `Backend.list`."""
        for found in self._listed("segments", prefix=f"{prefix}/" if prefix else ""):
            yield SegmentInfo(str(found["path"]), int(found["size"]))
        if prefix in ("", "files") or f"{prefix}/".startswith(DATA):
            for row in self.files():
                place = f"{DATA}{row.get('data')}"
                if row.get("stored", True) and (not prefix or place.startswith(f"{prefix}/")):
                    yield SegmentInfo(place, int(row.get("size") or 0))

    def files(self) -> Iterator[dict[str, Any]]:
        """The rows of the index as the server has them, and of each whether its file is `stored`.

        Raises:
            RemoteError: the server does not list them.
        """
        return self._listed("files")

    def sessions(self) -> dict[str, tuple[float, float]]:
        """What the server last heard of the sessions. Older servers do not tell.

        Returns:
            The last timestamp that each took from its clock, and for how many seconds nothing has
            come since, by the server's clock.

        Raises:
            RemoteError: it does not answer that.
        """
        try:
            answer = self.client.json("GET", f"{self._path}/sessions")
        except NotFoundError:
            return {}
        try:
            return {
                str(one["session"]): (float(one["last_seen"]), float(one["silent"]))
                for one in field(self.client, answer, "sessions", list)
            }
        except (LookupError, TypeError, ValueError):
            raise garbled(self.client.url, "does not say what it heard of sessions") from None

    def size(self, segment: str) -> int:
        """See `Backend.size`."""
        for found in self._listed("segments", prefix=segment):
            if found["path"] == segment:
                return int(found["size"])
        return 0

    def read(self, path: str, offset: int = 0, size: int | None = None) -> bytes:
        """See `Backend.read`."""
        if size is None or size > BLOCK * BLOCKS // 2:
            return self._fetch(path, offset, size)
        pieces: list[bytes] = []
        end = offset + size
        while offset < end:
            number, inside = divmod(offset, BLOCK)
            wanted = min(BLOCK, inside + end - offset)
            piece = self._block(path, number, wanted)[inside:wanted]
            if not piece:
                break
            pieces.append(piece)
            offset += len(piece)
        return b"".join(pieces)

    def open_blob(self, path: str) -> BinaryIO:
        """See `Backend.open_blob`. It is fetched in pieces, as it is read.

        Small files that are opened one after the other come several at once.
        """
        whole = self.read_ahead(path)
        if whole is not None:
            return io.BytesIO(whole)
        return io.BufferedReader(_RemoteFile(self, path), BLOCK)

    def read_ahead(self, path: str) -> bytes | None:
        """A small file of which it is known that it follows the one before; `None` for others.

        Raises:
            RemoteError: the server does not give it.
        """
        return self._files.take(path.removeprefix(DATA)) if path.startswith(DATA) else None

    def close(self) -> None:
        """See `Backend.close`."""
        with self._lock:
            self._blocks.clear()
            self._ahead.clear()
        self._files.clear()
        self.client.close()

    def append(self, segment: str, offset: int, data: Sequence[bytes | memoryview]) -> None:
        """A server's run is not written here."""
        _refuse()

    def sync(self, segments: Sequence[str]) -> None:
        """Nothing to do: nothing is written."""

    def put_blob(self, path: str, data: bytes | bytearray | memoryview) -> None:
        """A server's run is not written here."""
        _refuse()

    def put_blob_file(self, path: str, source: Path) -> tuple[int, str]:
        """A server's run is not written here."""
        _refuse()

    def delete_blob(self, path: str) -> None:
        """A server's run is not written here."""
        _refuse()

    def fetch(
        self, path: str, offset: int, size: int | None, *, partial: bool = False
    ) -> tuple[bytes, str, int]:
        """Bytes of a file from `offset`, what names this version of it, and its whole size.

        Args:
            path: of the file.
            offset: where they begin.
            size: how many; all by default.
            partial: give fewer where the connection breaks, unless none came.

        Raises:
            FileNotFoundError: there is no such file.
            RemoteError: the server does not give it.
        """
        last = "" if size is None else str(offset + size - 1)
        ranged = {"Range": f"bytes={offset}-{last}", "Accept-Encoding": "identity"}
        url, params = f"{self._path}/segments/{quote(path)}", None
        if path.startswith(DATA):
            url = f"{self._path}/files/{quote(path.removeprefix(DATA))}"
            params = {"data": "true"}
        try:
            answer = self.client.request(
                "GET",
                url,
                params=params,
                headers=ranged,
                most=sys.maxsize if size is None else max(size, MOST),
                partial=partial,
            )
        except NotFoundError:
            answer = None
        except RejectedError as error:
            if error.status != 416:
                raise
            return b"", "", 0  # it ends before
        if answer is None:
            raise FileNotFoundError(errno.ENOENT, "the server has no such file", path)
        data, version = answer.content, answer.headers.get("ETag", "")
        if answer.status_code != 206:  # all of it, asked for or not
            end = None if size is None else offset + size
            return data[offset:end], version, len(data)
        begin, whole = _range(answer.headers.get("Content-Range", ""))
        if begin != offset or (size is not None and len(data) > size):
            raise garbled(self.client.url, "is another range of bytes than was asked for")
        return data, version, whole

    def _fetch(self, path: str, offset: int, size: int | None) -> bytes:
        if size is not None and size <= 0:
            return b""
        try:
            return self.fetch(path, offset, size)[0]
        except FileNotFoundError:
            return b""

    def _block(self, path: str, number: int, wanted: int) -> bytes:
        """A block of a segment, at least `wanted` bytes of it if the segment has them.

        A segment only grows, so what is here stays true; only the end may lack something.
        """
        key = (path, number)
        with self._lock:
            held = self._blocks.get(key, b"")
            if len(held) >= wanted:
                self._blocks.move_to_end(key)
                return held
            expected, blocks = self._ahead.pop(path, (0, 1))
            blocks = min(AHEAD, blocks * 2) if number and number == expected else 1
        begin = number * BLOCK + len(held)
        data = held + self._fetch(path, begin, blocks * BLOCK - len(held))
        with self._lock:
            self._ahead[path] = number + blocks, blocks
            while len(self._ahead) > BLOCKS:
                self._ahead.popitem(last=False)
            for place in range(0, max(1, len(data)), BLOCK):
                self._blocks[path, number + place // BLOCK] = data[place : place + BLOCK]
            while len(self._blocks) > BLOCKS:
                self._blocks.popitem(last=False)
        return data[:BLOCK]

    def _listed(self, what: str, **params: str) -> Iterator[dict[str, Any]]:
        return listed(self.client, f"{self._path}/{what}", what, PAGE, **params)


class _RemoteFile(io.RawIOBase):
    """A file of the run, of which only what is read is fetched."""

    def __init__(self, backend: HttpBackend, path: str) -> None:
        super().__init__()
        self._backend = backend
        self._path = path
        self._position = 0
        # At once, so that a file that is not there is told at `open`; small ones are whole then.
        self._first, self._version, self._size = backend.fetch(path, 0, BLOCK)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative position {base + offset}")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self._first[self._position : self._position + len(view)]
        if not data and self._position < self._size and len(view):
            size = min(len(view), self._size - self._position)
            data, version, _ = self._backend.fetch(self._path, self._position, size)
            if version != self._version or not data:
                raise OSError(
                    errno.ESTALE, "the file was saved again while it was read", self._path
                )
        view[: len(data)] = data
        self._position += len(data)
        return len(data)


def _reopened(url: str, run: str) -> HttpBackend:
    from ml_dash.auth.signed_in import signed_in

    return HttpBackend(signed_in(url), run)


def _range(header: str) -> tuple[int, int]:
    """Where an answer begins, and how much there is in all; -1 for what it does not say."""
    unit, _, rest = header.partition(" ")
    span, _, whole = rest.partition("/")
    begin = span.partition("-")[0]
    if unit != "bytes" or not begin.isdecimal() or not whole.isdecimal():
        return -1, -1
    return int(begin), int(whole)


def _refuse() -> NoReturn:
    raise io.UnsupportedOperation("a server's run is read here, not written; record it locally")
