"""Log messages: what is stored, what is printed, what is refused."""

from __future__ import annotations

import enum
import io
import math
import pickle
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeBuffer
from hypothesis import given
from hypothesis import strategies as st

from ml_dash import Experiment, clock
from ml_dash.backends import LocalBackend, MemoryBackend
from ml_dash.log import LEVELS, Logs
from ml_dash.reading import read_rows
from ml_dash.rows import MAX_LINE


@pytest.fixture
def buffer() -> FakeBuffer:
    """What the handle writes into."""
    return FakeBuffer()


@pytest.fixture
def log(buffer: FakeBuffer) -> Logs:
    """A handle that prints nothing."""
    return Logs(buffer, echo=False)  # type: ignore[arg-type]


def stored(buffer: FakeBuffer) -> list[dict[str, Any]]:
    """The rows without their timestamps."""
    rows = buffer.rows("logs")
    assert all(next(iter(row)) == "timestamp" for row in rows)
    return [{key: value for key, value in row.items() if key != "timestamp"} for row in rows]


def test_a_message_is_a_row_with_time_and_level(log: Logs, buffer: FakeBuffer) -> None:
    """Nothing else is in it, and the time is that of the call."""
    before = clock.now()
    log("started")
    after = clock.now()
    (row,) = buffer.rows("logs")
    assert before < row["timestamp"] < after
    assert row == {"timestamp": row["timestamp"], "level": "info", "message": "started"}


def test_fields_are_nested_so_that_they_can_have_any_name(log: Logs, buffer: FakeBuffer) -> None:
    """Also the names of the row's own keys, and those that tracks refuse."""
    log("x", metadata={"timestamp": 1, "level": "loud", "message": 2}, _private=3, host="lab-3")
    (row,) = stored(buffer)
    assert (row["level"], row["message"]) == ("info", "x")
    assert row["fields"] == {
        "timestamp": 1,
        "level": "loud",
        "message": 2,
        "_private": 3,
        "host": "lab-3",
    }


@pytest.mark.parametrize("level", LEVELS)
def test_each_level_has_a_method(log: Logs, buffer: FakeBuffer, level: str) -> None:
    """`logs.error(…)` is `log(…, level="error")`."""
    getattr(log, level)("x", joint=3)
    log("x", level=level, joint=3)
    assert stored(buffer) == [{"level": level, "message": "x", "fields": {"joint": 3}}] * 2


@pytest.mark.parametrize("level", ["warn", "WARN", "Warning", "warning"])
def test_warn_is_warning_in_any_case(log: Logs, buffer: FakeBuffer, level: str) -> None:
    """There is one spelling on disk."""
    log("x", level=level)
    log("x", level, fan=1)
    log.warn("x")
    assert [row["level"] for row in stored(buffer)] == ["warning"] * 3


@pytest.mark.parametrize("level", ["loud", "", None, 20, ["info"]])
def test_an_unknown_level_is_refused_with_those_there_are(
    log: Logs, buffer: FakeBuffer, level: Any
) -> None:
    """With and without fields, and nothing is stored."""
    for fields in ({}, {"a": 1}):
        with pytest.raises(ValueError, match="debug, info, warning, error, fatal"):
            log("x", level=level, **fields)
    assert not buffer.lines


def test_an_integer_step_is_the_row_s_own(log: Logs, buffer: FakeBuffer) -> None:
    """As a column beside the level, also from numpy; none is stored for None."""
    log("a", step=3)
    log("b", step=np.int64(4), loss=0.5)
    log("c", step=None)
    log("d", metadata={"step": 5})
    assert stored(buffer) == [
        {"level": "info", "message": "a", "step": 3},
        {"level": "info", "message": "b", "fields": {"loss": 0.5}, "step": 4},
        {"level": "info", "message": "c"},
        {"level": "info", "message": "d", "step": 5},
    ]


@pytest.mark.parametrize("step", [True, 0.5, 3.0, "3", np.float32(3), 2**64, [3]])
def test_a_step_that_is_no_integer_is_refused(log: Logs, buffer: FakeBuffer, step: Any) -> None:
    """A fraction or a bool aligns with nothing."""
    with pytest.raises(ValueError, match="log: step"):
        log("x", step=step)
    assert not buffer.lines


def test_values_of_all_kinds_come_back(log: Logs, buffer: FakeBuffer) -> None:
    """NaN in fields, arrays, enums; the caller may change them afterwards."""
    array = np.arange(3)

    class Color(enum.Enum):
        RED = "red"

    log("x", loss=math.nan, inner={"best": -math.inf})
    log("x", array=array, color=Color.RED, big=2**70)
    array += 1
    first, second = (row["fields"] for row in stored(buffer))
    assert math.isnan(first.pop("loss"))
    assert first == {"inner": {"best": -math.inf}}
    assert second == {"array": [0, 1, 2], "color": "red", "big": 2**70}


def test_the_word_null_in_a_text_is_not_mistaken_for_nan(log: Logs, buffer: FakeBuffer) -> None:
    """A closer look follows, and finds a text."""
    log("null", text="null", nothing=None)
    assert stored(buffer)[0]["fields"] == {"text": "null", "nothing": None}


def test_a_field_that_cannot_be_stored_is_named(log: Logs, buffer: FakeBuffer) -> None:
    """And nothing of the message is stored."""
    with pytest.raises(TypeError, match=r"log.*'model'"):
        log("x", model=object())
    assert not buffer.lines


def test_a_message_of_another_type_is_its_text(log: Logs, buffer: FakeBuffer) -> None:
    """None is a message, too: what the user passed is not thrown away in silence."""
    for message in (None, 3, ValueError("bad"), [1, 2]):
        log(message)
    assert [row["message"] for row in stored(buffer)] == ["None", "3", "bad", "[1, 2]"]


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_any_text_comes_back(text: str) -> None:
    """NUL, newlines, quotes, emoji, lone surrogates; each in one line without a NUL byte."""
    buffer = FakeBuffer()
    log = Logs(buffer, echo=False)  # type: ignore[arg-type]
    log(text)
    log(text, level="error", again=text)
    first, second = stored(buffer)
    assert first["message"] == second["message"] == second["fields"]["again"] == text
    for line in buffer.lines["logs"]:
        assert line.count(b"\n") == 1
        assert line.endswith(b"}\n")
        assert b"\0" not in line


def test_a_message_without_text_keeps_fields_for_later(log: Logs, buffer: FakeBuffer) -> None:
    """`log(worker=3)` is a handle whose messages all have the field; its own fields win."""
    worker = log(worker=3)
    worker.info("a")
    worker("b", level="debug", worker=4)
    log(metadata={"x": 1}, y=2)(rank=0).error("c")
    assert [row["fields"] for row in stored(buffer)] == [
        {"worker": 3},
        {"worker": 4},
        {"x": 1, "y": 2, "rank": 0},
    ]
    assert stored(buffer)[2]["level"] == "error"


def test_a_field_given_twice_is_refused(log: Logs) -> None:
    """In metadata and by name: one of them would be lost."""
    with pytest.raises(ValueError, match="'a' is given twice"):
        log("x", metadata={"a": 1}, a=2)
    with pytest.raises(TypeError, match="metadata must be a dict"):
        log("x", metadata="a=1")


@pytest.mark.parametrize("fields", [{}, {"a": "b"}, {"a": math.nan}], ids=str)
def test_a_message_of_over_16_mib_is_refused(fields: dict[str, Any]) -> None:
    """One that nearly fills a row is kept; the limit is that of all rows."""
    with Experiment("p/talk", backend=MemoryBackend(), echo=False, environment=False).run as run:
        run.log("x" * (MAX_LINE - 200), **fields)
        with pytest.raises(ValueError, match="16,777,216"):
            run.log("x" * MAX_LINE, **fields)
        assert run.flush().ok
        (row,) = read_rows(run.run.backend, "logs")
    assert len(row["message"]) == MAX_LINE - 200


def test_a_handle_of_an_ended_run_raises(log: Logs, buffer: FakeBuffer, capsys: Any) -> None:
    """And prints nothing: what is printed is stored."""
    log.echo = True
    buffer.closed = True
    for call in (lambda: log("x"), lambda: log("x", a=1), lambda: log.info("x")):
        with pytest.raises(RuntimeError, match="ended"):
            call()
    assert capsys.readouterr() == ("", "")


# -- the terminal ---------------------------------------------------------------------------------


def test_messages_are_printed_by_severity(buffer: FakeBuffer, capsys: Any) -> None:
    """Debug and info on stdout, the others on stderr, each with its time, level and fields."""
    log = Logs(buffer)  # type: ignore[arg-type]
    for level in LEVELS:
        log(f"a {level}", level=level)
    log("hot", joint=3, celsius=81.123456789, array=np.zeros((2, 2)))
    out, err = capsys.readouterr()
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d DEBUG   a debug\n"
        r"\d\d:\d\d:\d\d INFO    a info\n"
        r"\d\d:\d\d:\d\d INFO    hot  joint=3 celsius=81.1235 array=\[\[0. 0.\] \[0. 0.\]\]\n",
        out,
    )
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d WARNING a warning\n.{8} ERROR   a error\n.{8} FATAL   a fatal\n", err
    )


def test_the_terminal_can_be_switched_off(log: Logs, capsys: Any) -> None:
    """No message is printed, of no level."""
    for level in LEVELS:
        log("x", level=level)
        log("x", level=level, a=1)
    assert capsys.readouterr() == ("", "")


def test_what_the_terminal_cannot_show_is_escaped(
    buffer: FakeBuffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ASCII terminal gets escapes, and the row the text itself."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    Logs(buffer)("température \ud800 🙂")  # type: ignore[arg-type]
    sys.stdout.flush()
    assert rb"temp\xe9rature \ud800 \U0001f642" in raw.getvalue()
    assert stored(buffer)[0]["message"] == "température \ud800 🙂"


class Broken:
    """A stdout that fails in a way nobody expects."""

    encoding = None

    def write(self, text: str) -> None:
        """Fail."""
        raise OSError("no space left")


@pytest.mark.parametrize("stream", [None, "closed", Broken(), object()])
def test_a_terminal_that_is_gone_harms_no_message(
    buffer: FakeBuffer, monkeypatch: pytest.MonkeyPatch, stream: Any
) -> None:
    """Closed, missing, full or replaced: the message is stored and nothing is raised."""
    if stream == "closed":
        stream = io.StringIO()
        stream.close()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    log = Logs(buffer)  # type: ignore[arg-type]
    log("a")
    log.error("b", a=1)
    assert [row["message"] for row in stored(buffer)] == ["a", "b"]


def test_a_field_that_cannot_be_printed_harms_no_message(buffer: FakeBuffer) -> None:
    """A value may be encodable and yet have a broken `__str__`."""

    class Odd(dict[str, int]):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    Logs(buffer)("a", odd=Odd(x=1))  # type: ignore[arg-type]
    assert stored(buffer)[0]["fields"] == {"odd": {"x": 1}}


def test_long_fields_are_cut_on_the_terminal_only(buffer: FakeBuffer, capsys: Any) -> None:
    """The row keeps them whole."""
    Logs(buffer)("a", text="x" * 1000)  # type: ignore[arg-type]
    assert len(capsys.readouterr().out) < 300
    assert stored(buffer)[0]["fields"]["text"] == "x" * 1000


# -- end to end -----------------------------------------------------------------------------------


def test_messages_of_a_run_are_read_back(tmp_path: Path, capsys: Any) -> None:
    """In order, by all three ways of writing them; printed only where that is switched on."""
    with Experiment("p/talk", dash_root=tmp_path, echo=False, environment=False).run as experiment:
        experiment.log("started", level="info", host="lab-3")
        experiment.logs.warning("hot", step=7)
        experiment.log(worker=1).debug("ready")
    assert "started" not in capsys.readouterr().out
    rows = list(read_rows(LocalBackend(tmp_path / "p" / "talk"), "logs"))
    assert [row["message"] for row in rows] == ["started", "hot", "ready"]
    assert rows[0]["fields"] == {"host": "lab-3"}
    assert (rows[1]["level"], rows[1]["step"]) == ("warning", 7)
    with pytest.raises(RuntimeError, match="start"):
        experiment.log("too late")


def test_a_field_that_cannot_be_stored_is_named_as_it_was_given(log: Logs) -> None:
    """The message has the user's key, not the one that fields are stored under."""
    with pytest.raises(TypeError, match=r"^log, key 'o', key 'a'\[1\]: a value of type object"):
        log("x", o={"a": [1, object()]})


def test_a_handle_kept_beyond_the_end_raises(tmp_path: Path) -> None:
    """The reason and the remedy are in the message."""
    with Experiment("p/talk", dash_root=tmp_path, echo=False, environment=False).run as experiment:
        log = experiment.log
        for index in range(40):
            log("x", index=index)
    with pytest.raises(RuntimeError, match="has ended"):
        log("too late")


def test_a_pickled_handle_writes_to_the_same_run(tmp_path: Path) -> None:
    """As in a worker process that was handed the handle."""
    with Experiment("p/talk", dash_root=tmp_path, echo=False, environment=False).run as experiment:
        copy = pickle.loads(pickle.dumps(experiment.log(worker=3)))
        copy.info("from the copy")
        assert copy.echo is False
    (row,) = read_rows(LocalBackend(tmp_path / "p" / "talk"), "logs")
    assert row["fields"] == {"worker": 3}
