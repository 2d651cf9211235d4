"""Parameters: what is taken, what is refused, what is read back."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import enum
import math
import pickle
import sys
import threading
import types
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest
from fakes import FakeBuffer
from hypothesis import given
from hypothesis import strategies as st

from ml_dash import Experiment, clock, open_run
from ml_dash.backends import MemoryBackend
from ml_dash.dotted import fold, unflatten
from ml_dash.params import Params
from ml_dash.reading import read_rows


@pytest.fixture
def buffer() -> FakeBuffer:
    """What the handle writes into."""
    return FakeBuffer()


@pytest.fixture
def params(buffer: FakeBuffer) -> Params:
    """A handle on an empty run."""
    return Params(buffer)  # type: ignore[arg-type]


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Optimizer:
    name: str = "adam"
    betas: tuple[float, float] = (0.9, 0.999)
    _hidden: int = 1
    maximum: ClassVar[int] = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    width: int = 3
    inner: Optimizer = dataclasses.field(default_factory=Optimizer)


class Pair(NamedTuple):
    low: float
    high: float


class Base:
    lr = 1e-3
    seed = 1
    _private = 0

    def method(self) -> None:
        """No setting."""

    @staticmethod
    def helper() -> None:
        """No setting."""

    @classmethod
    def make(cls) -> None:
        """No setting."""

    @property
    def computed(self) -> int:
        """Never asked for."""
        raise AssertionError("a property may be expensive, or fail")


class Args(Base):
    seed = 7
    kind = Color.RED
    activation = math.tanh
    dtype = np.float32

    class model:  # noqa: N801 - how configuration classes are written
        """A group of settings."""

        layers = 4
        width: int = 128


# -- what is taken --------------------------------------------------------------------------------


def test_nested_values_are_flattened_with_dots(params: Params, buffer: FakeBuffer) -> None:
    """One call is one row, whose time is that of the call."""
    before = clock.now()
    assert (
        params.set(lr=1e-3, model={"layers": 4, "sizes": [1, 2], "head": {"bias": True}}) is params
    )
    (row,) = buffer.rows("params")
    assert before < row["timestamp"] < clock.now()
    expected = {"lr": 1e-3, "model.layers": 4, "model.sizes": [1, 2], "model.head.bias": True}
    assert row == {"timestamp": row["timestamp"], "params": expected}


def test_get_gives_them_flat_or_nested(params: Params) -> None:
    """Both forms of the same, in dicts of their own."""
    params.set(lr=1e-3, model={"layers": 4, "empty": {}})
    assert params.get() == {"lr": 1e-3, "model.layers": 4, "model.empty": {}}
    assert params.get(flatten=False) == {"lr": 1e-3, "model": {"layers": 4, "empty": {}}}
    params.get()["lr"] = 5
    assert params.get()["lr"] == 1e-3


def test_later_calls_add_and_replace(params: Params) -> None:
    """`log` and `update` are other names of `set`; dotted names are nested ones."""
    params.set(lr=1, model={"layers": 4})
    params.log(model={"width": 8}, **{"model.layers": 5})
    params.update({"lr": 2})
    assert params.get() == {"lr": 2, "model.layers": 5, "model.width": 8}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"a": {"b": 1}}, {"a.b": 1}),
        (argparse.Namespace(lr=0.1, func=print, _x=1), {"lr": 0.1}),
        (types.SimpleNamespace(lr=0.1), {"lr": 0.1}),
        (Optimizer(), {"name": "adam", "betas": [0.9, 0.999]}),
        (Slotted(), {"width": 3, "inner.name": "adam", "inner.betas": [0.9, 0.999]}),
        (Pair(0.0, 1.0), {"low": 0.0, "high": 1.0}),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        (collections.UserDict({"a": 1}), {"a": 1}),
        (Base, {"lr": 1e-3, "seed": 1}),
        (Base(), {"lr": 1e-3, "seed": 1}),
        (
            Args,
            {"lr": 1e-3, "seed": 7, "kind": "red", "model.layers": 4, "model.width": 128},
        ),
        (argparse.Namespace(), {}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_configuration_of_any_make_is_taken(source: Any, expected: dict[str, Any]) -> None:
    """As the whole of the parameters, and as one of them, at any depth."""
    params = Params(FakeBuffer())  # type: ignore[arg-type]
    assert params.set(source).get() == expected
    params = Params(FakeBuffer())  # type: ignore[arg-type]
    params.set(config={"inner": source})
    nested = {f"config.inner.{key}": value for key, value in expected.items()}
    assert params.get() == (nested or {"config.inner": {}})
    params = Params(FakeBuffer())  # type: ignore[arg-type]
    assert params.set(several=[source, source]).get()["several"] == [unflatten(expected)] * 2


def test_an_object_s_own_attributes_win_over_those_of_its_class(params: Params) -> None:
    """Defaults in the class, changes in the object."""
    config = Base()
    config.seed = 9
    config.extra = [1]  # type: ignore[attr-defined]
    assert params.set(config).get() == {"lr": 1e-3, "seed": 9, "extra": [1]}


def test_an_object_with_slots_is_taken(params: Params) -> None:
    """A slot that was never filled is left out."""

    class Slots:
        __slots__ = ("depth", "unset")

        def __init__(self) -> None:
            self.depth = 3

    assert params.set(Slots()).get() == {"depth": 3}


def test_a_model_of_pydantic_gives_its_fields_only(params: Params) -> None:
    """Its class has public attributes that are no settings."""

    class Model:
        model_fields: ClassVar[dict[str, Any]] = {"lr": ...}
        model_config: ClassVar[dict[str, Any]] = {"frozen": True}

        def __init__(self) -> None:
            self.lr = 0.1

    assert params.set(Model()).get() == {"lr": 0.1}


def test_a_mapping_in_all_but_name_is_taken(params: Params) -> None:
    """`keys` and `[…]` make one, as in several configuration libraries."""

    class Loose:
        def keys(self) -> list[str]:
            return ["a", "b"]

        def __getitem__(self, key: str) -> str:
            return key * 2

    assert params.set(Loose()).get() == {"a": "aa", "b": "bb"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.arange(3), [0, 1, 2]),
        (np.dtype("float32"), "float32"),
        (Color.RED, "red"),
        (PurePosixPath("/data/x"), "/data/x"),
        (datetime(2025, 1, 31, 12, 0), "2025-01-31T12:00:00"),
        ({1, 2}, [1, 2]),
        ((1, (2, 3)), [1, [2, 3]]),
        (range(3), [0, 1, 2]),
        (2**70, 2**70),
        (math.inf, math.inf),
        (None, None),
        ("", ""),
        ([], []),
        ([{"a.b": 1}, {}], [{"a.b": 1}, {}]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_of_all_kinds_come_back(params: Params, value: Any, expected: Any) -> None:
    """Converted as in any row; `get` gives what any reader gets."""
    got = params.set(value=value).get()["value"]
    assert got == expected
    assert type(got) is type(expected)


def test_torch_settings_are_known_by_what_they_print(params: Params) -> None:
    """Devices and dtypes are in nearly every configuration."""
    torch = pytest.importorskip("torch")
    params.set(device=torch.device("cpu"), dtype=torch.float32, scale=torch.tensor(2.0))
    assert params.get() == {"device": "cpu", "dtype": "torch.float32", "scale": 2.0}


def test_nan_and_minus_zero_come_back(params: Params) -> None:
    """Neither is lost on the way through JSON."""
    got = params.set(a=math.nan, b={"c": -0.0}).get()
    assert math.isnan(got["a"])
    assert math.copysign(1, got["b.c"]) == -1


def test_keys_that_are_no_strings_become_their_text(params: Params) -> None:
    """Integers and enums; private names of dicts are names like any other."""
    params.set({1: "a", Color.RED: "b", "_target_": "torch.optim.Adam"})
    assert params.get() == {"1": "a", "red": "b", "_target_": "torch.optim.Adam"}


def test_the_caller_may_change_what_it_gave(params: Params) -> None:
    """What is stored is what was there at the call."""
    sizes = [1, 2]
    params.set(sizes=sizes)
    sizes.append(3)
    assert params.get() == {"sizes": [1, 2]}


def test_named_values_win_over_those_of_the_source(params: Params) -> None:
    """Each leaf by itself: the rest of the group stays."""
    params.set({"lr": 1, "model": {"layers": 4, "width": 8}}, lr=2, model={"layers": 5})
    assert params.get() == {"lr": 2, "model.layers": 5, "model.width": 8}


def test_nothing_given_writes_no_row(params: Params, buffer: FakeBuffer) -> None:
    """An empty configuration is no news."""
    params.set().set(None).set({}).log()
    assert not buffer.lines


# -- what is refused ------------------------------------------------------------------------------


def circle() -> dict[str, Any]:
    """A dict that holds itself."""
    values: dict[str, Any] = {}
    values["self"] = {"again": [values]}
    return values


class Opaque:
    def __init__(self) -> None:
        self._secret = 1


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"a": 1, "a.b": 2}, ValueError, "both 'a' and 'a.b'"),
        ({"a.b": 2, "a": {"b": 1}}, ValueError, "'a.b' is given twice"),
        ({"a": {"b": 1}, "a.b.c.d": 1}, ValueError, "both 'a.b' and 'a.b.c.d'"),
        ({1: 1, "1": 2}, ValueError, "'1' is given twice"),
        ({"": 1}, ValueError, "empty name"),
        (circle(), ValueError, "hold itself"),
        ({"model": {"fn": lambda: 0}}, TypeError, r"'model.fn' is .*lambda.*give its name"),
        ({"cls": Opaque}, TypeError, "'cls'.*'Opaque'"),
        ({"x": {"y": [0, Opaque()]}}, TypeError, r"'x.y\[1\]'"),
        ({"x": b"bytes"}, TypeError, "'x'"),
        ({"x": 1j}, TypeError, "'x'"),
        ({"x": threading.Lock()}, TypeError, "'x'"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_cannot_be_stored_changes_nothing(
    params: Params, buffer: FakeBuffer, values: Any, error: type[Exception], message: str
) -> None:
    """The old parameters stay whole; the message names the one to blame."""
    params.set(lr=1, x="old", a="old")
    with pytest.raises(error, match=message):
        params.set({"lr": 2, **values, "last": 3})
    assert params.get() == {"lr": 1, "x": "old", "a": "old"}
    assert len(buffer.lines["params"]) == 1


def test_an_array_that_cannot_be_stored_is_refused(params: Params) -> None:
    """It is no object without settings, which would be kept as an empty group in silence."""
    with pytest.raises(TypeError, match=r"'w'.*recarray"):
        params.set(w=np.rec.array([(1, 2.0)], dtype=[("a", int), ("b", float)]))
    torch = pytest.importorskip("torch")
    for value in (torch.eye(2).to_sparse(), torch.ones(1, device="meta")):
        with pytest.raises(TypeError, match=r"'w'.*torch\.Tensor"):
            params.set(w=value)
    assert params.get() == {}


@pytest.mark.parametrize(
    "source",
    [5, "lr=1", [("lr", 1)], print, Opaque(), np.arange(2)],
    ids=lambda value: type(value).__name__,
)
def test_a_source_without_names_is_refused(params: Params, source: Any) -> None:
    """The message says what would do."""
    with pytest.raises(TypeError, match="has no names for its values; give a dict"):
        params.set(source)


def test_a_handle_of_an_ended_run_raises(params: Params, buffer: FakeBuffer) -> None:
    """And remembers nothing that was not stored."""
    params.set(a=1)
    buffer.closed = True
    with pytest.raises(RuntimeError, match="ended"):
        params.set(a=2)
    assert params.get() == {"a": 1}


# -- folding --------------------------------------------------------------------------------------


def test_a_value_and_a_group_of_one_name_replace_each_other(params: Params) -> None:
    """The later stays, so that everything can always be nested; an empty group replaces nothing."""
    params.set(model="resnet", modelled=1)
    params.set(model={"layers": 4, "head": {"a": 1}})
    assert params.get(flatten=False) == {"model": {"layers": 4, "head": {"a": 1}}, "modelled": 1}
    params.set(model={})
    params.set(model={"head": 5})
    assert params.get() == {"modelled": 1, "model.layers": 4, "model.head": 5}
    params.set(model="vit")
    assert params.get() == {"modelled": 1, "model": "vit"}


def test_an_empty_group_gives_way_within_one_call(params: Params) -> None:
    """`model={}` beside `model.layers` is no contradiction."""
    params.set({"model": {}}, **{"model.layers": 4})
    assert params.get() == {"model.layers": 4}


def test_what_other_sessions_set_is_folded_by_time(params: Params, buffer: FakeBuffer) -> None:
    """Also what was set in between by another process; nothing depends on the order of reading."""
    params.set(a=1, b=1)
    between = clock.now()
    params.set(a=2)
    for timestamp, name, value in (
        (between, "b", "theirs"),
        (between, "a", "x"),
        (1.0, "b", "old"),
    ):
        line = b'{"timestamp":%r,"params":{"%b":"%b"}}\n'
        text = line.replace(b"%r", repr(timestamp).encode()) % (name.encode(), value.encode())
        segment = f"params/other{value}.jsonl"
        buffer.backend.append(segment, 0, [text])
    assert params.get() == {"a": 2, "b": "theirs"}


def test_what_the_disk_did_not_take_yet_is_known(params: Params, buffer: FakeBuffer) -> None:
    """A full disk makes no parameter vanish from the process that set it."""
    params.set(a=1)
    buffer.flush = lambda: None  # type: ignore[assignment,method-assign,misc,return-value]
    assert params.get() == {"a": 1}


LEAVES = st.none() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3)


def nested(keys: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Dicts in dicts, small ones, without empty groups."""

    def group(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
        return st.dictionaries(keys, inner, min_size=1, max_size=3)

    return group(st.recursive(LEAVES, group, max_leaves=6))


@given(nested(st.text(st.characters(exclude_characters="."), min_size=1, max_size=4)))
def test_any_nested_values_come_back_nested(values: dict[str, Any]) -> None:
    """Flattened, written, read and nested again they are what they were."""
    params = Params(FakeBuffer())  # type: ignore[arg-type]
    assert params.set(values).get(flatten=False) == values


@given(st.lists(nested(st.sampled_from("ab")), max_size=5), st.randoms(use_true_random=False))
def test_any_updates_fold_to_what_can_be_nested(updates: list[dict[str, Any]], random: Any) -> None:
    """Whatever replaces whatever: each value of the last update is there, in any order of rows."""
    params = Params(FakeBuffer())  # type: ignore[arg-type]
    for update in updates:
        params.set(update)
    flat = params.get()
    folded = unflatten(flat)
    rows = params._buffer.rows("params")  # type: ignore[attr-defined]
    random.shuffle(rows)
    assert fold(rows) == flat
    for row in rows:
        if row["timestamp"] == max(row["timestamp"] for row in rows):
            for name, value in row["params"].items():
                found: Any = folded
                for part in name.split("."):
                    found = found[part]
                assert found == value


# -- end to end -----------------------------------------------------------------------------------


def test_parameters_outlive_sessions(tmp_path: Path) -> None:
    """A continued run has those of its earlier sessions, and adds to them."""

    def experiment() -> Experiment:
        return Experiment("p/arm", dash_root=tmp_path, environment=False)

    with experiment().run as first:
        first.params.set(lr=1e-3, model={"layers": 4})
    with experiment().run as second:
        assert second.params.get() == {"lr": 1e-3, "model.layers": 4}
        second.params.set(model={"layers": 5})
        copy = pickle.loads(pickle.dumps(second.params))
        copy.set(seed=1)
        assert second.params.get() == {"lr": 1e-3, "model.layers": 5, "seed": 1}
    run = open_run(tmp_path / "p" / "arm")
    assert dict(run.params) == {"lr": 1e-3, "model": {"layers": 5}, "seed": 1}


def test_parameters_are_there_at_once_without_buffering() -> None:
    """With `buffer_enabled=False` the row is in its place when `set` returns."""
    backend = MemoryBackend()
    with Experiment("p/arm", backend=backend, environment=False, buffer_enabled=False).run as run:
        run.params.set(a=1)
        assert [row["params"] for row in read_rows(backend, "params")] == [{"a": 1}]


def test_other_threads_may_set_while_one_gets(params: Params) -> None:
    """Whoever reads gets what there was at some moment, and no error."""
    params.set({f"p{number}": number for number in range(1000)})
    stop = threading.Event()

    def work() -> None:
        for number in range(1000):  # each is one more to be read
            if stop.is_set():
                break
            params.set({f"q{number}": number})

    thread = threading.Thread(target=work)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread.start()
    try:
        for _ in range(20):
            assert len(params.get()) >= 1000
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(interval)
