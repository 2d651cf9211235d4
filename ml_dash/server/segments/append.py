"""Append at offset: taken where the server's copy ends and the bytes before it are the same.

The bytes go into the object store first. Then one transaction moves the ends of all segments, each
only from where it was seen: of two who append at the same place at once, one is told to move on. A
request that is repeated because its answer was lost is told the same, so nothing is taken twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ml_dash import ids
from ml_dash.rows import MAX_LINE
from ml_dash.server.database import Database
from ml_dash.server.problems import Problem
from ml_dash.server.runs.fold import Added, after_append
from ml_dash.server.segments.chunks import draft_chunks, pack_chunk
from ml_dash.server.segments.ends import Stored, extend, new_segment
from ml_dash.server.store import ObjectStore
from ml_dash.server.tables import Run, Segment
from ml_dash.wire import WireError, check_segment, tail_crc

_TRIES = 5

_NAMED = 500

_LONG_GONE = 1e11  # seconds: before anything was recorded

Answer = dict[str, Any]
_Ends = dict[str, tuple[int, bytes]]


@dataclass(slots=True)
class _Piece:
    """One segment's part of a request."""

    number: int
    path: str
    offset: int
    tail: int
    text: bytes
    silent: float
    stored: list[Stored] = field(default_factory=list)

    @property
    def stream(self) -> str:
        return self.path.rpartition("/")[0]

    @property
    def writer(self) -> str:
        return self.path.rpartition("/")[2].removesuffix(".jsonl").partition("-")[0]


def append(
    data: Database,
    objects: ObjectStore,
    run_id: str,
    pieces: Sequence[Mapping[str, Any]],
    parts: Sequence[memoryview],
    now: float,
) -> list[Answer]:
    """Take what fits to the ends of the segments.

    Args:
        data: the database.
        objects: the store.
        run_id: the run, which the caller may write.
        pieces: as the header of the request has them: `segment`, `offset`, `tail`, and `last` where
            the writer is gone and the last line may be torn, `silent` where it is gone for so many
            seconds.
        parts: their bytes.
        now: by the server's clock.

    Returns:
        For each piece its `segment`, its `state` (`taken`, `moved`, `differs`, `refused`) and the
        `end` of the server's copy.
    """
    answers: list[Answer] = [{} for _ in pieces]
    wanted: list[_Piece] = []
    for number, (piece, part) in enumerate(zip(pieces, parts, strict=True)):
        try:
            wanted.append(_checked(number, piece, bytes(part)))
        except WireError as error:
            name = str(piece.get("segment"))[:200] if isinstance(piece, Mapping) else ""
            answers[number] = {
                "segment": name,
                "state": "refused",
                "end": 0,
                "reason": str(error),
            }
    with data.reading() as session:
        ends = _load_ends(session, run_id, wanted)
    fitting = _judge(ends, wanted, answers)
    if fitting:
        _take(data, objects, run_id, fitting, answers, now)
    return answers


def _take(
    data: Database,
    objects: ObjectStore,
    run_id: str,
    fitting: list[_Piece],
    answers: list[Answer],
    now: float,
) -> None:
    key = f"runs/{run_id}/rows/{ids.new_id()}"
    objects.put(key, _pack(key, fitting))

    def work(session: Session) -> bool:
        return _commit(session, run_id, fitting, answers, now)

    used = False
    try:
        for attempt in range(_TRIES):
            try:
                used = data.transaction(work)
                break
            except IntegrityError:  # another process has just made the same segment
                if attempt == _TRIES - 1:
                    raise
    except Problem:
        raise  # nothing was taken
    except Exception:  # it may have been committed all the same: the object stays
        used = True
        raise
    finally:
        if not used:
            objects.delete([key])


def _pack(key: str, fitting: list[_Piece]) -> bytes:
    """Draft the chunks of all pieces, as one object."""
    packed: list[bytes] = []
    place = 0
    for piece in fitting:
        for chunk in draft_chunks(piece.text, piece.path):
            packed.append(pack_chunk(chunk.text))
            piece.stored.append(Stored(chunk, key, place, len(packed[-1])))
            place += len(packed[-1])
    return b"".join(packed)


def _commit(
    session: Session,
    run_id: str,
    fitting: list[_Piece],
    answers: list[Answer],
    now: float,
) -> bool:
    run = session.get(Run, run_id, with_for_update=True)
    if run is None:
        raise Problem(404, f"the run {run_id!r} has been deleted")
    # The row of the run is locked, so nobody else moves the ends of its segments meanwhile.
    segments = _load_segments(session, run_id, fitting)
    ends = {path: (segment.size, segment.tail) for path, segment in segments.items()}
    taken = {piece.number for piece in _judge(ends, fitting, answers)}
    for piece in fitting:
        if piece.number in taken and piece.path not in segments:
            segments[piece.path] = new_segment(session, run_id, piece.path)
    session.flush()  # new segments, before the chunks that refer to them
    rows = size = 0
    added: list[Added] = []
    for piece in fitting:
        if piece.number not in taken:
            continue
        extend(session, segments[piece.path], piece.stored, now)
        rows += sum(each.chunk.count for each in piece.stored)
        size += len(piece.text)
        fresh = [row for each in piece.stored for row in each.chunk.rows]
        stamps = [s for each in piece.stored if (s := each.chunk.stamped) is not None]
        heard = now - piece.silent
        added.append(Added(piece.stream, fresh, heard, piece.writer, max(stamps, default=None)))
        answers[piece.number] = {
            "segment": piece.path,
            "state": "taken",
            "end": piece.offset + len(piece.text),
        }
    if taken:
        run.updated, run.rows, run.size = now, run.rows + rows, run.size + size
        after_append(session, run, added)
    return bool(taken)


def _checked(number: int, piece: Mapping[str, Any], text: bytes) -> _Piece:
    try:
        path, offset, tail = piece["segment"], piece["offset"], piece["tail"]
    except (LookupError, TypeError):
        raise WireError("a piece has a segment, an offset and a tail") from None
    if not isinstance(path, str) or type(offset) is not int or type(tail) is not int or offset < 0:
        raise WireError("a piece's segment is a text, its offset and tail are whole numbers")
    check_segment(path)
    silent = piece.get("silent", 0)
    if type(silent) not in (int, float) or not 0 <= silent < _LONG_GONE:
        raise WireError("a piece's silent is a number of seconds")
    if text and text[-1:] != b"\n" and piece.get("last") is not True:
        raise WireError("it does not end with a newline")
    if len(text) > MAX_LINE and max(map(len, text.split(b"\n"))) >= MAX_LINE:
        raise WireError(f"a line is longer than {MAX_LINE:,} bytes")
    return _Piece(number, path, offset, tail, text, float(silent))


def _load_ends(session: Session, run_id: str, wanted: list[_Piece]) -> _Ends:
    found: _Ends = {}
    for paths in _batches(wanted):
        query = select(Segment.path, Segment.size, Segment.tail)
        query = query.where(Segment.run_id == run_id, Segment.path.in_(paths))
        found |= {path: (size, tail) for path, size, tail in session.execute(query)}
    return found


def _load_segments(session: Session, run_id: str, wanted: list[_Piece]) -> dict[str, Segment]:
    found: dict[str, Segment] = {}
    for paths in _batches(wanted):
        query = select(Segment).where(Segment.run_id == run_id, Segment.path.in_(paths))
        found |= {segment.path: segment for segment in session.scalars(query.with_for_update())}
    return found


def _batches(wanted: list[_Piece]) -> Iterator[list[str]]:
    """The paths of pieces, as many at a time as a query may name."""
    paths = sorted({piece.path for piece in wanted})
    for first in range(0, len(paths), _NAMED):
        yield paths[first : first + _NAMED]


def _judge(ends: _Ends, wanted: list[_Piece], answers: list[Answer]) -> list[_Piece]:
    """Those that fit where their segments end; the others are answered."""
    fitting: list[_Piece] = []
    behind: dict[str, int] = {}  # where a second piece of one segment, which must come later, goes
    for piece in wanted:
        end, tail = ends.get(piece.path, (0, b""))
        answer: Answer = {
            "segment": piece.path,
            "state": "moved",
            "end": behind.get(piece.path, end),
        }
        if end == piece.offset and piece.path not in behind:
            if tail_crc(tail) != piece.tail:
                answer |= {"state": "differs", "reason": "the bytes before it are not the same"}
            elif not piece.text:
                answer["state"] = "taken"
            else:
                fitting.append(piece)
                behind[piece.path] = end + len(piece.text)
        answers[piece.number] = answer
    return fitting
