"""Tracks as Parquet tables and as MCAP messages, read by pyarrow, pandas and mcap."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from export_runs import START, picture, record, state
from PIL import Image

from ml_dash import Experiment, open_run

pq = pytest.importorskip("pyarrow.parquet")
readers = pytest.importorskip("mcap.reader")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with a frame at each second step."""
    return record(tmp_path_factory.mktemp("runs"), count=20, every=2)


@pytest.fixture
def odd(tmp_path):
    """A run of values that tables find hard."""
    rows = [
        {"a": 1, "b": 1.5, "list": [1, 2], "mixed": 1, "deep": [[1.0, 2.0], [3.0, 4.0]]},
        {"a": None, "b": float("nan"), "list": [], "mixed": "x", "big": 2**70, "none": None},
        {"b": 2, "list": [3, 4, 5], "mixed": [{"k": True}], "text": "é", "flags": [True, False]},
    ]
    with Experiment("a", dash_root=tmp_path, echo=False, environment=False).run as run:
        for step, row in enumerate(rows):
            run.track("odd/track").append({"step": step, **row}, timestamp=START + step)
        run.track("odd/track").append({"b": -1.0}, timestamp=START + 9)
    return open_run("a", root=tmp_path)


def test_each_track_is_a_file_of_typed_columns(run, tmp_path) -> None:
    """Values are exactly those recorded."""
    made = run.export("parquet", tmp_path / "t")
    assert made.files == ["robot/command.parquet", "robot/state.parquet", "run.json"]
    table = pq.read_table(made.path / "robot/state.parquet")
    kinds = {field.name: str(field.type) for field in table.schema}
    assert kinds == {
        "timestamp": "double",
        "step": "int64",
        "episode": "int64",
        "x": "double",
        "pose.q": "list<element: double>",
        "pose.ok": "bool",
        "count": "int64",
        "mode": "string",
    }
    for number, row in enumerate(table.to_pylist()):
        fields = state(number, 20)
        assert row["pose.q"] == fields["pose"]["q"] and row["pose.ok"] == fields["pose"]["ok"]
        assert all(row[key] == fields[key] for key in ("step", "x", "count", "mode"))
        assert row["timestamp"] == pytest.approx(START + number / 10, abs=1e-6)
    assert json.loads((made.path / "run.json").read_text())["parameters"]["lr"] == 1e-3
    note = json.loads(table.schema.metadata[b"ml_dash"])
    assert note["prefix"] == "robotics/arm" and note["name"] == "robot/state"


def test_missing_is_null_and_nan_is_nan(odd, tmp_path) -> None:
    """Also in integers; what is of several kinds, or too large, is JSON text."""
    table = pq.read_table(odd.export("parquet", tmp_path / "t").path / "odd/track.parquet")
    columns = table.to_pydict()
    assert columns["a"] == [1, None, None, None]
    assert columns["b"][0] == 1.5 and np.isnan(columns["b"][1]) and columns["b"][2:] == [2.0, -1.0]
    assert columns["list"] == [[1, 2], [], [3, 4, 5], None]
    assert columns["deep"][0] == [[1.0, 2.0], [3.0, 4.0]]
    assert columns["mixed"] == ["1", '"x"', '[{"k":true}]', None]
    assert columns["big"] == [None, str(2**70), None, None]
    assert columns["text"][2] == "é" and columns["flags"][2] == [True, False]
    assert columns["step"] == [0, 1, 2, None]
    assert columns["none"] == [None] * 4
    assert table.schema.field("mixed").metadata == {b"ml_dash": b"json"}


def test_a_camera_that_is_named_becomes_a_table_of_pictures(run, tmp_path) -> None:
    """Its files as they were saved, as `datasets` takes images; scaled ones are encoded anew."""
    made = run.export("parquet", tmp_path / "t", frames="cameras/front", topics=[])
    table = pq.read_table(made.path / "cameras/front.parquet").to_pylist()
    assert [row["step"] for row in table] == list(range(0, 20, 2))
    frames = run.frames("cameras/front")
    assert [row["image"]["bytes"] for row in table] == [frames.read_bytes(i) for i in range(10)]
    assert table[3]["image"]["path"] == "frame_000006.png"
    small = run.export("parquet", tmp_path / "s", frames="cameras/front", topics=[], size=(12, 16))
    data = pq.read_table(small.path / "cameras/front.parquet").to_pylist()[0]["image"]["bytes"]
    with Image.open(io.BytesIO(data)) as shot:
        assert shot.size == (16, 12)


def test_a_fixed_rate_holds_for_tables_too(run, tmp_path) -> None:
    """One row a tick."""
    made = run.export("parquet", tmp_path / "t", hz=5, topics="robot/state")
    columns = pq.read_table(made.path / "robot/state.parquet").to_pydict()
    assert columns["count"] == list(range(0, 20, 2))
    assert np.diff(columns["timestamp"]) == pytest.approx(0.2)


def test_pandas_reads_the_tables(run, tmp_path) -> None:
    """By a path and no more."""
    pandas = pytest.importorskip("pandas")
    made = run.export("parquet", tmp_path / "t", topics="robot/state")
    frame = pandas.read_parquet(made.path / "robot/state.parquet")
    assert frame["x"].tolist() == [number / 4 for number in range(20)]


def messages(path):
    """All messages of a file, in the order they lie in it."""
    with path.open("rb") as file:
        reader = readers.make_reader(file)
        yield from reader.iter_messages(log_time_order=False)


def test_mcap_has_every_row_as_a_message_by_time(run, tmp_path) -> None:
    """With the fields nested as they were, at the nanosecond that they were recorded at."""
    made = run.export("mcap", tmp_path / "a.mcap")
    found = list(messages(made.path))
    assert (made.samples, made.frames, len(found)) == (40, 10, 50)
    times = [message.log_time for _, _, message in found]
    assert times == sorted(times)
    rows = [json.loads(m.data) for _, c, m in found if c.topic == "robot/state"]
    assert rows == [
        {"timestamp": row["timestamp"], **state(number, 20)} for number, row in enumerate(rows)
    ]
    assert times[0] == int(START) * 10**9
    stamps = [m.log_time for _, c, m in found if c.topic == "robot/state"]
    assert stamps == [int(START) * 10**9 + number * 10**8 for number in range(20)]


def test_mcap_has_frames_as_foxglove_images(run, tmp_path) -> None:
    """`foxglove.CompressedImage`, with the bytes that were saved."""
    made = run.export("mcap", tmp_path / "a.mcap")
    shots = [(s, m) for s, c, m in messages(made.path) if c.topic == "cameras/front"]
    frames = run.frames("cameras/front")
    for number, (schema, message) in enumerate(shots):
        assert (schema.name, schema.encoding) == ("foxglove.CompressedImage", "jsonschema")
        found = json.loads(message.data)
        assert base64.b64decode(found["data"]) == frames.read_bytes(number)
        assert (found["format"], found["frame_id"]) == ("png", "cameras/front")
        time = found["timestamp"]["sec"] * 10**9 + found["timestamp"]["nsec"]
        assert time == message.log_time
        assert set(found) == set(json.loads(schema.data)["properties"])


def test_mcap_has_schemas_that_its_messages_follow(odd, run, tmp_path) -> None:
    """JSON schemas of objects, by the types of the columns."""
    made = run.export("mcap", tmp_path / "a.mcap", topics="robot/state", frames=[])
    schema = next(json.loads(s.data) for s, _, _ in messages(made.path))
    assert schema["type"] == "object"
    assert schema["properties"]["pose"]["properties"]["q"] == {
        "type": "array",
        "items": {"type": "number"},
    }
    assert schema["properties"]["mode"] == {"type": "string"}
    found = odd.export("mcap", tmp_path / "b.mcap")
    rows = [json.loads(m.data) for _, _, m in messages(found.path)]
    assert rows[1]["b"] is None and rows[1]["_nonfinite"] == {"/b": "NaN"}
    assert rows[1]["big"] == 2**70


def test_mcap_keeps_the_parameters(run, tmp_path) -> None:
    """Among the file's metadata."""
    made = run.export("mcap", tmp_path / "a.mcap")
    with made.path.open("rb") as file:
        (found,) = readers.make_reader(file).iter_metadata()
    assert json.loads(found.metadata["parameters"]) == {"lr": 1e-3, "model": {"layers": 4}}
    assert found.metadata["prefix"] == "robotics/arm"


def test_a_time_before_1970_is_told(tmp_path) -> None:
    """MCAP counts nanoseconds from 0."""
    with Experiment("a", dash_root=tmp_path, echo=False, environment=False).run as run:
        run.track("t").append({"x": 1}, timestamp=-5.0)
    with pytest.raises(ValueError, match=r"'t' has the timestamp -5\.0"):
        open_run("a", root=tmp_path).export("mcap", tmp_path / "a.mcap")


def test_frames_and_arrays_are_what_was_recorded(run, tmp_path) -> None:
    """Decoded from the file, a picture is the one that was given."""
    made = run.export("mcap", tmp_path / "a.mcap", topics=[])
    data = json.loads(next(messages(made.path))[2].data)["data"]
    with Image.open(io.BytesIO(base64.b64decode(data))) as shot:
        assert (np.asarray(shot) == picture(0)).all()
