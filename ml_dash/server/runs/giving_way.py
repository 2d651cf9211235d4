"""Params that gave way to others, told from their times alone, whatever came first.

As `dotted.fold` has it for rows in order: a value takes away those above and below its name; an
empty group, `{}`, those above it and a value of its name, and is none where something is below it.
"""

from __future__ import annotations

from ml_dash.dotted import groups_of
from ml_dash.server.runs.clean import plain

VALUE = "params"
EMPTY = "empty"
"""What the times of a value, and of an empty group, are kept under, before its name."""

_When = tuple[float, str]
"""Of two at one time the one counts that has the later name: for all who tell the same."""

_NEVER: _When = (float("-inf"), "")


class Values:
    """The params of a run.

    Args:
        found: those that count, by name; `settle` changes it.
        times: of all that were ever set, `VALUE` or `EMPTY` before their names.
    """

    def __init__(self, found: dict[str, object], times: dict[str, float]) -> None:
        self._found = found
        self._times = times
        keys = (key.partition(" ") for key in times)
        self._names = {name for kind, _, name in keys if kind in (VALUE, EMPTY)}

    def settle(self, name: str) -> None:
        """Let those go that gave way, now that one of this name was set.

        Args:
            name: its time is in `times`, and a value of it found.
        """
        self._names.add(name)
        touched = [other for other in groups_of(name) if other in self._names]
        touched += [name, *self._below(name)]
        for other in touched:
            self._judge(other)
        for other in touched:
            if self._is_empty(other) and any(n.startswith(f"{other}.") for n in self._found):
                self._found.pop(other, None)

    def _judge(self, name: str) -> None:
        below = self._below(name)
        values = [self._when(VALUE, other) for other in (*groups_of(name), *below)]
        if self._is_empty(name):
            if max(values, default=_NEVER) > self._when(EMPTY, name):
                self._found.pop(name, None)
            else:
                self._found[name] = plain({})
        else:
            groups = [self._when(EMPTY, other) for other in below]
            if max(*values, *groups, _NEVER, _NEVER) > self._when(VALUE, name):
                self._found.pop(name, None)

    def _is_empty(self, name: str) -> bool:
        return self._when(EMPTY, name) > self._when(VALUE, name)

    def _below(self, name: str) -> list[str]:
        return [other for other in self._names if other.startswith(f"{name}.")]

    def _when(self, kind: str, name: str) -> _When:
        at = self._times.get(f"{kind} {name}")
        return _NEVER if at is None else (at, name)
