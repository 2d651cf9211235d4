"""Sends the files of a run: asks which are missing, small ones together, large ones in parts.

A file is known by the SHA-256 of its row in the index. The row may come before its file, and a file
may be replaced or removed before it is sent: then it waits, and is told at the end if no later row
explains it.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable, Container, Iterable
from functools import partial
from typing import TYPE_CHECKING

from ml_dash import wire
from ml_dash.backends import LocalBackend
from ml_dash.backends.blobs import CHUNK, BlobFolder
from ml_dash.reading.files import DATA
from ml_dash.sync.entries import Entry, ReplacedError, batches, entry_of, signature, unreadable
from ml_dash.sync.index import IndexReader, keep_latest
from ml_dash.sync.listing import stored_files
from ml_dash.sync.parts import send_large
from ml_dash.sync.sizes import LEAST, Sizes
from ml_dash.sync.trouble import is_cut
from ml_dash.sync.upload_threads import UploadThreads

if TYPE_CHECKING:
    from ml_dash.remote import RemoteClient

GATHERED = 2_000
"""Files that the server is asked about at a time."""

MOST_WAITING = wire.MAX_PIECES  # so that the server can be asked about all in one request
"""Files that are waited for; beyond them the oldest are told at once."""


class FileSender:
    """Sends the files of one run. Remembers what it waits for.

    Args:
        backend: the run's folder.
        client: the server.
        run: the server's id of the run.

    Attributes:
        files: files sent.
        bytes: bytes sent.
        asked: whether the server was asked about any.
    """

    def __init__(self, backend: LocalBackend, client: RemoteClient, run: str) -> None:
        self.asked = False
        self.files = 0
        self.bytes = 0
        self._client = client
        self._path = f"/runs/{run}"
        self._folder = BlobFolder(backend.folder, DATA)
        self._index = IndexReader(backend)
        self._waiting: dict[str, Entry] = {}
        self._given_up: dict[str, str] = {}
        self._missed: dict[str, Entry] = {}  # what the server said it has not, until it has
        self._there: set[str] = set()  # what the server has of the files that are offered now
        self._sizes = Sizes()

    @property
    def taken(self) -> int:
        """Bytes of files that the server has taken, also of those that it has not whole."""
        return self._sizes.taken

    def unsent(self) -> tuple[int, int]:
        """How many files the server is known not to have yet, and bytes of them.

        Without those that could not be sent as they were found. Any thread may ask.
        """
        entries = list(self._missed.values())
        return len(entries), sum(max(0, entry.size - entry.sent) for entry in entries)

    def waiting(self) -> tuple[int, int]:
        """How many files could not be sent as they were found, and their bytes."""
        entries = list(self._waiting.values())
        return len(entries), sum(entry.size for entry in entries)

    def unread(self) -> bool:
        """Whether the index may name files that the server was not asked about."""
        return self._index.unread()

    def problems(self) -> list[str]:
        """What was not sent and is explained by no later row, one sentence a file."""
        if self._waiting:
            self._index.drop_explained(self._waiting)
        found = [f"{entry.path}: {entry.reason}" for entry in self._waiting.values()]
        return [*found, *(f"{path}: {reason}" for path, reason in self._given_up.items())]

    def send(self, progress: Callable[[int], None] | None = None) -> bool:
        """Send what the index names and the server has not; whether anything was sent.

        Args:
            progress: called with the number of files sent, again and again.

        Raises:
            RemoteError: the server does not take them now.
        """
        before, sizes = self.files, self._index.sizes()
        if retry := [entry for entry in self._waiting.values() if self._changed(entry)]:
            self._offer(retry, progress)
        gathered: dict[str, Entry] = {}
        ends: dict[str, int] = {}
        for path, end, changes in self._index.read():
            keep_latest(changes, gathered, self._waiting)
            ends[path] = end
            if len(gathered) >= GATHERED:
                self._offer(gathered.values(), progress)
                self._index.taken(ends)
                gathered, ends = {}, {}
        self._offer(gathered.values(), progress)
        self._index.taken(ends)
        # What is still missed was replaced, or removed, since the server was asked.
        self._missed = {}
        self.asked = True
        self._index.gone_through(sizes)
        return self.files > before

    def send_again(self, hashes: Container[str]) -> None:
        """Send contents that the server's store has lost, those that are whole here.

        Raises:
            RemoteError: the server does not take them now.
        """
        found: dict[str, Entry] = {}
        for _, _, changes in self._index.read(anew=True):  # a lost file may be an old one
            for _, timestamp, line in changes:
                entry = entry_of(line, timestamp) if line is not None else None
                if entry is not None and entry.sha256 in hashes and self._is_whole(entry):
                    found[entry.sha256] = entry
        for entries in batches(found.values()):
            asked = [{"sha256": entry.sha256, "size": entry.size} for entry in entries]
            self._client.json("POST", f"{self._path}/lost/contents", json={"blobs": asked})
            self._offer(entries)

    def _is_whole(self, entry: Entry) -> bool:
        """Whether a file is what its row says: only then the server is asked to give up its own."""
        digest = hashlib.sha256(usedforsecurity=False)
        try:
            with self._folder.open(entry.place) as file:
                while data := file.read(CHUNK):
                    digest.update(data)
            return digest.hexdigest() == entry.sha256
        except (OSError, ValueError):
            return False

    def _changed(self, entry: Entry) -> bool:
        due = not entry.seen or time.monotonic() > entry.again
        return due or entry.seen != self._look(entry.place)

    def _look(self, place: str) -> tuple[int, ...]:
        """What tells one file from another that takes its place; empty when there is none."""
        try:
            with self._folder.open(place) as file:
                return signature(file)
        except (OSError, ValueError):
            return ()

    # -- sending ---------------------------------------------------------------------------------

    def _offer(
        self, entries: Iterable[Entry], progress: Callable[[int], None] | None = None
    ) -> None:
        """Send those of some files that the server has not; what several are, once."""
        same: dict[str, list[Entry]] = {}
        for entry in entries:
            same.setdefault(entry.sha256, []).append(entry)
        if not same:
            return
        missing = self._missing([files[-1] for files in same.values()])
        self.asked = True
        self._there = same.keys() - missing
        self._missed = {sha256: same[sha256][-1] for sha256 in missing}
        left = {sha256: list(same[sha256]) for sha256 in missing}
        while left:  # again, where one was replaced: another may still be what it was
            self._send([files.pop() for files in left.values()], progress)
            left = {
                sha256: files
                for sha256, files in left.items()
                if files and sha256 not in self._there
            }
        for sha256 in self._there:
            for entry in same[sha256]:
                self._waiting.pop(entry.path, None)

    def _send(self, entries: list[Entry], progress: Callable[[int], None] | None) -> None:
        """Send files, of which no two are the same; what cannot be sent is waited for."""
        large = [entry for entry in entries if entry.size > wire.SMALL_BLOB]
        small = [entry for entry in entries if entry.size <= wire.SMALL_BLOB]
        self._sizes.grow()
        with UploadThreads(progress and (lambda: progress(self.files))) as uploads:
            for batch in batches(small, self._sizes.together):
                uploads.submit(partial(self._send_small, batch))
            for entry in large:
                uploads.submit(partial(self._send_large, entry))

    def _missing(self, entries: list[Entry]) -> set[str]:
        """Which of some files the server has not; asked in halves where that is too large."""
        from ml_dash.remote import ForbiddenError, RejectedError
        from ml_dash.remote.answers import field

        asked = [{"sha256": entry.sha256, "size": entry.size} for entry in entries]
        where = f"{self._path}/blobs/missing"
        try:
            answer = self._client.json("POST", where, json={"blobs": asked})
            return set(field(self._client, answer, "missing", list))
        except ForbiddenError:  # a reader, who has nothing to send if all are there
            stored = stored_files(self._client, self._path)
            if any(entry.sha256 not in stored for entry in entries):
                raise
            return set()
        except RejectedError as error:
            if error.code != "too_large" or len(entries) == 1:
                raise
        middle = len(entries) // 2
        return self._missing(entries[:middle]) | self._missing(entries[middle:])

    def _send_small(self, batch: list[Entry], *, again: bool = False) -> None:
        """Send several files in one request; in two where that is too large.

        Args:
            batch: the files.
            again: whether the connection broke the last time.
        """
        from ml_dash.remote import RejectedError, UnreachableError
        from ml_dash.remote.answers import field

        found: list[tuple[Entry, bytes]] = []
        for entry in batch:
            try:
                found.append((entry, self._read(entry)))
            except ReplacedError as error:
                self._wait(entry, str(error))
        if not found:
            return
        pieces = [{"sha256": entry.sha256, "size": len(data)} for entry, data in found]
        body = wire.pack({"pieces": pieces}, [data for _, data in found])
        try:
            answer = self._client.json(
                "POST", f"{self._path}/blobs", body=body, headers={"Content-Type": wire.FRAMES}
            )
            field(self._client, answer, "stored", int)
        except UnreachableError as error:
            if error.kind == "timeout":  # a slow line may get fewer of them through
                self._sizes.lower_together(len(body) // 2)
            if not is_cut(error) or (again and len(body) <= LEAST):
                raise
            self._after_cut([entry for entry, _ in found], len(body), again=again)
            return
        except RejectedError as error:
            if error.code != "too_large":
                raise
            if len(batch) == 1:
                self._send_large(batch[0])  # which can do with smaller requests
                return
            middle = len(batch) // 2
            self._send_small(batch[:middle])
            self._send_small(batch[middle:])
            return
        for entry, data in found:
            self._sizes.took(len(data))
            self._done(entry, len(data))

    def _after_cut(self, entries: list[Entry], size: int, *, again: bool) -> None:
        """Send small files again that were cut off: as they were, the second time in halves."""
        missing = self._missing(entries)  # which fails where the line takes nothing at all
        for entry in entries:
            if entry.sha256 not in missing:
                self._done(entry, entry.size)  # only the answer was lost
        left = [entry for entry in entries if entry.sha256 in missing]
        if not again:
            self._send_small(left, again=True)
        elif len(left) == 1:
            self._send_large(left[0])
        else:
            self._sizes.lower_together(size // 2)
            middle = len(left) // 2
            self._send_small(left[:middle])
            self._send_small(left[middle:])

    def _read(self, entry: Entry) -> bytes:
        """The bytes of a small file.

        Raises:
            ReplacedError: it is not there, or is another one.
        """
        try:
            with self._folder.open(entry.place) as file:
                entry.seen = signature(file)
                data = file.read(wire.SMALL_BLOB + 1)
        except (OSError, ValueError) as error:
            entry.seen = ()
            raise unreadable(error) from None
        if hashlib.sha256(data, usedforsecurity=False).hexdigest() != entry.sha256:
            raise ReplacedError("another file has taken its place")
        return data

    def _send_large(self, entry: Entry) -> None:
        """Send a file in parts, from where an earlier attempt got to."""
        from ml_dash.remote import NotFoundError, RejectedError, UnreachableError

        try:
            file = self._folder.open(entry.place)
        except (OSError, ValueError) as error:
            self._wait(entry, str(unreadable(error)))
            return
        try:
            with file:
                entry.seen, entry.again = signature(file), math.inf
                if os.fstat(file.fileno()).st_size != entry.size:
                    raise ReplacedError("another file has taken its place")
                send_large(self._client, self._path, entry, file, self._sizes)
                self._done(entry, entry.size)
        except ReplacedError as error:
            self._wait(entry, str(error))
        except NotFoundError:
            raise UnreachableError(
                f"the upload of {entry.path!r} was ended by another one; it is looked at again"
            ) from None
        except RejectedError as error:
            if error.code not in ("differs", "parts", "too_large"):
                raise
            why = "it changed while it was sent" if error.code == "differs" else str(error)
            self._wait(entry, why)

    def _done(self, entry: Entry, size: int) -> None:
        self.files += 1
        self.bytes += size
        self._there.add(entry.sha256)
        self._missed.pop(entry.sha256, None)
        self._waiting.pop(entry.path, None)

    def _wait(self, entry: Entry, reason: str) -> None:
        entry.reason = f"not sent: {reason}"
        self._missed.pop(entry.sha256, None)
        self._waiting[entry.path] = entry
        if len(self._waiting) > MOST_WAITING:
            oldest = self._waiting.pop(next(iter(self._waiting)))
            if len(self._given_up) < MOST_WAITING:
                self._given_up[oldest.path] = oldest.reason
