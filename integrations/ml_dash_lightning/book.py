"""What is known of the checkpoints in a run: which file is whose, which the best, which the last.

It is read from the run before checkpoints are kept: the run may have those of another logger, of a
process that it was continued from, or of one that records into it at the same time. None of them is
to be replaced by one that happens to have its name, such as the `best.ckpt` of another fold.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml_dash import Experiment
from ml_dash_lightning.plain import metric_value

LIST = "checkpoints.json"
"""Says, for each callback, which of the files is the best, which the last, how each scored."""

Key = tuple[str, str]


@dataclass(slots=True)
class State:
    """What one callback had written when it last said so.

    Attributes:
        monitor: the metric that it goes by.
        mode: whether less of it is better, or more.
        best: the path of the best checkpoint.
        last: that of the last one.
        scores: by path.
        rolling: the path that the callback itself writes over and over, its `last.ckpt`.
    """

    monitor: str | None
    mode: str | None
    best: str
    last: str
    scores: dict[str, Any]
    rolling: str = ""


@dataclass(slots=True)
class Book:
    """What is known of one folder of a run.

    Attributes:
        states: by callback and its folder: the folds of a validation have callbacks that are alike.
        copied: by path, when it had been written.
        names: by name in the run, the path; empty where that is not known.
        scored: by callback and name in the run, the scores, also of what the callback has deleted.
        own: the callbacks of this process; of others, what the run says is newer.
        ended: the paths of fits that are over.
    """

    states: dict[Key, State] = field(default_factory=dict)
    copied: dict[str, int] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    scored: dict[Key, dict[str, Any]] = field(default_factory=dict)
    own: set[Key] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)

    def note(self, key: Key, state: State) -> None:
        """Take down what a callback of this process has written."""
        self.own.add(key)
        self.states[key] = state

    def read(self, files: Any) -> None:
        """Take down what the folder of the run has, also of other processes by now."""
        written: dict[str, int] = {}
        # The oldest first: of two fits that wrote to one path, it is the later one's.
        for row in sorted(files.list(), key=lambda row: row["timestamp"]):
            known = row.get("metadata") or {}
            name = known.get("checkpoint") or row["path"].removeprefix(f"{files.prefix}/")
            if name not in self.names:
                path = str(known.get("source", ""))
                self._release(path)
                self.names[name] = path
            path = self.names[name]
            if path:
                written[path] = max(written.get(path, 0), known.get("written", 0))
        for entry in _listed(files) if LIST in self.names else ():
            key = entry["callback"], entry["folder"]
            if key in self.own:
                continue
            self.scored[key] = dict(entry["scores"])
            scores = {self.names.get(name, ""): score for name, score in entry["scores"].items()}
            best, last = (self.names.get(entry[one] or "", "") for one in ("best", "last"))
            self.states[key] = State(entry["monitor"], entry["mode"], best, last, scores)
            # Those that are listed are whole.
            listed = {path for path in (best, last, *scores) if path in written}
            self.copied.update((path, written[path]) for path in listed)

    def end(self) -> None:
        """A fit is over: what the next one writes to a path of it is another checkpoint."""
        self.ended.update(path for path in self.names.values() if path)

    def part(self, path: str) -> None:
        """Let go of the names of a path, if a fit that is over wrote there: they stay its own."""
        if path not in self.ended or path in (state.rolling for state in self.states.values()):
            return
        self.ended.discard(path)
        self._release(path)

    def _release(self, path: str) -> None:
        self.names.update({name: "" for name, known in self.names.items() if known == path})

    def name(self, path: str) -> str:
        """What a checkpoint is called in the run: as its file, unless another one is."""
        name = file = Path(path).name
        number = 1
        while self.names.setdefault(name, path) != path:
            number += 1
            name = f"{number}/{file}"
        return name

    def listed(self) -> list[dict[str, Any]]:
        """What `checkpoints.json` says."""
        return [self._entry(key, state) for key, state in self.states.items()]

    def _entry(self, key: Key, state: State) -> dict[str, Any]:
        def name(path: str) -> str | None:
            return self.name(path) if path in self.copied else None

        scores = self.scored.setdefault(key, {})
        scores.update({self.name(one): score for one, score in state.scores.items() if name(one)})
        return {
            "monitor": state.monitor,
            "mode": state.mode,
            "best": name(state.best),
            "last": name(state.last),
            "scores": {one: plain_score(score) for one, score in scores.items()},
            "callback": key[0],
            "folder": key[1],
        }


# Kept, small as they are: what one logger has just saved is not on the disk yet when the next one
# of the same run would read it there.
_books: dict[tuple[int, str, str], Book] = {}


def book_of(experiment: Experiment, folder: str) -> Book:
    """The book of a folder of a run: one, however many loggers record into it.

    Args:
        experiment: the run, started.
        folder: where its checkpoints are.
    """
    key = os.getpid(), experiment.id, folder  # a forked process has records of its own
    book = _books.get(key)
    if book is None:
        book = Book()
        book.read(experiment.files(folder))
        book.end()
    return _books.setdefault(key, book)


def about(path: str, name: str, written: int) -> dict[str, Any]:
    """What a checkpoint's file in the run says of it, for those who continue the run."""
    return {"checkpoint": name, "source": path, "written": written}


def _listed(files: Any) -> list[dict[str, Any]]:
    try:
        entries = files.read_json(LIST)
    except (OSError, ValueError):
        return []  # damaged: what comes now is recorded nevertheless
    # Earlier versions did not say whose they are.
    return [entry for entry in entries if "callback" in entry]


def state_of(callback: Any) -> tuple[Key, State]:
    """What a `ModelCheckpoint` has written, and which one it is."""
    scores = {str(path): metric_value(score) for path, score in callback.best_k_models.items()}
    best = str(callback.best_model_path or "")
    newest = str(getattr(callback, "_last_checkpoint_saved", "") or "")
    rolling = str(getattr(callback, "last_model_path", "") or "")
    last = rolling or newest
    if newest:
        scores.setdefault(newest, metric_value(callback.current_score))
    if best:
        scores.setdefault(best, metric_value(callback.best_model_score))
    if last:
        scores.setdefault(last, None)
    key = str(callback.state_key), str(getattr(callback, "dirpath", ""))
    mode = getattr(callback, "mode", None)
    return key, State(callback.monitor, mode, best, last, scores, rolling)


def plain_score(score: Any) -> float | str | None:
    """A score as JSON can hold it: one that is not finite by its name, as in rows of a run."""
    try:
        number = None if score is None else float(score)
    except (TypeError, ValueError):
        return str(score)
    if number is None or math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
