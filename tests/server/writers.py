"""A writer that appends row after row, and what a server has of its segment."""

from __future__ import annotations

import threading
import zlib
from typing import Any

import orjson
from fastapi.testclient import TestClient
from sqlalchemy import select

from ml_dash.reading.lines import Problems, decode_block
from ml_dash.server.tables import Chunk, Garbage, Segment

from .inside import Inside, send

SEGMENT = "tracks/arm/w.jsonl"
NEVER = threading.Event()
"""Is never set: nobody asks to stop."""


class Writer:
    """Appends to one segment, and knows what it should be."""

    def __init__(self, client: TestClient, run: str, path: str = SEGMENT) -> None:
        self.client = client
        self.run = run
        self.path = path
        self.text = b""
        self._row = 0

    def append(self, rows: int = 1, **fields: Any) -> None:
        """Append some rows in one request."""
        text = b""
        for _ in range(rows):
            row = {"timestamp": 100.0 + self._row, "step": self._row, "x": self._row / 3}
            text += orjson.dumps(row | fields) + b"\n"
            self._row += 1
        (answer,) = send(self.client, self.run, (self.path, len(self.text), self.text, text))
        assert answer["state"] == "taken"
        self.text += text

    def check(self, inside: Inside) -> None:
        """The segment is what it should be, and so is what is known of each chunk."""
        url = f"/api/v1/runs/{self.run}/segments/{self.path}"
        assert self.client.get(url).content == self.text
        listed = self.client.get(f"/api/v1/runs/{self.run}/segments").json()["segments"]
        (mine,) = [segment for segment in listed if segment["path"] == self.path]
        assert (mine["size"], mine["crc"]) == (len(self.text), zlib.crc32(self.text))
        row = offset = 0
        for chunk in chunks_of(inside, self.path):
            text = self.text[chunk.offset : chunk.offset + chunk.size]
            whole = text[: text.rfind(b"\n") + 1]
            block = decode_block(whole, 0, "", Problems())
            steps = [r["step"] for r in block.rows if "step" in r]
            assert (chunk.offset, chunk.first_row, chunk.rows) == (offset, row, len(block.rows))
            assert (chunk.first_step, chunk.last_step) == (min(steps), max(steps))
            times = block.timestamps
            assert (chunk.first_time, chunk.last_time) == (min(times), max(times))
            assert chunk.ordered == (times == sorted(times))
            offset += chunk.size
            row += chunk.rows
        assert (offset, row) == (len(self.text), mine["rows"])


def chunks_of(inside: Inside, path: str = SEGMENT) -> list[Chunk]:
    """The chunks of a segment."""
    with inside.data.reading() as session:
        query = select(Chunk).join(Segment, Segment.id == Chunk.segment_id)
        return list(session.scalars(query.where(Segment.path == path).order_by(Chunk.offset)))


def keys(inside: Inside) -> set[str]:
    """The objects that there are."""
    return {key for key, _, _ in inside.objects.list()}


def garbage(inside: Inside) -> set[str]:
    """The objects that are known to be garbage."""
    with inside.data.reading() as session:
        return set(session.scalars(select(Garbage.object_key)))


def needed(inside: Inside) -> set[str]:
    """The objects that chunks are in."""
    with inside.data.reading() as session:
        return set(session.scalars(select(Chunk.object_key)))
