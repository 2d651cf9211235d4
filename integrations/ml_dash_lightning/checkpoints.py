"""Checkpoints as files of the run, with a record of which is the best and which the last."""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ml_dash import Experiment
from ml_dash_lightning.plain import metric_value

FOLDER = "checkpoints"
LIST = "checkpoints.json"
"""Says, for each callback, which of the files is the best, which the last, how each scored."""


@dataclass(slots=True)
class _State:
    """What one callback had written when it last said so."""

    monitor: str | None
    mode: str | None
    best: str
    last: str
    scores: dict[str, Any]


@dataclass(slots=True)
class _Book:
    """What is known of one folder of a run.

    Attributes:
        states: by callback and its folder: the folds of a validation have callbacks that are alike.
        copied: by path, when it had been written.
        names: by name in the run, the path.
    """

    states: dict[tuple[str, str], _State] = field(default_factory=dict)
    copied: dict[str, int] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


_books: weakref.WeakKeyDictionary[Experiment, dict[str, _Book]] = weakref.WeakKeyDictionary()
"""Of each run, since it may have several loggers, one after the other."""


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

    def note(self, callback: Any, experiment: Experiment) -> None:
        """Take down which checkpoints there are; copy them, if each is to be kept."""
        # The callback comes as a weak proxy: what is needed of it is taken at once.
        state = _state_of(callback)
        key = str(callback.state_key), str(getattr(callback, "dirpath", ""))
        self._book(experiment).states[key] = state
        if self._each:
            self._copy(state.scores, experiment)

    def finish(self, experiment: Experiment) -> None:
        """At the end of a fit: copy the best and the last."""
        states = self._book(experiment).states.values()
        wanted = [path for state in states for path in (state.best, state.last)]
        self._copy(filter(None, wanted), experiment)

    def _book(self, experiment: Experiment) -> _Book:
        return _books.setdefault(experiment, {}).setdefault(self._folder, _Book())

    def _copy(self, paths: Iterable[str], experiment: Experiment) -> None:
        files, book = experiment.files(self._folder), self._book(experiment)
        changed = False
        away = ""
        for path in dict.fromkeys(paths):
            if "://" in path:
                away = away or path
                continue
            source = Path(path)
            try:
                written = source.stat().st_mtime_ns
            except OSError:
                continue  # deleted since
            if book.copied.get(path) == written:
                continue
            name = _name(book, path)
            for part in _parts(source):
                inner = part.relative_to(source).as_posix()
                files.save_file(part, to=name if inner == "." else f"{name}/{inner}")
            book.copied[path] = written
            changed = True
        if changed:
            entries = [_entry(book, state) for state in book.states.values()]
            with TemporaryDirectory() as folder:
                # As a file, which is in the run when the call returns: a JSON of ours would come
                # later than the checkpoints, or never, where the process is ended there and then.
                listed = Path(folder, LIST)
                listed.write_text(json.dumps(entries, indent=2, default=_plain))
                files.save_file(listed, to=LIST)
        if away:
            raise ValueError(
                f"the checkpoint {away!r} is not on this machine, and so not in the run; give"
                " ModelCheckpoint a local folder, or leave log_model out"
            )


def _name(book: _Book, path: str) -> str:
    """What a checkpoint is called in the run: as its file, unless another one has that name."""
    name = file = Path(path).name
    number = 1
    while book.names.setdefault(name, path) != path:
        number += 1
        name = f"{number}/{file}"
    return name


def _entry(book: _Book, state: _State) -> dict[str, Any]:
    def name(path: str) -> str | None:
        return _name(book, path) if path in book.copied else None

    return {
        "monitor": state.monitor,
        "mode": state.mode,
        "best": name(state.best),
        "last": name(state.last),
        "scores": {_name(book, path): score for path, score in state.scores.items() if name(path)},
    }


def _state_of(callback: Any) -> _State:
    scores = {str(path): metric_value(score) for path, score in callback.best_k_models.items()}
    best = str(callback.best_model_path or "")
    newest = str(getattr(callback, "_last_checkpoint_saved", "") or "")
    last = str(getattr(callback, "last_model_path", "") or "") or newest
    if newest:
        scores.setdefault(newest, metric_value(callback.current_score))
    if best:
        scores.setdefault(best, metric_value(callback.best_model_score))
    if last:
        scores.setdefault(last, None)
    return _State(callback.monitor, getattr(callback, "mode", None), best, last, scores)


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
