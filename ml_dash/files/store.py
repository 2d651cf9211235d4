"""A run's files: bytes into their place, rows into the index, in the order of the calls.

- Saves of one path take effect one after the other, as called; so do deletes and duplicates.
- A path names a whole file at any moment: the one before, or the one after a save.
- What the disk refuses is tried again, then counted as lost. It never raises into training.

Handles (`files.py`) turn values into `Saving`s; everything from there on happens here.
"""

from __future__ import annotations

import errno
import os
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from ml_dash import clock, lazy
from ml_dash.backends.blobs import CHUNK, BlobFolder
from ml_dash.backends.folders import LinkError
from ml_dash.buffer import Buffer
from ml_dash.errors import TRANSIENT
from ml_dash.files.index import STREAM, FileIndex, encode_entry, rows_of
from ml_dash.files.saving import JOB, Encode, Encoding, Saving
from ml_dash.files.shelves import DATA, Draft, shelf_of
from ml_dash.files.spool import Spool

T = TypeVar("T")
_TRIES = 3  # reads of a file that another process keeps replacing


class FileStore:
    """The files of one run, as this process writes and reads them. Safe to use from any thread."""

    def __init__(self, buffer: Buffer) -> None:
        self.buffer = buffer
        self._stream = buffer.stream(STREAM)
        self._shelf = shelf_of(buffer.backend)
        self._index = FileIndex()
        self._checked: set[tuple[str, ...]] = set()

    def check(self, parts: tuple[str, ...]) -> None:
        """Refuse a path that leads over a link planted in the run. Looks once at each folder.

        Raises:
            ValueError: it does; or it is too long for this file system.
        """
        folder = parts[:-1]
        if folder not in self._checked or self._shelf.folds_case:
            self._shelf.check(parts)
            if len(self._checked) > 4096:
                self._checked.clear()
            self._checked.add(folder)

    # -- saving ----------------------------------------------------------------------------------

    def queue(self, saving: Saving, size: int, encode: Encode | None = None) -> dict[str, Any]:
        """Save behind the caller's back.

        Args:
            saving: the file; what `encode` returns is its content, where that is given.
            size: the bytes that it holds on to.
            encode: makes the content without any I/O; the caller does it when the queue is full.
        """
        size += JOB
        job = None if encode is None else Encoding(self._try, saving, encode, size)
        taken = self.buffer.submit(saving.path, size, job or (lambda: self._try(saving)))
        if taken and not self.buffer.synchronous:
            return {"status": "queued", "id": saving.id, "path": saving.path}
        return saving.row or {"status": "lost", "id": saving.id, "path": saving.path}

    def save(self, saving: Saving) -> dict[str, Any]:
        """Save before returning. A disk that fails for a while is left to the queue."""
        try:
            with self.buffer.exclusive(saving.path):
                self._write(saving)
        except LinkError as error:
            raise ValueError(f"file {saving.path!r}: {error.strerror}: {error.filename}") from None
        except OSError as error:
            if error.errno in TRANSIENT and not self.buffer.synchronous:
                self.buffer.warn_once(
                    f"file {error.errno}",
                    f"{saving.path!r} is not saved yet, trying again: {error}",
                )
                return self.queue(saving, 0)
            return self._lost(saving, error)
        return saving.row or {}

    def spool(self, saving: Saving, encode: Callable[[Spool], object]) -> dict[str, Any]:
        """Encode now, in the caller, and save: later when it is little, else before returning.

        Raises:
            Exception: whatever `encode` raises.
        """
        lazy.storing()
        with self._shelf.draft(saving.parts) as draft:
            spool = Spool(draft)
            encode(spool)
            if (pieces := spool.content) is not None:
                saving.fill = lambda target: [target.write(piece) for piece in pieces]
                return self.queue(saving, spool.size)
            if spool.error is not None:
                return self._lost(saving, spool.error)
            try:
                with self.buffer.exclusive(saving.path):
                    self._commit(saving, draft, draft.sha256)
            except OSError as error:
                return self._lost(saving, error)
        return saving.row or {}

    def duplicate(self, source: str, saving: Saving) -> dict[str, Any]:
        """Save the content of the file `source` under another path, after both are settled.

        Raises:
            FileNotFoundError: there is no such file.
        """
        self._load()
        try:
            with self.buffer.exclusive(source, saving.path):
                self._share(source, saving)
        except FileNotFoundError:  # also when it is in the index, but somebody removed the file
            raise missing(source) from None
        except OSError as error:
            return self._lost(saving, error)
        return saving.row or {}

    def delete(self, path: str) -> dict[str, Any]:
        """Remove a file, after the saves of it that were called before.

        Raises:
            FileNotFoundError: there is none.
        """
        result = {"id": self.entry(path)["id"], "path": path}
        self.buffer.submit(path, JOB, lambda: self._delete(path))
        return result if self.buffer.synchronous else {"status": "queued", **result}

    def _try(self, saving: Saving) -> None:
        """A job of the pool, which runs it again when the disk fails."""
        try:
            self._write(saving)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - an encoder may raise anything; training goes on
            self._lost(saving, error)

    def _write(self, saving: Saving) -> None:
        with self._shelf.draft(saving.parts) as draft:
            saving.fill(draft)
            self._commit(saving, draft, draft.sha256)

    def _share(self, source: str, saving: Saving) -> None:
        row = self._lookup(source)
        if row is None:
            raise missing(source)
        for key in ("width", "height", "channels", "description", "tags", "metadata"):
            if key in row:
                saving.facts.setdefault(key, row[key])
        with self._shelf.draft(saving.parts) as draft:
            linked = draft.share(str(row["data"]))
            if not linked or self._is_still(row, draft.size):
                self._commit(saving, draft, row["sha256"] if linked else draft.sha256)
                return
        with self._shelf.draft(saving.parts) as draft, self._shelf.open(str(row["data"])) as file:
            draft.copy(file.fileno())
            self._commit(saving, draft, draft.sha256)

    def _is_still(self, row: Mapping[str, Any], size: int) -> bool:
        """Whether what was linked is what its row says: others may have replaced it meanwhile."""
        now = self._lookup(row["path"])
        return now is not None and now["id"] == row["id"] and size == row["size"]

    def _commit(self, saving: Saving, draft: Draft, sha256: str) -> None:
        def announce(place: str) -> None:
            fields = {
                "op": "save",
                "id": saving.id,
                "path": saving.path,
                "data": place,
                "size": draft.size,
                "sha256": sha256,
                **saving.facts,
            }
            saving.row = self._put(fields)

        place = draft.commit(announce)
        if "width" not in saving.facts:  # thousands of frames would take the disk too long
            self.buffer.settle(f"{DATA}/{place}")

    def _put(self, fields: dict[str, Any]) -> dict[str, Any]:
        timestamp = clock.now()
        line = encode_entry(timestamp, fields)
        self._stream.put(line)
        deleted = fields["op"] == "delete"
        self._index.note(fields["path"], timestamp, None if deleted else line)
        return _metadata({"timestamp": timestamp, **fields})

    def _delete(self, path: str) -> None:
        row = self._lookup(path)
        if row is not None:  # else a delete that was called before this one was first
            self._put({"op": "delete", "id": row["id"], "path": path})
            self._shelf.remove(str(row["data"]))

    def _lost(self, saving: Saving, error: Exception) -> dict[str, Any]:
        reason = str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        self.buffer.lose("files", f"{saving.path!r}: {reason}")
        return {"status": "lost", "id": saving.id, "path": saving.path, "error": str(error)}

    # -- reading ---------------------------------------------------------------------------------

    def entry(self, path: str) -> dict[str, Any]:
        """The row of a file, once the saves of it that were called before are done.

        Raises:
            FileNotFoundError: there is none.
        """
        self._load()
        try:
            with self.buffer.exclusive(path):
                row = self._lookup(path)
        except OSError:
            row = self._lookup(path)  # an outage keeps the path busy: what there is so far
        if row is None:
            raise missing(path)
        return _metadata(row)

    def entries(self, prefix: str) -> Iterator[dict[str, Any]]:
        """The rows of the files below `prefix`, by path, once all saves are done."""
        self.buffer.flush()
        self._index.refresh(self.buffer.backend)
        return map(_metadata, self._index.under(prefix))

    def read(self, path: str) -> bytes:
        """The content of a file, checked against its hash.

        Raises:
            FileNotFoundError: there is none.
            OSError: it is damaged.
        """
        return self._verified(path, lambda file, _: file.read(), _digest)

    def fetch(self, path: str, target: Path) -> None:
        """Copy a file out of the run, whole or not at all, checked against its hash.

        Raises:
            FileNotFoundError: there is none.
            OSError: it is damaged, or `target` cannot be written.
        """
        folder = BlobFolder(target.parent)

        def copy(file: BinaryIO, row: Mapping[str, Any]) -> str:
            with folder.draft([target.name]) as draft:
                while data := file.read(CHUNK):
                    draft.write(data)
                if self._is_known(row, draft.sha256):
                    draft.commit()
                return draft.sha256

        self._verified(path, copy, str)

    def _verified(
        self,
        path: str,
        read: Callable[[BinaryIO, Mapping[str, Any]], T],
        digest: Callable[[T], str],
    ) -> T:
        for _ in range(_TRIES):
            row = self.entry(path)
            try:
                with self._shelf.open(str(row["data"])) as file:
                    found = read(file, row)
            except FileNotFoundError:
                continue  # replaced or deleted by another process since
            if self._is_known(row, digest(found)):
                return found
        raise OSError(errno.EIO, "the file is not what was saved (other checksum, or gone)", path)

    def _is_known(self, row: Mapping[str, Any], sha256: str) -> bool:
        """Whether a hash is that of the row, or of another save of its path.

        The latter after a crash between announcing a save and renaming it into place, or when two
        processes save one path at once: the file is whole, only not the one announced last.
        """
        if row["sha256"] == sha256:
            return True
        others = rows_of(self.buffer.backend, row["path"])
        return any(other.get("sha256") == sha256 for other in others)

    def _load(self) -> None:
        """Make sure that the index knows all rows of this process. Not inside a turn at a path:
        what queues behind that would be waited for.
        """
        if self._index.begin():
            self.buffer.flush()

    def _lookup(self, path: str) -> dict[str, Any] | None:
        self._index.refresh(self.buffer.backend)
        return self._index.get(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return store_of, (self.buffer,)


def store_of(buffer: Buffer) -> FileStore:
    """The one store of a buffer: all handles of a run share what it knows of the index."""
    store = _stores.get(id(buffer))
    return store or _stores.setdefault(id(buffer), FileStore(buffer))


# By identity, which nobody else can have while the store holds on to its buffer.
_stores: weakref.WeakValueDictionary[int, FileStore] = weakref.WeakValueDictionary()


def missing(path: str) -> FileNotFoundError:
    """The error for a file that the run does not have."""
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT) + " in this run", path)


def _metadata(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the index as users see it."""
    row.pop("op", None)
    return row


def _digest(data: bytes) -> str:
    from hashlib import sha256  # loaded when the file was looked up

    return sha256(data, usedforsecurity=False).hexdigest()
