"""Chunks: consecutive whole lines of a segment, compressed, and what is known of their rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pyarrow as pa

from ml_dash.reading.lines import Problems, decode_block
from ml_dash.reading.merge import EXPLICIT
from ml_dash.server.store import LostError, ObjectStore
from ml_dash.server.tables import Chunk

CHUNK = 1 << 20
"""Bytes of lines that a chunk has at most, unless one line is longer: what a range read costs."""

_FOLDED = ("run/", "params/", "metrics/", "files/index/")
_INT64 = 2**63 - 1
_codec = pa.Codec("zstd", compression_level=3)


@dataclass(frozen=True, slots=True)
class Draft:
    """A chunk that is not stored yet.

    Attributes:
        text: its lines.
        count: of its rows; what is unreadable is none.
        rows: decoded, where the run's own row of the database is folded from them; others take
            many times the memory of their text.
        sha256: of the lines.
        stamped: the last timestamp that the writer took from its own clock.
    """

    text: bytes
    count: int
    rows: list[dict[str, Any]]
    sha256: str
    steps: tuple[int, int] | None
    times: tuple[float, float] | None
    ordered: bool
    stamped: float | None


def draft_chunks(text: bytes, segment: str) -> list[Draft]:
    """Cut the lines of an append into chunks.

    Args:
        text: whole lines; the last may be torn where its writer is gone. What then follows it, if
            that writer was alive after all, is a line of two chunks, and a row of neither.
        segment: the path, for those that read the rows.
    """
    return [_draft(piece, segment) for piece in _cut(text)]


def pack_chunk(text: bytes) -> bytes:
    """The lines of a chunk as they are stored: compressed where that makes them smaller."""
    packed = bytes(_codec.compress(text, asbytes=True))
    return packed if len(packed) < len(text) else text


def unpack_chunk(packed: bytes, size: int) -> bytes:
    """The lines of a chunk, `size` bytes; what is stored with just as many is not compressed."""
    if len(packed) == size:
        return packed
    return bytes(_codec.decompress(packed, decompressed_size=size, asbytes=True))


def load_chunk(objects: ObjectStore, chunk: Chunk) -> bytes:
    """Read the lines of a chunk and hold them against their hash.

    Raises:
        LostError: the store has lost or changed them.
    """
    packed = objects.get(chunk.object_key, chunk.object_offset, chunk.object_size)
    damaged = f"the object {chunk.object_key!r} is damaged at byte {chunk.object_offset}"
    try:
        text = unpack_chunk(packed, chunk.size)
    except OSError as error:  # as the codec tells that these bytes are none of its own
        raise LostError(f"{damaged}: {error}") from None
    if hashlib.sha256(text).hexdigest() != chunk.sha256:
        raise LostError(damaged)
    return text


def _cut(text: bytes) -> Iterator[bytes]:
    begin = 0
    while len(text) - begin > CHUNK:
        end = text.rfind(b"\n", begin, begin + CHUNK) + 1
        if not end:  # one long line
            end = text.find(b"\n", begin + CHUNK) + 1 or len(text)
        yield text[begin:end]
        begin = end
    if begin < len(text):
        yield text[begin:]


def _draft(text: bytes, segment: str) -> Draft:
    whole = text[: text.rfind(b"\n") + 1]
    rows: list[dict[str, Any]] = []
    times: list[float] = []
    if whole:
        block = decode_block(whole, 0, segment, Problems())
        rows, times = block.rows, block.timestamps
    steps = [step for row in rows if type(step := row.get("step")) is int]
    return Draft(
        text,
        len(rows),
        rows if segment.startswith(_FOLDED) else [],
        hashlib.sha256(text).hexdigest(),
        (clamp(min(steps)), clamp(max(steps))) if steps else None,
        (min(times), max(times)) if times else None,
        all(a <= b for a, b in pairwise(times)),
        next((row["timestamp"] for row in reversed(rows) if not row.get(EXPLICIT)), None),
    )


def clamp(step: int) -> int:
    """A step as a database keeps it; those over 63 bits count as the greatest."""
    return max(-_INT64, min(_INT64, step))
