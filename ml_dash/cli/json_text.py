"""JSON that any program reads and no terminal is driven by: plain ASCII, no NaN.

A non-finite number is `null`, and the object handed in says under `_nonfinite` which JSON pointer
was what: as in the segments of a run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

_encode = json.JSONEncoder(allow_nan=False).encode


def json_text(value: Mapping[str, Any] | list[Any], *, indent: int | None = None) -> str:
    """An object, or a list of objects, as JSON.

    Args:
        value: what rows hold: plain JSON types, non-finite floats among them.
        indent: spaces for each depth; by default all on one line.
    """
    encode = _encode if indent is None else json.JSONEncoder(indent=indent, allow_nan=False).encode
    try:
        text = encode(value)
    except (ValueError, TypeError, RecursionError):
        text = encode([*map(_object, value)] if isinstance(value, list) else _object(value))
    # DEL is the one control character that `json` leaves as it is.
    return text.replace("\x7f", "\\u007f")


def compact(value: Any) -> str:
    """A value for people to read: other alphabets as they are, NaN as `NaN`. Not yet printable."""
    if type(value) is int or type(value) is float:
        return json.dumps(value)
    return json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    """A value as plain JSON types; what nests deeper than a row may is left out."""
    from ml_dash.values import jsonable

    return jsonable(value, strict=False)


def _object(value: Any) -> Any:
    special: dict[str, str] = {}
    finite = _finite(_plain(value), "", special)
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
