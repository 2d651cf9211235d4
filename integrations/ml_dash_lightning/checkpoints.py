"""Checkpoints as files of the run, with a record of which is the best and which the last."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ml_dash import Experiment, turn
from ml_dash_lightning.book import LIST, Book, about, book_of, state_of

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

    def note(self, callback: Any, experiment: Experiment) -> None:
        """Take down which checkpoints there are; copy them, if each is to be kept."""
        # The callback comes as a weak proxy: what is needed of it is taken at once.
        key, state = state_of(callback)
        self._opened(experiment).note(key, state)
        if self._each:
            self._copy(state.scores, experiment)

    def finish(self, experiment: Experiment) -> None:
        """At the end of a fit: copy the best and the last."""
        if self._book is None:
            return  # no checkpoint was written
        own = [self._book.states[key] for key in list(self._book.own)]
        self._copy([path for state in own for path in (state.best, state.last)], experiment)
        self._book.end()

    def _opened(self, experiment: Experiment) -> Book:
        self._book = book_of(experiment, self._folder)
        return self._book

    def _copy(self, paths: Iterable[str], experiment: Experiment) -> None:
        away = ""
        found: dict[str, int] = {}
        book = self._opened(experiment)
        for path in filter(None, dict.fromkeys(paths)):
            if "://" in path:
                away = away or path
                continue
            try:
                written = Path(path).stat().st_mtime_ns
            except OSError:
                continue  # deleted since
            if book.copied.get(path) != written:
                found[path] = written
        if found:
            folder = experiment.folder and experiment.folder / "run"
            with turn(folder, _PATIENCE):  # another process may be about to take the same names
                self._save(found, experiment)
                experiment.flush()  # for it to see
        if away:
            raise ValueError(
                f"the checkpoint {away!r} is not on this machine, and so not in the run; give"
                " ModelCheckpoint a local folder, or leave log_model out"
            )

    def _save(self, found: dict[str, int], experiment: Experiment) -> None:
        files, book = experiment.files(self._folder), self._opened(experiment)
        book.read(files)
        for path, written in found.items():
            if self._each:
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
            listed.write_text(json.dumps(book.listed(), indent=2, default=_plain))
            files.save_file(listed, to=LIST)


def _plain(score: Any) -> float | str:
    try:
        return float(score)
    except (TypeError, ValueError):
        return str(score)


def _parts(source: Path) -> list[Path]:
    """The files of a checkpoint, which sharded strategies write as a folder."""
    return (
        sorted(one for one in source.rglob("*") if one.is_file()) if source.is_dir() else [source]
    )
