"""What a logger takes of a model: its structure, and norms while it is trained."""

from __future__ import annotations

from functools import partial
from typing import Any

from ml_dash_lightning.base import rank_zero_only
from ml_dash_lightning.guard import count, harmless, harmless_as
from ml_dash_lightning.recording import Recording
from ml_dash_lightning.watch import Watch


class Models(Recording):
    """The methods of `MLDashLogger` that are given a module."""

    def _reset_models(self) -> None:
        self._watches: list[Watch] = []
        self._graph = ""
        self._norms = self._path("norms")

    @rank_zero_only
    @harmless
    def log_graph(self, model: Any, input_array: Any = None) -> None:
        """Save the model's structure as the text file `model.txt`, when it is a new one."""
        text = f"{model}\n\n{_size(model)} parameters\n"
        if text != self._graph:
            self._graph = text
            self._running().files.save_text(text, to=self._path("model.txt"))

    @rank_zero_only
    def watch(self, model: Any, log: str = "gradients", log_freq: int = 100) -> None:
        """Record the norms of a module's gradients, parameters, or both while it is trained.

        Rows of `metrics("norms")`: `gradients/<parameter>`, `parameters/<parameter>`, and over all
        of them `gradients` and `parameters`. Gradients are taken as the backward pass leaves them:
        of several processes those of rank zero before they are averaged, and under a gradient
        scaler before that is undone. Processes that are spawned get the module without its watch:
        with `ddp_spawn`, call this in the module's `on_fit_start`.

        Args:
            model: the module; that of a trainer gives the rows the step that its metrics have.
            log: `gradients`, `parameters` or `all`.
            log_freq: backward passes between two rows.

        Raises:
            ValueError: `log` or `log_freq` is none of these.
        """
        if log not in ("gradients", "parameters", "all"):
            raise ValueError(f"watch: log is {log!r}; give 'gradients', 'parameters' or 'all'")
        if log_freq < 1:
            raise ValueError(f"watch: log_freq is {log_freq}; it counts from 1 on")
        self._watches.append(
            Watch(model, log, log_freq, self._emit_norms, partial(count, self, "watch"))
        )

    @rank_zero_only  # other ranks that were forked from here have the hooks, too
    @harmless_as("watch")
    def _emit_norms(self, step: int | None, norms: dict[str, Any]) -> None:
        # Outside of a trainer: the step of the metrics that come next.
        self._record(self._last_step + 1 if step is None else step, metrics={self._norms: norms})

    def unwatch(self) -> None:
        """Stop recording norms."""
        watches, self._watches = self._watches, []
        for watch in watches:
            watch.close()

    def _finish_watches(self) -> None:
        for watch in self._watches:
            watch.finish()


def _size(model: Any) -> str:
    try:
        return f"{sum(one.numel() for one in model.parameters()):,}"
    except (TypeError, ValueError):  # lazy modules do not know yet
        return "unknown"
