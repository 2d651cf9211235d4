"""Folders inside a run, entered so that nothing planted there leads a write out of it.

Every folder on the way is opened from its parent without following links, and kept open; files are
then made, renamed and opened relative to it. So a link is refused also when it is planted after a
path was checked. The folder of the run itself may be reached over links: those are the user's.
Where a platform cannot open folders, each one is looked at right before it is used.

Where a file has the name that a folder needs, the folder's name gets a mark that no encoded path
can have (`%dir`), and the other way round (`%file`): `a` and `a/b` may both be files.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

MAX_OPEN = 64
"""How many folders are kept open at once."""

FOLDER_MARK = "%dir"
FILE_MARK = "%file"

_AT = {os.open, os.mkdir, os.stat, os.rename, os.unlink} <= os.supports_dir_fd
SAFE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
"""Flags for whatever is opened here: no link is followed, no child process inherits it."""

_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | SAFE


class LinkError(OSError):
    """A link stands where a folder or file of the run belongs."""

    def __init__(self, path: str) -> None:
        super().__init__(
            errno.ELOOP, "a symbolic link inside the run's folder is not followed", path
        )


class Folder:
    """A folder of the run, held open. Where the platform cannot do that: its path."""

    __slots__ = ("_identity", "descriptor", "path", "place")

    def __init__(self, path: str, place: str, descriptor: int | None) -> None:
        self.path = path
        self.place = place  # relative to where the blobs are, as it is on disk
        self.descriptor = descriptor
        self._identity = _identity(path if descriptor is None else descriptor)

    def name(self, name: str) -> str:
        """What to call the file `name` of this folder in a system call, beside `descriptor`."""
        return name if self.descriptor is not None else f"{self.path}/{name}"

    def joined(self, name: str) -> str:
        """The place of the file `name` of this folder."""
        return f"{self.place}/{name}" if self.place else name

    def current(self) -> bool:
        """Whether the path still leads here: not so when the folder was removed or moved."""
        try:
            return _identity(self.path) == self._identity
        except OSError:
            return False

    def status(self, name: str) -> os.stat_result | None:
        """The status of the entry `name` itself, `None` when there is none."""
        try:
            return os.stat(self.name(name), dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def open(self, name: str, flags: int) -> int:
        """Open the entry `name`, which must not be a link."""
        try:
            return os.open(self.name(name), flags, 0o666, dir_fd=self.descriptor)
        except OSError as error:
            # Linux says ENOTDIR for a link that was to be a folder, ELOOP for one that was a file.
            if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK) and self.is_link(name):
                raise LinkError(f"{self.path}/{name}") from None
            raise

    def is_link(self, name: str) -> bool:
        """Whether the entry `name` is a symbolic link."""
        status = self.status(name)
        return status is not None and stat.S_ISLNK(status.st_mode)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        # `close` is bound here: modules may be gone when an interpreter ends.
        # By reference count and not by `close()`: a thread that writes here keeps the folder open
        # while another one drops it from the cache.
        descriptor = getattr(self, "descriptor", None)
        if descriptor is not None:
            close(descriptor)


class FolderTree:
    """The folders below one, such as `files/data` of a run. Safe to use from any thread.

    Args:
        root: a folder that is trusted, the run's; made when something is first written.
        inside: the path from there to the top of the tree.
    """

    def __init__(self, root: Path, inside: str = "") -> None:
        self._root = os.path.abspath(root)  # noqa: PTH100 - Path.resolve would follow links
        self._inside = inside.split("/") if inside else []
        self._folders: dict[tuple[str, ...], Folder] = {}

    def folder(self, names: tuple[str, ...]) -> Folder:
        """The folder for files whose path begins with `names`, made if it is not there."""
        folder = self._folders.get(names)
        if folder is None or not folder.current():
            folder = self._enter_root(make=True)
            for depth, name in enumerate((*self._inside, *names)):
                folder = self._enter_or_make(folder, name, depth >= len(self._inside))
            self._folders[names] = folder
            if len(self._folders) > MAX_OPEN:
                self._folders.pop(next(iter(self._folders.copy())), None)
        return folder

    def forget(self, folder: Folder) -> None:
        """Open the folder anew when it is next asked for."""
        for names, known in self._folders.copy().items():
            if known is folder:
                self._folders.pop(names, None)

    def check(self, names: Sequence[str]) -> None:
        """Raise `LinkError` if a folder on the way is a link now. Makes and opens nothing."""
        path = self._root
        for name in (*self._inside, *names):
            path = f"{path}/{name}"
            try:
                status = os.lstat(path)
            except OSError:
                return  # not there yet
            if stat.S_ISLNK(status.st_mode):
                raise LinkError(path)

    def existing(self, place: str) -> tuple[Folder, str]:
        """The folder of the file at `place`, and its name there."""
        *names, name = place.split("/")
        for part in (*names, name):
            if part in ("", ".", "..") or "\0" in part or (os.sep == "\\" and "\\" in part):
                raise ValueError(f"{place!r} is not a place inside the run")
        folder = self._enter_root(make=False)
        for part in (*self._inside, *names):
            folder = _enter(folder, part, part)
        return folder, name

    def _enter_root(self, *, make: bool) -> Folder:
        if make:
            os.makedirs(self._root, exist_ok=True)  # noqa: PTH103 - a text path all the way
        if not _AT:
            return Folder(self._root, "", None)
        flags = _FOLDER & ~getattr(os, "O_NOFOLLOW", 0)
        return Folder(self._root, "", os.open(self._root, flags))

    def _enter_or_make(self, parent: Folder, name: str, ours: bool) -> Folder:
        """Enter a folder; `ours` says that its name counts in places and may bear a mark."""
        for candidate in (name, marked(name, FOLDER_MARK)) if ours else (name,):
            place = candidate if ours else ""
            try:
                return _enter(parent, candidate, place)
            except FileNotFoundError:
                try:
                    os.mkdir(parent.name(candidate), dir_fd=parent.descriptor)
                except FileExistsError:
                    pass  # by another thread or process just now
                return _enter(parent, candidate, place)
            except NotADirectoryError:
                continue  # a file of the run has this name
        raise NotADirectoryError(errno.ENOTDIR, "not a folder", f"{parent.path}/{name}")


def folds_case(folder: Path) -> bool:
    """Whether the file system takes `A` and `a` for one name. Looks only, writes nothing."""
    try:
        names = [*(str(entry) for entry in folder.iterdir()), str(folder)]
    except OSError:
        return False
    for name in names:
        head, tail = os.path.split(name)
        if (swapped := tail.swapcase()) != tail:
            try:
                return os.path.samestat(os.lstat(name), os.lstat(f"{head}/{swapped}"))
            except OSError:
                return False
    return False


def marked(name: str, mark: str) -> str:
    """`name` with a mark that tells it from every encoded name; at most 255 bytes."""
    raw = name.encode("utf-8", "surrogateescape")
    if len(raw) + len(mark) <= 255:
        return name + mark
    from hashlib import sha256

    digest = sha256(raw, usedforsecurity=False).hexdigest()[:32]
    return raw[:180].decode("utf-8", "ignore") + f"%{digest}"[:33] + mark


def _enter(parent: Folder, name: str, place: str) -> Folder:
    path = f"{parent.path}/{name}"
    place = parent.joined(place) if place else ""
    if parent.descriptor is not None:
        return Folder(path, place, parent.open(name, _FOLDER))
    if parent.is_link(name) or getattr(os.path, "isjunction", lambda _: False)(path):
        raise LinkError(path)
    folder = Folder(path, place, None)
    if not os.path.isdir(path):  # noqa: PTH112 - a text path all the way
        raise NotADirectoryError(errno.ENOTDIR, "not a folder", path)
    return folder


def _identity(folder: str | int) -> tuple[int, int]:
    status = os.stat(folder)  # noqa: PTH116 - takes a descriptor, too
    return status.st_dev, status.st_ino
