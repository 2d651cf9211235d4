"""Where the files of a run are kept: below its folder, or in whatever backend it has.

A shelf hands out drafts. A draft is written to, then committed; nobody sees it before that.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from ml_dash.backends import Backend
from ml_dash.backends.blobs import CHUNK, BlobFolder, Bytes
from ml_dash.backends.blobs import Draft as FileDraft
from ml_dash.backends.folders import LinkError, folds_case
from ml_dash.names import encode_path

DATA = "files/data"
"""Where the files are, relative to the run; `data` in an index row is relative to this."""


class Draft(Protocol):
    """A file on its way; `ml_dash.backends.blobs.Draft` says more.

    Attributes:
        size: bytes so far.
        sha256: their hash, as hex.
    """

    size: int

    @property
    def sha256(self) -> str: ...  # noqa: D102 - see above

    def write(self, data: Bytes, /) -> int:
        """Add bytes."""
        ...

    def flush(self) -> None:
        """Nothing to do."""
        ...

    def copy(self, source: int) -> None:
        """Take over what an open file holds, in bounded memory."""
        ...

    def share(self, place: str) -> bool:
        """Take over the file at `place`; true when it was linked, and so not hashed."""
        ...

    def commit(self, announce: Callable[[str], None]) -> str:
        """Put the file in its place, telling `announce` which."""
        ...

    def discard(self) -> None:
        """Forget it, unless it was committed."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Shelf(Protocol):
    """Keeps files under the components of their paths."""

    @property
    def folds_case(self) -> bool:
        """Whether names that differ by case only must be encoded to stay distinct here."""
        ...

    def check(self, parts: Sequence[str]) -> None:
        """Raise `ValueError` if no file may be kept under `parts`, whatever the disk does."""
        ...

    def draft(self, parts: Sequence[str]) -> Draft:
        """Begin a file. Errors of the disk come when it is written to."""
        ...

    def open(self, place: str) -> BinaryIO:
        """Open the file at `place`. Raises `FileNotFoundError`."""
        ...

    def remove(self, place: str) -> None:
        """Remove the file at `place`, if it is there."""
        ...


def shelf_of(backend: Backend) -> Shelf:
    """The shelf of a run: its folder when it has one."""
    folder = getattr(backend, "folder", None)
    return FolderShelf(folder) if isinstance(folder, Path) else BackendShelf(backend)


class FolderShelf:
    """Keeps files below the run's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._blobs = BlobFolder(folder, DATA)
        self._folds_case: bool | None = None  # no cached_property: its lock would outlive a fork

    @property
    def folds_case(self) -> bool:
        """See `Shelf.folds_case`. Looked up once."""
        if self._folds_case is None:
            self._folds_case = folds_case(self._folder)
        return self._folds_case

    def check(self, parts: Sequence[str]) -> None:
        """See `Shelf.check`: a link on the way, or a name too long once encoded."""
        encoded = self._encode(parts)
        try:
            self._blobs.check(encoded[:-1])
        except LinkError as error:
            raise ValueError(
                f"file {'/'.join(parts)!r} would be written through a link inside the run,"
                f" {error.filename}; remove the link, or choose another path"
            ) from None

    def draft(self, parts: Sequence[str]) -> FileDraft:
        """See `Shelf.draft`."""
        return self._blobs.draft(self._encode(parts))

    def open(self, place: str) -> BinaryIO:
        """See `Shelf.open`."""
        return self._blobs.open(place)

    def remove(self, place: str) -> None:
        """See `Shelf.remove`."""
        self._blobs.remove(place)

    def _encode(self, parts: Sequence[str]) -> list[str]:
        return encode_path(parts, "file path", fold_case=self.folds_case).split("/")


class BackendShelf:
    """Keeps files as blobs of a backend without a folder, such as memory."""

    folds_case = False

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def check(self, parts: Sequence[str]) -> None:
        """See `Shelf.check`."""
        self._place(parts)

    def draft(self, parts: Sequence[str]) -> HeldDraft:
        """See `Shelf.draft`."""
        return HeldDraft(self._backend, self._place(parts))

    def open(self, place: str) -> BinaryIO:
        """See `Shelf.open`."""
        return self._backend.open_blob(f"{DATA}/{place}")

    def remove(self, place: str) -> None:
        """See `Shelf.remove`."""
        self._backend.delete_blob(f"{DATA}/{place}")

    @staticmethod
    def _place(parts: Sequence[str]) -> str:
        return encode_path(parts, "file path", fold_case=False)


class HeldDraft:
    """A file on its way that is held in memory until it is committed."""

    def __init__(self, backend: Backend, place: str) -> None:
        from hashlib import sha256  # at first use, as in `FileDraft`

        self.size = 0
        self._backend = backend
        self._place = place
        self._bytes = io.BytesIO()
        self._hash = sha256(usedforsecurity=False)

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was written."""
        return self._hash.hexdigest()

    def write(self, data: Bytes) -> int:
        """Add bytes; how many."""
        view = memoryview(data).cast("B")
        self._hash.update(view)
        self._bytes.write(view)
        self.size += view.nbytes
        return view.nbytes

    def flush(self) -> None:
        """Nothing to do."""

    def copy(self, source: int) -> None:
        """Take over what an open file holds, from its beginning."""
        with open(source, "rb", closefd=False) as file:
            self._take(file)

    def share(self, place: str) -> bool:
        """Take over the file at `place`."""
        with self._backend.open_blob(f"{DATA}/{place}") as file:
            self._take(file)
        return False

    def commit(self, announce: Callable[[str], None]) -> str:
        """Put the file in its place, telling `announce` which."""
        self._backend.put_blob(f"{DATA}/{self._place}", self._bytes.getbuffer())
        announce(self._place)
        return self._place

    def discard(self) -> None:
        """Forget it; harmless when it was committed."""

    def __enter__(self) -> HeldDraft:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()

    def _take(self, file: BinaryIO) -> None:
        file.seek(0)
        while data := file.read(CHUNK):
            self.write(data)
