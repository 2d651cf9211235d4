"""Rows, for any value that can be stored: encoded, decoded, and the quick way like the careful."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from fakes import FakeBuffer
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ml_dash.rows import decode_row, encode_row
from ml_dash.track import Track
from ml_dash.values import jsonable

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

TEXT = st.text(st.characters(), max_size=8) | st.sampled_from(
    [
        "null",
        '"_',
        "_nonfinite",
        "a/b~c",
        "~1",
        "\0",
        "\n",
        "\ud800",
        "\udfff\ud800",
        "NaN",
        "\\u0000",
    ]
)
INTEGERS = st.integers() | st.integers(-(2**80), 2**80)
SCALARS = st.none() | st.booleans() | INTEGERS | st.floats() | TEXT
KEYS = (
    TEXT | st.integers(-3, 3) | st.none() | st.booleans() | st.floats(-2, 2) | st.binary(max_size=2)
)


def nested(scalars: st.SearchStrategy[Any], keys: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values of values."""
    return st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(keys, inner, max_size=4)
            | st.lists(inner, max_size=3).map(tuple)
        ),
        max_leaves=12,
    )


def distinct(value: Any) -> bool:
    """Whether no two keys of a dict become one."""
    if isinstance(value, dict):
        return len({str(key) for key in value}) == len(value) and all(map(distinct, value.values()))
    return not isinstance(value, (list, tuple)) or all(map(distinct, value))


def plain(value: Any) -> Any:
    """What the documentation says that a value of plain Python types becomes."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def same(one: Any, other: Any) -> bool:
    """Equal in type and value, NaN and the sign of zero included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        if math.isnan(one):
            return math.isnan(other)
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return bool(one == other)


def check_line(line: bytes) -> None:
    """What holds for every line, whatever is in it."""
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert b"\0" not in line
    row = json.loads(line, parse_constant=lambda text: 1 / 0)  # no NaN, no Infinity
    assert type(row) is dict
    assert "timestamp" in row


@CALM
@given(nested(SCALARS, KEYS).filter(distinct))
@example({"x": [1, {"y": math.nan}], "~": {"/": -math.inf}})
@example([2**64, math.nan, "\ud800", -0.0])
def test_what_goes_in_comes_out(value: Any) -> None:
    """Any nested value, exact to the bit, with keys as text and tuples as lists."""
    line = encode_row({"v": value}, head={"timestamp": 1.5}, where="test")
    check_line(line)
    found = decode_row(line)
    assert same(found, {"timestamp": 1.5, "v": plain(value)})
    assert same(jsonable(value), plain(value))


@CALM
@given(st.dictionaries(TEXT, nested(SCALARS, TEXT), max_size=5))
def test_any_dict_is_a_row_or_a_reserved_key(fields: dict[str, Any]) -> None:
    """The only keys that a row refuses are ML-Dash's own."""
    reserved = any(key.startswith("_") for key in fields) or "timestamp" in fields
    try:
        line = encode_row(fields, head={"timestamp": 1.5}, where="test")
    except ValueError as error:
        assert reserved, error
        return
    assert not reserved
    check_line(line)
    assert same(decode_row(line), {"timestamp": 1.5, **plain(fields)})


ARRAYS = hnp.arrays(
    st.one_of(
        hnp.boolean_dtypes(),
        hnp.integer_dtypes(endianness="?"),
        hnp.unsigned_integer_dtypes(endianness="?"),
        hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    ),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)


def views(array: np.ndarray) -> list[np.ndarray]:
    """The array as it is, turned and with gaps."""
    return [array, array.T, array[..., ::2]] if array.ndim else [array]


@CALM
@given(ARRAYS, st.booleans())
def test_arrays_come_back_exact_in_their_type(array: np.ndarray, slow: bool) -> None:
    """Of any type, byte order and layout, also where the row needs the careful way."""
    for values in views(array):
        value = [values, None, 2**70] if slow else values
        line = encode_row({"v": value}, head={"timestamp": 1.5}, where="test")
        check_line(line)
        found = decode_row(line)["v"]
        found = found[0] if slow else found
        assert _shape(found) == _shape(values.tolist())
        assert "None" not in str(found)
        again = np.array(found, object).astype(array.dtype).reshape(values.shape)
        assert np.array_equal(again, values, equal_nan=array.dtype.kind == "f")
        zero = values == 0
        if array.dtype.kind == "f":
            assert np.array_equal(np.signbit(again[zero]), np.signbit(values[zero]))


def _shape(value: Any) -> Any:
    return [_shape(item) for item in value] if isinstance(value, list) else None


def scalars_of(array: np.ndarray) -> Any:
    """An array's first value, as a scalar of numpy's."""
    return array.reshape(-1)[0] if array.size else array


FIELDS = st.dictionaries(
    st.sampled_from(["x", "null", "_x", "step", "timestamp", "a/b", 'a"_b']) | TEXT | KEYS,
    nested(SCALARS | ARRAYS | ARRAYS.map(scalars_of), KEYS),
    max_size=4,
)


@CALM
@given(FIELDS)
@example({"x": np.array([0.1, math.nan], "f4"), "y": np.float32(0.1)})
@example({"x": math.nan, "y": None, "step": 3})
@example({"step": True})
@example({"step": None, "timestamp": None})
@example({"step": np.int64(3), "timestamp": np.float64(2)})
def test_the_quick_way_of_append_is_the_careful_way(fields: dict[Any, Any]) -> None:
    """`Track.append` writes what the encoding of every case would, or raises what that raises.

    Also when it has seen the same keys before, and knows them to be allowed.
    """
    quick, careful = _appended(fields, Track.append), _appended(fields, _carefully)
    again = _appended(fields, lambda track, data: track.append(data).append(data))
    assert quick[0] is careful[0] is again[0]
    if quick[0] is None:
        assert same(_unordered(quick[1]), _unordered(careful[1]))
        assert same(_unordered(again[1]), _unordered(careful[1]))
    else:
        assert quick[1] == careful[1] == again[1]


def _carefully(track: Track, fields: Any) -> None:
    track._append(fields, None, None)


def _appended(fields: Any, append: Any) -> tuple[type | None, Any]:
    """The row that `append` wrote without an automatic timestamp; or what it raised."""
    buffer = FakeBuffer()
    try:
        append(Track(buffer, "a"), fields)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        return type(error), str(error)
    line = buffer.lines["tracks/a"][-1]
    check_line(line)
    row = decode_row(line)
    if "_explicit" not in row:
        del row["timestamp"]
    return None, row


def _unordered(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its own keys in one order: the step's place is of no matter."""
    return {key: row[key] for key in sorted(row)}
