"""Files: images, checkpoints, configurations, figures, anything, under paths inside the run.

    experiment.files("frames").save_image(pixels, to="frame_00000.jpg", quality=85)
    experiment.files("models").save("model.pt")

Saving takes a snapshot of the value and returns; encoding and writing happen behind the caller's
back, in the order of the calls for each path. What is saved later under a path replaces it.
"""

from __future__ import annotations

import builtins
import fnmatch
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

from ml_dash.buffer import Buffer
from ml_dash.files.arguments import WHAT, as_details, as_text
from ml_dash.files.place import Metadata
from ml_dash.files.savers import Savers
from ml_dash.files.serializers import PathLike
from ml_dash.files.store import FileStore, missing, store_of
from ml_dash.names import split_path

_WILD = frozenset("*?[")
_MOST_KEPT = 1024


class Files(Savers):
    """The files of a run, or those below a prefix, or the one file there.

    `experiment.files` is all of them, `experiment.files("models")` those below `models/`. The
    `save…` methods are described at `Savers`.
    """

    def __init__(self, buffer: Buffer) -> None:
        super().__init__(store_of(buffer), (), {})
        self._handles: dict[str, Files] = {}

    def __call__(
        self,
        prefix: PathLike | None = None,
        *,
        dir: PathLike | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Files:
        """The files below `prefix`.

        Args:
            prefix: a path in the run, such as `robot/frames`; by default all of the run.
            dir: another name for `prefix`.
            description: of each file saved through what this returns.
            tags: short texts to find each of them by.
            metadata: what else there is to know of each, anything that JSON can hold.

        Raises:
            ValueError: the prefix is refused: absolute, with `..`, or what no disk holds.
        """
        if type(prefix) is str and description is None and tags is None and metadata is None:
            known = self._handles.get(prefix)
            if known is not None and dir is None:
                return known
        if prefix is not None and dir is not None:
            raise ValueError("files: prefix and dir mean the same; give one of them")
        given = dir if prefix is None else prefix
        parts = (
            self._parts if given in (None, "") else self._parts + split_path(as_text(given), WHAT)
        )
        details = {**self._details, **as_details(description, tags, metadata)}
        files = _below(self._store, parts, details)
        if type(prefix) is str and details == self._details and len(self._handles) < _MOST_KEPT:
            self._handles[prefix] = files
        return files

    @property
    def prefix(self) -> str:
        """The path that all others are relative to; empty for the run itself."""
        return "/".join(self._parts)

    # -- reading ---------------------------------------------------------------------------------

    def exists(self, path: PathLike | None = None) -> bool:
        """Whether there is a file: the one at `path` below the prefix, or the prefix itself."""
        try:
            self._store.entry(self._path(path))
        except FileNotFoundError:
            return False
        return True

    def list(self, pattern: str | None = None) -> builtins.list[Metadata]:
        """The metadata of the files below the prefix, by path, after all saves are done.

        Args:
            pattern: keep those whose name, path below the prefix, or whole path matches, such as
                `*.png`; `*` also stands for `/`.
        """
        rows = self._store.entries(self.prefix)
        return [row for row in rows if pattern is None or self._matches(row["path"], pattern)]

    def read_bytes(self, path: PathLike | None = None) -> bytes:
        """The content of a file, checked against its SHA-256.

        Args:
            path: the file, below the prefix; by default the prefix itself.

        Raises:
            FileNotFoundError: there is none.
            OSError: it is damaged.
        """
        return self._store.read(self._path(path))

    def read_text(self, path: PathLike | None = None, *, encoding: str = "utf-8") -> str:
        """The content of a text file. See `read_bytes`."""
        return self.read_bytes(path).decode(encoding)

    def read_json(self, path: PathLike | None = None) -> Any:
        """The content of a JSON file. See `read_bytes`."""
        data = self.read_bytes(path)
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError:
            import json

            return json.loads(data)  # NaN, and what else Python's `json` reads beyond the standard

    def download(
        self, pattern: str | None = None, *, to: PathLike | None = None
    ) -> str | builtins.list[str]:
        """Copy files out of the run, each checked against its SHA-256.

        Args:
            pattern: a file below the prefix, or a pattern as in `list`; by default the prefix
                itself is the file.
            to: for one file its new path, or a folder; for a pattern the folder that takes the
                files, with their paths below the prefix. By default the working directory.

        Returns:
            The new path; a list of them for a pattern.

        Raises:
            FileNotFoundError: nothing is there, or matches.
        """
        if pattern is not None and _is_wild(pattern) and not self.exists(pattern):
            folder = Path("." if to is None else to)
            return [
                self._fetch(row["path"], _inside(folder, self._below(row["path"])))
                for row in self._matching(pattern)
            ]
        path = self._path(pattern)
        name = path.rpartition("/")[2]
        target = Path(name if to is None else to)
        if to is not None and (target.is_dir() or os.fspath(to).endswith("/")):
            target /= name
        return self._fetch(path, target)

    def delete(self, pattern: str | None = None) -> Metadata | builtins.list[Metadata]:
        """Remove files from the run, after the saves of them that were called before.

        Args:
            pattern: a file below the prefix, or a pattern as in `list`; by default the prefix
                itself is the file.

        Returns:
            `id` and `path` of what is removed; a list of these for a pattern.

        Raises:
            FileNotFoundError: nothing is there, or matches.
        """
        if pattern is not None and _is_wild(pattern) and not self.exists(pattern):
            return [self._store.delete(row["path"]) for row in self._matching(pattern)]
        return self._store.delete(self._path(pattern))

    def duplicate(self, source: PathLike | Mapping[str, Any], to: PathLike) -> Metadata:
        """Save a file of the run under another path, too, such as `latest.pt`.

        Waits until the saves of both that were called before are done. The disk keeps one copy
        where the file system has hard links.

        Args:
            source: what a `save…` returned; or a path, below the prefix or else from the run; or
                an id.
            to: the new path, below the prefix.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: both are the same.
        """
        saving = self._saving(to, None, None)
        path = self._source(source)
        if path == saving.path:
            raise ValueError(f"duplicate: to={saving.path!r} is the source itself")
        return self._store.duplicate(path, saving)

    def _path(self, path: PathLike | None) -> str:
        """The whole path of a file below the prefix; of the prefix itself, without one."""
        parts = self._parts if path is None else self._parts + split_path(as_text(path), WHAT)
        if not parts:
            raise ValueError(
                "files: no file is named; give its path, as in files('config.json').exists()"
            )
        return "/".join(parts)

    def _below(self, path: str) -> str:
        """A whole path relative to the prefix."""
        return path[len(self.prefix) + 1 :] if self._parts else path

    def _matching(self, pattern: str) -> builtins.list[Metadata]:
        found = self.list(pattern)
        if not found:
            raise missing(f"{self.prefix}/{pattern}" if self._parts else pattern)
        return found

    def _matches(self, path: str, pattern: str) -> bool:
        forms = (path.rpartition("/")[2], self._below(path), path)
        return any(fnmatch.fnmatchcase(form, pattern) for form in forms)

    def _source(self, source: PathLike | Mapping[str, Any]) -> str:
        """The whole path of the file that is to be duplicated."""
        if isinstance(source, Mapping):
            if not isinstance(source.get("path"), str):
                raise ValueError("duplicate: source has no 'path'; give what a save… returned")
            return str(source["path"])
        text = as_text(source)
        for path in dict.fromkeys((self._path(text), text)):
            try:
                return str(self._store.entry(path)["path"])
            except FileNotFoundError:
                continue
        for row in self._store.entries("") if text.isdecimal() else ():
            if row["id"] == text:
                return str(row["path"])
        raise missing(text)

    def _fetch(self, path: str, target: Path) -> str:
        self._store.fetch(path, target)
        return str(target)

    def __repr__(self) -> str:
        return f"<Files {self.prefix!r}>" if self._parts else "<Files>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _below, (self._store, self._parts, self._details)


def _below(store: FileStore, parts: tuple[str, ...], details: Mapping[str, Any]) -> Files:
    files = Files.__new__(Files)
    Savers.__init__(files, store, parts, details)
    files._handles = {}
    return files


def _inside(folder: Path, path: str) -> Path:
    """A path from an index below a folder. The index may be anybody's: it must not lead out."""
    return folder.joinpath(*split_path(path, WHAT))


def _is_wild(pattern: str) -> bool:
    return not _WILD.isdisjoint(pattern)
