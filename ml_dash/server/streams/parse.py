"""Columns of lines of any shape, read by Arrow where every line has them in one way."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json as pj

from ml_dash.reading.merge import EXPLICIT

ITEMS = 64
"""Elements of a list that count as columns, `q[0]`, `q[1]` and so on."""

ITEM = re.compile(r"(.+)\[(\d{1,2})\]")
"""The name of such a column."""

_PLAIN = re.compile(r"[ !#-Z^-~]+")  # what stands in a line as it is called, brackets aside
_ODD = (b'" :', b"\\u", b"\\/")  # where keys may be written in another way


@dataclass(frozen=True, slots=True)
class Parsed:
    """Columns as Arrow arrays.

    Attributes:
        own: `timestamp`, `step` and the mark of explicit times, where there are any.
        leaves: those asked for; `None` where no line has one.
    """

    own: dict[str, Any]
    leaves: dict[str, Any]


def parse_columns(text: bytes, names: Sequence[str]) -> Parsed | None:
    """Read columns of numbers; `None` where their names may stand for several things.

    Args:
        text: lines, each a whole row.
        names: nested ones with dots, elements of lists as `q[0]`.

    Raises:
        pa.ArrowInvalid: a value is no number.
    """
    forms = {name: _form(text, name) for name in names}
    wanted = {name: form for name, form in forms.items() if form is not None}
    if len(wanted) != len(forms) or any(odd in text for odd in _ODD):
        return None
    table = _parse(text, list(wanted.values()))
    if table is None:
        return None
    columns = {name: _single(table[name]) for name in table.column_names}
    own = {name: columns[name] for name in ("timestamp", "step", EXPLICIT) if name in columns}
    return Parsed(
        own, {name: _leaf(columns, form) if form.keys else None for name, form in wanted.items()}
    )


@dataclass(frozen=True, slots=True)
class _Form:
    """How a column lies in the lines of a chunk: keys from the outside, and an element of a list.

    `keys` is empty where no line has it.
    """

    keys: tuple[str, ...]
    item: int | None = None


def _form(text: bytes, name: str) -> _Form | None:
    """How a column lies in the lines; `None` where in more ways than one, or in an odd one."""
    if not _PLAIN.fullmatch(name.replace("[", "").replace("]", "")):
        return None
    parts, item = name, None
    if (found := ITEM.fullmatch(name)) is not None:
        if _has_key(text, name):
            return None
        parts, item = found[1], int(found[2])
        if item >= ITEMS:
            return _Form(())
    keys = parts.split(".")
    if len(keys) == 1:
        return _Form((parts,), item) if _has_key(text, parts) else _Form(())
    joined = [
        ".".join(keys[begin:end])
        for begin in range(len(keys))
        for end in range(begin + 2, len(keys) + 1)
    ]
    there = [key for key in joined if _has_key(text, key)]
    if not there:
        known = all(_has_key(text, key) for key in keys)
        return _Form(tuple(keys), item) if known and all(keys) else _Form(())
    return _Form((parts,), item) if there == [parts] and not _has_key(text, keys[0]) else None


def _has_key(text: bytes, key: str) -> bool:
    return b'"%b":' % key.encode() in text


def _parse(text: bytes, forms: Sequence[_Form]) -> Any:
    fields: dict[str, Any] = {"timestamp": pa.float64(), "step": pa.int64()}
    if EXPLICIT.encode() in text:
        fields[EXPLICIT] = pa.bool_()
    tree: dict[str, Any] = {}
    for form in forms:
        inner = tree
        for key in form.keys[:-1]:
            inner = inner.setdefault(key, {})
            if type(inner) is not dict:
                return None  # a number here and an object there
        if form.keys:
            leaf = pa.float64() if form.item is None else pa.list_(pa.float64())
            if inner.setdefault(form.keys[-1], leaf) != leaf:
                return None
    if "step" in tree and tree.pop("step") != pa.float64():
        return None
    fields |= {key: _typed(value) for key, value in tree.items() if key not in fields}
    return pj.read_json(
        io.BytesIO(text),
        pj.ReadOptions(use_threads=False, block_size=len(text) + 1),
        pj.ParseOptions(
            explicit_schema=pa.schema(list(fields.items())), unexpected_field_behavior="ignore"
        ),
    ).combine_chunks()


def _typed(value: Any) -> Any:
    if type(value) is dict:
        return pa.struct([(key, _typed(inner)) for key, inner in value.items()])
    return value


def _leaf(columns: Mapping[str, Any], form: _Form) -> Any:
    """The array of a column."""
    column = columns[form.keys[0]]
    for key in form.keys[1:]:
        # Flattened, it is missing where what it lies in is
        column = column.flatten()[column.type.get_field_index(key)]
    if form.item is not None:
        starts = np.array(column.offsets, np.int64)
        long = (starts[1:] - starts[:-1] > form.item) & np.array(column.is_valid(), np.bool_)
        places = pa.array(np.where(long, starts[:-1] + form.item, 0), mask=~long)
        column = column.values.take(places)
    return column


def _single(column: Any) -> Any:
    """A column of a table as one array."""
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
