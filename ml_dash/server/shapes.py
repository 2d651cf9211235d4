"""What the routes answer with, field by field, for the OpenAPI document.

The routes build their answers as plain objects: lists of runs and the answers to appends are made
often, and checking each of them costs more than making it. Tests hold them against these types.
"""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict

from ml_dash.server.oauth_shapes import AccessToken, DeviceGrant, Discovery
from ml_dash.server.reading_shapes import (
    At,
    Cameras,
    Chart,
    Files,
    Frames,
    Index,
    Inside,
    Logs,
)
from ml_dash.wire import API

_RUN = f"{API}/runs/{{run}}"
_NAMESPACE = f"{API}/namespaces/{{namespace}}"

Role = Literal["reader", "writer", "owner"]
Kind = Literal["personal", "team"]


class Namespace(TypedDict):
    """A namespace as one of its members sees it."""

    name: str
    kind: Kind
    role: Role


class DatedNamespace(Namespace):
    """A namespace that is shown alone."""

    created: float


class Member(TypedDict):
    """Who has which role."""

    user: str
    role: Role


class Caller(TypedDict):
    """The user who asks."""

    id: str
    name: str
    admin: bool


class Using(TypedDict):
    """The token that is asked with; no token where a page of the server asks."""

    id: str | None
    kind: str
    scopes: list[str]
    expires: float | None


class Me(TypedDict):
    """Who asks, and what they may."""

    user: Caller
    own: str
    namespaces: list[Namespace]
    token: Using


class Namespaces(TypedDict):
    """The namespaces that somebody is a member of."""

    namespaces: list[Namespace]


class OneNamespace(TypedDict):
    """A namespace that was made or changed."""

    namespace: Namespace


class NamespaceAndMembers(TypedDict):
    """A namespace and who is in it."""

    namespace: DatedNamespace
    members: list[Member]


class Members(TypedDict):
    """Who is in a namespace."""

    members: list[Member]


class User(TypedDict):
    """A user as an administrator sees them."""

    id: str
    name: str
    admin: bool
    disabled: bool
    created: float


class Users(TypedDict):
    """All users."""

    users: list[User]


class OneUser(TypedDict):
    """A user that was changed."""

    user: User


class Link(TypedDict):
    """The path of a link with which a user sets a password, once."""

    link: str


class MadeUser(OneUser, Link):
    """A user that was made, and their link."""


class Token(TypedDict):
    """An API token, without its text."""

    id: str
    name: str
    kind: str
    scopes: list[str]
    created: float
    expires: float | None
    used: float | None


class Tokens(TypedDict):
    """The tokens of a user that are good."""

    tokens: list[Token]


class MadeToken(Token):
    """A token that was made; its text is told this once."""

    token: str


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


SHAPES: dict[tuple[str, str], Any] = {
    ("get", f"{API}/me"): Me,
    ("get", f"{API}/namespaces"): Namespaces,
    ("post", f"{API}/namespaces"): OneNamespace,
    ("get", _NAMESPACE): NamespaceAndMembers,
    ("patch", _NAMESPACE): OneNamespace,
    ("get", f"{_NAMESPACE}/members"): Members,
    ("put", f"{_NAMESPACE}/members/{{user}}"): Member,
    ("get", f"{_NAMESPACE}/projects"): Projects,
    ("post", f"{_NAMESPACE}/projects"): OneProject,
    ("get", f"{API}/users"): Users,
    ("post", f"{API}/users"): MadeUser,
    ("patch", f"{API}/users/{{user}}"): OneUser,
    ("post", f"{API}/users/{{user}}/link"): Link,
    ("get", f"{API}/tokens"): Tokens,
    ("post", f"{API}/tokens"): MadeToken,
    ("get", f"{API}/runs"): Runs,
    ("post", f"{API}/runs"): FoundRun,
    ("get", _RUN): OneRun,
    ("patch", _RUN): OneRun,
    ("get", f"{_RUN}/params"): Params,
    ("post", f"{_RUN}/append"): Appended,
    ("get", f"{_RUN}/segments"): Segments,
    ("get", f"{_RUN}/segments/{{path}}"): list[StoredChunk],
    ("get", f"{_RUN}/streams"): list[Stream],
    ("get", f"{_RUN}/streams/{{name}}/chart"): Chart,
    ("get", f"{_RUN}/streams/{{name}}/index"): Index,
    ("get", f"{_RUN}/at"): At,
    ("get", f"{_RUN}/logs"): Logs,
    ("get", f"{_RUN}/frames"): Cameras,
    ("get", f"{_RUN}/frames/{{camera}}"): Frames,
    ("get", f"{_RUN}/files"): Files,
    ("get", f"{_RUN}/folders"): Inside,
    ("post", f"{_RUN}/uploads"): Upload,
    ("get", "/.well-known/oauth-authorization-server"): Discovery,
    ("post", "/oauth/device_authorization"): DeviceGrant,
    ("post", "/oauth/token"): AccessToken,
}
"""What the good answers of a route look like."""
