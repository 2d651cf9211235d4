"""Checkpoints as files of the run, with a record of which is the best and which the last."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ml_dash import Experiment, turn
from ml_dash_lightning.book import LIST, Book, Key, State, about, book_of, state_of

FOLDER = "checkpoints"

_PATIENCE = 30.0
"""Seconds to wait for a process that copies its own: checkpoints are large."""


class Checkpoints:
    """Copies what a `ModelCheckpoint` writes into the run, before it may delete it again.

    Args:
        folder: where in the run.
        each: copy every checkpoint when it is written, and keep it; else, when a fit ends, those
            that are the best and the last then.
    """

    def __init__(self, folder: str, each: bool) -> None:
        self._folder = folder
        self._each = each
        self._book: Book | None = None
        self._callbacks: dict[Key, Any] = {}  # of this fit; as weak proxies
        self._seen: dict[str, int] = {}  # when each had been written
        self._late: set[str] = set()

    def note(self, callback: Any, experiment: Experiment) -> None:
        """Take down which checkpoints there are; copy them, if each is to be kept."""
        # What is needed of the callback is taken at once: it may be gone when the fit ends.
        key, state = state_of(callback)
        self._opened(experiment).note(key, state)
        self._callbacks[key] = callback
        for path in (state.best, state.last):
            written = _written(path)
            if written is not None:
                self._seen[path] = written
        if self._each:
            _tell(self._copy(state.scores, state.scores, experiment), [])

    def finish(self, experiment: Experiment, final: bool = False) -> None:
        """At the end of a fit: copy the best and the last.

        Args:
            experiment: the run.
            final: the run ends, too: what has not been written by now never will be.

        Raises:
            ValueError, FileNotFoundError: one of them cannot be had; all others are copied.
        """
        if self._book is None:
            return  # no checkpoint was written
        states = self._book.states
        self._renew()
        due = {path for key in self._callbacks for path in _ends(states[key])} | self._late
        own = [path for key in list(self._book.own) for path in _ends(states[key])]
        away = self._copy(own, due, experiment)
        self._book.end()
        gone = {path for path in due if "://" not in path and self._is_lost(path)}
        # Where checkpoints are written in the background, a fit may end before they are.
        self._late = set() if final else gone - self._seen.keys()
        self._callbacks, self._seen = {}, {}
        _tell(away, sorted(gone - self._late))

    def _renew(self) -> None:
        """Ask the callbacks once more: a `last.ckpt` that is a link is made without a word."""
        assert self._book is not None
        for key, callback in self._callbacks.items():
            try:
                self._book.note(key, state_of(callback)[1])
            except ReferenceError:
                pass  # what it said while it was there holds

    def _is_lost(self, path: str) -> bool:
        assert self._book is not None
        copied = self._book.copied.get(path)
        is_kept = copied is not None and self._seen.get(path, copied) == copied
        return not is_kept and _written(path) is None

    def _opened(self, experiment: Experiment) -> Book:
        self._book = book_of(experiment, self._folder)
        return self._book

    def _copy(
        self, paths: Iterable[str], new: Collection[str], experiment: Experiment
    ) -> list[str]:
        """Copy those that are there; gives those that are on no disk of this machine.

        Args:
            paths: of checkpoints.
            new: those of this fit: what an earlier one wrote to these paths stays beside them.
            experiment: the run.
        """
        found: dict[str, int] = {}
        book = self._opened(experiment)
        paths = list(filter(None, dict.fromkeys(paths)))
        for path in paths:
            written = _written(path)
            if written not in (None, book.copied.get(path)):
                found[path] = written
        if found:
            folder = experiment.folder and experiment.folder / "run"
            with turn(folder, _PATIENCE):  # another process may be about to take the same names
                self._save(found, new, experiment)
                experiment.flush()  # for it to see
        return [path for path in paths if "://" in path]

    def _save(self, found: dict[str, int], new: Collection[str], experiment: Experiment) -> None:
        files, book = experiment.files(self._folder), self._opened(experiment)
        book.read(files)
        for path, written in found.items():
            if path in new:
                book.part(path)
            name, source = book.name(path), Path(path)
            for part in _parts(source):
                inner = part.relative_to(source).as_posix()
                target = name if inner == "." else f"{name}/{inner}"
                files.save(part, to=target, metadata=about(path, name, written))
            book.copied[path] = written
        with TemporaryDirectory() as folder:
            # As a file, which is in the run when the call returns: a JSON of ours would come
            # later than the checkpoints, or never, where the process is ended there and then.
            listed = Path(folder, LIST)
            listed.write_text(json.dumps(book.listed(), indent=2, allow_nan=False, default=str))
            files.save_file(listed, to=LIST)


def _ends(state: State) -> list[str]:
    return [path for path in (state.best, state.last) if path]


def _written(path: str) -> int | None:
    """When a checkpoint was written; `None` if it is not there, or not on this machine."""
    try:
        return None if not path or "://" in path else Path(path).stat().st_mtime_ns
    except OSError:
        return None


def _tell(away: list[str], gone: list[str]) -> None:
    if away:
        raise ValueError(
            f"the checkpoint {away[0]!r} is not on this machine, and so not in the run; give"
            " ModelCheckpoint a local folder, or leave log_model out"
        )
    if gone:
        raise FileNotFoundError(
            f"the checkpoint {gone[0]!r} was not there when the fit ended, and so is not in"
            ' the run; log_model="all" keeps each one as soon as it is written'
        )


def _parts(source: Path) -> list[Path]:
    """The files of a checkpoint, which sharded strategies write as a folder."""
    return (
        sorted(one for one in source.rglob("*") if one.is_file()) if source.is_dir() else [source]
    )
