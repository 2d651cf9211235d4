"""Whole files inside a run's folder: written beside their place, then put into it.

A file appears under its name only when all of it is there; the one it replaces stays until then.
Where the system has files without a name (Linux, most local file systems) a process that is killed
leaves nothing behind; elsewhere a temporary file, whose name ends in `.tmp`.

Pure local I/O: no threads, no rows, no buffer. Paths are relative, with `/`, checked and encoded.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from ml_dash.backends.folders import FILE_MARK, SAFE, Folder, FolderTree, marked
from ml_dash.backends.reflink import reflink
from ml_dash.errors import TRANSIENT

Bytes = bytes | bytearray | memoryview

CHUNK = 1 << 20
"""Bytes that are read, hashed and written at a time: what copying a file of any size needs."""

TEMPORARY = ".tmp"

_LINKS = hasattr(os, "link") and os.link in os.supports_follow_symlinks
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | SAFE
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | SAFE
_NAMELESS = os.O_RDWR | getattr(os, "O_TMPFILE", 0) | getattr(os, "O_CLOEXEC", 0)
_NAME_KEPT = 48  # characters of a name kept in that of its temporary: at most 192 bytes of UTF-8
_numbers = itertools.count()

HAS_NAMELESS = hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd")  # noqa: PTH112
"""Whether files can be written before they have a name, and be given one afterwards."""


class SourceError(OSError):
    """The file to be copied into the run could not be read."""


class BlobFolder(FolderTree):
    """The files below one folder, such as `files/data` of a run. Safe to use from any thread."""

    nameless = HAS_NAMELESS

    def draft(self, parts: Sequence[str]) -> Draft:
        """Begin a file at the place that `parts`, the encoded components of its path, lead to."""
        return Draft(self, tuple(parts))

    def make(self, parts: tuple[str, ...]) -> tuple[Folder, str, int]:
        """Make a file beside a place: its folder, its temporary name if any, and the file."""
        for attempt in range(3):
            folder = self.folder(parts[:-1])
            if (file := self._make_nameless(folder)) is not None:
                return folder, "", file
            temporary = _temporary_name(parts[-1], attempt)
            try:
                return folder, temporary, folder.open(temporary, _NEW)
            except FileExistsError:
                continue  # left behind by a dead process that had our number
            except FileNotFoundError:
                self.forget(folder)  # removed between the check and now
        raise FileNotFoundError(errno.ENOENT, "the folder is removed again and again", folder.path)

    def _make_nameless(self, folder: Folder) -> int | None:
        if not self.nameless or folder.descriptor is None:
            return None
        try:
            return os.open(".", _NAMELESS, 0o666, dir_fd=folder.descriptor)
        except OSError as error:
            if error.errno in TRANSIENT:
                raise  # a full disk is no reason to go without
            if folder.current():
                self.nameless = False  # this file system has no such files
            return None

    def open(self, place: str) -> BinaryIO:
        """Open the file at `place` for reading.

        Raises:
            FileNotFoundError: there is none.
            LinkError: it, or a folder on the way, is a link.
            ValueError: the place leads out of the folder.
        """
        folder, name = self.existing(place)
        return os.fdopen(folder.open(name, _READ), "rb")

    def remove(self, place: str) -> bool:
        """Remove the file at `place`; whether there was one."""
        try:
            folder, name = self.existing(place)
            os.unlink(folder.name(name), dir_fd=folder.descriptor)
        except FileNotFoundError:
            return False
        return True


class Draft:
    """A file on its way: written and hashed under a temporary name until `commit`.

    The temporary file is made at the first write, so that what fails before leaves nothing.

    Attributes:
        size: bytes so far.
    """

    def __init__(self, blobs: BlobFolder, parts: tuple[str, ...]) -> None:
        from hashlib import sha256  # at first use: `import ml_dash` does not need OpenSSL

        self.size = 0
        self._blobs = blobs
        self._parts = parts
        self._temporary = ""
        self._file = -1
        self._hash = sha256(usedforsecurity=False)

    def write(self, data: Bytes) -> int:
        """Add bytes; how many. All of them are written, else an `OSError` is raised.

        Raises:
            LinkError: a folder on the way is a link.
        """
        if self._file < 0:
            self._make()
        view = memoryview(data).cast("B")
        self._hash.update(view)
        write_all(self._file, view)
        self.size += view.nbytes
        return view.nbytes

    def flush(self) -> None:
        """Nothing to do; encoders that write to a file call it."""

    def copy(self, source: int) -> None:
        """Take over the content of an open file, from its beginning, in bounded memory.

        Shares the blocks where the file system can; then only reading them for the hash is left.
        Of a file that grows, what was there at the beginning: it may grow faster than it is copied.
        """
        self._make()
        shared = reflink(source, self._file)
        origin = self._file if shared else source
        limit = os.fstat(origin).st_size
        view = memoryview(bytearray(CHUNK))
        with open(origin, "rb", buffering=0, closefd=False) as file:
            file.seek(0)
            while not limit or self.size < limit:
                try:
                    count = file.readinto(view[: limit - self.size] if limit else view)
                except OSError as error:
                    raise SourceError(f"cannot be read: {error}") from error
                if not count:
                    break
                if shared:
                    self._hash.update(view[:count])
                    self.size += count
                else:
                    self.write(view[:count])
                # Still 0 for a file of /proc, whose content is made while it is read.
                limit = limit or os.fstat(origin).st_size

    def share(self, place: str) -> bool:
        """Take over the file at `place`, by a second link to it where the file system can.

        Files of a run are replaced, never changed, so two names for one content are safe.

        Returns:
            Whether it was linked. Its content was not read then and `sha256` says nothing.
        """
        source, name = self._blobs.existing(place)
        status = source.status(name)
        if status is not None and stat.S_ISREG(status.st_mode) and _LINKS:
            folder = self._blobs.folder(self._parts[:-1])
            temporary = _temporary_name(self._parts[-1], 1)
            try:
                os.link(
                    source.name(name),
                    folder.name(temporary),
                    src_dir_fd=source.descriptor,
                    dst_dir_fd=folder.descriptor,
                    follow_symlinks=False,
                )
            except OSError:
                pass  # this file system has no hard links, or the file too many
            else:
                self._folder, self._temporary, self.size = folder, temporary, status.st_size
                return True
        with self._blobs.open(place) as file:
            self.copy(file.fileno())
        return False

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was written, as hex."""
        return self._hash.hexdigest()

    def commit(self, announce: Callable[[str], None] | None = None) -> str:
        """Put the file in its place and tell `announce` which; the place.

        A new file is announced once it is there, so that what is announced exists. One that
        replaces another is announced just before: were the process killed in between, the file
        would still be one that had been announced before, and a reader finds out by its hash.
        """
        announce = announce or _silently
        if not self._temporary and self._file < 0:
            self._make()  # an empty file
        name = self._parts[-1]
        if not self._temporary:
            try:
                if self._link(name):
                    self._close()
                    announce(place := self._folder.joined(name))
                    return place
                temporary = _temporary_name(name, 1)  # there is something: rename over it
                if self._link(temporary):
                    self._temporary = temporary
            except OSError as error:
                if error.errno in TRANSIENT or not self._folder.current():
                    raise
            if not self._temporary:
                self._use_names()
        self._close()
        return self._rename(name, announce)

    def _link(self, name: str) -> bool:
        """Give the file without a name this one; false if that is taken."""
        source = f"/proc/self/fd/{self._file}"
        try:
            os.link(source, name, dst_dir_fd=self._folder.descriptor, follow_symlinks=True)
        except FileExistsError:
            return False
        return True

    def _use_names(self) -> None:
        """Copy what was written to a file with a name: this one cannot be given any."""
        nameless, self._blobs.nameless = self._file, False
        try:
            self._make()
            buffer = bytearray(CHUNK)
            with open(nameless, "rb", buffering=0, closefd=False) as file:
                file.seek(0)
                while count := file.readinto(buffer):
                    write_all(self._file, memoryview(buffer)[:count])
        finally:
            os.close(nameless)

    def _rename(self, name: str, announce: Callable[[str], None]) -> str:
        folder = self._folder
        for _ in range(2):
            status = folder.status(name)
            if status is not None and stat.S_ISDIR(status.st_mode):
                name = marked(self._parts[-1], FILE_MARK)
                status = folder.status(name)
            place = folder.joined(name)
            if status is not None:
                announce(place)
            try:
                os.replace(
                    folder.name(self._temporary),
                    folder.name(name),
                    src_dir_fd=folder.descriptor,
                    dst_dir_fd=folder.descriptor,
                )
            except IsADirectoryError:
                continue  # somebody made a folder of this name just now
            if status is None:
                announce(place)
                self._temporary = ""
            else:  # renaming a link over another one to the same file leaves both
                self.discard()
            return place
        raise IsADirectoryError(errno.EISDIR, "a folder is in the way", f"{folder.path}/{name}")

    def discard(self) -> None:
        """Remove the temporary file, unless it was committed."""
        self._close()
        temporary, self._temporary = self._temporary, ""
        if temporary:
            try:
                os.unlink(self._folder.name(temporary), dir_fd=self._folder.descriptor)
            except OSError:
                pass  # removed with its folder, or the disk fails: it is a temporary either way

    def _make(self) -> None:
        self._folder, self._temporary, self._file = self._blobs.make(self._parts)

    def _close(self) -> None:
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def __enter__(self) -> Draft:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()


def write_in(folder: Path, path: str, data: Bytes) -> None:
    """Write `data` whole to `path` inside `folder`, in place of what was there."""
    with BlobFolder(folder).draft(path.split("/")) as draft:
        draft.write(data)
        draft.commit()


def copy_in(folder: Path, path: str, source: Path) -> tuple[int, str]:
    """Copy the file `source` to `path` inside `folder`; its size and SHA-256 as hex."""
    file = os.open(source, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        with BlobFolder(folder).draft(path.split("/")) as draft:
            draft.copy(file)
            draft.commit()
            return draft.size, draft.sha256
    finally:
        os.close(file)


def write_all(file: int, data: memoryview) -> None:
    """Write all bytes to an open file, however few it takes at a time."""
    done = os.write(file, data)
    while done < data.nbytes:
        written = os.write(file, data[done:])
        if not written:
            raise OSError(errno.EIO, "the file system took no byte and gave no error")
        done += written


def _silently(place: str) -> None:
    """What is announced when nobody asked."""


def _temporary_name(name: str, attempt: int) -> str:
    number = f"{os.getpid():x}-{next(_numbers):x}"
    if attempt:
        number += os.urandom(4).hex()
    return f"{name[:_NAME_KEPT]}.{number}{TEMPORARY}"
