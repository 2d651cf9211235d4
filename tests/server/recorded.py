"""Runs with rows and files, as clients send them, for tests that read them back."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import orjson
import pytest

from ml_dash import wire
from ml_dash.backends import MemoryBackend
from ml_dash.rows import decode_row, encode_row
from ml_dash.server.store import ObjectStore

from .inside import make_run, send

PREFIXES = (f"demo/r{number}" for number in itertools.count())

_OWN = ("timestamp", "_explicit")


def line(row: dict[str, Any]) -> bytes:
    """A row as a client writes it, its mark of an explicit time included."""
    own = {key: value for key, value in row.items() if key in _OWN}
    return encode_row({k: v for k, v in row.items() if k not in own}, head=own, where="row")


def fill(client: Any, segments: dict[str, list[dict[str, Any]]]) -> tuple[str, MemoryBackend]:
    """A run on the server, and the same in memory."""
    run, local = make_run(client, next(PREFIXES)), MemoryBackend()
    for path, rows in segments.items():
        text = b"".join(map(line, rows))
        if text:
            assert send(client, run, (path, 0, b"", text))[0]["state"] == "taken"
            local.append(path, 0, [text])
    return run, local


def ask(client: Any, run: str, stream: str, **query: Any) -> list[dict[str, Any]]:
    answer = client.get(f"/api/v1/runs/{run}/streams/{stream}/rows", params=query)
    assert answer.status_code == 200, answer.text
    return [decode_row(text) for text in answer.content.splitlines()]


def same(a: Any, b: Any) -> bool:
    """Equal, where NaN is NaN and types count."""
    return repr(a) == repr(b)


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def store(client: Any, run: str, *contents: bytes) -> Any:
    """Send small contents in one request."""
    pieces = [{"sha256": sha(content), "size": len(content)} for content in contents]
    body = wire.pack({"pieces": pieces}, contents)
    return client.post(f"/api/v1/runs/{run}/blobs", content=body)


def saved(path: str, content: bytes, at: float = 1.0, **more: Any) -> dict[str, Any]:
    """A row of the index of files."""
    row = {"timestamp": at, "op": "save", "path": path, "data": path, "sha256": sha(content)}
    return row | {"size": len(content)} | more


def index_files(client: Any, run: str, *rows: dict[str, Any], writer: str = "w") -> None:
    """Have a run know of files."""
    text = b"".join(map(line, rows))
    assert send(client, run, (f"files/index/{writer}.jsonl", 0, b"", text))[0]["state"] == "taken"


def count_reads(monkeypatch: pytest.MonkeyPatch, objects: ObjectStore) -> list[str]:
    """The keys of objects that are read from now on, one for each time."""
    reads: list[str] = []
    real = objects.get

    def get(key: str, offset: int = 0, size: int | None = None) -> bytes:
        reads.append(key)
        return real(key, offset, size)

    monkeypatch.setattr(objects, "get", get)
    return reads


def unpack(body: bytes) -> tuple[Any, bytes]:
    """The line of a binary answer, and its arrays."""
    end = body.index(b"\n") + 1
    assert end % 8 == 0
    return orjson.loads(body[:end]), body[end:]
