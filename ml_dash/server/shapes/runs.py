"""What the routes answer with that keep projects and runs; see `ml_dash.server.shapes`."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict


class Project(TypedDict):
    """A project."""

    name: str
    created: float


class CountedProject(Project):
    """A project with what is in it: runs, and when one of them last changed."""

    runs: int
    updated: float | None


class Projects(TypedDict):
    """The projects of a namespace, by name."""

    projects: list[CountedProject]


class OneProject(TypedDict):
    """A project, and whether it was made just now."""

    project: Project
    created: bool


class Run(TypedDict):
    """What is known of a run. Times are seconds since 1970."""

    id: str
    client_id: str | None
    namespace: str
    project: str
    name: str
    prefix: str
    status: str
    created: float
    started: float | None
    ended: float | None
    updated: float
    heartbeat: float | None
    duration: float | None
    description: str | None
    tags: list[str]
    bindrs: list[str]
    metadata: dict[str, Any]
    host: str | None
    git: Any
    error: str | None
    params: dict[str, Any]
    metrics: dict[str, Any]
    rows: int
    size: int
    files: int
    file_bytes: int


class OneRun(TypedDict):
    """A run."""

    run: Run


class FoundRun(OneRun):
    """A run, and whether it was made just now."""

    created: bool


class Runs(TypedDict):
    """A page of runs: `next` is the cursor of the next one, `total` is told with the first."""

    runs: list[Run]
    next: str | None
    total: int | None


class HeardOf(TypedDict):
    """What was last heard of a session."""

    session: str
    last_seen: float
    silent: float


class Sessions(TypedDict):
    """What was last heard of each session of a run."""

    sessions: list[HeardOf]


class Params(TypedDict):
    """All parameters of a run by their dotted names."""

    params: dict[str, Any]


class Judged(TypedDict):
    """What became of a piece of an append."""

    segment: str
    state: Literal["taken", "moved", "differs", "refused"]


class Taken(Judged, total=False):
    """The same, with where the segment ends now, and why a piece was not taken."""

    end: int
    reason: str


class Appended(TypedDict):
    """What became of each piece, in their order."""

    pieces: list[Taken]


class Segment(TypedDict):
    """A segment: its length, the CRC-32 of all its bytes, and when it last grew."""

    path: str
    size: int
    crc: int
    rows: int
    updated: float


class Segments(TypedDict):
    """Segments by path; `next` is the cursor of the next page."""

    segments: list[Segment]
    next: str | None


class Stream(TypedDict):
    """A stream: what it has, and from where to where it goes in steps and times."""

    name: str
    rows: int
    size: int
    segments: int
    steps: list[int] | None
    times: list[float] | None
    origin: float | None
    updated: float


class Upload(TypedDict):
    """An upload: how many bytes have come, and how many each part but the last must have."""

    upload: str
    offset: int
    part_size: int


class StoredChunk(TypedDict):
    """Lines of a segment that are stored together: their SHA-256, and how many they are."""

    offset: int
    size: int
    sha256: str
    rows: int
