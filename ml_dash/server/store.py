"""Where the bytes are: objects by key, in a folder, in memory or in S3 and the like."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError as StoreError
from obstore.store import LocalStore, MemoryStore, S3Store

from ml_dash import ids


class LostError(OSError):
    """The store has lost or changed bytes that the database knows of."""


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

    def put(self, key: str, data: bytes) -> None:
        """Write an object; it is there whole when this returns."""
        obstore.put(self._store, key, data)

    def get(self, key: str, offset: int = 0, size: int | None = None) -> bytes:
        """Bytes of an object.

        Raises:
            FileNotFoundError: there is none.
            LostError: it ends before those bytes.
        """
        if size is None:
            return bytes(obstore.get(self._store, key).bytes())[offset:]
        if size == 0:
            return b""
        try:
            return bytes(obstore.get_range(self._store, key, start=offset, length=size))
        except StoreError:
            if obstore.head(self._store, key)["size"] < offset + size:
                raise LostError(f"the object {key!r} is shorter than it was") from None
            raise  # the store is away

    def delete(self, keys: list[str]) -> None:
        """Remove objects; those that are not there count as removed."""
        for key in keys:
            try:
                obstore.delete(self._store, key)
            except FileNotFoundError:
                pass  # removed by another process

    def list(self, prefix: str = "") -> Iterator[tuple[str, int, float]]:
        """Every object below a prefix: key, size, and when it was written."""
        for batch in obstore.list(self._store, prefix or None):
            for meta in batch:
                yield meta["path"], meta["size"], meta["last_modified"].timestamp()

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
            client_options={"allow_http": endpoint.startswith("http://")},
        )
    raise ValueError(f"the store {url!r} is none; use s3://bucket/prefix or file:///folder")
