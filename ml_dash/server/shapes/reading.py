"""What the routes answer with that read streams and files; see `ml_dash.server.shapes`."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict


class Bucket(TypedDict):
    """A column of a chart, as arrays of one length; `null` where a bucket has no finite value."""

    x: list[float]
    min: list[float | None]
    max: list[float | None]
    mean: list[float | None]
    count: list[int]
    nonfinite: list[int]


class Curve(Bucket, total=False):
    """The same; of several lines, the places at which they begin, and what they are."""

    passes: list[int]
    names: list[str]


class Chart(TypedDict):
    """What is drawn of a stream, by column."""

    x: Literal["step", "time", "relative"]
    origin: float
    exact: bool
    columns: dict[str, Curve]


class Index(TypedDict):
    """Entries of a stream, as columns of one length."""

    first: int
    count: int
    total: int
    columns: dict[str, list[Any]]


class At(TypedDict):
    """By stream the row at a place; none where a stream has nothing up to there."""

    streams: dict[str, dict[str, Any] | None]


class Logs(TypedDict):
    """Messages, the newest first; `next` is the cursor of those before."""

    rows: list[dict[str, Any]]
    next: str | None


class Camera(TypedDict):
    """A folder of images: how many, and from where to where they go in steps and times."""

    name: str
    count: int
    steps: list[int] | None
    times: list[float]
    origin: float | None


class Cameras(TypedDict):
    """The cameras of a run."""

    cameras: list[Camera]


class Frames(TypedDict):
    """Frames of a camera in order of time, as columns of one length; `count` is that of all."""

    camera: str
    count: int
    names: list[str]
    steps: list[int | None]
    timestamps: list[float]
    sha256: list[str | None]
    types: list[Any]
    last: str | None
    next: str | None


class File(TypedDict):
    """The row of a file in the index, with all else that it has, and whether its bytes are here."""

    path: str
    data: str
    timestamp: float
    stored: bool


class Files(TypedDict):
    """Files by path; `next` is the cursor of the next page."""

    files: list[File]
    next: str | None


class Folder(TypedDict):
    """A folder of files, with what is below it."""

    name: str
    files: int
    size: int


class Inside(Files):
    """What is in a folder."""

    folders: list[Folder]
