"""What rows bring, as any database takes it."""

from __future__ import annotations

import math
from typing import Any

from ml_dash.names import MAX_PATH

LONGEST = 1000
"""Characters of a text that is listed: of a param, a metric, an error."""


def clean(value: Any) -> Any:
    """A value as any database takes it in JSON: finite, of 64 bits, and text that is text."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {clean(str(key)): clean(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [clean(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    return value


def plain(value: Any) -> Any:
    """A value as it is listed: what is not finite as a text, what is long shortened."""
    value = clean(value)
    if isinstance(value, str):
        return value[:LONGEST]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return str(value)[:LONGEST]


def text(value: Any) -> str:
    """A text of bounded length; nothing for what is no text."""
    return str(clean(value))[:20_000] if isinstance(value, str) else ""


def is_clean(value: Any) -> bool:
    """Whether it is text as any database takes it."""
    return isinstance(value, str) and value == clean(value)


def is_path(path: Any) -> bool:
    """Whether it is a path that a file can have."""
    return is_clean(path) and 0 < len(path) <= MAX_PATH
