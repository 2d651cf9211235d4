"""The files of a session: frames, timestamps and lines, looked up as they are asked for.

What is missing is said in a warning, once, when the session is opened. Nothing here holds more than
an offset for each line, so that a session may be larger than memory, and a copy of it in another
process opens the files anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from ml_dash import image
from ml_dash.export.pictures import Size, to_rgb
from ml_dash.rows import NONFINITE, decode_row

SUFFIX = "_metadata.json"
_PICTURES = (".png", ".jpg", ".jpeg")


class Frames:
    """The frames of a session: `frames[i]` is one, or `None` where it is missing.

    Args:
        folder: where the session's files are.
        session: how their names begin.
        size: height and width to scale to, or `None`.
    """

    def __init__(self, folder: Path, session: str, size: Size | None) -> None:
        self.size = size
        self.array_path = folder / f"{session}_frames.npy"
        self._folder = folder
        self._array: NDArray[Any] | None = None
        self._pictures: dict[int, str] = {}
        if self.array_path.exists():
            self.count = len(self.array)
        else:
            self._pictures = _pictures(folder, session)
            self.count = max(self._pictures, default=-1) + 1

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_array": None}  # mapped anew where it is unpickled

    @property
    def is_array(self) -> bool:
        """Whether they are one array, and not a file each."""
        return not self._pictures and self.array_path.exists()

    @property
    def array(self) -> NDArray[Any]:
        """The array, mapped into memory.

        A file that was cut short has as many as are whole.

        Raises:
            ValueError: it is no array of pictures.
        """
        if self._array is None:
            found = _mapped(self.array_path)
            if found.ndim not in (3, 4):
                raise ValueError(
                    f"{self.array_path} has shape {found.shape}; frames are (N, H, W, 3)"
                )
            self._array = found
        return self._array

    @property
    def missing(self) -> list[int]:
        """The numbers of pictures that are not there."""
        if not self._pictures:
            return []
        return [number for number in range(self.count) if number not in self._pictures]

    def __getitem__(self, index: int) -> NDArray[Any] | None:
        if self.is_array:
            if index >= self.count:
                return None
            picture = np.array(self.array[index])  # a copy that users may change
        else:
            name = self._pictures.get(index)
            if name is None:
                return None
            picture = image.decode((self._folder / name).read_bytes())
        if picture.dtype in (np.uint8, np.uint16):
            return to_rgb(picture, self.size)
        return picture


class Lines:
    """The samples of a session as they were written, line by line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unreadable: list[int] = []
        self._offsets = np.zeros(1, np.int64)
        if path.exists():
            self._offsets = _offsets(path)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The fields of one line; none where it is no JSON object."""
        begin, end = self._offsets[index], self._offsets[index + 1]
        with self.path.open("rb") as file:
            file.seek(begin)
            return _decode(file.read(end - begin)) or {}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if not len(self):
            return
        with self.path.open("rb") as file:
            for index, line in enumerate(file):
                if index == len(self):
                    break
                row = _decode(line)
                if row is None and index not in self.unreadable:
                    self.unreadable.append(index)
                yield row or {}


def find(path: Path) -> tuple[Path, str]:
    """The folder of a session and how the names of its files begin.

    Args:
        path: `<session>_metadata.json`, or the folder it is in.

    Raises:
        FileNotFoundError: there is none; it says what is there.
        ValueError: a folder with several sessions, or a file that is no such metadata.
    """
    if path.is_dir():
        found = sorted(path.glob(f"*{SUFFIX}"))
        if not found:
            raise FileNotFoundError(f"no session in {path}: there is no file *{SUFFIX}")
        if len(found) > 1:
            names = ", ".join(file.name for file in found[:5])
            raise ValueError(f"{len(found)} sessions are in {path}; give one of {names}")
        path = found[0]
    if not path.name.endswith(SUFFIX):
        raise ValueError(f"{path} is no session: give the path of its <session>{SUFFIX}")
    if not path.exists():
        there = ", ".join(sorted(file.name for file in path.parent.glob(f"*{SUFFIX}"))[:5])
        raise FileNotFoundError(f"no session {path}; there is {there or 'none'} in that folder")
    return path.parent, path.name.removesuffix(SUFFIX)


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata of a session.

    Raises:
        ValueError: it is no JSON object.
    """
    found = _decode(path.read_bytes())
    if found is None:
        raise ValueError(f"{path} is no JSON object")
    return found


def _mapped(path: Path) -> NDArray[Any]:
    try:
        found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return found
    except (ValueError, EOFError, OSError):
        try:
            return _whole(path)
        except (ValueError, EOFError) as error:
            raise ValueError(f"{path} is no array of frames: {error}") from None


def _whole(path: Path) -> NDArray[Any]:
    """The part of an array that is there, of a file whose writer did not get to its end."""
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            read = np.lib.format.read_array_header_2_0
        shape, by_column, dtype = read(file)
        begin = file.tell()
        there = file.seek(0, 2) - begin
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not loaded")
    if by_column or not shape:
        raise ValueError(f"its shape is {shape}, and it has {there:,} bytes")
    size = max(1, int(np.prod(shape[1:])) * dtype.itemsize)
    whole = (min(shape[0], there // size), *shape[1:])
    if not whole[0]:
        return np.empty(whole, dtype)
    return np.memmap(path, dtype, "r", begin, whole)


def _pictures(folder: Path, session: str) -> dict[int, str]:
    pattern = re.compile(rf"{re.escape(session)}_frame_(\d+)(\.\w+)\Z")
    found: dict[int, str] = {}
    for name in sorted(file.name for file in folder.iterdir()):
        match = pattern.match(name)
        if match and match[2].lower() in _PICTURES:
            found.setdefault(int(match[1]), name)
    return found


def _offsets(path: Path) -> NDArray[np.int64]:
    """Where each line begins, and where the last one ends; empty lines at the end do not count."""
    ends = [0]
    last = 0
    with path.open("rb") as file:
        for line in file:
            ends.append(ends[-1] + len(line))
            if line.strip():
                last = len(ends) - 1
    return np.array(ends[: last + 1], np.int64)


def _decode(line: bytes) -> dict[str, Any] | None:
    """One object; NaN and infinities as ML-Dash writes them, and as Python's `json` does."""
    try:
        if f'"{NONFINITE}"'.encode() in line:
            return decode_row(line)
        found = orjson.loads(line)
    except (ValueError, TypeError):
        try:
            found = json.loads(line)
        except ValueError:
            return None
    return found if isinstance(found, dict) else None
