"""`experiment.files`: what users call, what they get back, and what they are told not to do."""

import dataclasses
import hashlib
import io
import json
import multiprocessing
import os
import pickle
import threading
import time
from pathlib import Path

import numpy as np
import orjson
import pytest

from ml_dash import Experiment, image
from ml_dash.backends import LocalBackend, MemoryBackend
from ml_dash.buffer import Buffer
from ml_dash.errors import ClosedError
from ml_dash.files import Files, serializers
from ml_dash.settings import Settings

posix_only = pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")


def open_files(backend, **settings):
    """The files of a run that is open, and its buffer."""
    buffer = Buffer(backend, Settings(**settings))
    return Files(buffer), buffer


@pytest.fixture(params=["folder", "memory"])
def files(request, tmp_path):
    """The files of a run: in a folder, and in memory."""
    memory = request.param == "memory"
    files, buffer = open_files(MemoryBackend() if memory else LocalBackend(tmp_path / "run"))
    yield files
    report = buffer.close()
    assert report.lost == {}


@pytest.fixture
def local(tmp_path):
    """The files of a run in the folder `tmp_path / "run"`."""
    files, buffer = open_files(LocalBackend(tmp_path / "run"))
    yield files
    assert buffer.close().lost == {}


@pytest.fixture
def synchronous(tmp_path):
    """The files of a run whose every call is on disk before it returns."""
    files, buffer = open_files(LocalBackend(tmp_path / "run"), buffer_enabled=False)
    yield files
    assert buffer.close().lost == {}


def data_of(tmp_path):
    """What is in the run's data folder, by its place."""
    root = tmp_path / "run/files/data"
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


# -- saving ---------------------------------------------------------------------------------------


def test_a_queued_save_says_where_the_file_will_be(local, tmp_path):
    """The returned path and id are those that the index has once the file is there."""
    result = local("models").save_blob(b"weights", to="best.bin")
    assert set(result) == {"status", "id", "path"}
    assert result["status"] == "queued" and result["path"] == "models/best.bin"
    (row,) = local.list()
    assert (row["id"], row["path"]) == (result["id"], "models/best.bin")
    assert row["size"] == 7
    assert row["sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert data_of(tmp_path) == {"models/best.bin": b"weights"}


def test_a_synchronous_save_returns_full_metadata(synchronous, tmp_path):
    """With the buffer switched off, the file and its metadata are there when the call returns."""
    result = synchronous("models").save_text("hello", to="note.txt", step=3, timestamp=12.5)
    assert data_of(tmp_path) == {"models/note.txt": b"hello"}
    assert result["size"] == 5
    assert result["sha256"] == hashlib.sha256(b"hello").hexdigest()
    assert result["content_type"] == "text/plain"
    assert (result["step"], result["at"]) == (3, 12.5)
    assert "status" not in result
    assert [result] == synchronous.list()


def test_details_of_the_handle_and_of_the_call_are_kept(files):
    """Description, tags and metadata go into the index; those of a call win for that call."""
    handle = files("m", description="d", tags=["a"], metadata={"k": [1, {"x": 2.5}]})
    handle.save_text("1", to="1.txt")
    handle.save(b"2", to="2.txt", tags=("b", "c"))
    handle("deep").save_text("3", to="3.txt")
    one, two, three = files.list()
    assert (one["description"], one["tags"]) == ("d", ["a"])
    assert one["metadata"] == {"k": [1, {"x": 2.5}]}
    assert two["tags"] == ["b", "c"] and two["metadata"] == one["metadata"]
    assert three["path"] == "m/deep/3.txt" and three["tags"] == ["a"]


def test_metadata_is_a_snapshot(files):
    """A metadata dict that is changed later does not change what is recorded."""
    metadata = {"k": [1]}
    handle = files("m", metadata=metadata)
    metadata["k"].append(2)
    handle.save_text("1", to="1.txt")
    assert files.list()[0]["metadata"] == {"k": [1]}


@pytest.mark.parametrize(
    ("value", "to", "expected"),
    [
        (b"bytes", "x.bin", b"bytes"),
        (bytearray(b"bytes"), "x.bin", b"bytes"),
        (memoryview(b"bytes")[1:3], "x.bin", b"yt"),
        ("two words", "x.txt", b"two words"),
        ("", "x.txt", b""),
        ("naïve ☃", "x.md", "naïve ☃".encode()),
        ({"a": 1}, "x.json", b'{\n  "a": 1\n}'),
        ([1, 2], "x", b"[\n  1,\n  2\n]"),
        ((1,), "x.json", b"[\n  1\n]"),
        (5, "x.json", b"5"),
    ],
)
def test_save_dispatches_on_the_value(files, value, to, expected):
    """Bytes, text and JSON values become files of their own kind."""
    files("p").save(value, to=to)
    assert files("p").read_bytes(to) == expected


def test_save_copies_a_file_and_returns_when_it_is_in_the_run(local, tmp_path):
    """The source may be changed or removed at once; it is never touched by us."""
    source = tmp_path / "model.pt"
    source.write_bytes(b"v1")
    before = source.stat()
    result = local("models").save(str(source))
    assert result["path"] == "models/model.pt" and result["size"] == 2
    assert data_of(tmp_path) == {"models/model.pt": b"v1"}
    after = source.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    source.write_bytes(b"v2")
    source.unlink()
    assert local("models").read_bytes("model.pt") == b"v1"


def test_save_takes_paths_and_names_for_them(local, tmp_path):
    """A `Path` is a file; `to` renames it, or names a folder for it with a final slash."""
    source = tmp_path / "model.pt"
    source.write_bytes(b"1")
    local.save(source)
    local.save(source, to="other.bin")
    local.save(source, to="folder/")
    assert local("up").upload(source, tags=["t"])["tags"] == ["t"]
    assert [row["path"] for row in local.list()] == [
        "folder/model.pt",
        "model.pt",
        "other.bin",
        "up/model.pt",
    ]


def test_saving_in_the_background_copies_later(local, tmp_path):
    """`background=True` returns at once, and a relative path still means the same file."""
    source = tmp_path / "model.pt"
    source.write_bytes(b"1")
    cwd = Path.cwd()
    os.chdir(tmp_path)
    try:
        assert local.save("model.pt", background=True)["status"] == "queued"
    finally:
        os.chdir(cwd)
    assert local.read_bytes("model.pt") == b"1"
    assert source.exists()


@pytest.mark.parametrize(
    "value", ["missing.pt", "folder/missing.pt", "~/missing.pt", Path("missing.pt")]
)
def test_a_mistyped_path_is_an_error_also_with_to(files, value):
    """What looks like a path is never stored as if it were the content."""
    with pytest.raises(FileNotFoundError, match="save_text"):
        files.save(value, to="best.pt")


def test_text_without_a_place_is_taken_for_a_path(files):
    """`save("text")` cannot be a text: it has no name."""
    with pytest.raises(FileNotFoundError, match="save_text"):
        files.save("just some text")


def test_a_folder_is_refused_with_a_remedy(files, tmp_path):
    """Saving a folder says what to do instead."""
    with pytest.raises(ValueError, match="is a folder; save its files one by one"):
        files.save(tmp_path)


@posix_only
def test_a_pipe_is_refused(files, tmp_path):
    """A pipe would wait for ever; a device has no end."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="no regular file"):
        files.save(tmp_path / "pipe")
    with pytest.raises(ValueError, match="no regular file"):
        files.save("/dev/zero", to="zero")


def test_save_needs_a_place_for_values(files):
    """Everything but a file needs `to`."""
    for value in (b"1", {"a": 1}, np.zeros(3)):
        with pytest.raises(ValueError, match="to="):
            files.save(value)
    with pytest.raises(TypeError, match="to"):
        files.save_text("1")


def test_save_names_the_suffixes_when_an_array_could_be_several_things(files):
    """An array with a name that says nothing is refused, not guessed."""
    with pytest.raises(ValueError, match=r"\.png, \.jpg, \.npy"):
        files.save(np.zeros((4, 4)), to="array.bin")


def test_a_value_of_no_known_form_is_refused(files):
    """The message names the type and what could be done."""
    with pytest.raises(TypeError, match=r"object has no known file form; use save_pkl"):
        files.save(object(), to="x.bin")


def test_numpy_arrays_come_back(files):
    """`.npy` and `.npz` give back values, shape, dtype and order."""
    arrays = [
        np.arange(12, dtype=np.float32).reshape(3, 4),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.array(5.0),
        np.zeros((0, 3), np.uint8),
        np.arange(20)[::3],
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    ]
    for number, array in enumerate(arrays):
        files.save(array, to=f"{number}.npy")
        back = np.load(io.BytesIO(files.read_bytes(f"{number}.npy")))
        assert back.dtype == array.dtype
        np.testing.assert_array_equal(back, array)
    files.save_numpy({"a": arrays[0], "b": [1, 2]}, to="all.npz")
    back = np.load(io.BytesIO(files.read_bytes("all.npz")))
    np.testing.assert_array_equal(back["a"], arrays[0])
    np.testing.assert_array_equal(back["b"], [1, 2])


def test_arrays_that_numpy_would_pickle_are_refused(files):
    """An object array is an error at the call, with a way out."""
    with pytest.raises(ValueError, match="save_pkl"):
        files.save_numpy(np.array([{}, None]), to="x.npy")
    with pytest.raises(ValueError, match=r"must end in \.npy or \.npz"):
        files.save_numpy(np.zeros(3), to="x.txt")
    with pytest.raises(ValueError, match=r"\.npz"):
        files.save_numpy({"a": np.zeros(3)}, to="x.npy")


def test_a_large_array_is_written_without_a_copy(local, monkeypatch):
    """Beyond the limit nothing is held in memory: the caller writes."""
    monkeypatch.setattr("ml_dash.files.savers.HELD", 1000)
    array = np.arange(1000)
    result = local.save_numpy(array, to="x.npy")
    assert result["size"] > 8000
    array[:] = 0
    back = np.load(io.BytesIO(local.read_bytes("x.npy")))
    np.testing.assert_array_equal(back, np.arange(1000))


def test_values_changed_right_after_the_call_are_saved_as_they_were(local):
    """Arrays, dicts and buffers belong to the caller again as soon as the call returns."""
    array = np.ones((64, 64, 3), np.uint8)
    data, text, numbers = {"a": [1]}, bytearray(b"before"), np.arange(10)
    for number in range(20):
        array[:] = number
        local.save_image(array, to=f"{number}.png")
        array[:] = 255
    local.save_json(data, to="a.json")
    local.save_blob(text, to="a.bin")
    local.save_numpy(numbers, to="a.npy")
    local.save_pkl(data, to="a.pkl")
    data["a"].append(2)
    text[:] = b"after!"
    numbers[:] = 0
    for number in range(20):
        assert (image.decode(local.read_bytes(f"{number}.png")) == number).all()
    assert local.read_json("a.json") == {"a": [1]}
    assert local.read_bytes("a.bin") == b"before"
    assert np.load(io.BytesIO(local.read_bytes("a.npy")))[9] == 9
    assert pickle.loads(local.read_bytes("a.pkl")) == {"a": [1]}


def test_json_gives_back_what_went_in(files):
    """NaN, infinities, big integers, odd keys, arrays and dataclasses survive."""

    @dataclasses.dataclass
    class Point:
        x: float

    value = {
        "nan": float("nan"),
        "inf": [float("inf"), -float("inf"), -0.0],
        "none": None,
        "big": 2**80,
        1: "key",
        "array": np.arange(3),
        "point": Point(0.5),
        "path": Path("a/b"),
        "lone": "\ud800",
    }
    files.save_json(value, to="x.json")
    back = files.read_json("x.json")
    assert back["nan"] != back["nan"]
    assert back["inf"] == [float("inf"), -float("inf"), 0.0]
    assert str(back["inf"][2]) == "-0.0"
    assert (back["none"], back["big"], back["1"]) == (None, 2**80, "key")
    assert (back["array"], back["point"], back["path"]) == ([0, 1, 2], {"x": 0.5}, "a/b")
    assert back["lone"] == "\ud800"


def test_plain_json_is_standard_json(local):
    """A value without NaN can be read by any parser."""
    local.save_json({"a": None, "b": [1.5, "é"]}, to="x.json")
    assert orjson.loads(local.read_bytes("x.json")) == {"a": None, "b": [1.5, "é"]}


def test_what_json_cannot_hold_is_refused_at_the_call(files):
    """The error comes to the caller and nothing is saved."""
    with pytest.raises(TypeError, match="key 'f'"):
        files.save_json({"f": object()}, to="x.json")
    assert not files.exists("x.json")


def test_pickles_come_back_and_fail_at_the_call(files):
    """What cannot be pickled is the caller's error, and no file."""
    files.save({"a": {1, 2}}, to="x.pkl")
    assert pickle.loads(files.read_bytes("x.pkl")) == {"a": {1, 2}}
    with pytest.raises(TypeError, match=r"save_pkl.*pickle cannot take it.*lambda.*instead"):
        files.save_pkl(lambda: None, to="y.pkl")
    assert not files.exists("y.pkl")


def test_what_cannot_be_pickled_is_told_with_its_path():
    """The message of the serialiser begins with what the caller says is being saved."""
    with pytest.raises(TypeError, match=r"save_pkl 'm/y\.pkl': pickle cannot take it \(.*lock"):
        serializers.write_pickle({"a": threading.Lock()}, io.BytesIO(), "save_pkl 'm/y.pkl'")


@pytest.mark.parametrize("held", [64 << 20, 100])
def test_torch_state_comes_back(local, tmp_path, monkeypatch, held):
    """A state dict is saved as it is now, whether it is held in memory or written at once."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr("ml_dash.files.spool.HELD", held)
    model = torch.nn.Linear(3, 2)
    expected = {key: value.clone() for key, value in model.state_dict().items()}
    result = local.save(model.state_dict(), to="model.pt")
    assert ("status" in result) == (held > 100)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    back = torch.load(io.BytesIO(local.read_bytes("model.pt")), weights_only=True)
    assert all(torch.equal(back[key], expected[key]) for key in expected)
    assert [p.suffix for p in (tmp_path / "run/files/data").iterdir()] == [".pt"]


def test_a_model_needs_a_suffix(files):
    """A model or state dict without `.pt` is not turned into JSON by accident."""
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(2, 2)
    for value in (model, model.state_dict()):
        with pytest.raises(ValueError, match=r"\.pt"):
            files.save(value, to="weights.bin")


class Figure:
    """As much of a matplotlib figure as matters here."""

    def savefig(self, file, *, format, dpi=100):
        """Draw into a file."""
        file.write(f"{format} {dpi}".encode())
        file.flush()


def test_figures_are_drawn_at_the_call_in_the_format_of_the_suffix(files):
    """`savefig` gets the suffix and the options; `save` knows a figure by its `savefig`."""
    files.save(Figure(), to="a.svg")
    files.save_fig(Figure(), to="b.png", dpi=50)
    files.save(Figure(), to="c", dpi=7)
    assert files.read_text("a.svg") == "svg 100"
    assert files.read_text("b.png") == "png 50"
    assert files.read_text("c") == "png 7"
    with pytest.raises(TypeError, match="must be a matplotlib figure"):
        files.save_fig([1, 2], to="d.png")


def test_matplotlib_figures_are_saved_and_closed(files):
    """A real figure becomes a PNG and leaves pyplot's list, unless `close=False`."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots()
    axes.plot([1, 2, 3])
    files.save_fig(figure, to="a.png", close=False)
    assert pyplot.get_fignums()
    files.save_fig(to="b.png", dpi=30)
    assert not pyplot.get_fignums()
    assert image.decode(files.read_bytes("a.png")).shape[2] == 4
    assert files.read_bytes("b.png")[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("suffix", "begins"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")]
)
def test_matplotlib_figures_are_saved_in_every_common_format(files, suffix, begins):
    """Also in those whose writers want a file that they can seek in."""
    figures = pytest.importorskip("matplotlib.figure")
    files.save_fig(figures.Figure(figsize=(1, 1)), to=f"a.{suffix}")
    assert files.read_bytes(f"a.{suffix}").startswith(begins)


def test_options_that_a_kind_does_not_have_are_refused(files):
    """`save` passes options on, and a misspelt one is an error."""
    with pytest.raises(TypeError, match="qualty"):
        files.save(np.zeros((4, 4), np.uint8), to="x.png", qualty=3)
    with pytest.raises(ValueError, match="background"):
        files.save(b"1", to="x", background=True)


# -- images ---------------------------------------------------------------------------------------


def test_an_image_comes_back_with_its_size_in_the_index(files):
    """PNG is exact; width, height and channels are recorded."""
    pixels = np.random.default_rng(0).integers(0, 255, (12, 20, 3), np.uint8)
    files("cam").save_image(pixels, to="frame_00012.png")
    np.testing.assert_array_equal(image.decode(files("cam").read_bytes("frame_00012.png")), pixels)
    (row,) = files.list()
    assert (row["width"], row["height"], row["channels"]) == (20, 12, 3)
    assert row["content_type"] == "image/png"


def test_an_image_can_be_scaled_and_turned_while_it_is_saved(files):
    """`size` and `layout` reach the encoder; the index says what is in the file."""
    files.save(np.full((3, 40, 60), 9, np.uint8), to="x.png", layout="CHW", size=(20, 30))
    pixels = image.decode(files.read_bytes("x.png"))
    assert pixels.shape == (20, 30, 3) and (pixels == 9).all()
    (row,) = files.list()
    assert (row["height"], row["width"]) == (20, 30)


@pytest.mark.parametrize("to", ["a.png", "a.jpg"])
def test_a_frame_that_finds_no_room_is_encoded_by_its_caller(tmp_path, monkeypatch, to):
    """It waits for nobody: the worker may be busy for long. What was saved is the same."""
    files, buffer = open_files(LocalBackend(tmp_path / "run"), frame_buffer_mb=1, encoders=1)
    threads, encode = [], image.encode

    def watched(*args, **options):
        threads.append(threading.current_thread().name)
        return encode(*args, **options)

    monkeypatch.setattr(image, "encode", watched)
    go_on = threading.Event()
    buffer.submit("busy", 700_000, lambda: go_on.wait(10) and None)
    pixels = np.full((480, 640, 3), 9, np.uint8)
    assert files.save_image(pixels, to=to)["status"] == "queued"
    assert threads == [threading.current_thread().name]
    pixels[:] = 0
    go_on.set()
    assert (image.decode(files.read_bytes(to)) == 9).all()
    assert len(threads) == 1 and buffer.close().lost == {}


def test_a_frame_that_its_caller_cannot_encode_is_lost_and_nothing_raised(tmp_path, monkeypatch):
    """As if it had been queued: it waits for room, and the worker counts it."""
    files, buffer = open_files(LocalBackend(tmp_path / "run"), frame_buffer_mb=1, encoders=1)

    def broken(*args, **options):
        raise RuntimeError("no such encoder")

    monkeypatch.setattr(image, "encode", broken)
    buffer.submit("busy", 700_000, lambda: time.sleep(0.1))
    assert files.save_image(np.zeros((480, 640, 3), np.uint8), to="a.png")["status"] == "queued"
    assert buffer.close().lost == {"files": 1}


def test_a_snapshot_is_taken_as_an_image(files):
    """The recorder takes its snapshots first; they are not copied again."""
    shot = image.snapshot(np.full((4, 4), 7, np.uint16), where="frame 'cam'")
    files.save_image(shot, to="x.jpg")
    assert image.decode(files.read_bytes("x.jpg")).dtype == np.uint8


@pytest.mark.parametrize(
    ("to", "step", "expected", "source"),
    [
        ("frame_00012.jpg", None, 12, "name"),
        ("frame_00012.jpg", 7, 7, None),
        ("frame.jpg", None, None, None),
        ("12/frame.png", None, None, None),
    ],
)
def test_the_step_of_a_frame(files, to, step, expected, source):
    """A frame's step is what is given, else the integer that ends its name, marked as such."""
    files.save_image(np.zeros((4, 4), np.uint8), to=to, step=step)
    (row,) = files.list()
    assert (row.get("step"), row.get("step_from")) == (expected, source)


def test_a_frame_saved_as_a_file_has_the_step_of_its_name_and_others_have_none(local, tmp_path):
    """The rule is about images: a checkpoint's number is not made a step."""
    for name in ("frame_3.png", "model_3.pt"):
        (tmp_path / name).write_bytes(b"1")
        local.save(tmp_path / name)
    assert [row.get("step") for row in local.list()] == [3, None]


def test_wrong_images_are_refused_at_the_call(files):
    """Shape, suffix and quality are the caller's errors; nothing is saved."""
    good = np.zeros((4, 4, 3), np.uint8)
    for array, to, options in (
        (np.zeros((3, 5, 5), np.uint8), "x.png", {}),
        (np.zeros((4, 4, 5), np.uint8), "x.png", {}),
        (good, "x.gif", {}),
        (good, "x.jpg", {"quality": 0}),
    ):
        with pytest.raises(ValueError, match=r".+"):
            files.save_image(array, to=to, **options)
    assert files.list() == []


def test_pixels_that_are_not_finite_are_mentioned_once(local, caplog):
    """NaN becomes 0 with one warning for a camera, not one a frame."""
    bad = np.full((4, 4), np.nan, np.float32)
    for number in range(3):
        local("cam").save_image(bad, to=f"{number}.png")
    assert (image.decode(local("cam").read_bytes("0.png")) == 0).all()
    local.list()
    assert [record.getMessage().count("NaN") for record in caplog.records] == [1]


@pytest.mark.parametrize("step", [1.5, True, "3", 2**64])
def test_steps_that_are_none_are_refused(files, step):
    """A fraction, a bool, a text or a number over 64 bits is no step."""
    with pytest.raises(ValueError, match="step"):
        files.save_text("1", to="x.txt", step=step)


@pytest.mark.parametrize("timestamp", [float("nan"), "now", True])
def test_timestamps_that_are_none_are_refused(files, timestamp):
    """A timestamp is a finite number."""
    with pytest.raises(ValueError, match="timestamp"):
        files.save_text("1", to="x.txt", timestamp=timestamp)


def test_the_time_of_a_file_is_that_of_its_call(local):
    """`at` is the moment of the call, or what the user gave; the order of saves is another."""
    before = time.time()
    local.save_text("1", to="a.txt")
    local.save_text("1", to="b.txt", timestamp=0.25)
    one, two = local.list()
    assert before - 1 < one["at"] <= one["timestamp"] < time.time() + 1
    assert two["at"] == 0.25 and two["timestamp"] > before - 1


# -- paths ----------------------------------------------------------------------------------------

HOSTILE = [
    "..",
    "../x",
    "a/../../x",
    "/etc/passwd",
    "a//b",
    "a/./b",
    "",
    "CON",
    "a/nul.txt",
    "x\0y",
    "n" * 300,
    "a/\ud800",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_refused_everywhere(files, name):
    """Every way to give a path refuses what no run may hold."""
    if name:
        with pytest.raises(ValueError, match="file path"):
            files(name)
    for call in (
        lambda: files.save_text("x", to=name),
        lambda: files("p").save_image(np.zeros((4, 4), np.uint8), to=f"{name}/x.png"),
        lambda: files.read_text(name),
        lambda: files.exists(name),
        lambda: files.delete(name),
        lambda: files.download(name),
    ):
        with pytest.raises(ValueError, match="file path"):
            call()
    assert files.list() == []


NAMES = [
    "a/b.txt",
    "a_b.txt",
    "a%2Fb.txt",
    "a%2fb.txt",
    "A/b.txt",
    "a.jsonl/b.txt",
    "x.jsonl",
    "x.tmp",
    ".hidden",
    "with space .txt",
    'q"<>|?*:\\.txt',
    "trailing.",
    "ünï/☃.txt",
    "n" * 255,
]


def test_strange_names_stay_distinct_and_come_back(files):
    """Reserved characters, case, our own suffixes: each name has a file of its own."""
    for name in NAMES:
        files.save_text(name, to=name)
    assert sorted(row["path"] for row in files.list()) == sorted(NAMES)
    for name in NAMES:
        assert files.read_text(name) == name


def test_a_file_may_be_called_like_a_folder(files):
    """`a`, `a/b` and `a/b/c` are three files."""
    for name in ("a", "a/b", "a/b/c", "x/y", "x"):
        files.save_text(name, to=name)
    for name in ("a", "a/b", "a/b/c", "x/y", "x"):
        assert files.read_text(name) == name
    files.delete("a")
    assert not files.exists("a") and files.read_text("a/b") == "a/b"


def test_names_that_differ_by_case_get_places_that_differ_otherwise(local, tmp_path, monkeypatch):
    """Where the file system folds case, upper case is encoded, and the path stays as given."""
    monkeypatch.setattr("ml_dash.files.shelves.folds_case", lambda folder: True)
    local.save_text("upper", to="A/Model.txt")
    local.save_text("lower", to="a/model.txt")
    assert local.read_text("A/Model.txt") == "upper"
    assert local.read_text("a/model.txt") == "lower"
    assert len({place.lower() for place in data_of(tmp_path)}) == 2
    with pytest.raises(ValueError, match="more than the 255"):
        local.save_text("x", to="A" * 200)
    with pytest.raises(ValueError, match="more than the 255"):  # also where the folder is known
        local.save_text("x", to="a/" + "A" * 200)


@posix_only
def test_a_planted_link_is_refused_at_the_call(local, tmp_path):
    """A folder of the run that is a link leads nothing out, and the caller is told."""
    outside = tmp_path / "outside"
    outside.mkdir()
    local.save_text("1", to="a/1.txt")
    local.list()
    (tmp_path / "run/files/data/evil").symlink_to(outside)
    for call in (
        lambda: local("evil").save_text("x", to="x.txt"),
        lambda: local.save_image(np.zeros((4, 4), np.uint8), to="evil/deep/x.png"),
        lambda: local.save(__file__, to="evil/x.py"),
    ):
        with pytest.raises(ValueError, match="through a link"):
            call()
    assert list(outside.iterdir()) == []


def test_prefixes_nest_and_alias(files):
    """`files("a")("b")` is `files("a/b")`; `dir=` is another name for the prefix."""
    assert files("a")("b").prefix == files("a/b").prefix == files(dir="a/b/").prefix == "a/b"
    assert files("a") is files("a")
    assert files().prefix == files("").prefix == files.prefix == ""
    assert repr(files("a")) == "<Files 'a'>"
    with pytest.raises(ValueError, match="one of them"):
        files("a", dir="b")
    with pytest.raises(TypeError, match="must be a string or a path"):
        files(5)


@pytest.mark.parametrize(
    ("details", "error", "words"),
    [
        ({"description": 5}, TypeError, "description"),
        ({"tags": [1]}, TypeError, "tags"),
        ({"metadata": [1]}, TypeError, "metadata must be a dict"),
        ({"metadata": {"f": object()}}, TypeError, "key 'f'"),
        ({"metadata": {"t": "x" * (1 << 20)}}, ValueError, "save_json"),
    ],
)
def test_wrong_details_are_refused(files, details, error, words):
    """Wrong types and too much of it are told when the handle is made."""
    with pytest.raises(error, match=words):
        files("a", **details)


# -- reading --------------------------------------------------------------------------------------


def test_reading_sees_what_was_just_saved(files):
    """Reads wait for the saves that were called before."""
    handle = files("configs")
    handle.save_text("a: 1", to="view.yaml")
    assert handle.exists("view.yaml")
    assert files("configs/view.yaml").exists()
    assert files("configs/view.yaml").read_text() == "a: 1"
    assert handle.read_text("view.yaml", encoding="latin-1") == "a: 1"
    assert handle.read_bytes("view.yaml") == b"a: 1"
    assert not handle.exists("other.yaml") and not files("configs").exists()


@pytest.mark.parametrize("call", ["read_text", "read_bytes", "read_json", "delete", "download"])
def test_a_missing_file_is_an_error_that_names_it(files, call):
    """Reading, deleting and downloading what is not there raise FileNotFoundError."""
    with pytest.raises(FileNotFoundError, match=r"a/none\.txt"):
        getattr(files("a"), call)("none.txt")
    with pytest.raises(FileNotFoundError, match=r"a/none\.txt"):
        getattr(files("a/none.txt"), call)()


def test_reading_the_run_itself_asks_for_a_path(files):
    """`files().read_text()` names no file."""
    with pytest.raises(ValueError, match="no file is named"):
        files().read_text()


def test_list_keeps_what_matches(files):
    """Patterns match the name, the path below the prefix, or the whole path; case counts."""
    for path in ("a/1.png", "a/2.PNG", "a/b/3.png", "c/1.png", "a/[x].png"):
        files.save_text(path, to=path)

    def paths(rows):
        return [row["path"] for row in rows]

    assert paths(files.list()) == sorted(paths(files.list()))
    assert paths(files("a").list("*.png")) == ["a/1.png", "a/[x].png", "a/b/3.png"]
    assert paths(files("a").list("b/*")) == ["a/b/3.png"]
    assert paths(files.list("a/b/*.png")) == ["a/b/3.png"]
    assert paths(files.list("1.png")) == ["a/1.png", "c/1.png"]
    assert paths(files("nothing").list()) == []
    assert files("a").read_text("[x].png") == "a/[x].png"


def test_the_later_save_of_a_path_wins(files):
    """One path is one file: the index and the bytes are those of the last save."""
    for number in range(20):
        files.save_text(str(number), to="x.txt", step=number)
    assert files.read_text("x.txt") == "19"
    (row,) = files.list()
    assert row["step"] == 19


def test_delete_removes_the_file_and_a_later_save_brings_it_back(local, tmp_path):
    """Deleting and saving take effect in the order of the calls."""
    local.save_text("1", to="a/x.txt")
    result = local("a").delete("x.txt")
    assert result["path"] == "a/x.txt" and result["id"]
    assert not local.exists("a/x.txt") and local.list() == []
    assert data_of(tmp_path) == {}
    local.save_text("2", to="a/x.txt")
    local.delete("a/x.txt")
    local.save_text("3", to="a/x.txt")
    assert local.read_text("a/x.txt") == "3"
    with pytest.raises(FileNotFoundError):
        local.delete("a/y.txt")


def test_delete_takes_patterns_but_only_where_they_are_meant(files):
    """A plain name is that one file; a pattern is all that match; no match is an error."""
    for path in ("a/1.png", "a/2.png", "b/1.png", "[x].png", "x.png"):
        files.save_text("", to=path)
    assert files.delete("[x].png")["path"] == "[x].png"  # there is a file of that very name
    assert files.exists("x.png")
    assert [row["path"] for row in files("a").delete("*.png")] == ["a/1.png", "a/2.png"]
    assert [row["path"] for row in files.list()] == ["b/1.png", "x.png"]
    with pytest.raises(FileNotFoundError, match=r"\*\.gif"):
        files.delete("*.gif")
    with pytest.raises(FileNotFoundError):
        files.delete("1.png")


def test_duplicate_takes_what_save_returned(files):
    """A queued save can be duplicated at once; the copy is a file of its own."""
    saved = files("models").save_text("v1", to="model_1.txt")
    copy = files().duplicate(saved, to="models/latest.txt")
    assert copy["path"] == "models/latest.txt" and copy["id"] != saved["id"]
    assert copy["sha256"] == hashlib.sha256(b"v1").hexdigest() and copy["size"] == 2
    files("models").save_text("v2", to="model_1.txt")
    files("models").delete("model_1.txt")
    assert files.read_text("models/latest.txt") == "v1"
    files("models").duplicate("latest.txt", to="again.txt")
    files("models").duplicate("models/latest.txt", to="again.txt")
    files("models").duplicate(copy["id"], to="again.txt")
    assert files.read_text("models/again.txt") == "v1"


def test_duplicate_refuses_what_is_not_there(files):
    """A missing source, the same path, and a dict that is no file are errors."""
    with pytest.raises(FileNotFoundError, match=r"none\.txt"):
        files.duplicate("none.txt", to="x.txt")
    with pytest.raises(FileNotFoundError, match="123"):
        files.duplicate("123", to="x.txt")
    files.save_text("1", to="x.txt")
    with pytest.raises(ValueError, match="the source itself"):
        files.duplicate("x.txt", to="x.txt")
    with pytest.raises(ValueError, match="no 'path'"):
        files.duplicate({"id": "1"}, to="y.txt")


def test_download_writes_where_it_is_told(files, tmp_path, monkeypatch):
    """To a file, into a folder, into the working directory, or a tree for a pattern."""
    files.save_text("1", to="a/1.txt")
    files.save_text("2", to="a/b/1.txt")
    out = tmp_path / "out"
    assert files("a/1.txt").download(to=out / "x/one.txt") == str(out / "x/one.txt")
    assert (out / "x/one.txt").read_text() == "1"
    assert files("a").download("1.txt", to=out) == str(out / "1.txt")
    assert files("a").download("1.txt", to=f"{out}/new/") == str(out / "new/1.txt")
    monkeypatch.chdir(out)
    assert files("a").download("b/1.txt") == "1.txt"
    assert (out / "1.txt").read_text() == "2"
    got = files("a").download("*.txt", to=out / "tree")
    assert got == [str(out / "tree/1.txt"), str(out / "tree/b/1.txt")]
    assert (out / "tree/b/1.txt").read_text() == "2"
    with pytest.raises(FileNotFoundError):
        files.download("*.gif", to=out)


def test_download_believes_no_path_that_leads_out(local, tmp_path):
    """An index that was tampered with cannot make a download write elsewhere."""
    local.save_text("1", to="a/1.txt")
    local.list()
    row = {
        "timestamp": 1.0,
        "op": "save",
        "id": "1",
        "path": "a/../../../evil.txt",
        "data": "a/1.txt",
        "size": 1,
        "sha256": hashlib.sha256(b"1").hexdigest(),
    }
    (tmp_path / "run/files/index/evilevilevil.jsonl").write_bytes(orjson.dumps(row) + b"\n")
    with pytest.raises(ValueError, match=r"'\.\.'"):
        local.download("*.txt", to=tmp_path / "out/deep")
    assert not (tmp_path / "evil.txt").exists()


def test_damaged_files_are_not_given_out(local, tmp_path):
    """Bytes that are not what was saved raise, in reading and downloading alike."""
    local.save_text("good", to="x.txt")
    local.list()
    (tmp_path / "run/files/data/x.txt").write_bytes(b"evil")
    with pytest.raises(OSError, match="not what was saved"):
        local.read_text("x.txt")
    with pytest.raises(OSError, match="not what was saved"):
        local.download("x.txt", to=tmp_path / "out.txt")
    assert not (tmp_path / "out.txt").exists()


def test_a_save_cut_off_before_it_took_its_place_leaves_the_one_before(local, tmp_path):
    """A row whose file was never renamed into place: the former file is whole, and read."""
    local.save_text("v1", to="x.txt")
    local.list()
    place = tmp_path / "run/files/data/x.txt"
    before = place.read_bytes()
    local.save_text("v2", to="x.txt")
    local.list()
    place.write_bytes(before)  # as if killed between the row and the rename
    assert local.read_text("x.txt") == "v1"


# -- the run --------------------------------------------------------------------------------------


def test_files_of_an_experiment_survive_into_the_next_session(tmp_path):
    """A run that is continued sees, replaces and deletes the files of former sessions."""
    for number in range(2):
        experiment = Experiment("t/run-of-files", dash_root=str(tmp_path), environment=False)
        with experiment.run:
            assert experiment.files.exists("a.txt") == (number > 0)
            experiment.files.save_text(str(number), to="a.txt")
            experiment.files("sub").save_json({"n": number}, to=f"{number}.json")
    with Experiment("t/run-of-files", dash_root=str(tmp_path), environment=False).run as experiment:
        assert experiment.files.read_text("a.txt") == "1"
        assert [row["path"] for row in experiment.files("sub").list()] == [
            "sub/0.json",
            "sub/1.json",
        ]
        experiment.files.delete("sub/0.json")
        assert [row["path"] for row in experiment.files.list()] == ["a.txt", "sub/1.json"]


def save_in_another_process(handle, number):
    """What a spawned worker does with the handle it was given."""
    handle.save_text(f"from {number}", to=f"{number}.txt")
    return handle.read_text(f"{number}.txt")


def test_a_handle_can_be_taken_to_a_spawned_process(tmp_path):
    """A pickled handle keeps its prefix and details, and writes the same run elsewhere."""
    with Experiment("t/spawn", dash_root=str(tmp_path), environment=False).run as experiment:
        handle = experiment.files("sub", tags=["t"])
        assert pickle.loads(pickle.dumps(handle))._store is handle._store  # in this very process
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            texts = pool.starmap(save_in_another_process, [(handle, n) for n in range(4)])
            pool.close()
            pool.join()
        assert texts == [f"from {number}" for number in range(4)]
        assert [row["path"] for row in handle.list("*.txt")] == [f"sub/{n}.txt" for n in range(4)]
        assert all(row["tags"] == ["t"] for row in handle.list())


def test_every_line_of_the_index_is_one_row_that_says_it_all(local, tmp_path):
    """The index is JSON lines that anything can read."""
    local("frames", tags=["t"]).save_image(np.zeros((4, 6), np.uint8), to="frame_3.png")
    local.list()
    (segment,) = (tmp_path / "run/files/index").iterdir()
    row = json.loads(segment.read_text())
    assert next(iter(row)) == "timestamp"
    assert set(row) == {
        *("timestamp", "op", "id", "path", "data", "size", "sha256", "content_type", "at"),
        *("step", "step_from", "width", "height", "channels", "tags"),
    }
    data = (tmp_path / "run/files/data" / row["data"]).read_bytes()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (row["size"], row["sha256"])


def test_after_the_end_files_are_refused(tmp_path):
    """A handle kept beyond the end of its run says so, also for reading."""
    files, buffer = open_files(LocalBackend(tmp_path / "run"))
    files.save_text("1", to="x.txt")
    buffer.close()
    for call in (
        lambda: files.save_text("2", to="x.txt"),
        lambda: files.save(__file__),
        lambda: files.exists("x.txt"),
        lambda: files.delete("x.txt"),
    ):
        with pytest.raises(ClosedError):
            call()


def test_looking_costs_the_new_rows_only(local, monkeypatch):
    """`exists` reads on where it stopped; the index is not read again from its beginning."""
    for number in range(50):
        local.save_text("", to=f"{number}.txt")
    local.list()
    assert local.exists("3.txt")
    read, sizes = LocalBackend.read, []

    def spy(self, path, offset=0, size=None):
        data = read(self, path, offset, size)
        sizes.append(len(data))
        return data

    monkeypatch.setattr(LocalBackend, "read", spy)
    for _ in range(10):
        assert local.exists("49.txt") and not local.exists("50.txt")
    assert sum(sizes) == 0
    local.save_text("", to="50.txt")
    assert local.exists("50.txt")
    assert sum(sizes) < 1000


def test_more_saves_than_are_remembered_are_still_found(local, monkeypatch):
    """Before anyone looks, only so many rows are held in memory; the disk has the others."""
    monkeypatch.setattr("ml_dash.files.index.MAX_NOTED", 10)
    buffer = local._store.buffer
    for number in range(35):
        local.save_text(str(number), to=f"{number:02}.txt")
    while buffer.report().pending_files:
        time.sleep(0.001)
    flush, flushes = buffer.flush, []
    monkeypatch.setattr(buffer, "flush", lambda: flushes.append(flush()))
    assert local.exists("00.txt") and local.exists("34.txt")
    assert len(flushes) == 1  # so that rows still in the ring are found, too
    assert len(local.list()) == 35
