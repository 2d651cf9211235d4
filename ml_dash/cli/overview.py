"""What a run holds, counted: its streams, files and bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.names import ROOMS, topic_of

if TYPE_CHECKING:
    from ml_dash.reading import RunView
    from ml_dash.reading.status import Session


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """One stream of a run.

    Attributes:
        name: as on disk, such as `tracks/robot/position`.
        shown: as the user named it.
        rows: how many it has.
        size: bytes of its segments.
        writers: how many processes wrote it.
        span: its first and last timestamp.
    """

    name: str
    shown: str
    rows: int
    size: int
    writers: int
    span: tuple[float, float] | None

    def to_json(self) -> dict[str, Any]:
        """The facts as plain JSON types."""
        first, last = self.span or (None, None)
        seconds = (last or 0.0) - (first or 0.0)
        kind, _, topic = self.shown.partition("/")
        return {
            "stream": self.name,
            **({"kind": kind, "topic": topic} if kind in ("tracks", "metrics") else {}),
            "rows": self.rows,
            "size": self.size,
            "writers": self.writers,
            "first": first,
            "last": last,
            "rate": (self.rows - 1) / seconds if seconds > 0 else None,
        }


class Details(NamedTuple):
    """What was said of a run."""

    description: str
    tags: list[str]
    bindrs: list[str]
    metadata: Mapping[str, Any]


@dataclass(slots=True)
class FolderFacts:
    """The files directly in one folder: how many, and their bytes."""

    count: int = 0
    size: int = 0


@dataclass(slots=True)
class Overview:
    """Everything that `ml-dash show` tells of a run beside what it is.

    Attributes:
        streams: in the order of their names, those of one kind together.
        folders: by the folder's path, `""` for the top.
        sizes: bytes on disk by the run's own folders: `logs`, `tracks`, `files`, …
        environment: of the session that recorded one last.
    """

    streams: list[StreamFacts] = field(default_factory=list)
    folders: dict[str, FolderFacts] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """All bytes on disk."""
        return sum(self.sizes.values())

    @property
    def file_count(self) -> int:
        """How many files there are."""
        return sum(folder.count for folder in self.folders.values())

    @property
    def file_size(self) -> int:
        """The bytes of the files there are, as the index tells."""
        return sum(folder.size for folder in self.folders.values())

    def to_json(self) -> dict[str, Any]:
        """The overview as plain JSON types."""
        return {
            "size": self.size,
            "sizes": self.sizes,
            "streams": [stream.to_json() for stream in self.streams],
            "files": {
                "count": self.file_count,
                "size": self.file_size,
                "folders": {
                    name: {"count": folder.count, "size": folder.size}
                    for name, folder in self.folders.items()
                },
            },
            "environment": self.environment,
        }


def look_over(view: RunView, progress: Callable[[str], None]) -> Overview:
    """Count everything in a run; reads all its rows once.

    Args:
        view: the run.
        progress: told what is being read.
    """
    found = Overview(sizes=sizes_of(view))
    for session in view.sessions:
        found.environment = session.environment or found.environment
    found.streams = _streams(view, progress)
    progress("files")
    folders: dict[str, FolderFacts] = {}
    for row in view.files.list():
        folder = folders.setdefault(str(row["path"]).rpartition("/")[0], FolderFacts())
        folder.count += 1
        folder.size += _whole(row.get("size"))
    found.folders = dict(sorted(folders.items()))
    return found


def details_of(view: RunView) -> Details:
    """What was said of a run. A row may hold anything: what makes no sense is left out."""
    said = view.life.details
    description, metadata = said.get("description"), said.get("metadata")
    return Details(
        description if isinstance(description, str) else "",
        texts(said.get("tags")),
        texts(said.get("bindrs")),
        metadata if isinstance(metadata, Mapping) else {},
    )


def texts(value: object) -> list[str]:
    """The items of a list as texts, none of anything else."""
    return [str(item) for item in value] if isinstance(value, list) else []


def sizes_of(view: RunView) -> dict[str, int]:
    """The bytes on disk of each of the run's own folders; not those of runs below it."""
    backend = view.source.backend
    found = {room: sum(info.size for info in backend.list(room)) for room in sorted(ROOMS)}
    return {room: size for room, size in found.items() if size}


def seconds_of(sessions: Iterable[Session], now: float) -> float:
    """For how long at least one session of a run went on, up to now where it still does."""
    from ml_dash.reading.status import RUNNING, active_seconds

    return active_seconds(
        (one.start, now + one.ahead if one.status == RUNNING else one.end or one.last_seen)
        for one in sessions
    )


def _streams(view: RunView, progress: Callable[[str], None]) -> list[StreamFacts]:
    from ml_dash.reading import Stream
    from ml_dash.reading.source import ROOMS as STREAMS

    found = []
    for room in STREAMS:
        for name in view.source.streams(room):
            progress(name)
            stream = Stream(view.source, name)
            segments = stream.segments
            found.append(
                StreamFacts(
                    name=name,
                    shown=f"{room}/{topic_of(name)}" if room in ("tracks", "metrics") else name,
                    rows=stream.count(),
                    size=sum(segment.size for segment in segments),
                    writers=len({segment.writer for segment in segments}),
                    span=stream.span(),
                )
            )
    return found


def _whole(value: object) -> int:
    return value if type(value) is int and value >= 0 else 0
