"""Rows as lines: what each value becomes, and what is refused by name."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import json
import math
import uuid
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest
from effort import calls_of

from ml_dash.rows import MAX_LINE, decode_row, encode_row
from ml_dash.values import flatten, jsonable, text_keys


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Limit(enum.Enum):
    NONE = math.inf


@dataclasses.dataclass
class Pose:
    x: float
    joints: list[float]


Point = collections.namedtuple("Point", "x y")


def row_of(value: Any, **options: Any) -> dict[str, Any]:
    """The row that `value` comes back in."""
    line = encode_row({"v": value}, head={"timestamp": 1.0}, where="test", **options)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert b"\0" not in line
    assert line.startswith(b'{"timestamp":1.0,')
    json.loads(line)  # whatever reads JSON can read it
    return decode_row(line)


def back(value: Any, **options: Any) -> Any:
    """What `value` comes back as."""
    return row_of(value, **options)["v"]


def slowly(value: Any) -> Any:
    """What `value` comes back as beside a value that orjson does not take."""
    return back([value, float("nan")])[0]


VALUES = [
    (None, None),
    (True, True),
    (0, 0),
    (2**63 - 1, 2**63 - 1),
    (-(2**63), -(2**63)),
    (2**64 - 1, 2**64 - 1),
    (2**64, 2**64),
    (-(2**63) - 1, -(2**63) - 1),
    (10**4000, 10**4000),
    (0.1, 0.1),
    (5e-324, 5e-324),
    (1.7976931348623157e308, 1.7976931348623157e308),
    ("", ""),
    ("null", "null"),
    ('a"_b', 'a"_b'),
    ("zwölf 機 🤖 \u2028\u2029", "zwölf 機 🤖 \u2028\u2029"),
    ("nul\0 and\nnewline\r", "nul\0 and\nnewline\r"),
    ("\ud800 alone \udfff", "\ud800 alone \udfff"),
    ([1, [2, []], {}], [1, [2, []], {}]),
    ((1, 2), [1, 2]),
    (Point(1, 2), [1, 2]),
    (range(3), [0, 1, 2]),
    (collections.deque([1, 2]), [1, 2]),
    (collections.UserList([1, 2]), [1, 2]),
    (array.array("d", [0.5, 1.5]), [0.5, 1.5]),
    ({3, 1, 2}, [1, 2, 3]),
    (frozenset("ba"), ["a", "b"]),
    ({"b": 1, "a": 2}.keys(), ["a", "b"]),
    (collections.OrderedDict(a=1), {"a": 1}),
    ({"_nested": 1}, {"_nested": 1}),
    (Colour.RED, "red"),
    (Level.HIGH, 3),
    (Limit.NONE, math.inf),
    (Pose(0.5, [1.0]), {"x": 0.5, "joints": [1.0]}),
    (PurePosixPath("a/b"), "a/b"),
    (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    (decimal.Decimal("1.50"), "1.50"),
    (fractions.Fraction(1, 3), "1/3"),
    (datetime.date(2025, 1, 2), "2025-01-02"),
    (datetime.datetime(2025, 1, 2, 3, 4, 5), "2025-01-02T03:04:05"),
    (datetime.datetime(2025, 1, 2, 3, 4, 5, 60, datetime.UTC), "2025-01-02T03:04:05.000060+00:00"),
    (datetime.time(3, 4, 5), "03:04:05"),
    (datetime.time(3, 4, 5, tzinfo=datetime.UTC), "03:04:05+00:00"),
    (datetime.timedelta(minutes=1, milliseconds=500), 60.5),
]


@pytest.mark.parametrize(("value", "expected"), VALUES)
def test_a_value_comes_back_as_documented(value: Any, expected: Any) -> None:
    """Every kind of value has one form, and the same one beside a NaN as alone."""
    for found in (back(value), slowly(value), back({"in": value})["in"]):
        assert found == expected
        assert type(found) is type(expected)


def test_the_timestamp_is_the_first_key() -> None:
    """What ML-Dash says of a row stands before what the user says."""
    line = encode_row({"a": 1}, head={"timestamp": 2.5, "step": 3}, where="test")
    assert line == b'{"timestamp":2.5,"step":3,"a":1}\n'
    assert encode_row({}, head={"timestamp": 2.5}, where="test") == b'{"timestamp":2.5}\n'
    assert encode_row({"a": 1}, where="test") == b'{"a":1}\n'
    assert encode_row({}, where="test") == b"{}\n"


def test_non_finite_floats_come_back_and_leave_the_column_numeric() -> None:
    """JSON has no NaN: its place is null for other readers, and ours puts it back."""
    value = [math.nan, math.inf, -math.inf, -0.0, 1.5, {"a/b~c": math.nan}]
    line = encode_row({"loss": math.nan, "state": value}, where="test")
    plain = json.loads(line)
    assert plain["loss"] is None
    assert plain["state"] == [None, None, None, 0.0, 1.5, {"a/b~c": None}]
    assert plain["_nonfinite"] == {
        "/loss": "NaN",
        "/state/0": "NaN",
        "/state/1": "Infinity",
        "/state/2": "-Infinity",
        "/state/5/a~1b~0c": "NaN",
    }
    found = decode_row(line)
    assert "_nonfinite" not in found
    assert math.isnan(found["loss"])
    assert math.isnan(found["state"][0])
    assert math.isnan(found["state"][5]["a/b~c"])
    assert found["state"][1:3] == [math.inf, -math.inf]
    assert math.copysign(1, found["state"][3]) == -1


def test_a_null_of_the_users_is_not_a_nan() -> None:
    """`None` stays `None`, also beside NaN and in a row of its own."""
    found = row_of([None, math.nan])["v"]
    assert found[0] is None
    assert math.isnan(found[1])
    assert row_of(None) == {"timestamp": 1.0, "v": None}


def test_large_integers_are_exact_for_any_reader() -> None:
    """An integer over 64 bits is written digit by digit, and ours reads it as written."""
    line = encode_row({"a": 2**70, "b": [-(2**100)]}, where="test")
    assert f'"a":{2**70}'.encode() in line
    assert decode_row(line) == {"a": 2**70, "b": [-(2**100)]}


@pytest.mark.parametrize("number", [10**4300, -(10**5000), 1 << 100_000], ids=["a", "b", "c"])
def test_an_integer_that_python_would_not_read_back_is_refused_by_name(number: int) -> None:
    """Beyond 4,300 digits Python neither prints nor reads: such a row would be lost."""
    with pytest.raises(TypeError, match=r"test, key 'v'\[0\].*int.*text"):
        back([number])


def test_keys_become_text() -> None:
    """Keys that are no strings are stored as `str()` of them, enums by value."""
    keys = {1: 0, 2.5: 1, None: 2, (1, 2): 3, b"x": 4, Colour.RED: 5, np.str_("n"): 6, "\ud800": 7}
    expected = ["1", "2.5", "None", "(1, 2)", "b'x'", "red", "n", "\ud800"]
    assert list(back(keys)) == expected
    assert list(decode_row(encode_row(keys, where="test"))) == expected
    assert list(text_keys(keys, "test")) == expected
    assert all(type(key) is str for key in text_keys(keys, "test"))


@pytest.mark.parametrize("keys", [{1: "a", "1": "b"}, {None: 1, "None": 2}, {1: 1, 1.5: 2, "1": 3}])
def test_two_keys_that_become_one_are_refused(keys: dict[Any, Any]) -> None:
    """Rather than one value winning in silence."""
    with pytest.raises(ValueError, match="given twice"):
        encode_row(keys, where="test")
    with pytest.raises(ValueError, match=r"key 'v'.*given twice"):
        back(keys)


@pytest.mark.parametrize("key", ["_x", "_", "_nonfinite", "_explicit", "_bigint"])
@pytest.mark.parametrize("other", [1, math.nan, 2**70, {1: 2}])
def test_keys_that_begin_with_an_underscore_are_refused(key: str, other: Any) -> None:
    """They are ML-Dash's own, whichever way a row is encoded; inside of values they are free."""
    with pytest.raises(ValueError, match=f"test: the key '{key}' begins with '_'"):
        encode_row({"a": other, key: 1}, where="test")
    assert back({key: 1}) == {key: 1}


def test_an_enum_key_is_looked_at_by_its_text() -> None:
    """A key that only becomes `_x` or `timestamp` as text is refused like the text itself."""
    key = enum.Enum("key", {"UNDER": "_x", "TIME": "timestamp"})
    with pytest.raises(ValueError, match="begins with '_'"):
        encode_row({key.UNDER: 1}, where="test")
    with pytest.raises(ValueError, match="'timestamp' is set by ML-Dash"):
        encode_row({key.TIME: 1}, head={"timestamp": 1.0}, where="test")


def test_a_key_of_ours_is_refused_among_the_users() -> None:
    """Two values under one key would be read as the later one, in silence."""
    with pytest.raises(ValueError, match="'step' is set by ML-Dash"):
        encode_row({"step": 1}, head={"timestamp": 1.0, "step": 1}, where="test")


class Silent:
    def __repr__(self) -> str:
        raise RuntimeError


class Sulking:
    def __array__(self, *_: object) -> None:
        raise RuntimeError("on another device")


REFUSED = [
    (1j, "complex", "numbers"),
    (b"ab", "bytes", "save_blob"),
    (memoryview(b"ab"), "memoryview", "save_blob"),
    (object(), "object", "numbers"),
    (len, "builtin_function_or_method", "numbers"),
    (int, "type", "numbers"),
    ((i for i in ()), "generator", "numbers"),
    (np.array([1j]), "numpy.ndarray", "numbers"),
    (np.zeros(2, [("a", int)]), "numpy.ndarray", "numbers"),
    (Sulking(), "Sulking", "on another device"),
]


@pytest.mark.parametrize(("value", "kind", "remedy"), REFUSED)
def test_what_has_no_json_form_is_refused_by_name(value: Any, kind: str, remedy: str) -> None:
    """The error says where the value is, of what type, and what to do instead."""
    with pytest.raises(TypeError) as caught:
        encode_row({"a": 1, "pose": {"arm": [0, value]}}, where="track 'x'")
    text = str(caught.value)
    assert text.startswith("track 'x', key 'pose', key 'arm'[1]: ")
    assert kind in text
    assert remedy in text


def test_without_strictness_such_a_value_is_its_repr() -> None:
    """For adapters: the rest of the row is kept, whatever is in it."""
    found = back(
        {"a": 1j, "b": [Silent(), 2], "c": Sulking(), "d": b"x", "e": 10**5000}, strict=False
    )
    assert found["a"] == "1j"
    assert found["b"] == [f"<{__name__}.Silent: repr failed with RuntimeError>", 2]
    assert "Sulking" in found["c"]
    assert found["d"] == "b'x'"
    assert "int" in found["e"]


def test_a_long_repr_is_cut() -> None:
    """One unknown object must not make the row too long to be kept."""
    huge = type("Huge", (), {"__repr__": lambda self: "x" * MAX_LINE})()
    assert len(back(huge, strict=False)) < 20_000


def test_a_value_that_holds_itself_is_refused() -> None:
    """Instead of going round for ever, by lists, dicts, or both at once many times."""
    ring: list[Any] = []
    ring += [ring, ring]
    loop: dict[str, Any] = {}
    loop["again"] = [loop]
    for value in (ring, loop):
        with pytest.raises(ValueError, match=r"'v'.*deeper than 100"):
            back(value)
        assert "..." in back(value, strict=False)


def test_a_row_may_take_16_mib_and_not_one_byte_more() -> None:
    """The limit counts the whole line, and the error tells the size and a remedy."""
    empty = len(encode_row({"v": ""}, head={"timestamp": 1.0}, where="test"))
    text = "x" * (MAX_LINE - empty)
    assert len(encode_row({"v": text}, head={"timestamp": 1.0}, where="test")) == MAX_LINE
    with pytest.raises(ValueError, match=r"track 'x'.*16,777,217 bytes.*16,777,216.*save_numpy"):
        encode_row({"v": text + "x"}, head={"timestamp": 1.0}, where="track 'x'")


def test_a_line_is_a_snapshot() -> None:
    """What the caller changes afterwards is not in it."""
    values, numbers = [1, 2], np.zeros(3)
    line = encode_row({"a": values, "b": numbers}, where="test")
    values.append(3)
    numbers[:] = 9
    assert decode_row(line) == {"a": [1, 2], "b": [0.0, 0.0, 0.0]}
    assert jsonable(values) is not values


# -- arrays --------------------------------------------------------------------------------------

REAL = ["f2", "f4", "f8", "g", ">f4", ">f8", "i1", "i2", "i4", "i8", "u1", "u4", "u8", ">i4", "?"]


@pytest.mark.parametrize("kind", REAL)
def test_arrays_of_every_kind_come_back_as_lists(kind: str) -> None:
    """Whatever its byte order and layout: exact in the type of the array."""
    plane = np.arange(12).reshape(3, 4).astype(kind) * np.array(1, kind)
    if plane.dtype.kind == "f":
        plane /= np.array(7, kind)
    exact = np.float64 if kind == "g" else plane.dtype  # what JSON's readers hold
    for values in (plane, plane.T, plane[::2, ::-1], plane[1], plane[1, 2], np.array(plane[0, 1])):
        for found in (back(values), slowly(values)):
            again = np.array(found).astype(exact)
            assert again.shape == values.shape
            assert np.array_equal(again, values.astype(exact))


@pytest.mark.parametrize("kind", ["f2", "f4"])
def test_short_floats_are_the_shortest_number_that_rounds_to_them(kind: str) -> None:
    """Alike in the quick and in the careful way, and in any layout."""
    values = np.array([0.1, 1 / 3, 1e-4], kind)
    found = back(values)
    assert found[0] == (0.1 if kind == "f4" else 0.099975586)
    wide = np.repeat(values, 2)
    assert slowly(values) == found
    assert back(wide[::2]) == found
    assert back(values.astype(values.dtype.newbyteorder())) == found
    assert [back(value) for value in values] == found
    assert [slowly(value) for value in values] == found


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "g"])
def test_non_finite_numbers_in_arrays_come_back(kind: str) -> None:
    """Of any float type, in any place."""
    values = np.array([[np.nan, 0.5], [np.inf, -np.inf]], kind)
    found = back({"deep": [values]})["deep"][0]
    assert math.isnan(found[0][0])
    assert found[0][1] == 0.5
    assert found[1] == [math.inf, -math.inf]
    assert math.isnan(back(values[0, 0]))


def test_empty_and_scalar_arrays_keep_their_shape() -> None:
    """No dimension is lost, none is made up."""
    assert back(np.zeros((0, 3))) == []
    assert back(np.zeros((2, 0))) == [[], []]
    assert back(np.array(5)) == 5
    assert back(np.array(["a", "b"])) == ["a", "b"]
    assert back(np.array([1, "a", None, [2]], dtype=object)) == [1, "a", None, [2]]


def test_what_is_masked_is_missing() -> None:
    """A masked array never shows what lies behind its mask."""
    values = np.ma.masked_array([[1, 2], [3, 4]], [[False, True], [False, False]])
    assert back(values) == [[1, None], [3, 4]]
    assert back(np.ma.masked_array([0.5, 1.5], [True, False])) == [None, 1.5]
    assert back(np.ma.masked_array(np.array([0.1, 0.2], "f4"), [True, False])) == [None, 0.2]
    assert back(np.ma.masked) is None


def test_dates_and_durations_of_numpy_are_like_those_of_python() -> None:
    """Dates are ISO texts of microseconds, durations seconds, what is no time is missing."""
    moments = np.array(["2025-01-02T03:04:05.000060", "1969-12-31"], "M8[us]")
    texts = ["2025-01-02T03:04:05.000060", "1969-12-31T00:00:00"]
    assert back(moments) == texts
    assert slowly(moments) == texts
    assert back(moments.astype("M8[ns]")[::-1]) == texts[::-1]
    assert [slowly(moment) for moment in moments] == [back(moment) for moment in moments] == texts
    assert back(np.datetime64("NaT")) is None
    assert slowly(np.array(["NaT", "2025-01-02"], "M8[D]")) == [None, "2025-01-02T00:00:00"]
    assert back(np.array([1500, 20], "m8[ms]")) == [1.5, 0.02]
    assert math.isnan(back(np.timedelta64("NaT", "s")))


@pytest.mark.parametrize("unit", ["W", "D", "h", "m", "s", "ms", "us", "ns"])
def test_no_time_among_times_is_missing_in_any_unit(unit: str) -> None:
    """Not the date of 1970 or 1677 that the encoder would make of it in some units."""
    days = np.array(["2026-01-01", "NaT"], f"M8[{unit}]")
    first = str(days[0].astype("M8[s]"))
    assert back(days) == slowly(days) == [first, None]
    assert back({"inner": days[1:]}) == {"inner": [None]}
    assert back(days[1]) is None


def test_texts_of_numpy_of_any_length_are_texts() -> None:
    """Numpy's newer arrays of texts are like the older ones."""
    dtypes = getattr(np, "dtypes", None)
    if not hasattr(dtypes, "StringDType"):
        pytest.skip("this numpy has no such arrays")
    assert back(np.array(["a", "longer"], dtypes.StringDType())) == ["a", "longer"]


def test_pandas_values_are_like_those_of_python() -> None:
    """A timestamp is a date, NaT is missing, a series its values."""
    pandas = pytest.importorskip("pandas")
    assert back(pandas.Timestamp("2025-01-02T03:04:05")) == "2025-01-02T03:04:05"
    assert back(pandas.NaT) is None
    assert back(pandas.NA) is None
    assert back(pandas.Series([1, 2])) == [1, 2]
    assert back(pandas.Timedelta("90s")) == 90.0


def test_tensors_are_like_arrays() -> None:
    """Also those that require a gradient; what numpy cannot hold is refused by name."""
    torch = pytest.importorskip("torch")
    assert back(torch.tensor(5)) == 5
    assert back(torch.ones(2, requires_grad=True)) == [1.0, 1.0]
    assert back(torch.nn.Parameter(torch.zeros(1))) == [0.0]
    assert back(torch.ones(2, dtype=torch.bfloat16)) == [1.0, 1.0]
    assert back(torch.tensor([True])) == [True]
    assert back(torch.tensor([1 + 2j]).conj().imag) == [-2.0]  # negated when it is looked at
    for value in (torch.eye(2).to_sparse(), torch.ones(1, device="meta")):
        with pytest.raises(TypeError, match=r"key 'v'.*torch\.Tensor"):
            back(value)
        assert "tensor" in back(value, strict=False)


# -- reading -------------------------------------------------------------------------------------

DAMAGED = [
    b"",
    b"{",
    b"5",
    b"[1]",
    b"\xff\xfe",
    b'{"a":1',
    b'{"a":1}{"b":2}',
    b'{"_nonfinite":5}',
    b'{"a":1,"_nonfinite":{"/b/0":"NaN"}}',
    b'{"a":1,"_nonfinite":{"/a/x":"NaN"}}',
    b'{"a":[1],"_nonfinite":{"/a/7":"NaN"}}',
    b'{"a":[1],"_nonfinite":{"/a/x":"NaN"}}',
    b'{"a":1,"_nonfinite":{"/a":"Nothing"}}',
    b"[" * 100_000,
    b'{"a":' + b"9" * 5000 + b',"_bigint":true}',
]


@pytest.mark.parametrize("line", DAMAGED, ids=lambda line: repr(line[:40]))
def test_a_line_that_is_no_row_is_a_value_error(line: bytes) -> None:
    """Whatever damage made of it: readers skip it, they do not fall over it."""
    with pytest.raises(ValueError):
        decode_row(line)


def test_rows_of_others_are_read_as_they_are() -> None:
    """A reader needs nothing of ours but JSON, and takes memory views."""
    assert decode_row(memoryview(b'{"timestamp": 1, "a": [null]}\n')) == {
        "timestamp": 1,
        "a": [None],
    }


def test_flattening_joins_names_and_refuses_clashes() -> None:
    """`{"a": {"b": 1}}` is `a.b`; two ways to one name are refused, empty groups are kept."""
    flat = flatten({"b": {"c": 1, "a": {}}, 2: {"x": [1]}, "z": None}, ".", "test")
    assert flat == {"b.c": 1, "b.a": {}, "2.x": [1], "z": None}
    assert list(flat) == ["b.c", "b.a", "2.x", "z"]
    with pytest.raises(ValueError, match=r"'a\.b' is given twice"):
        flatten({"a": {"b": 1}, "a.b": 2}, ".", "test")
    loop: dict[str, Any] = {}
    loop["a"] = loop
    with pytest.raises(ValueError, match="deeper than 100"):
        flatten(loop, ".", "test")


def test_a_large_array_with_a_nan_takes_little_longer_than_without() -> None:
    """The careful way asks once of each number, and calls nothing else for it."""
    values = np.random.default_rng(0).random(200_000)
    values[7] = np.nan
    assert calls_of(lambda: encode_row({"v": values}, where="test")) < 1.5 * values.size
