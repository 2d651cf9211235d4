"""Norms of gradients and parameters, taken while a model is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Emit = Callable[[int | None, dict[str, Any]], None]


class Watch:
    """Takes the norms of a module at every n-th backward pass.

    Gradients are looked at when they have been accumulated, before any clipping; a row is complete
    when each parameter has had its turn, or when the next pass begins. Parameters that come to be
    trained later, such as those that a callback unfreezes, are looked at from the next row on.

    Args:
        module: whose parameters.
        what: `gradients`, `parameters` or `all`.
        every: backward passes between two rows.
        emit: takes the step, if the module knows it, and the norms by name.
        failed: takes the exception, should norms not be had: the backward pass goes on.
    """

    def __init__(
        self, module: Any, what: str, every: int, emit: Emit, failed: Callable[[Exception], None]
    ) -> None:
        self._module = module
        self._gradients = what in ("gradients", "all")
        self._parameters = what in ("parameters", "all")
        self._every = every
        self._emit = emit
        self._failed = failed
        self._passes = -1
        self._seen: set[str] = set()
        self._row: dict[str, Any] = {}
        self._step: int | None = None
        self._hooks: dict[str, Any] = {}
        self._attach()

    def _attach(self) -> None:
        """Look at the parameters that are trained by now."""
        for name, parameter in self._module.named_parameters():
            if parameter.requires_grad and name not in self._hooks:
                hook = parameter.register_post_accumulate_grad_hook(self._hook(name))
                self._hooks[name] = hook

    def _hook(self, name: str) -> Callable[[Any], None]:
        def accumulated(parameter: Any) -> None:
            try:
                self._accumulated(name, parameter)
            except Exception as error:  # noqa: BLE001 - else it would end the backward pass
                self._failed(error)

        return accumulated

    def _accumulated(self, name: str, parameter: Any) -> None:
        if not self._seen or name in self._seen:
            self._begin()
        self._seen.add(name)
        if self._passes % self._every == 0:
            self._take(name, parameter)
            if len(self._seen) == len(self._hooks):
                self.finish()

    def _begin(self) -> None:
        self.finish()
        self._seen = set()
        self._passes += 1
        if self._passes % self._every == 0:
            self._step = _step_of(getattr(self._module, "_trainer", None))
            self._attach()

    def _take(self, name: str, parameter: Any) -> None:
        # Norms stay tensors until the row is written: asking for numbers waits for the device.
        if self._gradients and parameter.grad is not None:
            self._row[f"gradients/{name}"] = parameter.grad.detach().norm()
        if self._parameters:
            self._row[f"parameters/{name}"] = parameter.detach().norm()

    def finish(self) -> None:
        """Write the row, with the norm over all of each kind."""
        row, self._row = self._row, {}
        if not row:
            return
        try:
            values = {name: float(norm) for name, norm in row.items()}
        except Exception as error:  # noqa: BLE001 - a device that has failed; others go on from here
            self._failed(error)
            return
        for kind in ("gradients", "parameters"):
            squares = [v * v for name, v in values.items() if name.startswith(f"{kind}/")]
            if squares:
                values[kind] = sum(squares) ** 0.5
        self._emit(self._step, values)

    def close(self) -> None:
        """Take no more norms."""
        self.finish()
        for hook in self._hooks.values():
            hook.remove()


def _step_of(trainer: Any) -> int | None:
    """The step that the trainer gives to metrics: it counts batches that have stepped.

    `global_step` counts steps of optimizers, of which a batch may have several.
    """
    loop = getattr(getattr(trainer, "fit_loop", None), "epoch_loop", None)
    step: int | None = getattr(loop, "_batches_that_stepped", None)
    return getattr(trainer, "global_step", None) if step is None else step
