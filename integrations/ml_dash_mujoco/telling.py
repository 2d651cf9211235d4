"""Tells the user what goes wrong while a simulation is recorded."""

from __future__ import annotations

import sys
import warnings

_PACKAGE = __name__.partition(".")[0]


class Teller:
    """Warns, once of each kind, at the line that has called this package."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def tell(self, kind: str, message: str) -> None:
        """Warn, unless that was told already."""
        if kind not in self._told:
            self._told.add(kind)
            warnings.warn(f"{_PACKAGE}: {message}", RuntimeWarning, stacklevel=_callers_level())


def _callers_level() -> int:
    """How far up, seen from the function that calls this, the call is that came from outside."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__")):
        level, frame = level + 1, frame.f_back
    return level


def _is_ours(module: object) -> bool:
    return isinstance(module, str) and module.partition(".")[0] == _PACKAGE
