"""The files of frames, by number, in little memory: what the workers of a data loader decode from.

A list of paths would be copied into each forked worker page by page, because counting references
writes to it; one array of bytes stays shared, and is quickly pickled for workers that are spawned.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ml_dash.backends import Backend, LocalBackend
from ml_dash.backends.blobs import BlobFolder
from ml_dash.backends.folders import MAX_OPEN, SAFE, Folder
from ml_dash.reading.entries import Integers
from ml_dash.reading.files import DATA, open_data
from ml_dash.reading.parts import Array
from ml_dash.reading.source import Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | SAFE  # what stands there may be a pipe


class FrameFiles:
    """Frames of one camera, maybe of several runs, by number. It can be pickled.

    Args:
        stores: what the runs are kept in: their folders, or backends.
        which: of each frame, the number of its store.
        places: where each frame is in its store.
    """

    def __init__(
        self, stores: Sequence[Path | Backend], which: Integers, places: Sequence[bytes]
    ) -> None:
        self._stores = list(stores)
        self._which = which
        self._text: NDArray[np.uint8] = np.frombuffer(b"".join(places), np.uint8)
        self._ends = np.cumsum([0, *map(len, places)], dtype=np.int64)
        self._folders: dict[tuple[int, str], Folder] = {}

    def __len__(self) -> int:
        return len(self._which)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_folders": {}}  # which are open

    def place(self, number: int) -> str:
        """Where a frame is in its run."""
        return self._text[self._ends[number] : self._ends[number + 1]].tobytes().decode()

    def read(self, number: int) -> bytes:
        """The file of a frame as it was saved.

        Raises:
            FileNotFoundError: its bytes are gone.
        """
        store, place = int(self._which[number]), self.place(number)
        with self._open(store, place) as file:
            return file.read()

    def _open(self, store: int, place: str) -> BinaryIO:
        kept = self._stores[store]
        if not isinstance(kept, Path):
            return open_data(Source(kept, recover=False), place)
        above, _, name = place.rpartition("/")
        folder = self._folders.get((store, above))
        try:
            if folder is None:
                # Kept open: to enter all folders on the way takes longer than to read a small frame
                folder, _ = BlobFolder(kept, DATA).existing(place)
                if len(self._folders) >= MAX_OPEN:
                    self._folders.clear()
                self._folders[store, above] = folder
            return os.fdopen(folder.open(name, _READ), "rb")
        except FileNotFoundError:
            return open_data(Source(LocalBackend(kept), recover=False), place)  # whose error helps

    def decode(self, number: int) -> Array:
        """A frame as an array of shape (H, W) or (H, W, C), uint8, or uint16 for 16-bit gray."""
        from ml_dash import image

        return image.decode(self.read(number))

    @staticmethod
    def joined(files: Sequence[FrameFiles]) -> FrameFiles:
        """The frames of several, one after the other."""
        stores = [store for each in files for store in each._stores]
        starts = np.cumsum([0, *(len(each._stores) for each in files)])
        which = [each._which + start for each, start in zip(files, starts, strict=False)]
        found = FrameFiles(stores, np.concatenate([np.empty(0, np.int64), *which]), [])
        lengths = [np.diff(each._ends) for each in files]
        found._text = np.concatenate([np.empty(0, np.uint8), *(each._text for each in files)])
        found._ends = np.concatenate([[0], np.cumsum(np.concatenate([[0], *lengths])[1:])])
        return found

    def taken(self, numbers: Integers) -> FrameFiles:
        """Only these frames, in this order."""
        places = [
            self._text[self._ends[number] : self._ends[number + 1]].tobytes() for number in numbers
        ]
        return FrameFiles(self._stores, self._which[numbers], places)
