"""Where the bytes are: objects by key, in a folder, in memory or in S3 and the like."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError as StoreError
from obstore.store import LocalStore, MemoryStore, S3Store

from ml_dash import ids

AT_ONCE = 24
"""Requests that may wait for the store at a time: fewer than there are threads, so that what the
database alone can answer is answered while the store is silent."""

SILENCE = 3.0
"""Seconds after which a request that waits for the store speaks for its being silent."""

TIMEOUT = timedelta(seconds=20)
"""How long a request waits for the store: clients wait for 30 seconds, and are told before."""

_RETRIES: Any = {"max_retries": 4, "retry_timeout": timedelta(seconds=10)}
_STATUS = re.compile(r"\b([45]\d\d [A-Z][A-Za-z ]{1,40})")
_CODE = re.compile(r"<Code>(\w{1,60})</Code>")


class LostError(OSError):
    """The store has lost or changed bytes that the database knows of."""


class SilentError(StoreError):
    """So many requests wait for the store that no more may."""


def reason(error: BaseException) -> str:
    """What is wrong with a store or a database, in words that hold no secrets: a status, a code.

    Of any other error the type alone: its text may have an address in it, and a password in that.
    """
    text = str(error) if isinstance(error, StoreError) else ""
    found = [match[1].strip() for match in (_STATUS.search(text), _CODE.search(text)) if match]
    below = getattr(error, "orig", None)  # of a driver: PostgreSQL's code, or SQLite's name of it
    code = getattr(below, "sqlstate", None) or getattr(below, "sqlite_errorname", None)
    return ", ".join([type(error).__name__, *found, *([str(code)] if code else [])])


class Gate:
    """Lets some requests wait for a store at once, and turns the others away.

    Args:
        most: how many.
        silence: seconds that the others wait for one of them to end; not at all where one of them
            has waited for longer and none has been answered since. A store that is only slow is
            waited for.
    """

    def __init__(self, most: int = AT_ONCE, silence: float = SILENCE) -> None:
        self._most = most
        self._silence = silence
        self._inside: dict[object, float] = {}
        self._answered = 0.0
        self._changed = threading.Condition()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be one of those that wait.

        Raises:
            SilentError: there are too many.
        """
        key = object()
        with self._changed:
            if len(self._inside) >= self._most:
                heard = max(self._answered, min(self._inside.values()))
                left = max(0.0, heard + self._silence - time.monotonic())
                if not self._changed.wait_for(lambda: len(self._inside) < self._most, left):
                    raise SilentError("too many requests wait for the store")
            self._inside[key] = time.monotonic()
        answered = 0.0
        try:
            yield
            answered = time.monotonic()
        finally:
            with self._changed:
                del self._inside[key]
                self._answered = max(self._answered, answered)
                self._changed.notify()


class ObjectStore:
    """Objects that are written once and never changed.

    Args:
        url: `file:///folder`, `memory://`, or `s3://bucket/prefix`.
        endpoint: of the S3 server, where it is not Amazon's.
        region: of the bucket.
    """

    def __init__(self, url: str, *, endpoint: str = "", region: str = "") -> None:
        self.url = url
        self._store = _open(url, endpoint, region)
        self._gate = Gate()

    def put(self, key: str, data: bytes) -> None:
        """Write an object; it is there whole when this returns."""
        with self._gate.entered():
            obstore.put(self._store, key, data)

    def get(self, key: str, offset: int = 0, size: int | None = None) -> bytes:
        """Bytes of an object.

        Raises:
            FileNotFoundError: there is none.
            LostError: it ends before those bytes.
        """
        if size == 0:
            return b""
        with self._gate.entered():
            return self._get(key, offset, size)

    def _get(self, key: str, offset: int, size: int | None) -> bytes:
        if size is None:
            return bytes(obstore.get(self._store, key).bytes())[offset:]
        try:
            return bytes(obstore.get_range(self._store, key, start=offset, length=size))
        except StoreError:
            if obstore.head(self._store, key)["size"] < offset + size:
                raise LostError(f"the object {key!r} is shorter than it was") from None
            raise  # the store is away

    def size(self, key: str) -> int:
        """How many bytes an object has; -1 where there is none."""
        with self._gate.entered():
            try:
                return int(obstore.head(self._store, key)["size"])
            except FileNotFoundError:
                return -1

    def delete(self, keys: list[str]) -> None:
        """Remove objects; those that are not there count as removed."""
        for key in keys:
            try:
                with self._gate.entered():
                    obstore.delete(self._store, key)
            except FileNotFoundError:
                pass  # removed by another process

    def list(self, prefix: str = "") -> Iterator[tuple[str, int, float]]:
        """Every object below a prefix: key, size, and when it was written."""
        batches = iter(obstore.list(self._store, prefix or None))
        while True:
            with self._gate.entered():
                batch = next(batches, None)
            if batch is None:
                return
            for meta in batch:
                yield meta["path"], meta["size"], meta["last_modified"].timestamp()

    def of_run(self, run_id: str) -> dict[str, int]:
        """How many bytes each object of a run has."""
        return {key: size for key, size, _ in self.list(f"runs/{run_id}")}

    def ping(self) -> None:
        """Raise unless the store takes and gives an object."""
        key = f"probe/{ids.new_id()}"
        self.put(key, str(time.time()).encode())
        self.get(key)
        self.delete([key])


def _open(url: str, endpoint: str, region: str) -> LocalStore | MemoryStore | S3Store:
    parts = urlsplit(url)
    if parts.scheme == "file":
        folder = Path(unquote(parts.path))
        folder.mkdir(parents=True, exist_ok=True)
        return LocalStore(folder)
    if parts.scheme == "memory":
        return MemoryStore()
    if parts.scheme == "s3":
        options: dict[str, str] = {}
        if endpoint:
            options["endpoint"] = endpoint
        if region:
            options["region"] = region
        return S3Store(
            parts.netloc,
            prefix=parts.path.strip("/") or None,
            config=options,  # type: ignore[arg-type]  # a TypedDict of the same keys
            client_options={"allow_http": endpoint.startswith("http://"), "timeout": TIMEOUT},
            retry_config=_RETRIES,
        )
    raise ValueError(f"the store {url!r} is none; use s3://bucket/prefix or file:///folder")
