"""Checkpoints as files of the run, with a record of which is the best and which the last."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_dash_lightning.plain import metric_value

if TYPE_CHECKING:
    from ml_dash import Experiment

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
        self._states: dict[str, _State] = {}
        self._copied: dict[str, int] = {}  # by path, when it had been written
        self._names: dict[str, str] = {}  # by name in the run, the path

    def note(self, callback: Any, experiment: Experiment) -> None:
        """Take down which checkpoints there are; copy them, if each is to be kept."""
        # The callback comes as a weak proxy: what is needed of it is taken at once.
        state = _state_of(callback)
        self._states[str(callback.state_key)] = state
        if self._each:
            self._copy(state.scores, experiment)

    def finish(self, experiment: Experiment) -> None:
        """At the end of a fit: copy the best and the last."""
        wanted = [path for state in self._states.values() for path in (state.best, state.last)]
        self._copy(filter(None, wanted), experiment)

    def _copy(self, paths: Iterable[str], experiment: Experiment) -> None:
        files = experiment.files(self._folder)
        changed = False
        for path in dict.fromkeys(paths):
            source = Path(path)
            try:
                written = source.stat().st_mtime_ns
            except OSError:
                continue  # deleted since, or on a file system of another kind
            if self._copied.get(path) == written:
                continue
            name = self._name(path)
            for part in _parts(source):
                inner = part.relative_to(source).as_posix()
                files.save_file(part, to=name if inner == "." else f"{name}/{inner}")
            self._copied[path] = written
            changed = True
        if changed:
            files.save_json([self._entry(state) for state in self._states.values()], to=LIST)

    def _name(self, path: str) -> str:
        """What a checkpoint is called in the run: as its file, unless another one has that name."""
        name = file = Path(path).name
        number = 1
        while self._names.setdefault(name, path) != path:
            number += 1
            name = f"{number}/{file}"
        return name

    def _entry(self, state: _State) -> dict[str, Any]:
        def name(path: str) -> str | None:
            return self._name(path) if path in self._copied else None

        kept = {self._name(path): score for path, score in state.scores.items() if name(path)}
        return {
            "monitor": state.monitor,
            "mode": state.mode,
            "best": name(state.best),
            "last": name(state.last),
            "scores": kept,
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


def _parts(source: Path) -> list[Path]:
    """The files of a checkpoint, which sharded strategies write as a folder."""
    return (
        sorted(one for one in source.rglob("*") if one.is_file()) if source.is_dir() else [source]
    )
