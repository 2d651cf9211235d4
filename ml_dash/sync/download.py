"""Copies a run of a server into a folder: the same segments, byte for byte, and the same files."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ml_dash import wire
from ml_dash.backends import LocalBackend
from ml_dash.backends.blobs import CHUNK, BlobFolder, Draft
from ml_dash.backends.http import DATA, HttpBackend
from ml_dash.remote.errors import BusyError, UnreachableError
from ml_dash.sync.listing import local_crc, stored_segments, way_back
from ml_dash.sync.origin import Origin, keep_origin
from ml_dash.sync.trouble import BackOff, is_refusal

if TYPE_CHECKING:
    from ml_dash.remote import RemoteClient

T = TypeVar("T")

PIECE = 8 << 20
"""Bytes asked for at once."""

PATIENCE = 60.0
"""Seconds without any progress after which it is given up."""

FAULT = 10.0
"""The same for bytes that a server, which answers otherwise, has an error with."""


class DownloadError(RuntimeError):
    """Why a run cannot be downloaded to a place; one sentence."""


@dataclass(slots=True)
class DownloadReport:
    """What a download brought.

    Attributes:
        segments: that were fetched.
        files: likewise.
        bytes: of both.
        kept: segments and files that were there already.
        missing: files that the index names and the server has not got.
        damaged: files of which the server gives other bytes than were saved, or none.
    """

    segments: int = 0
    files: int = 0
    bytes: int = 0
    kept: int = 0
    missing: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()


class _LostError(Exception):
    """The server does not give bytes that it should have."""


def download(
    run: str,
    client: RemoteClient,
    folder: Path,
    progress: Callable[[DownloadReport], object] | None = None,
    *,
    prefix: str | None = None,
    sleep: Callable[[float], object] = time.sleep,
) -> DownloadReport:
    """Copy a run into a folder. What is there and agrees stays; a second time brings what is new.

    Each file is whole or absent, and what makes the folder a run comes last: one that was broken
    off is no run yet. The folder notes where the run came from, for whoever sends it back.

    Args:
        run: its id on the server.
        client: the server.
        folder: where to; made where there is none.
        progress: called again and again while it goes on.
        prefix: its whole prefix on the server; asked for by default.
        sleep: waits so many seconds before another attempt.

    Raises:
        DownloadError: the folder has another history, or what came is not what the server has.
        OSError: the folder cannot be written.
        RemoteError: the server does not give it, in spite of several attempts.
    """
    if any((folder / ".buffer").glob("*.ring")):
        raise DownloadError(f"{folder} is where the run is recorded: it has what there is")
    return _Download(run, client, folder, progress, sleep).all(prefix)


class _Download:
    def __init__(
        self,
        run: str,
        client: RemoteClient,
        folder: Path,
        progress: Callable[[DownloadReport], object] | None,
        sleep: Callable[[float], object],
    ) -> None:
        self.report = DownloadReport()
        self._remote = HttpBackend(client, run)
        self._client = client
        self._local = LocalBackend(folder)
        self._folder = folder
        self._progress = progress
        self._sleep = sleep
        self._path = f"/runs/{self._remote.run}"
        self._ahead = True  # whether several files are asked for at once

    def all(self, prefix: str | None) -> DownloadReport:
        path = self._path
        if prefix is None:
            found = self._patiently(lambda: self._client.json("GET", path))
            prefix = str(found["run"]["prefix"])
        origin = Origin(self._client.url, prefix)
        is_new = not any(self._local.list("run"))
        segments = self._patiently(lambda: list(stored_segments(self._client, path)))
        segments.sort(key=lambda segment: segment[0].startswith("run/"))
        first = sum(not place.startswith("run/") for place, *_ in segments)
        try:
            self._segments(segments[:first])
            self._files()
            if is_new:  # before it is a run
                keep_origin(self._folder, origin)
            self._segments(segments[first:])
        except _LostError as error:
            raise DownloadError(f"{error}: {way_back(prefix)}") from None
        if not is_new:  # known by now to be the same run
            keep_origin(self._folder, origin)
        self._write_views()
        return self.report

    def _write_views(self) -> None:
        """Make `run.json` and `params.json` of a run that has ended, as its end has made them."""
        from ml_dash.reading import RunView, write_views
        from ml_dash.reading.status import RUNNING

        if RunView(self._local, recover=False).status != RUNNING:
            write_views(self._folder)

    def _segments(self, segments: list[tuple[str, int, int]]) -> None:
        for place, size, crc in segments:
            self._segment(place, size, crc)

    def _segment(self, path: str, size: int, crc: int) -> None:
        try:
            wire.check_segment(path)
        except wire.WireError as error:
            raise DownloadError(f"the server names a segment that is none: {error}") from None
        before = self._local.size(path)
        if before and before >= size:
            if local_crc(self._local, path, size) != crc:
                raise DownloadError(f"{path} in {self._folder} has another history")
            self.report.kept += 1
            return
        found = 0
        with self._draft(path) as draft:
            for data in self._pieces(path, size):
                found = zlib.crc32(data, found)
                draft.write(data)
                begin = draft.size - len(data)
                # The shorter copy must be how this one begins, else it is not ours to replace
                if begin < before:
                    held = self._local.read(path, begin, min(len(data), before - begin))
                    if not data.startswith(held):
                        raise DownloadError(f"{path} in {self._folder} has another history")
            if draft.size != size or found != crc:
                raise _LostError(f"{path} did not come as the server has it")
            draft.commit()
        self.report.segments += 1

    def _files(self) -> None:
        missing: list[str] = []
        damaged: list[str] = []
        rows = self._patiently(lambda: list(self._remote.files()))
        for row in rows:
            place = row.get("data")
            if not isinstance(place, str) or not place:
                continue
            if not _is_inside(place):
                raise DownloadError(f"the server names a file outside of the run: {place!r:.200}")
            if not row.get("stored", True):
                missing.append(str(row.get("path")))
            elif self._has(place, row):
                self.report.kept += 1
            else:
                try:
                    self._file(place, row, missing)
                except _LostError:
                    damaged.append(str(row.get("path")))
        self.report.missing, self.report.damaged = tuple(missing), tuple(damaged)

    def _file(self, place: str, row: dict[str, Any], missing: list[str]) -> None:
        try:
            self._fetch(place, row, missing)
        except _LostError:
            # It may have come with others of which one is damaged, or the server was ending
            self._ahead = False
            self._fetch(place, row, missing)

    def _fetch(self, place: str, row: dict[str, Any], missing: list[str]) -> None:
        size = int(row.get("size") or 0)
        with self._draft(f"{DATA}{place}") as draft:
            try:
                for data in self._pieces(f"{DATA}{place}", size):
                    draft.write(data)
            except FileNotFoundError:
                missing.append(str(row.get("path")))  # deleted meanwhile
                return
            if draft.size != size or draft.sha256 != row.get("sha256"):
                raise _LostError(f"{place} did not come as it was saved")
            draft.commit()
        self.report.files += 1

    def _has(self, place: str, row: dict[str, Any]) -> bool:
        import hashlib

        digest, size = hashlib.sha256(usedforsecurity=False), 0
        try:
            with self._local.open_blob(f"{DATA}{place}") as file:
                while data := file.read(CHUNK):
                    digest.update(data)
                    size += len(data)
        except FileNotFoundError:
            return False
        return size == row.get("size") and digest.hexdigest() == row.get("sha256")

    def _pieces(self, path: str, size: int) -> Iterator[bytes]:
        """The bytes of a segment or file. Where a connection breaks it goes on from there."""
        position, version = 0, ""
        whole = self._given(lambda: self._remote.read_ahead(path)) if self._ahead else None
        if whole is not None and len(whole) == size:
            yield self._count(whole)
            return
        while position < size:
            begin, wanted = position, min(PIECE, size - position)
            data, found, _ = self._given(
                lambda: self._remote.fetch(path, begin, wanted, partial=True)  # noqa: B023
            )
            if not data:
                return  # shorter than the server said
            if begin and found != version and path.startswith(DATA):
                raise _LostError(f"{path} was saved again while it came")
            version = found
            position += len(data)
            yield self._count(data)

    def _count(self, data: bytes) -> bytes:
        self.report.bytes += len(data)
        if self._progress is not None:
            self._progress(self.report)
        return data

    def _given(self, ask: Callable[[], T]) -> T:
        """Ask for bytes, as `_patiently` does.

        Raises:
            _LostError: the server answers other questions, and has an error with this one.
        """
        try:
            return self._patiently(ask, FAULT)
        except (UnreachableError, BusyError) as error:
            if error.status < 500:
                raise
            self._patiently(lambda: self._client.json("GET", self._path))
            raise _LostError(str(error)) from None

    def _patiently(self, ask: Callable[[], T], fault: float = PATIENCE) -> T:
        """Ask until there is an answer, or there has been none for too long."""
        back_off, waited = BackOff(), 0.0
        while True:
            try:
                return ask()
            except (UnreachableError, BusyError) as error:
                wait = back_off.next(error)
                waited += wait
                patience = fault if error.status >= 500 else PATIENCE
                if is_refusal(error) or error.code == "lost" or waited > patience:
                    raise
            self._sleep(wait)

    def _draft(self, path: str) -> Draft:
        return BlobFolder(self._folder).draft(path.split("/"))


def _is_inside(place: str) -> bool:
    parts = place.split("/")
    return not any(p in ("", ".", "..") or "\0" in p or "\\" in p for p in parts)
