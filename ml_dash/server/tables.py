"""The tables of the server's database.

What is folded from the segments of a run (its status, tags, last values, files) is a view of them:
kept here to be found and sorted by, and made again from the segments when it must.
Times are seconds since 1970. Ids are snowflakes as text.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

ID = String(20)
NAME = String(255)
KEY = String(1100)
DIGEST = String(64)
Big = BigInteger().with_variant(Integer(), "sqlite")


class Table(DeclarativeBase):
    """What all tables have in common."""

    type_annotation_map = {dict[str, Any]: JSON, list[str]: JSON}  # noqa: RUF012 - read by SQLAlchemy


class User(Table):
    """A person, or a machine that logs in as one."""

    __tablename__ = "users"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    name: Mapped[str] = mapped_column(NAME, unique=True)
    password: Mapped[str | None] = mapped_column(String(255))
    admin: Mapped[bool] = mapped_column(Boolean, default=False)
    disabled: Mapped[bool] = mapped_column(Boolean, default=False)
    created: Mapped[float] = mapped_column(Float)


class Namespace(Table):
    """What projects are kept in: one for each user, and those of teams."""

    __tablename__ = "namespaces"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    name: Mapped[str] = mapped_column(String(39), unique=True)
    owner_id: Mapped[str | None] = mapped_column(ForeignKey("users.id"), unique=True)
    """The user whose own it is; none for a team's."""
    created: Mapped[float] = mapped_column(Float)


class Member(Table):
    """Who may do what in a namespace."""

    __tablename__ = "members"
    namespace_id: Mapped[str] = mapped_column(
        ForeignKey("namespaces.id", ondelete="CASCADE"), primary_key=True
    )
    user_id: Mapped[str] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    role: Mapped[str] = mapped_column(String(10))
    """`reader`, `writer` or `owner`."""


class Project(Table):
    """Runs that belong together."""

    __tablename__ = "projects"
    __table_args__ = (UniqueConstraint("namespace_id", "name"),)
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    namespace_id: Mapped[str] = mapped_column(ForeignKey("namespaces.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(NAME)
    created: Mapped[float] = mapped_column(Float)


class Secret(Table):
    """A token, a session of a browser or a one-time link: its hash, and what it allows.

    `kind` is `access`, `refresh`, `api`, `session` or `link`. Tokens of one login share a `family`,
    which is revoked as a whole when a refresh token is used twice.
    """

    __tablename__ = "secrets"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    hash: Mapped[str] = mapped_column(DIGEST, unique=True)
    kind: Mapped[str] = mapped_column(String(10))
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    family: Mapped[str] = mapped_column(ID, index=True)
    name: Mapped[str | None] = mapped_column(NAME)
    scopes: Mapped[list[str]]
    csrf: Mapped[str | None] = mapped_column(DIGEST)
    created: Mapped[float] = mapped_column(Float)
    expires: Mapped[float | None] = mapped_column(Float)
    used: Mapped[float | None] = mapped_column(Float)
    """When it was last used; of a refresh token, when it was exchanged."""
    revoked: Mapped[float | None] = mapped_column(Float)


class DeviceGrant(Table):
    """A device that waits for its user to let it in (RFC 8628)."""

    __tablename__ = "device_grants"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    device_hash: Mapped[str] = mapped_column(DIGEST, unique=True)
    user_code_hash: Mapped[str] = mapped_column(DIGEST, unique=True)
    client: Mapped[str] = mapped_column(NAME)
    scopes: Mapped[list[str]]
    interval: Mapped[float] = mapped_column(Float)
    polled: Mapped[float | None] = mapped_column(Float)
    state: Mapped[str] = mapped_column(String(10), default="waiting")
    """`waiting`, `granted`, `denied` or `used`."""
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    created: Mapped[float] = mapped_column(Float)
    expires: Mapped[float] = mapped_column(Float)


class Attempt(Table):
    """A guess that failed, counted to slow down those who guess."""

    __tablename__ = "attempts"
    __table_args__ = (Index("attempts_of", "subject", "at"),)
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    subject: Mapped[str] = mapped_column(String(300))
    """What was guessed at and by whom, such as `password:anna` or `code:10.0.0.7`."""
    at: Mapped[float] = mapped_column(Float)


class Run(Table):
    """One run; all but the first five columns is folded from its segments."""

    __tablename__ = "runs"
    __table_args__ = (
        UniqueConstraint("project_id", "name"),
        Index("runs_by_start", "project_id", "started"),
    )
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(KEY)
    client_id: Mapped[str] = mapped_column(String(64), default="")
    created: Mapped[float] = mapped_column(Float)
    updated: Mapped[float] = mapped_column(Float, index=True)
    """When something last arrived, by the server's clock."""
    status: Mapped[str] = mapped_column(String(20), default="INTERRUPTED", index=True)
    """Once it lives no longer; see `lives_until`."""
    started: Mapped[float | None] = mapped_column(Float)
    ended: Mapped[float | None] = mapped_column(Float)
    heartbeat: Mapped[float | None] = mapped_column(Float)
    """When one of its sessions last gave a sign of life, by the server's clock."""
    active: Mapped[float] = mapped_column(Float, default=0.0)
    """Seconds that its sessions went on, by their own clocks, up to that sign; without pauses."""
    lives_until: Mapped[float | None] = mapped_column(Float)
    """Until then a session that did not end is taken to live, so that the run is RUNNING."""
    rows: Mapped[int] = mapped_column(Big, default=0)
    size: Mapped[int] = mapped_column(Big, default=0)
    """Bytes of the rows."""
    files: Mapped[int] = mapped_column(Big, default=0)
    file_bytes: Mapped[int] = mapped_column(Big, default=0)
    """Bytes of the files."""
    compacted: Mapped[float | None] = mapped_column(Float)
    """When its chunks were last put together, by the server's clock."""
    # Those that may be long come last, so that a scan by the others does not read them
    description: Mapped[str | None] = mapped_column(Text)
    tags: Mapped[list[str]] = mapped_column(JSON, default=list)
    bindrs: Mapped[list[str]] = mapped_column(JSON, default=list)
    details: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    """What else is told of it: metadata, host, git, error."""
    params: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    metrics: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    folded: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    """What the fold must remember: its sessions, and the time of each value."""


class RunTag(Table):
    """A tag of a run, to find runs by."""

    __tablename__ = "run_tags"
    __table_args__ = (Index("runs_by_tag", "tag", "run_id"),)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    tag: Mapped[str] = mapped_column(String(200), primary_key=True)


class RunValue(Table):
    """A value of a run, to find and to sort runs by.

    Its key is `params.lr`, `metrics.train.loss`, `metadata.robot`, `git.commit`, `host` or `error`.
    """

    __tablename__ = "run_values"
    __table_args__ = (Index("runs_by_key", "key", "run_id"),)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(String(300), primary_key=True)
    number: Mapped[float | None] = mapped_column(Float)
    text: Mapped[str | None] = mapped_column(String(1000))
    """What is no number; of truth values `true` and `false`, beside 1 and 0."""


class Segment(Table):
    """A segment of a run: where it ends, and the proof of that."""

    __tablename__ = "segments"
    __table_args__ = (UniqueConstraint("run_id", "path"),)
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    path: Mapped[str] = mapped_column(KEY)
    stream: Mapped[str] = mapped_column(KEY)
    size: Mapped[int] = mapped_column(Big, default=0)
    crc: Mapped[int] = mapped_column(Big, default=0)
    """CRC-32 of all its bytes."""
    tail: Mapped[bytes] = mapped_column(LargeBinary, default=b"")
    """Its last `wire.TAIL` bytes."""
    rows: Mapped[int] = mapped_column(Big, default=0)
    chunks: Mapped[int] = mapped_column(Big, default=0)
    """How many it has that were never put together with others."""
    first_step: Mapped[int | None] = mapped_column(Big)
    last_step: Mapped[int | None] = mapped_column(Big)
    first_time: Mapped[float | None] = mapped_column(Float)
    last_time: Mapped[float | None] = mapped_column(Float)
    updated: Mapped[float] = mapped_column(Float)


class Chunk(Table):
    """Consecutive whole lines of a segment, and where their bytes are."""

    __tablename__ = "chunks"
    segment_id: Mapped[str] = mapped_column(
        ForeignKey("segments.id", ondelete="CASCADE"), primary_key=True
    )
    offset: Mapped[int] = mapped_column(Big, primary_key=True)
    size: Mapped[int] = mapped_column(Big)
    first_row: Mapped[int] = mapped_column(Big)
    """How many rows of the segment come before it."""
    rows: Mapped[int] = mapped_column(Big)
    first_step: Mapped[int | None] = mapped_column(Big)
    last_step: Mapped[int | None] = mapped_column(Big)
    first_time: Mapped[float | None] = mapped_column(Float)
    last_time: Mapped[float | None] = mapped_column(Float)
    """Least and greatest step and time, not those of the first and last row."""
    ordered: Mapped[bool] = mapped_column(Boolean, default=True)
    """Whether its rows lie in order of time."""
    sha256: Mapped[str] = mapped_column(DIGEST)
    """Of its bytes, not compressed."""
    object_key: Mapped[str] = mapped_column(String(200), index=True)
    object_offset: Mapped[int] = mapped_column(Big)
    object_size: Mapped[int] = mapped_column(Big)
    """Of its bytes in the object. Fewer than `size`: compressed by Zstandard; else as they are."""


class File(Table):
    """The latest row of each path in the index of a run's files."""

    __tablename__ = "files"
    __table_args__ = (Index("files_by_place", "run_id", "place"),)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    path: Mapped[str] = mapped_column(KEY, primary_key=True)
    timestamp: Mapped[float] = mapped_column(Float)
    place: Mapped[str | None] = mapped_column(KEY)
    """Where the client keeps it, below `files/data`; none once it is deleted."""
    sha256: Mapped[str | None] = mapped_column(DIGEST)
    size: Mapped[int] = mapped_column(Big, default=0)
    step: Mapped[int | None] = mapped_column(Big)
    row: Mapped[dict[str, Any]]


class Blob(Table):
    """The content of a file of a run, whole: parts of it, one after another."""

    __tablename__ = "blobs"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    sha256: Mapped[str] = mapped_column(DIGEST, primary_key=True)
    size: Mapped[int] = mapped_column(Big)
    parts: Mapped[list[str]]
    """Keys of objects; all but the last are of `part_size` bytes."""
    part_size: Mapped[int] = mapped_column(Big)
    object_offset: Mapped[int] = mapped_column(Big, default=0)
    """Where it begins in its object, which small ones share."""
    created: Mapped[float] = mapped_column(Float)


class Upload(Table):
    """A large file on its way."""

    __tablename__ = "uploads"
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    sha256: Mapped[str] = mapped_column(DIGEST)
    size: Mapped[int] = mapped_column(Big)
    part_size: Mapped[int] = mapped_column(Big)
    received: Mapped[int] = mapped_column(Big, default=0)
    parts: Mapped[list[str]]
    created: Mapped[float] = mapped_column(Float)
    touched: Mapped[float] = mapped_column(Float)


class Garbage(Table):
    """An object that nothing needs any longer; readers may still be about to read it.

    A key that ends in a slash means all objects below it: those of a run that was deleted.
    """

    __tablename__ = "garbage"
    object_key: Mapped[str] = mapped_column(String(200), primary_key=True)
    since: Mapped[float] = mapped_column(Float)


class Lease(Table):
    """Work that one process does for all, until its time is over."""

    __tablename__ = "leases"
    name: Mapped[str] = mapped_column(NAME, primary_key=True)
    until: Mapped[float] = mapped_column(Float)
