"""What of a run's files has been taken into the database, and what has been added to them since."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import insert, update
from sqlalchemy.orm import Session

from ml_dash.backends import LocalBackend, SegmentInfo
from ml_dash.reading.files import DATA, INDEX
from ml_dash.reading.lines import Problems, decode_block
from ml_dash.reading.source import ROOMS, SUFFIX
from ml_dash.server.blobs.content import known
from ml_dash.server.folder.pulse import Pulse
from ml_dash.server.folder.store import key_of
from ml_dash.server.runs.fold import Added, after_append
from ml_dash.server.segments.chunks import draft_chunks
from ml_dash.server.segments.ends import Stored, extend, new_segment
from ml_dash.server.tables import Blob, Run, Segment

STEP = 8 << 20
"""Bytes of a segment that one transaction takes in."""

_TOLD = ("run", "params", INDEX)
"""Streams that are read whole for the table of runs; of metrics it needs the last row alone."""
_LAST = 64 << 10


class _Taken(NamedTuple):
    """How far one segment has been taken in."""

    id: str
    size: int
    rows: int


@dataclass(slots=True)
class Contents:
    """One run of the folder.

    Attributes:
        run_id: its id in the database.
        backend: its files.
        told: by segment, up to where the row of the run tells of it.
        taken: by segment, what its chunks are known of.
        last: by segment of a metric, the size at which its last row was looked at.
        pulse: whether it goes on.
        counted: when its rows were last taken in.
        seen: bytes that could be taken in when the run was last told.
        read: bytes that could be when nothing was left of them but a line that is not whole.
    """

    run_id: str
    backend: LocalBackend
    told: dict[str, int] = field(default_factory=dict)
    taken: dict[str, _Taken] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)
    pulse: Pulse = field(default_factory=Pulse)
    counted: float = 0.0
    seen: int = 0
    read: int = 0

    @property
    def behind(self) -> bool:
        """Whether its segments have grown since they were taken to their ends."""
        return self.seen > self.read

    def tell(self, session: Session, now: float) -> bool:
        """Bring the row of the run to the present: status, params, last metrics, files.

        Returns:
            Whether there was anything new.
        """
        first = not self.told
        fresh: dict[str, list[dict[str, Any]]] = {}
        segments = list(self._segments())
        for info in segments:
            stream = info.path.rpartition("/")[0]
            if stream in _TOLD:
                rows = self._added(info.path, info.size)
            elif stream.startswith("metrics/"):
                rows = self._latest(info.path, info.size)
            else:
                continue
            if rows:
                fresh.setdefault(stream, []).extend(rows)
        self.seen = self._whole(segments)
        if not fresh and not self.pulse.open:
            return False
        run = session.get_one(Run, self.run_id)
        if fresh:
            run.updated = run.updated if first else now
            after_append(session, run, [Added(*each, run.updated) for each in fresh.items()])
            self._offer_blobs(session, fresh.get(INDEX, []))
        self.pulse.take(fresh.get("run", []))
        changed = self.pulse.settle(run, now, self.backend, grown=bool(fresh))
        return changed or bool(fresh)

    def take(self, session: Session, now: float) -> bool:
        """Make the next bytes of its segments chunks.

        Returns:
            Whether more is to be done; then call it again, in another transaction.
        """
        budget = STEP
        grown = False
        self.counted = now
        segments = list(self._segments())
        for info in segments:
            held = self.taken.get(info.path)
            start, end = held.size if held else 0, self._end(info)
            if end <= start:
                continue
            whole = self._lines(info.path, start, min(start + budget, end))
            if not whole and end - start > budget:  # a line longer than a step
                whole = self._lines(info.path, start, end)
            if whole:
                self._extend(session, info.path, whole, now)
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
        else:
            self.read = self._whole(segments)
        return grown

    def _end(self, info: SegmentInfo) -> int:
        """Up to where a segment may be taken in."""
        if info.path.rpartition("/")[0] in _TOLD:
            return self.told.get(info.path, 0)  # a longer segment is a sign of new files
        return info.size

    def _whole(self, segments: Iterable[SegmentInfo]) -> int:
        """Bytes of all segments that may be taken in."""
        return sum(map(self._end, segments))

    def _segments(self) -> Iterator[SegmentInfo]:
        for room in ROOMS:
            yield from (info for info in self.backend.list(room) if info.path.endswith(SUFFIX))

    def _lines(self, path: str, start: int, end: int) -> bytes:
        """The whole lines of a segment between two of its offsets; the first begins at `start`."""
        text = self.backend.read(path, start, end - start)
        return text[: text.rfind(b"\n") + 1]

    def _added(self, path: str, size: int) -> list[dict[str, Any]]:
        start = self.told.get(path, 0)
        if size <= start:
            return []
        whole = self._lines(path, start, size)
        self.told[path] = start + len(whole)
        return decode_block(whole, start, path, Problems()).rows if whole else []

    def _latest(self, path: str, size: int) -> list[dict[str, Any]]:
        if self.last.get(path) == size:
            return []
        self.last[path] = size
        start = max(0, size - _LAST)
        text = self._lines(path, start, size)
        if start:
            text = text[text.find(b"\n") + 1 :]
        return decode_block(text, start, path, Problems()).rows[-50:] if text else []

    def _extend(self, session: Session, path: str, text: bytes, now: float) -> None:
        """Take in lines: their bytes stay where they are."""
        held = self.taken.get(path)
        if held is not None:
            segment = session.get_one(Segment, held.id)
        else:
            segment = new_segment(session, self.run_id, path)
            session.flush()
        place, stored = segment.size, []
        for chunk in draft_chunks(text, path):
            stored.append(Stored(chunk, key_of(self.run_id, path), place, len(chunk.text)))
            place += len(chunk.text)
        extend(session, segment, stored, now)
        self.taken[path] = _Taken(segment.id, segment.size, segment.rows)

    def _offer_blobs(self, session: Session, rows: list[dict[str, Any]]) -> None:
        """Have the contents of files be found by their hashes."""
        wanted: dict[str, tuple[str, int]] = {}
        for row in rows:
            place, sha256, size = row.get("data"), row.get("sha256"), row.get("size")
            if isinstance(place, str) and isinstance(sha256, str) and type(size) is int:
                wanted[sha256] = (place, size)
        there = known(session, self.run_id, wanted)
        made = [
            {
                "run_id": self.run_id,
                "sha256": sha256,
                "size": size,
                "parts": [key_of(self.run_id, f"{DATA}/{place}")],
                "part_size": max(1, size),
                "object_offset": 0,
                "created": 0.0,
            }
            for sha256, (place, size) in wanted.items()
            if sha256 not in there and len(sha256) == 64
        ]
        if made:
            session.execute(insert(Blob), made)
