"""Ranges of bytes as HTTP asks for them."""

from __future__ import annotations

import re

from starlette.exceptions import HTTPException

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)


def parse_range(header: str, size: int) -> tuple[int, int, bool]:
    """What a `Range` header asks for: begin, end (exclusive), and whether it is less than all.

    Several ranges at once, and other units, give all of it, as the standard allows.

    Args:
        header: empty where there is none.
        size: bytes that there are.

    Raises:
        HTTPException: 416, the range begins behind the end.
    """
    found = _RANGE.fullmatch(header.strip())
    if found is None or not (found[1] or found[2]):
        return 0, size, False
    first, last = found[1], found[2]
    if not first:
        begin, end = max(0, size - int(last)), size
    else:
        begin, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < begin:
            return 0, size, False
    if begin >= size or begin >= end:
        raise HTTPException(
            416,
            f"the range begins behind the end, which is at byte {size:,}",
            {"Content-Range": f"bytes */{size}"},
        )
    return begin, end, True
