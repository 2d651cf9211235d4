"""Params that give way to others, told from their times alone, whatever came first.

As `dotted.fold` has it for rows in order: a value takes away those above and below its name; an
empty group, `{}`, those above it and a value of its name, and is none where something is below it.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from ml_dash.dotted import groups_of
from ml_dash.server.runs.clean import plain

_VALUE = "params"
_EMPTY = "empty"
"""What the times of a value, and of an empty group, are kept under, before its name."""

_NEVER = float("-inf")


class Params:
    """The params of a run.

    Args:
        found: those that count, by name; `put` changes it.
        times: of all that count, or that took away what may still come. `put` changes it.
    """

    def __init__(self, found: dict[str, object], times: dict[str, float]) -> None:
        self._found = found
        self._times = times
        keys = (key.partition(" ") for key in times)
        self._names = sorted({name for kind, _, name in keys if kind in (_VALUE, _EMPTY)})

    def put(self, name: str, value: object, at: float) -> None:
        """Take in what was set at a time, unless a later one has taken it away already."""
        above = groups_of(name)
        gone = max((self._when(_VALUE, other) for other in [*above, name]), default=_NEVER) > at
        if gone or (value == {} and self._when(_EMPTY, name) > at):
            return
        if self._when(_VALUE, name) == self._when(_EMPTY, name) == _NEVER:
            insort(self._names, name)
        for other in above:
            self._found.pop(other, None)
        if value == {}:
            self._times[f"{_EMPTY} {name}"] = at
            self._found.pop(name, None)
        else:
            self._times[f"{_VALUE} {name}"] = at
            self._forget(name, at)
            self._found[name] = plain(value)
        below = self._below(name)
        if any(self._latest(other) > at for other in below) or self._is_empty(name):
            self._found.pop(name, None)
        for other in reversed([name, *below]):  # what is further below comes first
            if self._is_empty(other) and not any(n in self._found for n in self._below(other)):
                self._found[other] = plain({})

    def _forget(self, name: str, at: float) -> None:
        """Let go of what a value took away. Nothing of that is asked for again: it stands above."""
        self._drop(_EMPTY, name, at)
        for other in self._below(name):
            if self._drop(_VALUE, other, at):
                self._found.pop(other, None)
            self._drop(_EMPTY, other, at)
            if self._latest(other) == _NEVER:
                self._found.pop(other, None)
                del self._names[bisect_left(self._names, other)]

    def _drop(self, kind: str, name: str, at: float) -> bool:
        return self._when(kind, name) <= at and self._times.pop(f"{kind} {name}", None) is not None

    def _below(self, name: str) -> list[str]:
        first, end = (bisect_left(self._names, f"{name}{char}") for char in "./")  # / follows .
        return self._names[first:end]

    def _is_empty(self, name: str) -> bool:
        return self._when(_EMPTY, name) > self._when(_VALUE, name)

    def _latest(self, name: str) -> float:
        return max(self._when(_VALUE, name), self._when(_EMPTY, name))

    def _when(self, kind: str, name: str) -> float:
        return self._times.get(f"{kind} {name}", _NEVER)
