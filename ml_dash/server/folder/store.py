"""The object store of a folder of runs: its objects are the files that runs are recorded in."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ml_dash.backends import LocalBackend
from ml_dash.backends.blobs import BlobFolder
from ml_dash.backends.folders import LinkError
from ml_dash.server.store import ObjectStore

_ROOM = "folder/"
_DATA = "files/data/"


def key_of(run_id: str, path: str) -> str:
    """The object that is a file of a run."""
    return f"{_ROOM}{run_id}/{path}"


class FolderStore(ObjectStore):
    """Reads files of runs. Whatever else is put into it stays in memory."""

    def __init__(self) -> None:
        super().__init__("memory://")
        self._runs: dict[str, LocalBackend] = {}
        self._lock = threading.Lock()

    def add(self, run_id: str, folder: Path) -> LocalBackend:
        """Have the files of a run be objects."""
        with self._lock:
            if run_id not in self._runs:
                self._runs[run_id] = LocalBackend(folder)
            return self._runs[run_id]

    def backend(self, run_id: str) -> LocalBackend:
        """The files of a run.

        Raises:
            FileNotFoundError: it is not, or no longer, in the folder.
        """
        try:
            return self._runs[run_id]
        except KeyError:
            raise FileNotFoundError(f"the run {run_id} is not in the folder") from None

    def remove(self, run_ids: Sequence[str]) -> None:
        """Forget runs that are gone from the folder."""
        with self._lock:
            for run_id in run_ids:
                if held := self._runs.pop(run_id, None):
                    held.close()

    def of_run(self, run_id: str) -> dict[str, int]:
        """See `ObjectStore.of_run`."""
        folder = self.backend(run_id).folder
        found = {}
        for inside, _, names in os.walk(folder):
            for path in (Path(inside, name) for name in names):
                with suppress(FileNotFoundError):  # such as a temporary one of a run that goes on
                    key = key_of(run_id, path.relative_to(folder).as_posix())
                    found[key] = path.lstat().st_size
        return found

    def size(self, key: str) -> int:
        """See `ObjectStore.size`."""
        if not key.startswith(_ROOM):
            return super().size(key)
        run_id, _, path = key[len(_ROOM) :].partition("/")
        with suppress(FileNotFoundError):
            return (self.backend(run_id).folder / path).lstat().st_size
        return -1

    def get(self, key: str, offset: int = 0, size: int | None = None) -> bytes:
        """See `ObjectStore.get`."""
        if not key.startswith(_ROOM):
            return super().get(key, offset, size)
        run_id, _, path = key[len(_ROOM) :].partition("/")
        backend = self.backend(run_id)
        if not path.startswith(_DATA):
            return backend.read(path, offset, size)
        # Places come from rows, which anybody may have written: none leads out of the folder
        try:
            with BlobFolder(backend.folder / _DATA).open(path[len(_DATA) :]) as file:
                file.seek(offset)
                return file.read(-1 if size is None else size)
        except (ValueError, LinkError) as error:
            raise FileNotFoundError(str(error)) from None
