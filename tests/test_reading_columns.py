"""Columns of tracks and metrics as numpy arrays."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written import A, B, Written, line

from ml_dash.backends import MemoryBackend
from ml_dash.reading import Source, Stream
from ml_dash.reading import lines as lines_module
from ml_dash.reading import parts as parts_module
from ml_dash.reading.table import Table


def table(*lines, stream="tracks/a", **segments):
    """A table over lines of one segment, or over segments by writer."""
    backend = MemoryBackend()
    for writer, data in {A: lines, **segments}.items():
        backend.append(f"{stream}/{writer}.jsonl", 0, list(data))
    return Table(Stream(Source(backend), stream), "a")


def column(*values):
    """The column of values, `...` for a row without the field."""
    rows = ({} if value is ... else {"x": value} for value in values)
    return table(*(line(float(n), **row) for n, row in enumerate(rows)))["x"]


def same(array, values, dtype):
    """Whether an array is of a type, without a mask, and has these values."""
    assert not isinstance(array, np.ma.MaskedArray)
    assert array.dtype == dtype
    np.testing.assert_array_equal(array, np.array(values, dtype))


# -- kinds ---------------------------------------------------------------------------------------


def test_floats_are_float64_and_missing_ones_nan():
    """A row without the field, a null and a recorded NaN are NaN; infinities stay."""
    same(column(0.5, ..., None, math.nan, -math.inf), [0.5, np.nan, np.nan, np.nan, -np.inf], float)


def test_whole_and_fractional_numbers_together_are_floats():
    """One float among integers makes the column float64."""
    same(column(1, 2.5, 3), [1, 2.5, 3], np.float64)


def test_integers_stay_exact():
    """Integers are int64, also beyond what a float holds exactly."""
    same(column(2**53 + 1, -(2**63), 2**63 - 1), [2**53 + 1, -(2**63), 2**63 - 1], np.int64)


def test_unsigned_integers_of_64_bits_stay_exact():
    """From 2**63 on the column is uint64, also when small ones come beside."""
    same(column(2**64 - 1, 0), [2**64 - 1, 0], np.uint64)


@pytest.mark.parametrize("values", [(2**64,), (2**63, -1), (2**200, 1)])
def test_integers_that_fit_no_type_are_exact_objects(values):
    """What neither int64 nor uint64 holds comes as Python integers."""
    found = column(*values)
    assert found.dtype == object
    assert found.tolist() == list(values)


def test_a_missing_integer_is_masked():
    """Integers stay integers; which are missing is in the mask."""
    found = column(1, ..., 3, None)
    assert isinstance(found, np.ma.MaskedArray)
    assert found.dtype == np.int64
    assert found.tolist() == [1, None, 3, None]


def test_booleans_are_bool_and_missing_ones_masked():
    """Booleans are their own kind."""
    same(column(True, False), [True, False], bool)
    found = column(True, ..., False)
    assert found.dtype == bool
    assert found.tolist() == [True, None, False]


def test_booleans_and_numbers_do_not_mix():
    """True is not 1: a column of both is objects."""
    found = column(True, 1, 0.5)
    assert found.dtype == object
    assert [type(value) for value in found] == [bool, int, float]


def test_text_is_objects_and_missing_ones_none():
    """Strings keep their type; a missing one is `None`."""
    found = column("a", ..., "")
    assert found.dtype == object
    assert found.tolist() == ["a", None, ""]


def test_a_column_of_nulls_is_nan():
    """A field that was never anything is all NaN, not an error."""
    same(column(None, None), [np.nan, np.nan], np.float64)


def test_lists_of_one_shape_are_stacked():
    """Arrays that were recorded come back as one array, in their type."""
    assert column([[1.0, 2.0, 3.0]], [[4.0, 5.5, 6.0]]).shape == (2, 1, 3)
    same(column([1.0, 2.0], [3.0, 4.5]), [[1, 2], [3, 4.5]], np.float64)
    same(column([1, 2], [3, 4]), [[1, 2], [3, 4]], np.int64)
    same(column([True], [False]), [[True], [False]], bool)
    assert column([], []).shape == (2, 0)


def test_a_missing_row_of_stacked_floats_is_nan_and_of_integers_masked():
    """The whole row is marked."""
    same(column([1.0, 2.0], ...), [[1, 2], [np.nan, np.nan]], np.float64)
    assert column([1, 2], ...).tolist() == [[1, 2], [None, None]]


def test_nan_inside_of_arrays_comes_back():
    """Non-finite elements of a recorded array are restored where they were."""
    same(column([1.0, math.nan], [math.inf, 2.0]), [[1, np.nan], [np.inf, 2]], np.float64)
    same(column([1, None], [2, 3]), [[1, np.nan], [2, 3]], np.float64)


def test_lists_of_different_shapes_are_objects_an_array_each():
    """Ragged arrays are not padded."""
    found = column([1.0], [1.0, 2.0], ..., [[3]])
    assert found.dtype == object
    assert [None if v is None else v.shape for v in found] == [(1,), (2,), None, (1, 1)]


@pytest.mark.parametrize("values", [[["a", "b"]], [["a", 1]], [[{"k": 1}]], [[True, 1]], [[2**70]]])
def test_lists_of_other_things_are_lists(values):
    """Lists that are no numbers stay Python lists, unchanged."""
    found = column(*values, *values)
    assert found.dtype == object
    assert found.tolist() == [*values, *values]


def test_kinds_that_change_in_the_middle_are_brought_together(monkeypatch):
    """What each block of the segment is packed as makes no difference to the column."""
    monkeypatch.setattr(lines_module, "BLOCK", 40)
    same(column(1, 2, 3, 0.5), [1, 2, 3, 0.5], np.float64)
    same(column(2**63, 1, 2, 3), [2**63, 1, 2, 3], np.uint64)
    assert column(1, -1, 5, 2**63).tolist() == [1, -1, 5, 2**63]
    assert column(1, 2, "a", ...).tolist() == [1, 2, "a", None]
    assert column(..., ..., 3, ...).tolist() == [None, None, 3, None]
    assert column(True, True, 1, 2).tolist() == [True, True, 1, 2]
    same(column(..., ..., 3, 0.5), [np.nan, np.nan, 3, 0.5], np.float64)
    same(column(..., ..., [1.0, 2.0]), [[np.nan] * 2, [np.nan] * 2, [1, 2]], np.float64)
    assert [v.shape for v in column([1.0], [2.0], [1.0, 2.0])] == [(1,), (1,), (2,)]


VALUES = st.one_of(
    st.just(...),
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.floats(), max_size=2),
    st.lists(st.lists(st.integers(-9, 9), min_size=1, max_size=2), max_size=2),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.one_of(VALUES, st.floats(), st.integers(0, 3)), max_size=12), st.integers(30, 200)
)
def test_any_column_says_what_the_rows_say(values, block):
    """Whatever the values and wherever blocks end, each element equals the row's value."""
    before, lines_module.BLOCK = lines_module.BLOCK, block
    try:
        rows = ({} if value is ... else {"x": value} for value in values)
        read = table(*(line(float(n), **row) for n, row in enumerate(rows)), line(99.0, x=None))
        found = read["x"]
    finally:
        lines_module.BLOCK = before
    assert len(found) == len(values) + 1
    for value, element in zip(values, found, strict=False):
        assert_says(element, value)


def assert_says(element, value):
    """Whether an element of a column stands for a value."""
    if value is None or value is ...:
        missing = element is None or element is np.ma.masked or np.ma.is_masked(element)
        assert missing or np.all(np.isnan(element))
    elif isinstance(element, list):
        assert repr(element) == repr(value)  # NaN among them
    elif isinstance(value, list):
        np.testing.assert_array_equal(np.array(element, float), np.array(value, float))
    elif isinstance(value, float) and math.isnan(value):
        assert math.isnan(element)
    else:
        assert element == value or float(element) == float(value)


# -- names ---------------------------------------------------------------------------------------


NUMBERS = st.one_of(
    st.sampled_from([0, 1, 0.0, 1.0, -0.0, True, False, None, 2**63, -(2**63), 2**64, 10**400]),
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.sampled_from(["1", [1], [1, 2]]),
)


@given(st.lists(NUMBERS, min_size=1, max_size=6))
def test_numbers_are_packed_alike_at_a_glance_and_one_by_one(values):
    """The quick way to pack numbers gives what looking at each value's type gives, or nothing."""
    quick = parts_module._pack_plain(values)
    if quick is None:
        return
    kinds = set(map(type, values))
    assert kinds <= {int, float}
    slow = parts_module._pack_numbers(values, kinds, None)
    assert (quick.kind, quick.data.dtype, quick.missing) == (slow.kind, slow.data.dtype, None)
    assert quick.data.tobytes() == slow.data.tobytes()


def test_plain_numbers_are_packed_at_a_glance():
    """What nearly all columns are: floats, integers, and both."""
    for values in ([0.5, 1.0], [0, 1, 2], [0.5, 2]):
        assert parts_module._pack_plain(values) is not None


def test_columns_are_listed_in_order_of_appearance():
    """Time and step first, then fields as they came, nested ones dotted, ours hidden."""
    read = table(
        line(1.0, explicit=True, b=1, pose={"y": 1, "at": {"lat": 2}}),
        line(2.0, step=4, a=2, empty={}),
    )
    expected = ["timestamp", "step", "b", "pose.y", "pose.at.lat", "a", "empty"]
    assert read.columns == expected
    assert list(read.to_numpy()) == expected


def test_nested_fields_are_columns_by_their_dotted_name():
    """Where a row is not nested so, or has not that key, the value is missing."""
    read = table(
        line(1.0, pose={"x": 1.5, "at": {"z": 1}}),
        line(2.0, pose={"at": {}}),
        line(3.0, pose=7),
        line(4.0),
    )
    same(read["pose.x"], [1.5, np.nan, np.nan, np.nan], np.float64)
    assert read["pose.at.z"].tolist() == [1, None, None, None]
    assert read["pose"].tolist()[2] == 7


def test_a_key_with_a_dot_is_found_before_nesting():
    """A key written with dots is the column of that name."""
    read = table(line(1.0, **{"a.b": 1, "a": {"b": 2}}), line(2.0, a={"b": 3}), line(3.0, a=0))
    assert read["a.b"].tolist() == [1, 3, None]
    read = table(line(1.0, a={"b.c": 1}), line(2.0, **{"a.b": {"c": 2}}))
    assert read["a.b.c"].tolist() == [1, 2]


def test_an_unknown_column_names_what_is_near():
    """The error says what columns there are."""
    read = table(line(1.0, position=1))
    with pytest.raises(KeyError, match="did you mean 'position'"):
        read["positon"]
    with pytest.raises(KeyError, match="it has"):
        read["zzz"]
    assert "position" in read
    assert "zzz" not in read


def test_a_table_without_rows_has_empty_columns():
    """A track that was opened and never written is empty in every respect."""
    read = table()
    assert len(read) == 0
    assert read["x"].shape == read.timestamps.shape == read.steps.shape == (0,)
    assert read.columns == list(read.to_numpy()) == ["timestamp"]
    assert list(read.rows()) == []


# -- order and uniting ---------------------------------------------------------------------------


def test_all_columns_are_in_the_order_of_time():
    """Values, steps and timestamps of two writers are sorted together."""
    first = (line(1.0, step=1, x=10), line(3.0, step=3, x=30))
    read = table(*first, **{B: (line(2.0, step=2, x=20), line(4.0, x=40))})
    assert read.timestamps.tolist() == [1, 2, 3, 4]
    assert read["x"].tolist() == [10, 20, 30, 40]
    assert read.steps.tolist() == [1, 2, 3, None]
    assert read["step"].tolist() == [1, 2, 3, None]
    assert read["timestamp"].tolist() == [1, 2, 3, 4]


def test_united_entries_have_their_latest_values():
    """Columns unite rows of one explicit time as `rows` does."""
    read = table(
        line(1.0, explicit=True, a=1, b=1),
        line(2.0, step=5, explicit=True, a=3),
        line(1.0, explicit=True, b=2, c=9),
        line(2.0, explicit=True, a=None),
    )
    assert len(read) == 2
    assert read["a"].tolist() == [1, None]
    assert read["b"].tolist() == [2, None]
    assert read["c"].tolist() == [9, None]
    assert read.steps.tolist() == [None, 5]


ROWS = st.lists(
    st.tuples(
        st.integers(0, 3),  # time
        st.one_of(st.none(), st.integers(0, 2)),  # step
        st.booleans(),  # explicit
        st.dictionaries(st.sampled_from("abc"), st.integers(0, 9), max_size=3),
    ),
    max_size=14,
)


@settings(max_examples=300, deadline=None)
@given(ROWS, st.sampled_from([50, 1 << 17]))
def test_columns_say_what_rows_say(rows, block):
    """Uniting by columns and uniting row by row are one rule."""
    encoded = [line(float(t), step, explicit, **fields) for t, step, explicit, fields in rows]
    encoded.append(line(9.0, a=0, b=0, c=0))
    before, lines_module.BLOCK = lines_module.BLOCK, block
    try:
        read = table(*encoded)
        expected = list(read.rows())
        assert len(read) == len(expected)
        for name in ("timestamp", "step", "a", "b", "c"):
            assert read[name].tolist() == [row.get(name) for row in expected], name
        alone = table(*encoded).to_numpy()
        assert {name: a.tolist() for name, a in alone.items()} == {
            name: read[name].tolist() for name in read.columns
        }
    finally:
        lines_module.BLOCK = before


def test_steps_that_are_no_whole_numbers_are_missing():
    """What another program wrote as a step does not break reading."""
    read = table(
        line(1.0, step=1), b'{"timestamp":2.0,"step":2.0}\n', b'{"timestamp":3.0,"step":"x"}\n'
    )
    assert read.steps.tolist() == [1, 2, None]


# -- reading in part -----------------------------------------------------------------------------


def test_read_gives_rows_or_columns_between_two_times():
    """Both ends are inclusive; columns can be picked."""
    read = table(*(line(float(n), step=n, x=n, y=-n) for n in range(10)))
    assert [row["x"] for row in read.read(2.0, 4.0)] == [2, 3, 4]
    assert read.read(8.0, columns=["y"]) == [
        {"timestamp": 8.0, "y": -8},
        {"timestamp": 9.0, "y": -9},
    ]
    found = read.read(None, 1.0, ["x"], format="numpy")
    assert {name: values.tolist() for name, values in found.items()} == {
        "timestamp": [0, 1],
        "x": [0, 1],
    }
    assert list(read.read(format="numpy")) == ["timestamp", "step", "x", "y"]
    with pytest.raises(ValueError, match="format is 'csv'"):
        read.read(format="csv")


def test_a_time_that_is_none_is_refused_in_every_format():
    """A date as text would be compared with numbers, and give nothing."""
    read = table(line(1.0, x=1))
    for format in ("json", "numpy"):
        with pytest.raises(ValueError, match="start_timestamp must be a number of seconds"):
            read.read("2026-11-21", format=format)
        with pytest.raises(ValueError, match="end_timestamp must be a number of seconds"):
            read.read(None, math.nan, format=format)


def test_only_asked_columns_are_kept():
    """A column of arrays that nobody asked for costs no memory."""
    import tracemalloc

    wide = [0.1] * 100
    lines = [line(float(n), x=n, wide=wide) for n in range(20_000)]
    read = table(*lines)
    tracemalloc.start()
    read["x"]
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 20_000 * 60
    assert peak < 20_000 * 60 + 40 * lines_module.BLOCK  # the column itself takes 16 MB


def test_a_text_among_numbers_takes_no_room_in_their_rows():
    """Numbers with one long text among them are objects, each as large as it is."""
    import tracemalloc

    values = [*range(1000), "x" * 100_000]
    tracemalloc.start()
    part = parts_module.pack(values)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert part.kind == "object" and part.data.tolist() == values
    assert peak < 1_000_000


def test_a_refresh_shows_what_was_added(tmp_path):
    """Columns stay as they were until the source is refreshed, then have the new rows."""
    run = Written(tmp_path)
    run.put("tracks/a", line(1.0, x=1))
    read = Table(Stream(Source(run.backend), "tracks/a"), "a")
    assert read["x"].tolist() == [1]
    run.put("tracks/a", line(2.0, x=2, y=3))
    assert read["x"].tolist() == [1]
    assert len(read.timestamps) == 1
    read.stream.source.refresh()
    assert read["x"].tolist() == [1, 2]
    assert read["y"].tolist() == [None, 3]


def test_a_segment_that_is_cut_in_the_middle_of_reading_is_an_error(tmp_path):
    """Columns of different lengths are never given: whoever cuts a segment hears of it."""
    run = Written(tmp_path)
    path = run.put("tracks/a", line(1.0, x=1, y=1), line(2.0, x=2, y=2))
    read = Table(Stream(Source(run.backend), "tracks/a"), "a")
    assert read["x"].tolist() == [1, 2]
    path.write_bytes(line(1.0, x=1, y=1))
    with pytest.raises(OSError, match="'a' was cut or removed"):
        read["y"]
