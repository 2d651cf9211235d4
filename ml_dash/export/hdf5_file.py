"""An HDF5 file on a disk that may become full, in an export that Ctrl-C may end.

The HDF5 library does not let go of a file that it could not write: it tries again when the process
ends, and crashes. So it writes into a `Sink`. Once that has failed it takes whatever comes, and the
library closes the file in peace. Ctrl-C is such a failure, too: as an exception it could come
between the library and the first line of `write`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

from ml_dash.export.interrupt import put_off

_ENDS = (OSError, KeyboardInterrupt, SystemExit)
"""What ends an export while a file is written; HDF5 would make an error of its own of it."""


class Sink(FileIO):
    """A file that fails once, and then keeps nothing.

    Attributes:
        error: why it failed, if it has.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self.error: BaseException | None = None

    def write(self, data: Any, /) -> int:
        """Write all of it."""
        left = memoryview(data).cast("B")
        count = len(left)
        try:
            while self.error is None and left:
                left = left[super().write(left) :]
        except _ENDS as error:
            self.error = error
        return count

    def truncate(self, size: int | None = None, /) -> int:
        """Make it this long."""
        try:
            if self.error is None:
                return super().truncate(size)
        except _ENDS as error:
            self.error = error
        return self.tell()

    def interrupt(self) -> None:
        """Keep nothing from now on, for Ctrl-C."""
        self.error = self.error or KeyboardInterrupt()

    def check(self) -> None:
        """Raise the error, if there is one."""
        if self.error is not None:
            raise self.error


@contextmanager
def new_hdf5(h5py: Any, path: Path) -> Iterator[tuple[Any, Sink]]:
    """A new HDF5 file, and what it is written into.

    Raises:
        OSError: it could not be written.
    """
    with Sink(path) as sink, put_off(sink.interrupt):
        try:
            with h5py.File(sink, "w", track_order=True) as file:
                yield file, sink
        except Exception:
            sink.check()  # the cause, if the library missed what was not kept
            raise
        sink.check()
