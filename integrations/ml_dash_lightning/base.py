"""Which class a logger has to extend: Lightning exists under two names, with a `Logger` in each.

`lightning.pytorch` and `pytorch_lightning` are two copies of the same code; a class of one is no
subclass of the other. Their trainers take either, command lines and users ask `isinstance`. So one
is extended, that which the program uses already if it does, and ours is registered with the other.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ml_dash import Experiment

MISSING = 'MLDashLogger needs PyTorch Lightning: pip install "ml-dash[lightning]"'

# The packages, what tells that a program uses them, and where their loggers are.
_NAMES = (
    ("lightning", "lightning.pytorch", "lightning.pytorch.loggers.logger"),
    ("pytorch_lightning", "pytorch_lightning", "pytorch_lightning.loggers.logger"),
)


def _modules() -> list[Any]:
    """The modules with a `Logger`, the one to extend first."""
    found = []
    broken: Exception | None = None
    for package, _, place in sorted(_NAMES, key=lambda name: name[1] not in sys.modules):
        try:
            if find_spec(package) is not None:
                found.append(import_module(place))
        except Exception as error:  # noqa: BLE001 - one that is broken must not keep out the other
            broken = error
    if not found:
        raise ImportError(MISSING) from broken
    return found


def adopt(logger: type) -> None:
    """Make `isinstance(…, Logger)` true of `logger` for each `Logger` there is."""
    for module in _MODULES[1:]:
        module.Logger.register(logger)


_MODULES = _modules()

if TYPE_CHECKING:
    from lightning.fabric.loggers.logger import _DummyExperiment
    from lightning.pytorch.loggers.logger import Logger
    from lightning_utilities.core.rank_zero import rank_zero_only
else:
    Logger = _MODULES[0].Logger
    _DummyExperiment = import_module(Logger.__mro__[1].__module__)._DummyExperiment
    # One object, whatever the namespace.
    rank_zero_only = import_module("lightning_utilities.core.rank_zero").rank_zero_only


class Nothing(_DummyExperiment):
    """What other ranks than zero have for an experiment: it swallows `track("a").append(...)`.

    As of the framework's own, a call of what no experiment has gives `None`.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Swallowing() if hasattr(Experiment, name) or name in _PARTS else _none


class _Swallowing:
    """A part of an experiment that is none: all that it has is of its kind, too."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Whatever is called gives nothing, too."""
        return self

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __iter__(self) -> Any:
        return iter(())


_PARTS = frozenset({*Experiment.__annotations__, "folder", "metadata", "prefix", "run", "tags"})


def _none(*args: Any, **kwargs: Any) -> None:
    pass


__all__ = ["Logger", "Nothing", "adopt", "rank_zero_only"]
