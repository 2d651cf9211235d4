"""What an error message says of the names there are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST = 10
"""Names that a message lists when none is near."""


def hint(wanted: object, names: Iterable[str], *, none: str = "there are none") -> str:
    """Those that are spelt nearly like `wanted`; where none is, the first of them all.

    Args:
        wanted: the name that was asked for.
        names: those there are, in the order in which they are listed.
        none: what to say when there are none.
    """
    there = list(names)
    if not there:
        return none
    if near := nearest(wanted, there):
        return near
    more = f" and {len(there) - MOST} more" if len(there) > MOST else ""
    return f"there are {', '.join(map(repr, there[:MOST]))}{more}"


def nearest(wanted: object, names: Iterable[str]) -> str:
    """`did you mean 'a', 'b'?`, or nothing when no name is spelt nearly like `wanted`."""
    near = difflib.get_close_matches(str(wanted), names, n=3)
    return f"did you mean {', '.join(map(repr, near))}?" if near else ""
