"""What of a run's files has been taken into the database, and what has been added to them since."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from ml_dash import ids
from ml_dash.backends import LocalBackend, SegmentInfo
from ml_dash.reading.lines import Problems, decode_block
from ml_dash.reading.source import ROOMS, SUFFIX
from ml_dash.server.folder.store import key_of
from ml_dash.server.runs.fold import after_append
from ml_dash.server.segments.chunks import Draft, draft_chunks
from ml_dash.server.tables import Blob, Chunk, Run, Segment
from ml_dash.wire import TAIL

STEP = 8 << 20
"""Bytes of a segment that one transaction takes in."""

_TOLD = ("run", "params", "files/index")
"""Streams that are read whole for the table of runs; of metrics it needs the last row alone."""
_LAST = 64 << 10


@dataclass(slots=True)
class _Taken:
    """How far one segment has been taken in."""

    id: str
    size: int = 0
    rows: int = 0
    crc: int = 0
    tail: bytes = b""


@dataclass(slots=True)
class Contents:
    """One run of the folder.

    Attributes:
        run_id: its id in the database.
        backend: its files.
        told: by segment, up to where the row of the run tells of it.
        taken: by segment, what its chunks are known of.
        last: by segment of a metric, the size at which its last row was looked at.
    """

    run_id: str
    backend: LocalBackend
    told: dict[str, int] = field(default_factory=dict)
    taken: dict[str, _Taken] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)

    def tell(self, session: Session) -> bool:
        """Bring the row of the run to the present: status, params, last metrics, files.

        Returns:
            Whether there was anything new.
        """
        fresh: dict[str, list[dict[str, Any]]] = {}
        for info in self._segments():
            stream = info.path.rpartition("/")[0]
            if stream in _TOLD:
                rows = self._added(info.path, info.size)
            elif stream.startswith("metrics/"):
                rows = self._latest(info.path, info.size)
            else:
                continue
            if rows:
                fresh.setdefault(stream, []).extend(rows)
        if fresh:
            after_append(session, session.get_one(Run, self.run_id), fresh)
            self._offer_blobs(session, fresh.get("files/index", []))
        return bool(fresh)

    def take(self, session: Session, now: float) -> bool:
        """Make the next bytes of its segments chunks.

        Returns:
            Whether more is to be done; then call it again, in another transaction.
        """
        budget = STEP
        grown = False
        for info in self._segments():
            held = self.taken.get(info.path)
            if info.size <= (held.size if held else 0):
                continue
            held = held or self._begin(session, info.path, now)
            text = self.backend.read(info.path, held.size, min(budget, info.size - held.size))
            whole = text[: text.rfind(b"\n") + 1]
            if not whole and len(text) == budget:  # a line longer than a step
                text = self.backend.read(info.path, held.size, info.size - held.size)
                whole = text[: text.rfind(b"\n") + 1]
            if not whole:
                continue
            self._extend(session, info.path, held, draft_chunks(whole, info.path), now)
            grown = True
            budget -= len(whole)
            if budget <= 0:
                break
        if grown:
            total = sum(held.rows for held in self.taken.values())
            size = sum(held.size for held in self.taken.values())
            session.execute(
                update(Run).where(Run.id == self.run_id).values(rows=total, size=size, updated=now)
            )
        return grown

    def _segments(self) -> Iterator[SegmentInfo]:
        for room in ROOMS:
            yield from (info for info in self.backend.list(room) if info.path.endswith(SUFFIX))

    def _added(self, path: str, size: int) -> list[dict[str, Any]]:
        start = self.told.get(path, 0)
        if size <= start:
            return []
        text = self.backend.read(path, start, size - start)
        whole = text[: text.rfind(b"\n") + 1]
        self.told[path] = start + len(whole)
        return decode_block(whole, start, path, Problems()).rows if whole else []

    def _latest(self, path: str, size: int) -> list[dict[str, Any]]:
        if self.last.get(path) == size:
            return []
        self.last[path] = size
        start = max(0, size - _LAST)
        text = self.backend.read(path, start, size - start)
        text = text[: text.rfind(b"\n") + 1]
        if start:
            text = text[text.find(b"\n") + 1 :]
        return decode_block(text, start, path, Problems()).rows[-50:] if text else []

    def _begin(self, session: Session, path: str, now: float) -> _Taken:
        made = _Taken(ids.new_id())
        session.add(
            Segment(
                id=made.id,
                run_id=self.run_id,
                path=path,
                stream=path.rpartition("/")[0],
                size=0,
                crc=0,
                tail=b"",
                rows=0,
                updated=now,
            )
        )
        session.flush()
        self.taken[path] = made
        return made

    def _extend(
        self, session: Session, path: str, held: _Taken, chunks: list[Draft], now: float
    ) -> None:
        rows = []
        for chunk in chunks:
            size = len(chunk.text)
            steps, times = chunk.steps or (None, None), chunk.times or (None, None)
            rows.append(
                {
                    "segment_id": held.id,
                    "offset": held.size,
                    "size": size,
                    "first_row": held.rows,
                    "rows": chunk.count,
                    "first_step": steps[0],
                    "last_step": steps[1],
                    "first_time": times[0],
                    "last_time": times[1],
                    "ordered": chunk.ordered,
                    "sha256": chunk.sha256,
                    "object_key": key_of(self.run_id, path),
                    "object_offset": held.size,
                    "object_size": size,
                }
            )
            held.size += size
            held.rows += chunk.count
            held.crc = zlib.crc32(chunk.text, held.crc)
            held.tail = (held.tail + chunk.text[-TAIL:])[-TAIL:]
        session.execute(insert(Chunk), rows)
        segment = session.get_one(Segment, held.id)
        segment.size, segment.rows, segment.updated = held.size, held.rows, now
        segment.crc, segment.tail = held.crc, held.tail
        for kind in ("step", "time"):
            known = [getattr(segment, f"first_{kind}"), *(row[f"first_{kind}"] for row in rows)]
            ends = [getattr(segment, f"last_{kind}"), *(row[f"last_{kind}"] for row in rows)]
            setattr(segment, f"first_{kind}", min(_there(known), default=None))
            setattr(segment, f"last_{kind}", max(_there(ends), default=None))

    def _offer_blobs(self, session: Session, rows: list[dict[str, Any]]) -> None:
        """Have the contents of files be found by their hashes."""
        wanted: dict[str, tuple[str, int]] = {}
        for row in rows:
            place, sha256, size = row.get("data"), row.get("sha256"), row.get("size")
            if isinstance(place, str) and isinstance(sha256, str) and type(size) is int:
                wanted[sha256] = (place, size)
        known: set[str] = set()
        names = list(wanted)
        for first in range(0, len(names), 500):
            part = names[first : first + 500]
            known |= set(
                session.scalars(
                    select(Blob.sha256).where(Blob.run_id == self.run_id, Blob.sha256.in_(part))
                )
            )
        made = [
            {
                "run_id": self.run_id,
                "sha256": sha256,
                "size": size,
                "parts": [key_of(self.run_id, f"files/data/{place}")],
                "part_size": max(1, size),
                "object_offset": 0,
                "created": 0.0,
            }
            for sha256, (place, size) in wanted.items()
            if sha256 not in known and len(sha256) == 64
        ]
        if made:
            session.execute(insert(Blob), made)


def _there(values: list[Any]) -> list[Any]:
    return [value for value in values if value is not None]
