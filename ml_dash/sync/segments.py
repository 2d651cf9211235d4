"""Sends what segments have beyond the server's copy of them, many segments to a request.

The server takes a piece only at the end of its copy and only if the bytes before it agree, so that
a lost answer, a repeated request and a second sender do no harm: it says where it ends, and the
sender goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_dash import wire
from ml_dash.backends import LocalBackend
from ml_dash.reading.lines import Segment
from ml_dash.rows import MAX_LINE
from ml_dash.sync.listing import local_crc, local_segments, stored_segments
from ml_dash.sync.trouble import is_cut

if TYPE_CHECKING:
    from ml_dash.remote import RemoteClient

_LEAST = 1 << 13  # bytes that any server, and any proxy before it, takes in one request
_LARGER = 60.0  # seconds after which a request may be larger again

_PATIENCE = 50  # answers in a row that a segment is elsewhere before it is left to the next pass


@dataclass(slots=True)
class Piece:
    """Consecutive bytes of a segment, on their way.

    Attributes:
        segment: its path.
        offset: where in it they begin.
        tail: the CRC-32 of what stands before them.
        data: the bytes.
        last: whether they may end within a line, because their writer is gone.
        silent: seconds since its last sign of life, where it is gone.
    """

    segment: str
    offset: int
    tail: int
    data: bytes
    last: bool = False
    silent: float = 0.0

    def header(self) -> dict[str, Any]:
        """What the request says of it."""
        found: dict[str, Any] = {
            "segment": self.segment,
            "offset": self.offset,
            "tail": self.tail,
            "size": len(self.data),
        }
        if self.silent:
            found["silent"] = round(self.silent, 3)
        return found | {"last": True} if self.last else found


class RowSender:
    """Sends the segments of one run. Knows of each no more than where the server's copy ends.

    Args:
        backend: the run's folder.
        client: the server.
        run: the server's id of the run.
        silent: of writers that are gone, the seconds since their last sign of life. A server that
            does not hear of it would take a run that died long ago for one that goes on.

    Attributes:
        rows: lines sent.
        bytes: bytes sent.
        stuck: segments that are not sent any further, and why.
    """

    def __init__(
        self,
        backend: LocalBackend,
        client: RemoteClient,
        run: str,
        silent: Mapping[str, float],
    ) -> None:
        self.rows = 0
        self.bytes = 0
        self.stuck: dict[str, str] = {}
        self._backend = backend
        self._client = client
        self._silent = silent
        self._path = f"/runs/{run}"
        self._ends: dict[str, int] = {}
        self._limit = wire.SEND_LIMIT
        self._lowered = 0.0
        self._through = False  # whether anything came through since the connection broke
        self._made = time.monotonic()
        self._moved: dict[str, int] = {}
        self._torn: set[str] = set()  # ends within a line, whose writer may still be at it

    def fetch_ends(self, *, verify: bool = False) -> None:
        """Ask the server where its copies end.

        Args:
            verify: also hold all bytes up to there against its checksums; an append by itself
                proves only those just before it.
        """
        local = dict(local_segments(self._backend)) if verify else {}
        self._ends = {}
        for path, size, crc in stored_segments(self._client, self._path):
            self._ends[path] = size
            if local.get(path, 0) >= size > 0 and local_crc(self._backend, path, size) != crc:
                self.stuck[path] = (
                    f"{path}: the server has other bytes than this folder among its first"
                    f" {size:,}; neither copy was changed"
                )

    def pending(self, but: Container[str] = (), begun: Mapping[str, int] | None = None) -> int:
        """Bytes that the server has not got, of segments that can be sent.

        Args:
            but: writers whose segments do not count.
            begun: how long segments were at a time before they were sent: what came since does not
                count, nor does a line that nobody has finished.
        """
        found = local_segments(self._backend)
        if begun is not None:
            found = ((path, min(size, begun.get(path, 0))) for path, size in found)
        return sum(
            max(0, size - self._ends.get(path, 0))
            for path, size in found
            if path not in self.stuck
            and Segment(path, size).writer not in but
            and not (begun is not None and path in self._torn)
        )

    def send(
        self, gone: Callable[[str], bool], progress: Callable[[int], None] | None = None
    ) -> bool:
        """Send all that is there now; whether there was anything.

        Args:
            gone: whether the writer of a segment is gone, so that nobody finishes its last line.
            progress: called with the bytes sent, after each request.

        Raises:
            RemoteError: the server does not take it now. What it took is known; call again.
        """
        sizes = dict(local_segments(self._backend))
        self._moved.clear()
        self._torn.clear()
        any_sent = False
        while pieces := self._gather(sizes, gone):
            sent = self._send(pieces, sizes)
            any_sent = any_sent or sent > 0
            if progress is not None and sent:
                progress(sent)
        return any_sent

    # -- gathering -------------------------------------------------------------------------------

    def _gather(self, sizes: dict[str, int], gone: Callable[[str], bool]) -> list[Piece]:
        """The pieces of the next request: whole lines, as many as go into it."""
        pieces: list[Piece] = []
        room = self._limit
        for path, size in list(sizes.items()):
            if room <= 0 or len(pieces) >= wire.MAX_PIECES:
                break
            end = self._ends.get(path, 0)
            if size == end or path in self.stuck or self._moved.get(path, 0) > _PATIENCE:
                del sizes[path]  # done for this pass
                continue
            piece = self._cut(path, end, size, room, alone=not pieces, gone=gone)
            if piece is not None:
                pieces.append(piece)
                room -= len(piece.data)
            elif path in self.stuck or path in self._torn:
                del sizes[path]
            else:
                break  # its next line does not fit beside the others
        return pieces

    def _cut(
        self,
        path: str,
        end: int,
        size: int,
        room: int,
        *,
        alone: bool,
        gone: Callable[[str], bool],
    ) -> Piece | None:
        """The next piece of a segment, or `None` if it has none now."""
        if size < end:
            # Somebody else may have sent more since it was listed.
            if self._backend.size(path) < end:
                self.stuck[path] = (
                    f"{path}: the server has {end - size:,} bytes more than this folder; it was"
                    " cut, or is an older copy"
                )
            else:
                self._torn.add(path)
            return None
        begin = max(0, end - wire.TAIL)
        data = self._backend.read(path, begin, end - begin + min(room, size - end))
        before, data = data[: end - begin], data[end - begin :]
        whole = data.rfind(b"\n") + 1
        if not whole and len(data) < size - end:
            if not alone:
                return None
            data = self._backend.read(path, end, min(size - end, MAX_LINE + 1))
            whole = data.find(b"\n") + 1
        last = False
        if not whole:
            if len(data) > MAX_LINE:
                self.stuck[path] = f"{path}: byte {end:,}: a line longer than any row"
                return None
            if end + len(data) < size or not gone(path):
                self._torn.add(path)
                return None
            whole, last = len(data), True
        silent = self._silent.get(Segment(path, size).writer, 0.0)
        if silent:  # and has been since
            silent += time.monotonic() - self._made
        return Piece(path, end, wire.tail_crc(before), data[:whole], last, silent)

    # -- sending ---------------------------------------------------------------------------------

    def _send(self, pieces: list[Piece], sizes: dict[str, int]) -> int:
        """Send one request, and take in the answer; how many bytes were taken."""
        from ml_dash.remote import RejectedError, UnreachableError
        from ml_dash.remote.answers import field
        from ml_dash.remote.failures import garbled

        body = wire.pack(
            {"pieces": [piece.header() for piece in pieces]}, [piece.data for piece in pieces]
        )
        try:
            answer = self._client.json(
                "POST",
                f"{self._path}/append",
                body=compressed(body),
                headers={"Content-Type": wire.FRAMES, "Content-Encoding": "gzip"},
            )
        except UnreachableError as error:
            if error.kind == "timeout":  # a slow line may get a smaller one through
                self._lower(sum(len(piece.data) for piece in pieces))
            if not is_cut(error) or not self._may_go_on(pieces):
                raise
            return 0
        except RejectedError as error:
            if error.code != "too_large" or sum(len(piece.data) for piece in pieces) <= _LEAST:
                raise  # for so little it means nothing: whoever says it takes nothing now
            self._halve(pieces)
            return 0
        answers = field(self._client, answer, "pieces", list)
        if len(answers) != len(pieces):
            raise garbled(self._client.url, "does not say what became of each piece")
        self._through = True
        self._grow()
        return sum(self._take(*each, sizes) for each in zip(pieces, answers, strict=True))

    def _take(self, piece: Piece, found: dict[str, Any], sizes: dict[str, int]) -> int:
        """Take in what the server says of a piece; how many bytes it took."""
        path, state = piece.segment, found["state"]
        if state == "taken":
            self._ends[path] = int(found["end"])
            self._moved.pop(path, None)
            self.rows += piece.data.count(b"\n")
            self.bytes += len(piece.data)
            return len(piece.data)
        if state == "moved":
            self._ends[path] = int(found["end"])
            self._moved[path] = self._moved.get(path, 0) + 1
            sizes[path] = max(sizes.get(path, 0), self._backend.size(path))
        elif state == "differs":
            self.stuck[path] = (
                f"{path}: the server has other bytes before byte {piece.offset:,}; neither copy"
                " was changed"
            )
        else:
            reason = found.get("reason") or state
            self.stuck[path] = f"{path}: byte {piece.offset:,}: the server refused it: {reason}"
        return 0

    def _halve(self, pieces: list[Piece]) -> None:
        """Make the next requests smaller, after one that was too large."""
        size = sum(len(piece.data) for piece in pieces)
        if _is_one_line(pieces):
            piece = pieces[0]
            self.stuck[piece.segment] = (
                f"{piece.segment}: byte {piece.offset:,}: a line of {size:,} bytes is too large for"
                " the server, or for a proxy before it"
            )
        else:
            self._lower(size)

    def _may_go_on(self, pieces: list[Piece]) -> bool:
        """Whether to try at once again after the connection broke: with less, if that broke, too.

        Raises:
            RemoteError: the server is not there at all.
        """
        size = sum(len(piece.data) for piece in pieces)
        if self._through:
            self._through = False
        elif size > _LEAST and self._limit > _LEAST and not _is_one_line(pieces):
            self._client.json("GET", f"{self._path}/segments", params={"limit": "1"})
            self._lower(size)
        else:
            return False
        return True

    def _lower(self, size: int) -> None:
        """Make the next requests smaller than one of `size` bytes."""
        self._lowered = time.monotonic()
        self._limit = max(_LEAST, min(size, self._limit) // 2)

    def _grow(self) -> None:
        """Try larger requests again after a while: what took none may be gone."""
        if self._limit < wire.SEND_LIMIT and time.monotonic() - self._lowered > _LARGER:
            self._limit = min(wire.SEND_LIMIT, self._limit * 8)
            self._lowered = time.monotonic()


def _is_one_line(pieces: list[Piece]) -> bool:
    return len(pieces) == 1 and pieces[0].data.count(b"\n") <= 1


def compressed(body: bytes) -> bytes:
    """The body of a request, packed quickly rather than tightly."""
    try:
        import deflate

        return bytes(deflate.gzip_compress(body, 1))
    except ImportError:
        import zlib

        return zlib.compress(body, 1, wbits=31)
