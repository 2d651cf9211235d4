"""JSON that any program reads and no terminal is driven by: plain ASCII, no NaN.

A non-finite number is `null`, and the object handed in says under `_nonfinite` which JSON pointer
was what: as in the segments of a run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def json_text(value: Mapping[str, Any] | list[Any], *, indent: int | None = None) -> str:
    """An object, or a list of objects, as JSON.

    Args:
        value: what `plain` takes; non-finite floats among it.
        indent: spaces for each depth; by default all on one line.
    """
    finite = [_object(item) for item in value] if isinstance(value, list) else _object(value)
    # DEL is the one control character that `json` leaves as it is.
    return json.dumps(finite, indent=indent, allow_nan=False).replace("\x7f", "\\u007f")


def plain(value: Any) -> Any:
    """A value as plain JSON types; what nests deeper than a row may is left out."""
    from ml_dash.rows import jsonable

    return jsonable(value, strict=False)


def _object(value: Any) -> Any:
    special: dict[str, str] = {}
    finite = _finite(plain(value), "", special)
    if special and type(finite) is dict:
        finite["_nonfinite"] = special
    return finite


def _finite(value: Any, pointer: str, special: dict[str, str]) -> Any:
    if type(value) is float and not math.isfinite(value):
        special[pointer] = "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
        return None
    if type(value) is dict:
        return {
            key: _finite(item, f"{pointer}/{_pointer_part(key)}", special)
            for key, item in value.items()
        }
    if type(value) is list:
        return [_finite(item, f"{pointer}/{i}", special) for i, item in enumerate(value)]
    return value


def _pointer_part(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
