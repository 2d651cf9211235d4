"""When a process that is gone was last seen: by the last rows that it wrote, whatever they hold.

Its signs of life come every 15 seconds only. Of each of its segments the end is read, no more, and
only where the run is a folder: elsewhere each would be a request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ml_dash.reading.lines import Row, Segment, decode_line
from ml_dash.reading.merge import EXPLICIT
from ml_dash.reading.source import ROOMS, Source
from ml_dash.reading.status import INTERRUPTED, Session
from ml_dash.rows import MAX_LINE

_NEAR = 1 << 12  # bytes at the end of a segment, in which the last row is nearly always
_FAR = 1 << 18  # in which one with a timestamp of ours must be, where many have the user's own


def see_last_rows(source: Source, sessions: Iterable[Session]) -> None:
    """Move `last_seen` of the sessions that were interrupted to the last row that they stamped.

    A session that said its end is left as it is, and costs nothing.
    """
    gone = {session.id: session for session in sessions if session.status == INTERRUPTED}
    if not gone or source.folder is None:
        return
    for room in ROOMS:
        for stream in source.streams(room):
            for segment in source.segments(stream):
                session = gone.get(segment.writer)
                if session is not None and session.end is None:
                    stamp = _last_stamp(source, segment)
                    session.last_seen = max(session.last_seen, stamp)


def _last_stamp(source: Source, segment: Segment) -> float:
    """The latest timestamp that the writer took from its clock; 0 if there is none near the end."""
    span = _NEAR
    while True:
        rows = list(_last_rows(source, segment, span))
        stamps = [row["timestamp"] for row in rows if not row.get(EXPLICIT)]
        enough = span >= _FAR if rows else span > MAX_LINE
        if stamps or enough or span >= segment.size:
            return max(stamps, default=0.0)
        span *= 8


def _last_rows(source: Source, segment: Segment, span: int) -> Iterator[Row]:
    """The rows of the lines that are whole within the last `span` bytes."""
    begin = max(0, segment.size - span)
    lines = segment.read(source.backend, begin, span).split(b"\n")
    for line in lines[1 if begin else 0 : -1]:
        row, _ = decode_line(line)
        if row is not None:
            yield row
