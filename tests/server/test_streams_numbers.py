"""Columns of numbers as they are read for charts, held against rows that were decoded."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_dash.reading.lines import Block, Problems, decode_block
from ml_dash.rows import encode_row
from ml_dash.server.streams import chunks, values
from ml_dash.server.streams.scan import scan
from ml_dash.server.streams.values import find_value, read_numbers

NAMES = ("x", "a.b", "a.b.c", "q[0]", "q[3]", "step", "timestamp", "none", "t", 'odd"key', "é")


def lines(rows: list[dict[str, Any]]) -> bytes:
    """Rows as clients write them."""
    made = []
    for row in rows:
        own = {key: value for key, value in row.items() if key in ("timestamp", "_explicit")}
        made.append(
            encode_row({k: v for k, v in row.items() if k not in own}, head=own, where="row")
        )
    return b"".join(made)


def check(text: bytes) -> None:
    """The columns must be those of the decoded rows."""
    rows = decode_block(text, 0, "", Problems()).rows
    base, found = read_numbers(text, NAMES, len(rows))
    assert base.times.tolist() == [float(row["timestamp"]) for row in rows]
    steps = [row.get("step") for row in rows]
    kept = [type(s) is int and abs(s) < 2**62 for s in steps]
    assert base.stepped.tolist() == kept
    assert base.steps.tolist() == [s if k else 0 for s, k in zip(steps, kept, strict=True)]
    assert base.explicit.tolist() == [row.get("_explicit") is True for row in rows]
    for name in NAMES:
        own = [find_value(row, name) for row in rows]
        numeric = [type(value) in (int, float, bool) for value in own]
        assert found[name].present.tolist() == numeric, name
        for value, is_number, got in zip(own, numeric, found[name].data.tolist(), strict=True):
            assert repr(got) == repr(_float(value) if is_number else math.nan), name


def _float(value: Any) -> float:
    return math.inf if type(value) is int and value > 10**308 else float(value)


plain = st.one_of(st.floats(), st.integers(-(2**70), 2**70))
odd = st.one_of(
    plain,
    st.none(),
    st.booleans(),
    st.text(max_size=3),
    st.lists(plain, max_size=3),
    st.just(10**400),
)
shapes: Any = st.fixed_dictionaries(
    {"timestamp": st.floats(0, 2e9)},
    optional={
        "_explicit": st.just(True),
        "step": st.integers(-5, 2**63),
        "x": odd,
        "a": st.one_of(plain, st.fixed_dictionaries({}, optional={"b": odd, "b.c": plain})),
        "a.b": odd,
        "q": st.one_of(odd, st.lists(plain, max_size=5)),
        "q[0]": odd,
        "t": st.sampled_from(["NaN", "Infinity", '"step":3', "}{", '{"x":1}', "a\\u"]),
        'odd"key': odd,
        "é": plain,
        "step ": plain,
    },
)


@settings(max_examples=400, deadline=None)
@given(rows=st.lists(shapes, min_size=1, max_size=6))
def test_columns_of_any_rows_are_those_of_the_local_reader(rows: list[dict[str, Any]]) -> None:
    """Whatever fields, kinds and names there are, and whatever path reads them."""
    check(lines(rows))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_columns_of_rows_of_one_shape_are_those_of_the_local_reader(data: Any) -> None:
    """As a loop writes them: same keys, now and then a value that is not finite or null."""
    kinds = st.sampled_from([st.floats(), st.integers(-9, 9), plain, st.lists(plain, max_size=4)])
    keys = data.draw(st.permutations(["step", "x", "q", "é", "a.b", "t"]))
    own = {key: data.draw(kinds) for key in keys} | {"t": st.sampled_from(["f_0.jpg", "f,1.jpg"])}
    own["step"] = st.integers(-3, 100)
    if data.draw(st.booleans()):
        own["a"] = st.fixed_dictionaries({"b": plain})
        own.pop("a.b")
    shape = st.fixed_dictionaries({"timestamp": st.floats(0, 2e9), **own})
    rows = data.draw(st.lists(shape, min_size=1, max_size=30))
    check(lines(rows))


@pytest.mark.parametrize(
    "text",
    [
        b'{"timestamp":1,"x":1}\n{"timestamp":2\n{"timestamp":3,"x":3}\n',
        b'{"timestamp":1,"x":1}\n\0\0\0\n{"timestamp":3,"x":3}\n',
        b'{"timestamp":1,"x":1}{"timestamp":2,"x":2}\n{"timestamp":3,"x":3}\n',
        b'{"x":1}\n{"timestamp":3,"x":3}\n',
        b'{"timestamp": 1, "x": 1.5}\n{"timestamp" : 3, "x" : 3}\n',
        b'{"x":7,"timestamp":1}\n{"timestamp":3,"x":8}\n',
        b'{"timestamp":1,"x":1,"s":"}"}\n{"timestamp":3,"s":"{","x":8}\n',
        b'{"timestamp":1,"\\u0078":4}\n{"timestamp":3,"x":8}\n',
        b'{"timestamp":1,"x":1,"x":2}\n{"timestamp":3,"x":8,"x":9}\n',
        b'{"timestamp":1,"y":{"x":1}}\n{"timestamp":3,"y":{"x":8}}\n',
        b'{"timestamp":1,"l":["x",1],"x":2}\n{"timestamp":3,"l":["x",2],"x":9}\n',
        b'{"timestamp":1,"x":1}\r\n{"timestamp":3,"x":8}\r\n',
        b'{"timestamp":1,"x":"\xff"}\n{"timestamp":3,"x":8}\n',
        b"{}\n",
    ],
)
def test_damaged_and_foreign_lines_are_read_as_the_local_reader_does(text: bytes) -> None:
    """What is torn, lost, spaced, escaped, repeated or nested is never taken for something else."""
    check(text)


def test_lines_of_one_shape_are_scanned_and_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a thousand rows with strings and one NaN, the local reader sees the one with the NaN."""
    rows = [{"timestamp": 1.0 + i, "step": i, "f": f"f_{i}.jpg", "x": i / 7} for i in range(1000)]
    rows[500]["x"] = math.nan
    text = lines(rows)
    decoded: list[bytes] = []

    def decode(part: bytes) -> Block:
        decoded.append(part)
        return chunks.decode(part)

    monkeypatch.setattr(values, "decode", decode)
    monkeypatch.setattr(values, "parse_columns", lambda *given: pytest.fail("not scanned"))
    _, found = read_numbers(text, ["x"], 1000)
    assert decoded == [text.split(b"\n")[500] + b"\n"]
    assert np.isnan(found["x"].data).nonzero()[0].tolist() == [500]
    assert found["x"].present.all()


def test_a_scan_refuses_lines_of_two_shapes() -> None:
    """Keys in another order are not taken for those of the first line."""
    assert scan(b'{"timestamp":1,"a":1,"b":2}\n{"timestamp":1,"a":1,"b":2}\n', 2) is not None
    assert scan(b'{"timestamp":1,"a":1,"b":2}\n{"timestamp":1,"b":1,"a":2}\n', 2) is None
    assert scan(b'{"timestamp":1,"a":1}\n{"timestamp":1,"a":1,"b":2}\n', 2) is None
