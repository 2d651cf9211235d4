"""One row, one line: the encoding of everything that goes into a segment.

- A line is one JSON object, UTF-8, ended by a newline, at most `MAX_LINE` bytes.
- What `encode_row` returns is a snapshot: the caller may change its arrays and dicts afterwards.
- A value that cannot be stored is refused here, by name, and nothing of its row is kept.

JSON has no NaN or infinity. Such a value is stored as `null`, so that columns stay numeric for any
reader, and the row says under `_nonfinite` which JSON pointer was what; `decode_row` puts it back.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import orjson

from ml_dash.values import MIDNIGHT, OPTIONS, jsonable

MAX_LINE = 16 * 1024 * 1024
"""The longest line in bytes, its newline included; a server accepts any line of this length."""

NONFINITE = "_nonfinite"
BIG_INTEGER = "_bigint"

_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def encode_row(
    fields: Mapping[str, Any],
    *,
    head: Mapping[str, Any] | None = None,
    where: str,
    strict: bool = True,
) -> bytes:
    """Encode a row as one line.

    Args:
        fields: the user's values by key. Keys that begin with `_` are refused.
        head: ML-Dash's own values (`timestamp`, `step`, …); they come first, plain JSON types.
        where: what an error message calls the row, such as `track 'robot/position'`.
        strict: when false, a value that cannot be encoded is stored as its `repr`.

    Returns:
        The line, newline included.

    Raises:
        TypeError: a value has no JSON form; the message names the key.
        ValueError: a key is reserved, given twice or clashes; or the row is too long.
    """
    head = head or {}
    _check_head(head, fields, where)
    try:
        body = orjson.dumps(fields, None, OPTIONS)
        if b'"_' in body:
            check_keys(fields, where)
        if b"null" in body or MIDNIGHT in body:
            body = _encode_slowly(fields, head, where, strict)
    except TypeError:
        body = _encode_slowly(fields, head, where, strict)
    return finish_line(body, orjson.dumps(head, None, OPTIONS), where)


def finish_line(body: bytes, head: bytes, where: str) -> bytes:
    """Join two encoded objects, the head's keys first, into one line and check its length."""
    if head == b"{}":
        line = body + b"\n"
    elif body == b"{}":
        line = head + b"\n"
    else:
        line = head[:-1] + b"," + body[1:] + b"\n"
    if len(line) > MAX_LINE:
        raise too_long(where, len(line))
    return line


def too_long(where: str, size: int) -> ValueError:
    """The error for a row of `size` bytes."""
    return ValueError(
        f"{where}: the row takes {size:,} bytes, more than the {MAX_LINE:,} a row may have;"
        " save large values as a file, for example with files(...).save_numpy"
    )


def check_keys(fields: Mapping[Any, Any], where: str) -> None:
    """Refuse keys that begin with `_`: they are ML-Dash's own."""
    for key in fields:
        if isinstance(key, str) and key.startswith("_"):
            raise ValueError(
                f"{where}: the key {key!r} begins with '_', which ML-Dash keeps for itself;"
                f" use {key.lstrip('_') or 'another name'!r}"
            )


def decode_row(line: bytes | memoryview) -> dict[str, Any]:
    """Decode one line, with non-finite floats, large integers and lone surrogates restored.

    Raises:
        ValueError: the line is not one JSON object, or not one of ours.
    """
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        row = _load_slowly(line)  # lone surrogates, which orjson refuses
    if type(row) is not dict:
        raise ValueError("the line is not a JSON object")
    if BIG_INTEGER in row:
        row = dict(_load_slowly(line))  # orjson reads integers over 64 bits as floats
        del row[BIG_INTEGER]
    if NONFINITE in row:
        try:
            for pointer, name in row.pop(NONFINITE).items():
                _set_pointer(row, pointer, _SPECIAL[name])
        except (AttributeError, LookupError, TypeError):
            raise ValueError(f"the line's {NONFINITE!r} does not fit its values") from None
    return row


def _encode_slowly(
    fields: Mapping[Any, Any], head: Mapping[str, Any], where: str, strict: bool
) -> bytes:
    """Encode what orjson alone cannot: odd keys and types, big integers, non-finite floats."""
    plain = jsonable(fields, where, strict=strict)
    check_keys(plain, where)
    _check_head(head, plain, where)
    special: dict[str, str] = {}
    plain = _without_nonfinite(plain, "", special)
    if special:
        plain[NONFINITE] = special
    try:
        return orjson.dumps(plain)
    except TypeError:
        pass
    if _has_big_integer(plain):
        plain[BIG_INTEGER] = True
    return json.dumps(plain, separators=(",", ":"), allow_nan=False).encode("ascii")


def _check_head(head: Mapping[str, Any], fields: Mapping[Any, Any], where: str) -> None:
    for key in head:
        if key in fields:
            raise ValueError(f"{where}: the key {key!r} is set by ML-Dash; name it otherwise")


def _load_slowly(line: bytes | memoryview) -> Any:
    try:
        return json.loads(bytes(line))
    except RecursionError:
        raise ValueError("the line nests too deeply") from None


def _without_nonfinite(value: Any, pointer: str, found: dict[str, str]) -> Any:
    if type(value) is float:
        if math.isfinite(value):
            return value
        found[pointer] = "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
        return None
    if type(value) is dict:
        return {
            key: _without_nonfinite(
                item, f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}", found
            )
            for key, item in value.items()
        }
    if type(value) is list:
        return [
            item
            if type(item) is float and math.isfinite(item)  # most of what lists hold
            else _without_nonfinite(item, f"{pointer}/{i}", found)
            for i, item in enumerate(value)
        ]
    return value


def _set_pointer(row: Any, pointer: str, value: float) -> None:
    *path, last = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    for part in path:
        row = row[int(part)] if type(row) is list else row[part]
    row[int(last) if type(row) is list else last] = value


def _has_big_integer(value: Any) -> bool:
    if type(value) is int:
        return not -(2**63) <= value < 2**64
    if type(value) is dict:
        return any(map(_has_big_integer, value.values()))
    return type(value) is list and any(map(_has_big_integer, value))
