"""Parameters by dotted name: `{"model.layers": 4}` is `{"model": {"layers": 4}}`.

A name cannot have a value and names below it. Of what is set one after the other the later stays:
`model="resnet"` gives way to `model.layers`, and the other way round. So whatever updates add up to
can be nested.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Flat = dict[str, Any]
"""Values of plain JSON types by dotted name."""


def fold(rows: Iterable[Mapping[str, Any]]) -> Flat:
    """What the rows of the stream `params` add up to: in order of time, the later value wins.

    Args:
        rows: in any order, each with `timestamp` and flat `params`; others count for nothing.
    """
    flat: Flat = {}
    groups: set[str] = set()  # all names that anything is, or was, below of
    for row in sorted(rows, key=lambda row: row["timestamp"]):
        params = row.get("params")
        for name, value in params.items() if isinstance(params, Mapping) else ():
            below = [n for n in flat if n.startswith(f"{name}.")] if name in groups else []
            if below and value == {}:
                continue  # an empty group adds nothing to one that is there
            for other in below:
                del flat[other]
            for group in groups_of(name):
                groups.add(group)
                flat.pop(group, None)
            flat[name] = value
    return flat


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Nest values by the dots in their names."""
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split(".")
        inner = nested
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return nested


def without_conflicts(flat: Flat) -> Flat:
    """`flat` without empty groups that are not empty after all.

    Raises:
        ValueError: a name has a value and names below it.
    """
    clashing = {group for name in flat for group in groups_of(name) if group in flat}
    for group in clashing:
        if flat[group] != {}:
            name = next(name for name in flat if name.startswith(f"{group}."))
            raise ValueError(
                f"params: both {group!r} and {name!r} are given; a parameter cannot have both a"
                " value and parameters below it"
            )
    return {name: value for name, value in flat.items() if name not in clashing}


def groups_of(name: str) -> list[str]:
    """What a name is below of: `a.b.c` is below `a` and `a.b`."""
    return [name[:index] for index, char in enumerate(name) if char == "."]
