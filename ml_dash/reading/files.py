"""The files of a run: what the index says, and their bytes."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any, BinaryIO, NamedTuple

import orjson

from ml_dash.backends.blobs import BlobFolder
from ml_dash.hints import nearest
from ml_dash.reading.lines import Block, Row
from ml_dash.reading.source import Source
from ml_dash.reading.stream import Stream
from ml_dash.rows import decode_row

INDEX = "files/index"
DATA = "files/data"
IMAGES = (".jpg", ".jpeg", ".png")


class Entry(NamedTuple):
    """What the index says of a file, kept as its line."""

    line: bytes
    writer: str

    def row(self) -> Row:
        """The line decoded."""
        return decode_row(self.line)


class Files:
    """The files of a run, by path. Deleted ones, and earlier versions, are not among them.

    Iterating gives paths; `files["models/model.pt"]` is what the index says of one: `size`,
    `sha256`, `content_type`, `timestamp`, `step`, `tags`, `metadata`. An entry is kept as its line,
    some 300 bytes, until it is asked for.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._stream = Stream(source, INDEX, merge=False)
        self._lines: dict[str, Entry] = {}
        self._listed: object = None

    def __len__(self) -> int:
        return len(self._current())

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._current()))

    def __contains__(self, path: object) -> bool:
        return path in self._current()

    def __getitem__(self, path: str) -> Row:
        entry = self._current().get(path)
        if entry is None:
            raise KeyError(self._missing(path))
        return _shown(entry)

    def __repr__(self) -> str:
        return f"<Files {len(self)}>"

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        return path in self._current()

    def list(self, pattern: str | None = None) -> list[Row]:
        """The entries of the index, by path.

        Args:
            pattern: keep those whose name or whole path matches it, such as `*.png` or
                `models/*`; `*` stands for anything, `/` among it.
        """
        lines = self._current()
        paths = sorted(path for path in lines if pattern is None or matches(path, pattern))
        return [_shown(lines[path]) for path in paths]

    def under(self, prefix: str) -> Iterator[Entry]:
        """The entries of the files below a folder, unsorted."""
        for path, entry in self._current().items():
            if path.startswith(f"{prefix}/"):
                yield entry

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading.

        Raises:
            FileNotFoundError: there is none, or its bytes are gone.
        """
        entry = self._current().get(path)
        if entry is None:
            raise FileNotFoundError(errno.ENOENT, self._missing(path), path)
        return open_data(self._source, str(entry.row()["data"]))

    def read_bytes(self, path: str) -> bytes:
        """The content of a file. `ml-dash check` compares it with its checksum; this does not.

        Raises:
            FileNotFoundError: there is none, or its bytes are gone.
        """
        with self.open(path) as file:
            return file.read()

    def read_text(self, path: str, *, encoding: str = "utf-8") -> str:
        """The content of a text file."""
        return self.read_bytes(path).decode(encoding)

    def read_json(self, path: str) -> Any:
        """The content of a JSON file."""
        data = self.read_bytes(path)
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError:
            import json

            return json.loads(data)  # NaN, and what else Python's `json` reads beyond the standard

    def _current(self) -> dict[str, Entry]:
        segments = self._stream.segments
        if segments is not self._listed:
            blocks = self._stream.blocks()
            self._lines = fold_index((segments[number].writer, block) for number, block in blocks)
            self._listed = segments
        return self._lines

    def _missing(self, path: str) -> str:
        if near := nearest(path, self._lines):
            return f"no file {path!r} in this run; {near}"
        return f"no file {path!r} among the {len(self._lines)} of this run"


def fold_index(blocks: Iterable[tuple[str, Block]]) -> dict[str, Entry]:
    """The latest entry of each path, without paths that were deleted last.

    Args:
        blocks: of all segments of the index, in any order, each with its writer. Saves of one path
            are ordered by the timestamps of their rows.
    """
    latest: dict[str, tuple[float, Entry | None]] = {}
    for writer, block in blocks:
        for path, timestamp, line in changes(block):
            if path not in latest or timestamp >= latest[path][0]:
                latest[path] = timestamp, None if line is None else Entry(line, writer)
    return {path: entry for path, (_, entry) in latest.items() if entry is not None}


def changes(block: Block) -> Iterator[tuple[str, float, bytes | None]]:
    """What a block of the index says, row by row: a path, since when, and the line of its save,
    `None` where it was deleted. Rows that are neither, as another program may add, say nothing.
    """
    for row, line in zip(block.rows, block.lines(), strict=True):
        path, op = row.get("path"), row.get("op")
        saved = op == "save" and type(row.get("data")) is str
        if type(path) is str and (saved or op == "delete"):
            yield path, row["timestamp"], line if saved else None


def matches(path: str, pattern: str) -> bool:
    """Whether a path or its last component matches a pattern. `**/` also stands for no folder."""
    forms = (path.rpartition("/")[2], path)
    patterns = (pattern, pattern.removeprefix("**/"))
    return any(fnmatchcase(form, wanted) for form in forms for wanted in patterns)


def is_image(row: Row) -> bool:
    """Whether a file of the index is an image that can be decoded."""
    return str(row["path"]).lower().endswith(IMAGES)


def ends_of(path: str) -> Iterator[str]:
    """The names by which a row may speak of a file: its path, and without its first folders."""
    yield path
    while "/" in path:
        path = path.partition("/")[2]
        yield path


_GONE = (
    "the file was saved, but is gone from the run; refresh() the run if it was deleted just now,"
    " else bring it back from a copy, or read the others one by one (`ml-dash check` lists those"
    " that are missing)"
)


def open_data(source: Source, place: str) -> BinaryIO:
    """Open the bytes that an entry of the index says are at `place`. Follows no links of the run.

    Raises:
        FileNotFoundError: they are gone.
        OSError: a link stands in their place.
        ValueError: the place is out of the run.
    """
    try:
        if source.folder is not None:
            return BlobFolder(source.folder, DATA).open(place)
        if any(part in ("", ".", "..") for part in place.split("/")):
            raise ValueError(f"{place!r} is not a place inside the run")
        return source.backend.open_blob(f"{DATA}/{place}")
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, _GONE, place) from None


def _shown(entry: Entry) -> Row:
    row = entry.row()
    row.pop("op", None)
    return row
