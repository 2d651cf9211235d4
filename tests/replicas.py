"""A server of the append protocol in memory, and a client whose requests get lost, for tests."""

from __future__ import annotations

import gzip
import hashlib
import random
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import orjson

from ml_dash import wire
from ml_dash.remote import NotFoundError, RejectedError, RemoteClient, UnreachableError
from ml_dash.rows import MAX_LINE

ROOMS = ("run", "params", "logs", "metrics", "tracks", "files/index")


class MemoryServer:
    """Keeps one run as the real server does, in dicts.

    Attributes:
        segments: their bytes, by path.
        blobs: files, by SHA-256.
        limit: bytes of a decoded request; more is answered with 413.
        requests: how many were answered, by method and what they are about.
        lost: segments that it says its store has lost.
    """

    def __init__(self, limit: int = wire.REQUEST_LIMIT, part_size: int = 1 << 16) -> None:
        self.segments: dict[str, bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self.uploads: dict[str, tuple[str, int, bytearray]] = {}
        self.limit = limit
        self.part_size = part_size
        self.requests: dict[str, int] = {}
        self.prefixes: list[str] = []
        self.lost: list[str] = []
        self._lock = threading.Lock()

    def answer(
        self,
        method: str,
        path: str,
        params: dict[str, Any],
        json: Any,
        body: bytes | None,
        headers: dict[str, str],
    ) -> dict[str, Any]:
        """Carry out one request."""
        if headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body or b"")
        if max(len(body or b""), len(repr(json))) > self.limit:
            raise rejected("the request is too large", "too_large")
        what = path.partition("/runs")[2].removeprefix("/7")
        with self._lock:
            name = f"{method} {what.split('/')[1] if '/' in what else 'runs'}"
            self.requests[name] = self.requests.get(name, 0) + 1
            if what == "":
                self.prefixes.append(json["prefix"])
                return {"run": {"id": "7", "prefix": f"me/{json['prefix']}"}, "created": False}
            if what == "/append":
                return {"pieces": list(self._append(body or b""))}
            if what == "/lost":
                return {"count": len(self.lost), "segments": self.lost, "files": []}
            if what == "/segments":
                return self._list(params)
            if what == "/files":
                return {"files": self._files(), "next": None}
            if what == "/blobs/missing":
                asked = [blob["sha256"] for blob in json["blobs"]]
                return {"missing": [sha for sha in asked if sha not in self.blobs]}
            if what == "/blobs":
                return self._store(body or b"")
            return self._upload(method, what, params, json, body or b"")

    def _append(self, body: bytes) -> Iterator[dict[str, Any]]:
        header, parts = wire.unpack(body)
        for piece, part in zip(header["pieces"], parts, strict=True):
            path = wire.check_segment(piece["segment"])
            known = self.segments.get(path, b"")
            text = bytes(part)
            answer = {"segment": path, "end": len(known)}
            if not text.endswith(b"\n") and not piece.get("last"):
                yield answer | {"state": "refused", "reason": "not whole lines"}
            elif any(len(line) > MAX_LINE for line in text.split(b"\n")):
                yield answer | {"state": "refused", "reason": "a line is too long"}
            elif piece["offset"] != len(known):
                yield answer | {"state": "moved"}
            elif piece["tail"] != wire.tail_crc(known):
                yield answer | {"state": "differs"}
            else:
                self.segments[path] = known + text
                yield answer | {"state": "taken", "end": len(known) + len(text)}

    def _list(self, params: dict[str, Any]) -> dict[str, Any]:
        paths = sorted(path for path in self.segments if path > params.get("cursor", ""))
        page = paths[:3]  # small pages: whoever forgets the cursor is found out
        found = [
            {"path": path, "size": len(data), "crc": zlib.crc32(data), "rows": 0, "updated": 0.0}
            for path, data in ((path, self.segments[path]) for path in page)
        ]
        return {"segments": found, "next": page[-1] if len(paths) > 3 else None}

    def _files(self) -> list[dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for path, text in self.segments.items():
            for line in text.splitlines() if path.startswith("files/index/") else ():
                row = orjson.loads(line)
                if found.get(row["path"], row)["timestamp"] <= row["timestamp"]:
                    found[row["path"]] = row
        return [row for row in found.values() if row["op"] == "save"]

    def give(self, what: str, params: dict[str, Any]) -> bytes:
        """The bytes of a segment, of a file, or of several files."""
        if what == "/blobs/batch":
            given = [sha for sha in params["sha256"].split(",") if sha in self.blobs]
            pieces = [{"sha256": sha, "size": len(self.blobs[sha])} for sha in given]
            return wire.pack({"pieces": pieces}, [self.blobs[sha] for sha in given])
        room, _, name = what.removeprefix("/").partition("/")
        return self.segments[name] if room == "segments" else self.blobs[name]

    def _store(self, body: bytes) -> dict[str, Any]:
        header, parts = wire.unpack(body)
        for piece, part in zip(header["pieces"], parts, strict=True):
            assert sha256(bytes(part)) == piece["sha256"]
            self.blobs[piece["sha256"]] = bytes(part)
        return {"stored": len(parts)}

    def _upload(
        self, method: str, what: str, params: dict[str, Any], json: Any, body: bytes
    ) -> dict[str, Any]:
        if what == "/uploads":
            sha = json["sha256"]
            if json.get("part_size", self.part_size) < self.part_size:
                self.part_size = json["part_size"]
                self.uploads.clear()
            _, _, data = self.uploads.setdefault(sha, (sha, json["size"], bytearray()))
            return {"upload": sha, "offset": len(data), "part_size": self.part_size}
        name = what.split("/")[2]
        if name not in self.uploads:
            raise NotFoundError("there is no such upload")
        sha, size, data = self.uploads[name]
        if method == "PUT":
            if params["offset"] == len(data):
                data += body
            return {"offset": len(data)}
        assert len(data) == size
        del self.uploads[name]
        if sha256(bytes(data)) != sha:
            raise rejected("the file has another checksum", "differs")
        self.blobs[sha] = bytes(data)
        return {"sha256": sha}


class Given:
    """Bytes as an answer.

    Args:
        content: the bytes.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __enter__(self) -> Given:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def iter_content(self, size: int) -> Iterator[bytes]:
        """The bytes in pieces."""
        for begin in range(0, len(self.content), size):
            yield self.content[begin : begin + size]


class MemoryClient:
    """A client of a `MemoryServer`. By a seed, requests and answers get lost or come twice.

    Args:
        server: what answers.
        seed: of the faults; none without it.
        rate: how many of a hundred requests suffer one.
        before: called before each request with its method and path; may raise.
    """

    own = "me"

    url = "http://memory.test"

    def __init__(
        self,
        server: MemoryServer,
        seed: int | None = None,
        rate: int = 40,
        before: Callable[[str, str], None] | None = None,
    ) -> None:
        self.server = server
        self.before = before
        self.faults = 0
        self._chance = random.Random(seed) if seed is not None else None
        self._rate = rate

    def json(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, Any] | None = None,
        json: Any = None,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        """Ask, and get the answer unless it was lost."""
        if self.before is not None:
            self.before(method, path)
        fault = self._fault()
        if fault == "request lost":
            raise UnreachableError("the server did not answer")
        arguments = (method, path, params or {}, json, body, headers or {})
        if fault == "twice":
            self.server.answer(*arguments)
        answer = self.server.answer(*arguments)
        if fault == "answer lost":
            raise UnreachableError("the server did not answer")
        return answer

    def request(
        self, method: str, path: str, *, params: dict[str, Any] | None = None, stream: bool = False
    ) -> Given:
        """Read bytes."""
        what = path.partition("/runs")[2].removeprefix("/7")
        return Given(self.server.give(unquote(what), params or {}))

    def _fault(self) -> str:
        if self._chance is None or self._chance.randrange(100) >= self._rate:
            return ""
        self.faults += 1
        return self._chance.choice(["request lost", "answer lost", "twice"])


def rejected(text: str, code: str) -> RejectedError:
    """The error for a request that the server does not take."""
    error = RejectedError(text)
    error.code = code
    return error


def client_of(server: MemoryServer, **options: Any) -> RemoteClient:
    """A client of a server in memory, as code that takes a `RemoteClient` wants it."""
    return cast(RemoteClient, MemoryClient(server, **options))


def segments_in(folder: Path) -> dict[str, bytes]:
    """The bytes of every segment of a run's folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for room in ROOMS
        for path in (folder / room).rglob("*.jsonl")
    }


def files_in(folder: Path) -> dict[str, bytes]:
    """Every file of a run's folder, by SHA-256."""
    found = (path.read_bytes() for path in (folder / "files/data").rglob("*") if path.is_file())
    return {sha256(data): data for data in found}


def sha256(data: bytes) -> str:
    """The checksum that a file is known by."""
    return hashlib.sha256(data).hexdigest()
