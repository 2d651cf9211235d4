"""Where a run's streams are read from: the segments of a backend, and rows that only rings hold."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ml_dash.backends import Backend
from ml_dash.reading.lines import Problem, Problems, Segment, read_blocks

if TYPE_CHECKING:
    from ml_dash.buffer.recovery import RecoveryReport

ROOMS = ("run", "params", "logs", "metrics", "tracks", "files/index")
"""The folders that streams are in."""

SUFFIX = ".jsonl"

UNREAD = "rows that a process left cannot be read"


class Source:
    """The streams of one run, as they were when they were first listed.

    A segment only grows, so its size is its version: whatever is read through one source is of one
    moment, however often it is read and whoever goes on writing. `refresh` moves to the present.

    Args:
        backend: where the run is kept.
        recover: before anything is listed, write what dead processes left in their rings into
            segments; where the folder cannot be written, add those rows in memory.
    """

    def __init__(self, backend: Backend, *, recover: bool = True) -> None:
        self.backend = backend
        self.problems = Problems()
        self.recovery: RecoveryReport | None = None
        self.version = 0  # grows with each refresh
        self._recover = recover
        self._rooms: dict[str, dict[str, list[Segment]]] = {}
        self._pending: dict[str, list[bytes]] = {}
        self._starts: dict[str, float] = {}
        self._sessions: dict[str, int] = {}

    @property
    def folder(self) -> Path | None:
        """The run's folder, if it is kept in one."""
        folder = getattr(self.backend, "folder", None)
        return folder if isinstance(folder, Path) else None

    def now(self) -> Source:
        """Another source of the same run, as it is now."""
        return Source(self.backend, recover=False)

    def refresh(self) -> None:
        """Forget what was listed: the next read sees what has been written since."""
        self.version += 1
        self._rooms.clear()
        self._starts.clear()
        self._sessions.clear()

    def streams(self, room: str) -> list[str]:
        """The names of the streams in a room, sorted."""
        return sorted(self._list(room))

    def segments(self, stream: str) -> list[Segment]:
        """The segments of a stream: sessions in the order they began, each in that of writing."""
        room = next((room for room in ROOMS if f"{stream}/".startswith(f"{room}/")), stream)
        return self._list(room).get(stream, [])

    def session(self, writer: str) -> int:
        """The number of a writer's session, in the order that sessions began."""
        if not self._sessions:
            writers = {segment.writer for segment in self._list("run").get("run", [])}
            known = sorted(writers, key=lambda writer: (self._start(writer), writer))
            self._sessions = {name: number for number, name in enumerate(known)}
        return self._sessions.setdefault(writer, len(self._sessions))

    def recover(self) -> None:
        """Drain the rings of dead processes, once for each listing."""
        folder = self.folder
        self._pending = {}
        self.recovery = None
        if not self._recover or folder is None:
            return
        from ml_dash.buffer.recovery import drain_dead, pending_rows

        if any((folder / ".buffer").glob("*.ring")):
            self.recovery = drain_dead(folder)
            self._pending = pending_rows(folder) if self.recovery.problems else {}

    def unread(self, running: set[str]) -> list[Problem]:
        """Rings that could not be looked into, such as another user's; not those of the running."""
        found = self.recovery.unread.items() if self.recovery is not None else ()
        return [
            Problem(f".buffer/{name}", 0, 0, f"{UNREAD}: {why}")
            for name, why in found
            if Path(name).stem not in running
        ]

    def is_continued(self, unfinished: Problem) -> bool:
        """Whether what was drained from the writer's ring begins with the line that its segment
        ends in the middle of: draining begins there. However short, its place is proof enough.
        """
        segment = Segment(unfinished.path, unfinished.offset + unfinished.size)
        cut = segment.read(self.backend, unfinished.offset, unfinished.size).rstrip(b"\n")
        drained = segment.path.removesuffix(SUFFIX) + f"-r{SUFFIX}"
        return any(
            (other.path == drained and other.read(self.backend, 0, len(cut)) == cut)
            # Where nothing can be written, what was drained is in memory, of all writers together.
            or (other.data is not None and b"\n" + cut in b"\n" + other.data)
            for other in self.segments(segment.stream)
        )

    def live_writers(self) -> set[str]:
        """Writers with a ring whose process lives, as of the listing."""
        if self.folder is None or self.recovery is None or not self.recovery.alive:
            return set()
        if self.recovery.problems:
            return set()  # then some of the rings belong to dead ones
        return {path.stem for path in (self.folder / ".buffer").glob("*.ring")}

    def _list(self, room: str) -> dict[str, list[Segment]]:
        found = self._rooms.get(room)
        if found is None:
            if not self._rooms:
                self.recover()
            found = {}
            for info in self.backend.list(room):
                if info.path.endswith(SUFFIX):
                    segment = Segment(info.path, info.size)
                    found.setdefault(segment.stream, []).append(segment)
            for stream, lines in self._pending.items():
                if f"{stream}/".startswith(f"{room}/"):
                    segments = found.setdefault(stream, [])
                    segments.extend(self._in_memory(stream, lines, segments))
            # Only now: ordering them looks at the room `run`, which may be this one
            self._rooms[room] = found
            for stream, segments in found.items():
                found[stream] = self._ordered(segments)
        return found

    def _in_memory(
        self, stream: str, lines: list[bytes], segments: list[Segment]
    ) -> Iterable[Segment]:
        """A segment of rows that are still in rings, without those that somebody wrote already."""
        written: set[bytes] = set()
        for segment in segments:
            if segment.part >= 1_000_000:
                data = segment.read(self.backend, 0, segment.size)
                written.update(data.splitlines(keepends=True))
        data = b"".join(line for line in lines if line not in written)
        if data:
            yield Segment(f"{stream}/ring-r{SUFFIX}", len(data), data)

    def _ordered(self, segments: list[Segment]) -> list[Segment]:
        if len(segments) < 2:
            return segments
        starts = {writer: self._start(writer) for writer in {s.writer for s in segments}}
        return sorted(segments, key=lambda s: (starts[s.writer], s.writer, s.part))

    def _start(self, writer: str) -> float:
        """When a writer's session began; endless for one that never said so."""
        if writer not in self._starts:
            self._starts[writer] = float("inf")
            segments = (s for s in self._list("run").get("run", []) if s.writer == writer)
            for segment in sorted(segments, key=lambda segment: segment.part):
                blocks = read_blocks(self.backend, segment, Problems())
                first = next((block.timestamps[0] for block in blocks if block.timestamps), None)
                if first is not None:
                    self._starts[writer] = first
                    break
        return self._starts[writer]
