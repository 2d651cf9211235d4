"""Tracks: rows appended in either form, refused by name, merged and found when read."""

from __future__ import annotations

import enum
import math
import os
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

import numpy as np
import orjson
import pytest

from ml_dash import Experiment, MemoryBackend, open_run
from ml_dash import track as track_module
from ml_dash.rows import MAX_LINE
from ml_dash.track import Track


def start(folder: Path, **options: Any) -> Experiment:
    """A run that has started."""
    options = {"echo": False, "environment": False, **options}
    return Experiment("p/e", dash_root=folder, **options).run.start()


@pytest.fixture
def experiment(tmp_path: Path) -> Iterator[Experiment]:
    """A run that goes on."""
    experiment = start(tmp_path)
    yield experiment
    experiment.run.complete()


@pytest.fixture
def track(experiment: Experiment) -> Track:
    """One of its tracks."""
    return experiment.track("robot/position")


def lines(experiment: Experiment, stream: str) -> list[dict[str, Any]]:
    """What stands in the segments of a stream, read with nothing of ours."""
    experiment.flush()
    assert experiment.folder is not None
    return [
        orjson.loads(line)
        for path in sorted((experiment.folder / stream).glob("*.jsonl"))
        for line in path.read_bytes().splitlines()
    ]


def fields(track: Track) -> list[dict[str, Any]]:
    """The entries without their timestamps."""
    return [
        {key: value for key, value in entry.items() if key != "timestamp"}
        for entry in track.list_entries()
    ]


# -- appending -----------------------------------------------------------------------------------


def test_a_row_is_one_line_of_flat_fields(experiment: Experiment, track: Track) -> None:
    """With the timestamp beside the user's fields, and the step among them."""
    track.append({"step": 3, "x": 0.1, "label": "a", "joints": [1, 2]})
    (row,) = lines(experiment, "tracks/robot/position")
    timestamp = row.pop("timestamp")
    assert type(timestamp) is float
    assert row == {"step": 3, "x": 0.1, "label": "a", "joints": [1, 2]}


def test_both_documented_forms_append(experiment: Experiment, track: Track) -> None:
    """A dict alone, and a timestamp with `data=`; both give the track back."""
    assert track.append({"step": 0, "x": 0.1, "y": 0.2}) is track
    assert track.append(timestamp=12345.67, data={"ax": 0.0}) is track
    first, second = lines(experiment, "tracks/robot/position")
    assert "_explicit" not in first
    assert second == {"timestamp": 12345.67, "_explicit": True, "ax": 0.0}


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ({"data": {"x": 1}, "step": 4}, {"step": 4, "x": 1}),
        ({"data": {"x": 1, "step": 4}, "step": 4}, {"step": 4, "x": 1}),
        ({"data": {"x": 1, "step": np.int64(4)}}, {"step": 4, "x": 1}),
        ({"data": {"x": 1, "step": None}}, {"x": 1}),
        ({"data": {"x": 1, "timestamp": None}}, {"x": 1}),
        ({"data": {"x": 1}, "timestamp": 2}, {"timestamp": 2.0, "x": 1}),
        ({"data": {"x": 1, "timestamp": 2}}, {"timestamp": 2.0, "x": 1}),
        ({"data": {"x": 1, "timestamp": 2.0}, "timestamp": 2}, {"timestamp": 2.0, "x": 1}),
        ({"data": {"timestamp": np.float32(0.5), "step": -1}}, {"timestamp": 0.5, "step": -1}),
        ({"data": {}, "timestamp": -5.5}, {"timestamp": -5.5}),
        ({"step": 2**64 - 1}, {"step": 2**64 - 1}),
        ({}, {}),
    ],
)
def test_step_and_timestamp_are_arguments_or_fields(
    track: Track, call: dict[str, Any], expected: dict[str, Any]
) -> None:
    """Wherever they are given, they are the row's own, as plain numbers."""
    track.append(**call)
    (entry,) = track.list_entries()
    if "timestamp" not in expected:
        del entry["timestamp"]
    assert entry == expected
    assert all(type(entry[key]) is type(value) for key, value in expected.items())


@pytest.mark.parametrize(
    "step",
    [True, False, np.True_, 1.0, 1.5, np.float64(2), "3", math.nan, 2**64, -(2**63) - 1, [1]],
)
def test_a_step_that_is_no_whole_number_is_refused(track: Track, step: Any) -> None:
    """In either place, and also when the other place has a good one that is equal."""
    for call in (
        {"data": {"step": step}},
        {"data": {}, "step": step},
        {"data": {"step": step}, "step": 1},
        {"data": {"step": 1}, "step": step},
    ):
        with pytest.raises(ValueError, match=r"track 'robot/position': step"):
            track.append(**call)
    assert track.list_entries() == []


@pytest.mark.parametrize(
    "timestamp", [True, "2025-01-01", math.nan, math.inf, 1j, [1.0], np.datetime64("2025-01-01")]
)
def test_a_timestamp_that_is_no_number_of_seconds_is_refused(track: Track, timestamp: Any) -> None:
    """In either place: it would be lost, or stand in the wrong order for ever."""
    for call in (
        {"data": {"timestamp": timestamp}},
        {"data": {}, "timestamp": timestamp},
        {"data": {"timestamp": timestamp}, "timestamp": 1.0},
    ):
        with pytest.raises(ValueError, match=r"track 'robot/position': timestamp"):
            track.append(**call)
    assert track.list_entries() == []


@pytest.mark.parametrize("date", [datetime(2025, 1, 1), np.datetime64("2025-01-01"), "2025-01-01"])
def test_a_date_in_place_of_seconds_is_refused_with_what_to_write(track: Track, date: Any) -> None:
    """Seconds are its `.timestamp()`, where it has one; a field of the user's has another name."""
    remedy = r"give its \.timestamp\(\)" if isinstance(date, datetime) else "another name"
    with pytest.raises(ValueError, match=remedy):
        track.append({"x": 1}, timestamp=date)


def test_two_that_differ_are_refused(track: Track) -> None:
    """A step or timestamp given twice must be the same."""
    with pytest.raises(ValueError, match=r"step is given twice and differently: 1 .* 2"):
        track.append({"step": 2}, step=1)
    with pytest.raises(ValueError, match=r"timestamp is given twice .*1\.0.* 2\.0"):
        track.append({"timestamp": 2.0}, timestamp=1.0)


@pytest.mark.parametrize("data", [5, "x", [("a", 1)], [1], {1, 2}, np.zeros(3), object(), b"x"])
def test_data_that_is_no_dict_is_refused(track: Track, data: Any) -> None:
    """With a message that shows what a dict looks like."""
    with pytest.raises(TypeError, match=r"track 'robot/position': data is an? .*must be a dict"):
        track.append(data)


@pytest.mark.parametrize(
    "kind", [dict, OrderedDict, MappingProxyType, lambda data: defaultdict(int, data)]
)
def test_any_mapping_is_data(track: Track, kind: Any) -> None:
    """Dicts and what behaves as one; it stays as it was."""
    data = kind({"x": 1, "step": 2})
    track.append(data)
    assert dict(data) == {"x": 1, "step": 2}
    assert fields(track) == [{"x": 1, "step": 2}]


@pytest.mark.parametrize("other", [1, None, math.nan, {1: 2}], ids=repr)
def test_keys_of_ours_are_refused(track: Track, other: Any) -> None:
    """`_x` is, whatever else is in the row; inside of a value it is the user's."""
    with pytest.raises(ValueError, match=r"the key '_x' begins with '_'.*use 'x'"):
        track.append({"a": other, "_x": 1})
    for _ in range(3):
        track.append({"a": {"_x": 1}, "b_c": '"_'})
    with pytest.raises(ValueError, match="the key '_x' begins with '_'"):
        track.append({"a": 1, "b_c": 2, "_x": 3})
    assert fields(track) == [{"a": {"_x": 1}, "b_c": '"_'}] * 3


def test_keys_that_are_no_strings_are_their_text(track: Track) -> None:
    """And a key whose text is `step` is the step."""
    key = enum.Enum("key", {"STEP": "step", "X": "x"})
    track.append({1: "one", None: 0, key.X: 2.5, key.STEP: 7, "\ud800": "\udfff"})
    assert fields(track) == [{"step": 7, "1": "one", "None": 0, "x": 2.5, "\ud800": "\udfff"}]
    with pytest.raises(ValueError, match="'1' is given twice"):
        track.append({1: 0, "1": 0})
    with pytest.raises(ValueError, match="step must be an integer"):
        track.append({key.STEP: "seven"})


HARD = {
    "nan": math.nan,
    "inf": math.inf,
    "minus": -math.inf,
    "zero": -0.0,
    "small": 5e-324,
    "int64": -(2**63),
    "uint64": 2**64 - 1,
    "huge": 2**200,
    "unicode": "機 🤖 e\u0301 \u2028",
    "nul": "a\0b",
    "surrogate": "\ud800",
    "nothing": None,
    "null": "null",
    "deep": {"list": [1, [math.nan, {"x": -math.inf}]], "": "empty key"},
}


@pytest.mark.parametrize("names", [[name] for name in HARD] + [list(HARD)], ids=",".join)
def test_hard_values_come_back(track: Track, names: list[str]) -> None:
    """NaN, infinities, `-0.0`, integers of any size, any text: each alone, and all in one row."""
    row = {name: HARD[name] for name in names}
    track.append(row)
    track.append(timestamp=5.0, data=row)
    for found in fields(track):
        assert repr(found) == repr(row)  # by repr: NaN is equal to none, and -0.0 to 0.0


def test_what_the_caller_changes_afterwards_is_not_recorded(track: Track) -> None:
    """Dicts, lists and arrays may be used again as soon as the call returns."""
    row: dict[str, Any] = {"x": 1, "list": [1], "array": np.zeros(3), "dict": {"a": 1}}
    for plain in (True, False):
        row["other"] = 0 if plain else None  # which is encoded the quick way, or the careful
        track.append(row)
        row["x"] += 1
        row["list"].append(2)
        row["array"] += 1
        row["dict"]["a"] += 1
    first, second = fields(track)
    assert first == {"x": 1, "list": [1], "array": [0, 0, 0], "dict": {"a": 1}, "other": 0}
    assert second == {
        "x": 2,
        "list": [1, 2],
        "array": [1, 1, 1],
        "dict": {"a": 2},
        "other": None,
    }
    assert "timestamp" not in row


def test_a_value_that_cannot_be_stored_keeps_its_row_out(track: Track) -> None:
    """Whole: the error names the key, and nothing of the row is written."""
    with pytest.raises(TypeError, match=r"track 'robot/position', key 'bad': .*object"):
        track.append({"good": 1, "bad": object()})
    with pytest.raises(TypeError, match=r"key 'bad'.*complex"):
        track.append(timestamp=1.0, data={"bad": 1j})
    assert track.list_entries() == []


@pytest.mark.parametrize("kind", ["dict", "list", "self"])
def test_a_value_that_nests_too_deeply_is_told_by_its_key_and_the_limit(
    experiment: Experiment, kind: str
) -> None:
    """Whatever takes it, the message names the user's key once and no key below it."""
    value: Any = object()
    for _ in range(300):
        value = [value] if kind == "list" else {"inner": value}
    if kind == "self":
        value["me"] = value
    calls = {
        r"track 'a', key 'deep'": lambda: experiment.track("a").append({"deep": value}),
        r"metric 'a', key 'deep'": lambda: experiment.metrics("a").log(deep=value),
        r"log, key 'deep'": lambda: experiment.log("x", deep=value),
        r"params: 'deep'": lambda: experiment.params.set(deep=value),
        r"save_json, key 'deep'": lambda: experiment.files.save_json({"deep": value}, to="a.json"),
    }
    for where, call in calls.items():
        with pytest.raises(ValueError, match=f"^{where}: nests deeper than 100") as found:
            call()
        assert type(found.value) is ValueError


def test_a_row_may_take_16_mib_and_not_one_byte_more(experiment: Experiment, track: Track) -> None:
    """The row over the limit is refused at the call, in either form; the others are kept."""
    overhead = len(b'{"timestamp":5.0,"_explicit":true,"x":""}\n')
    text = "x" * (MAX_LINE - overhead)
    track.append(timestamp=5.0, data={"x": text})
    for call in ({"timestamp": 5.0, "data": {"x": text + "x"}}, {"data": {"x": "x" * MAX_LINE}}):
        with pytest.raises(ValueError, match="16,777,216 a row may have"):
            track.append(**call)
    track.append(timestamp=6.0, data={"x": "after"})
    assert [len(entry["x"]) for entry in track.list_entries()] == [len(text), 5]
    assert experiment.flush().ok


def test_rows_appended_as_fast_as_possible_all_come_back(track: Track) -> None:
    """A hundred thousand of them, in order, each with a timestamp of its own."""
    for step in range(100_000):
        track.append({"step": step})
    found = track.read(format="numpy")
    assert np.array_equal(found["step"], np.arange(100_000))
    assert np.all(np.diff(found["timestamp"]) > 0)


# -- topics --------------------------------------------------------------------------------------

TOPICS = [
    "a/b",
    "a_b",
    "a%2Fb",
    "a%2fb",
    "A/b",
    "a/B",
    "a.jsonl/b",
    "a",
    "a/b.jsonl",
    "a\\b",
    "a:b?*|<>",
    "机器/人",
    "é",
    "e\u0301",
    ".hidden",
    "trailing.",
    " spaces ",
    "run",
    "con_",
    "x" * 200,
]


def test_topics_that_look_alike_stay_apart(tmp_path: Path) -> None:
    """Each has a folder of its own, on any file system, and its own name when it is read."""
    experiment = start(tmp_path)
    for number, topic in enumerate(TOPICS):
        experiment.track(topic).append({"n": number})
    assert [fields(experiment.track(topic)) for topic in TOPICS] == [
        [{"n": number}] for number in range(len(TOPICS))
    ]
    assert experiment.track.names == sorted(TOPICS)
    experiment.run.complete()
    run = open_run(experiment.folder)
    assert sorted(run.tracks) == sorted(TOPICS)
    for number, topic in enumerate(TOPICS):
        assert run.tracks[topic]["n"].tolist() == [number]
    folders = {
        path.parent.relative_to(experiment.folder).as_posix()
        for path in experiment.folder.glob("tracks/**/*.jsonl")
    }
    assert len({folder.lower() for folder in folders}) == len(TOPICS)


@pytest.mark.parametrize(
    "topic",
    [
        "",
        ".",
        "..",
        "a/../b",
        "../a",
        "/etc/passwd",
        "a//b",
        "a/./b",
        "a\0b",
        "a\nb",
        "CON",
        "con.txt",
        "a/NUL",
        "LPT1/b",
        "x" * 300,
        "é" * 100,
        "/".join(["long"] * 300),
        "\ud800",
    ],
    ids=lambda topic: ascii(topic)[:20],
)
def test_unsafe_topics_are_refused(experiment: Experiment, topic: str) -> None:
    """At the call, before anything is made on disk."""
    with pytest.raises(ValueError, match="track topic"):
        experiment.track(topic)
    assert experiment.folder is not None
    assert not (experiment.folder / "tracks").exists()


@pytest.mark.parametrize("topic", [None, 5, b"a", ("a", "b")])
def test_a_topic_is_text(experiment: Experiment, topic: Any) -> None:
    """Nothing else names a track."""
    with pytest.raises(TypeError, match="track topic must be a string"):
        experiment.track(topic)


def test_a_topic_may_be_written_as_a_folder_or_path(experiment: Experiment) -> None:
    """`a/` and `PurePath("a")` are `a`."""
    for topic in ("a", "a/", PurePosixPath("a")):
        experiment.track(topic).append({"x": 1})  # type: ignore[arg-type]
    assert experiment.track.names == ["a"]
    assert len(experiment.track("a").list_entries()) == 3
    assert experiment.track("a") is experiment.tracks("a")


@pytest.mark.parametrize("place", ["tracks", "tracks/a", "tracks/a/b"])
def test_a_link_planted_in_the_run_leads_nothing_out_of_it(
    experiment: Experiment, tmp_path: Path, place: str
) -> None:
    """A topic behind it is refused by name; the others, and the run, go on."""
    outside = tmp_path / "outside"
    outside.mkdir()
    assert experiment.folder is not None
    link = experiment.folder / place
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside)
    with pytest.raises(ValueError, match=r"tracks/a/b.*link inside the run.*remove the link"):
        experiment.track("a/b").append({"x": 1})
    experiment.log("still here")
    assert experiment.flush().ok
    assert list(outside.iterdir()) == []
    link.unlink()
    experiment.track("a/b").append({"x": 1})
    assert fields(experiment.track("a/b")) == [{"x": 1}]


def test_a_link_planted_later_is_not_followed_either(
    experiment: Experiment, tmp_path: Path
) -> None:
    """Rows that would go through it are kept back, and told by `flush`."""
    track = experiment.track("a/b")
    outside = tmp_path / "outside"
    outside.mkdir()
    assert experiment.folder is not None
    (experiment.folder / "tracks").symlink_to(outside)
    track.append({"x": 1})
    report = experiment.flush(timeout=0.2)
    assert not report.ok
    assert "symbolic link" in str(report)
    assert list(outside.iterdir()) == []
    (experiment.folder / "tracks").unlink()
    assert experiment.flush().ok
    assert fields(track) == [{"x": 1}]


def test_a_thousand_topics_take_few_descriptors(experiment: Experiment) -> None:
    """Segments are opened as they are needed."""
    for number in range(1000):
        experiment.track(f"t/{number}").append({"n": number})
    experiment.flush()
    if Path("/proc/self/fd").is_dir():
        assert len(os.listdir("/proc/self/fd")) < 400  # noqa: PTH208 - paths would be opened
    assert len(experiment.track.names) == 1000


# -- merging -------------------------------------------------------------------------------------


def merged(track: Track, *calls: tuple[float | None, dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries that rows with these timestamps and data become, without automatic times."""
    for timestamp, data in calls:
        track.append(data, timestamp=timestamp)
    assert [*track.slice()] == track.list_entries()
    rows = [
        {name: column[index] for name, column in track.read(format="numpy").items()}
        for index in range(len(track.slice()))
    ]
    assert len(rows) == len(track.list_entries())
    return track.list_entries()


def test_rows_of_one_explicit_timestamp_are_one_entry(track: Track) -> None:
    """Their fields are united, the later value winning."""
    found = merged(
        track,
        (1.0, {"x": 1, "y": 1}),
        (2.0, {"x": 5}),
        (1.0, {"y": 2, "z": 3}),
        (2.0, {"x": None}),
    )
    assert found == [
        {"timestamp": 1.0, "x": 1, "y": 2, "z": 3},
        {"timestamp": 2.0, "x": None},
    ]


def test_rows_of_conflicting_steps_stay_apart(track: Track) -> None:
    """One timestamp, two steps: two entries; a row without a step joins the latest."""
    found = merged(
        track,
        (1.0, {"step": 1, "x": 1}),
        (1.0, {"step": 2, "x": 2}),
        (1.0, {"y": 2}),
        (1.0, {"step": 1, "y": 1}),
    )
    assert found == [
        {"timestamp": 1.0, "step": 1, "x": 1, "y": 1},
        {"timestamp": 1.0, "step": 2, "x": 2, "y": 2},
    ]


def test_a_row_without_a_step_takes_that_of_its_timestamp(track: Track) -> None:
    """Whichever came first."""
    found = merged(track, (1.0, {"x": 1}), (1.0, {"step": 4, "y": 2}))
    assert found == [{"timestamp": 1.0, "step": 4, "x": 1, "y": 2}]


def test_automatic_timestamps_never_merge(track: Track) -> None:
    """Nor does an explicit one with an automatic one that happens to be equal."""
    track.append({"x": 1})
    (entry,) = track.list_entries()
    track.append({"y": 2}, timestamp=entry["timestamp"])
    track.append({"z": 3}, timestamp=entry["timestamp"])
    assert fields(track) == [{"x": 1}, {"y": 2, "z": 3}]


def test_equal_automatic_timestamps_of_two_processes_are_two_entries(
    track: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only within a process are stamps never equal."""

    class Stopped:
        last = offset = 0.0

        @staticmethod
        def now() -> float:
            return 1e9

    monkeypatch.setattr(track_module, "clock", Stopped)
    track.append({"x": None}).append({"x": None})  # by the careful way, which asks for `now`
    assert [entry["timestamp"] for entry in track.list_entries()] == [1e9, 1e9]


def test_rows_of_several_sessions_merge_too(tmp_path: Path) -> None:
    """A run that is continued adds to the entries of its earlier sessions."""
    for session in range(3):
        experiment = start(tmp_path)
        experiment.track("a").append({f"s{session}": session, "last": session}, timestamp=1.5)
        found = experiment.track("a").list_entries()
        experiment.run.complete()
    assert found == [{"timestamp": 1.5, "s0": 0, "s1": 1, "s2": 2, "last": 2}]


# -- reading -------------------------------------------------------------------------------------


@pytest.fixture
def filled(track: Track) -> Track:
    """A track with entries at 1.0, 3.0, 5.0 and 7.0, written in another order."""
    for time in (5, 1, 7, 3):
        track.append({"step": time, "x": time / 2, "pose": {"y": -time}}, timestamp=time)
    return track


def test_reading_gives_entries_in_order_of_time(filled: Track) -> None:
    """As dicts, with how many there are."""
    found = filled.read()
    assert found["count"] == 4
    assert [entry["timestamp"] for entry in found["entries"]] == [1.0, 3.0, 5.0, 7.0]
    assert found["entries"][0] == {"timestamp": 1.0, "step": 1, "x": 0.5, "pose": {"y": -1}}
    assert filled.list_entries() == found["entries"]


@pytest.mark.parametrize(
    ("start", "end", "times"),
    [
        (None, None, [1, 3, 5, 7]),
        (3.0, None, [3, 5, 7]),
        (3.1, None, [5, 7]),
        (None, 5.0, [1, 3, 5]),
        (2, 6, [3, 5]),
        (5, 5, [5]),
        (8, None, []),
        (None, 0, []),
        (6, 2, []),
    ],
)
def test_reading_between_two_times_takes_in_both(
    filled: Track, start: float | None, end: float | None, times: list[float]
) -> None:
    """In every format, and as a slice."""
    read = filled.read(start, end)
    assert [entry["timestamp"] for entry in read["entries"]] == times
    assert filled.read(start_timestamp=start, end_timestamp=end) == read
    assert filled.read(start, end, format="numpy")["timestamp"].tolist() == times
    assert len(filled.read(start, end, format="jsonl").splitlines()) == len(times)
    part = filled.slice(start, end)
    assert [entry["timestamp"] for entry in part] == times
    assert len(part) == len(times)


def test_reading_some_columns_keeps_the_timestamp(filled: Track) -> None:
    """Nested ones are named with dots; numpy gives an array of each."""
    found = filled.read(3, 3, columns=["x", "pose.y"])
    assert found["entries"] == [{"timestamp": 3.0, "x": 1.5, "pose.y": -3}]
    arrays = filled.read(columns=["pose.y"], format="numpy")
    assert list(arrays) == ["timestamp", "pose.y"]
    assert arrays["pose.y"].tolist() == [-1, -3, -5, -7]


def test_jsonl_is_what_any_reader_of_json_lines_takes(track: Track) -> None:
    """A line an entry, NaN as null with its mark."""
    track.append({"x": math.nan, "s": "\ud800"}, timestamp=1.0)
    track.append({"y": 2}, timestamp=1.0)
    track.append({"x": 2**70}, timestamp=2.0)
    first, second = track.read(format="jsonl").splitlines()
    assert orjson.loads(first.replace(b"\\ud800", b"")) == {
        "timestamp": 1.0,
        "x": None,
        "s": "",
        "y": 2,
        "_nonfinite": {"/x": "NaN"},
    }
    assert str(2**70).encode() in second


def test_an_unknown_format_is_refused(filled: Track) -> None:
    """The message lists those there are."""
    with pytest.raises(ValueError, match="'mocap'; it must be one of json, jsonl, numpy"):
        filled.read(format="mocap")


@pytest.mark.parametrize("format", ["json", "jsonl", "numpy"])
def test_an_unknown_column_is_refused_in_every_format(filled: Track, format: str) -> None:
    """The error names those spelled alike; a column of another time is none that is unknown."""
    with pytest.raises(KeyError, match=r"no column 'pose.z'; did you mean 'pose.y'"):
        filled.read(columns=["x", "pose.z"], format=format)
    filled.append({"late": 1}, timestamp=9)
    filled.read(0, 4, columns=["x", "late"], format=format)
    with pytest.raises(TypeError, match=r"must be a list, such as \['x'\]"):
        filled.read(columns="x", format=format)


def test_a_group_of_columns_may_be_read_where_a_time_has_none_of_it(filled: Track) -> None:
    """What is nested is a column by its outer name, too."""
    assert filled.read(3, 3, columns=["pose"])["entries"] == [{"timestamp": 3, "pose": {"y": -3}}]
    assert filled.read(3.5, 4, columns=["pose"])["count"] == 0


def test_the_columns_of_an_empty_track_are_not_known(track: Track) -> None:
    """Who reads before the first row gets no entries, not an error."""
    assert track.read(columns=["x"]) == {"entries": [], "count": 0}


@pytest.mark.parametrize("time", [math.nan, "now", None, np.datetime64("2026-01-01")], ids=repr)
def test_a_time_that_is_no_number_finds_nothing_by_accident(filled: Track, time: Any) -> None:
    """Nothing is before or after NaN: looking for it is an error, not the last entry."""
    for look in (filled.find, filled.slice().find, filled.stored().slice().find):
        with pytest.raises(ValueError, match="timestamp must be a number of seconds"):
            look(time)
    if time is not None:
        with pytest.raises(ValueError, match="start_timestamp must be"):
            filled.slice(time)
        with pytest.raises(ValueError, match="end_timestamp must be"):
            filled.read(None, time)
    assert filled.find(math.inf) == filled.find(7)


def test_find_gives_the_latest_entry_at_or_before_a_time(filled: Track) -> None:
    """`None` before the first; the last for ever after."""
    times = {0.9: None, 1: 1, 2.9: 1, 3: 3, 6.5: 5, 7: 7, 1e12: 7}
    for time, expected in times.items():
        found = filled.find(time)
        assert (found and found["timestamp"]) == expected
    assert filled.find(1.0) == {"timestamp": 1.0, "step": 1, "x": 0.5, "pose": {"y": -1}}


def test_a_slice_finds_within_its_bounds(filled: Track) -> None:
    """What lies outside of it is not there."""
    part = filled.slice(3, 5)
    found = {time: part.find(time) for time in (2, 3, 4, 9)}
    assert {time: entry and entry["timestamp"] for time, entry in found.items()} == {
        2: None,
        3: 3.0,
        4: 3.0,
        9: 5.0,
    }
    assert part.findByTime(4)["timestamp"] == 3.0
    assert [entry["timestamp"] for entry in part.findByTime([3, 5.5])] == [3.0, 5.0]
    with pytest.raises(KeyError, match="at or before 2"):
        part.findByTime([3, 2])


def test_found_entries_are_united(track: Track) -> None:
    """`find` gives the whole entry, not its last row."""
    track.append({"x": 1}, timestamp=1.0).append({"y": 2}, timestamp=1.0)
    assert track.find(1.5) == {"timestamp": 1.0, "x": 1, "y": 2}


def test_a_slice_stays_as_it_was_made(filled: Track) -> None:
    """While the track itself shows what was appended since."""
    part = filled.slice()
    assert len(part) == 4
    filled.append({"x": 0}, timestamp=4.0)
    filled.flush()
    assert len(part) == len(list(part)) == 4
    assert part.findByTime(4.5)["timestamp"] == 3.0
    assert len(filled.slice()) == 5
    assert filled.find(4.5) == {"timestamp": 4.0, "x": 0}


def test_an_empty_track_has_no_entries(track: Track) -> None:
    """Reading before the first row is nothing special."""
    assert track.read() == {"entries": [], "count": 0}
    assert track.read(format="jsonl") == b""
    assert track.find(0) is None
    assert len(track.slice()) == 0


def test_reading_sees_each_row_that_was_appended_before(track: Track) -> None:
    """No flush is needed in between, however quickly one follows the other."""
    for number in range(30):
        track.append({"n": number})
        assert [row["n"] for row in fields(track)] == list(range(number + 1))


def test_the_tracks_of_a_run_are_listed(experiment: Experiment) -> None:
    """Those that have rows: how many, from when to when."""
    experiment.track("b").append({"x": 1}, timestamp=1.0).append({"y": 1}, timestamp=1.0)
    experiment.track("a/c").append({"x": 1}, timestamp=2.5).append({"x": 1}, timestamp=0.5)
    experiment.track("unused")
    assert experiment.track.names == ["a/c", "b"]
    assert experiment.tracks.list() == [
        {"topic": "a/c", "totalEntries": 2, "firstTimestamp": 0.5, "lastTimestamp": 2.5},
        {"topic": "b", "totalEntries": 2, "firstTimestamp": 1.0, "lastTimestamp": 1.0},
    ]
    assert experiment.tracks.flush() is experiment.tracks
    assert "track" in repr(experiment.tracks)
    assert repr(experiment.track("b")) == "<Track 'b'>"


def test_a_run_in_memory_is_read_the_same_way() -> None:
    """Tests of users need no folder."""
    with Experiment(
        "p/e", backend=MemoryBackend(), echo=False, environment=False
    ).run as experiment:
        track = experiment.track("a/B").append({"x": math.nan, "step": 1}, timestamp=1.0)
        assert track.find(1.0)["step"] == 1
        assert experiment.track.names == ["a/B"]
        assert track.read(format="numpy")["step"].tolist() == [1]


def test_without_buffering_each_row_is_on_disk_when_the_call_returns(tmp_path: Path) -> None:
    """Read with nothing of ours, and before any flush."""
    experiment = start(tmp_path, buffer_enabled=False)
    for number in range(20):
        experiment.track("a").append({"n": number})
        (path,) = (tmp_path / "p/e/tracks/a").glob("*.jsonl")
        assert orjson.loads(path.read_bytes().splitlines()[-1])["n"] == number
    experiment.run.complete()
