"""JSON as other programs take it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import orjson


def dumps(value: Any, *, indent: bool = False) -> bytes:
    """Plain values as JSON, UTF-8; what is not finite as null, integers of any length exactly."""
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else None)
    except TypeError:  # integers over 64 bits, lone surrogates
        return json.dumps(_finite(value), indent=2 if indent else None).encode()


def write_json(path: Path, value: Any) -> None:
    """Write a file of JSON for people to read, too."""
    path.write_bytes(dumps(value, indent=True) + b"\n")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
