"""Files in a world that fails: order, full disks, kills, links, other processes, memory."""

import errno
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from ml_dash import Experiment, image
from ml_dash.backends import LocalBackend, blobs
from ml_dash.buffer import Buffer
from ml_dash.buffer.recovery import drain_dead
from ml_dash.files import Files
from ml_dash.files.store import store_of
from ml_dash.rows import decode_row
from ml_dash.settings import Settings

posix_only = pytest.mark.skipif(os.name != "posix", reason="signals and links of POSIX")
PIXELS = np.zeros((8, 8, 3), np.uint8)


@pytest.fixture
def buffer(tmp_path):
    """A buffer with four workers, over the folder `tmp_path / "run"`."""
    buffer = Buffer(LocalBackend(tmp_path / "run"), Settings(encoders=4))
    yield buffer
    buffer.close(timeout=5.0)


@pytest.fixture
def files(buffer):
    """The files of that buffer's run."""
    return Files(buffer)


def test_what_a_save_needs_is_loaded_where_forks_wait_for_it(tmp_path):
    """Also before anything was queued: a child forked meanwhile would wait for it forever."""
    script = """
import sys
from pathlib import Path
from ml_dash import Experiment, lazy
storing, loaded = lazy.storing, []
def storing_noted():
    loaded.append("hashlib" in sys.modules)
    storing()
lazy.storing = storing_noted
with Experiment("e", dash_root=sys.argv[1], echo=False, environment=False).run as experiment:
    if sys.argv[2] == "save":
        experiment.files.save(Path(sys.argv[0]))
    else:
        experiment.files.save_pkl({}, to="a.pkl")
assert loaded[0] is False, loaded
"""
    path = tmp_path / "script.py"
    path.write_text(script)
    for what in ("save", "save_pkl"):
        command = [sys.executable, str(path), str(tmp_path / what), what]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


def rows_in(run):
    """Every row of the index, as it is on disk, by time."""
    lines = [
        line
        for segment in (run / "files/index").glob("*.jsonl")
        for line in segment.read_bytes().splitlines()
    ]
    return sorted(map(decode_row, lines), key=lambda row: row["timestamp"])


def places_in(run):
    """The files below `files/data`, temporaries included."""
    root = run / "files/data"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def assert_whole(run):
    """Every file that the index names is there and is one that was saved under its path."""
    saved, latest = {}, {}
    for row in rows_in(run):
        if row["op"] == "save":
            saved.setdefault(row["path"], set()).add(row["sha256"])
        latest[row["path"]] = row
    for path, row in latest.items():
        place = run / "files/data" / row.get("data", "")
        if row["op"] == "save":
            assert hashlib.sha256(place.read_bytes()).hexdigest() in saved[path], path
    return latest


def fail_writes(monkeypatch, error, *, only=lambda data: True):
    """Let writing to blobs fail with an errno; returns what counts the failures."""
    write, failures = os.write, []

    def failing(file, data):
        if only(bytes(data)):
            failures.append(len(data))
            raise OSError(error, os.strerror(error))
        return write(file, data)

    monkeypatch.setattr(blobs.os, "write", failing)
    return failures


# -- order ----------------------------------------------------------------------------------------


def test_the_disk_confirms_files_that_are_no_images(tmp_path, monkeypatch):
    """Once, with the rows: at `flush(fsync=True)` and at the end of the run."""
    asked = []
    real = LocalBackend.sync

    def sync(backend, segments):
        asked.append([name for name in segments if name.startswith("files/data/")])
        real(backend, segments)

    monkeypatch.setattr(LocalBackend, "sync", sync)
    with Experiment("p/e", dash_root=tmp_path, environment=False).run as experiment:
        experiment.files("models").save_text("weights", to="a.txt")
        experiment.files("frames").save_image(np.zeros((4, 4, 3), np.uint8), to="a.png")
        experiment.flush(fsync=True)
        experiment.files("models").save_text("weights", to="b.txt")
    assert asked == [["files/data/models/a.txt"], ["files/data/models/b.txt"]]


def test_saves_of_one_path_take_effect_in_call_order(files, buffer, tmp_path, monkeypatch):
    """A hundred saves whose encoding takes a random time: the last one called wins."""
    encode, dice = image.encode, random.Random(1)

    def slow(pixels, *args, **kwargs):
        time.sleep(dice.random() * 0.004)
        return encode(pixels, *args, **kwargs)

    monkeypatch.setattr(image, "encode", slow)
    for number in range(100):
        files.save_image(np.full((8, 8), number, np.uint8), to="x.png", step=number)
        files.save_image(PIXELS, to=f"other/{number}.png")
    assert buffer.flush().ok
    steps = [row["step"] for row in rows_in(tmp_path / "run") if row["path"] == "x.png"]
    assert steps == list(range(100))
    assert (image.decode(files.read_bytes("x.png")) == 99).all()


def test_threads_may_save_one_path(files, buffer, tmp_path):
    """Eight threads save one path: the file is the one that the last row names."""

    def work(thread):
        for number in range(100):
            files.save_text(f"{thread} {number}", to="x.txt", step=number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert buffer.flush().ok
    rows = rows_in(tmp_path / "run")
    assert len(rows) == 800
    data = (tmp_path / "run/files/data/x.txt").read_bytes()
    assert hashlib.sha256(data).hexdigest() == rows[-1]["sha256"]
    assert places_in(tmp_path / "run") == ["x.txt"]


def test_deletes_and_duplicates_keep_their_place_in_the_order(files, buffer, tmp_path, monkeypatch):
    """Save, duplicate, delete and save again, all while the first save is still being encoded."""
    encode = image.encode

    def slow(*args, **kwargs):
        time.sleep(0.05)
        return encode(*args, **kwargs)

    monkeypatch.setattr(image, "encode", slow)
    files.save_image(PIXELS, to="a.png")
    files.duplicate("a.png", to="b.png")
    files.save_image(PIXELS, to="a.png")
    files.delete("a.png")
    files.save_image(PIXELS, to="c.png")
    files.delete("c.png")
    files.save_text("again", to="c.png")
    assert buffer.flush().ok
    assert [row["path"] for row in files.list()] == ["b.png", "c.png"]
    assert files.read_text("c.png") == "again"
    assert places_in(tmp_path / "run") == ["b.png", "c.png"]


def test_a_path_deleted_twice_is_deleted_once(files, buffer, tmp_path):
    """The second delete finds nothing to do, and a save between them is not lost."""
    files.save_text("1", to="x")
    for _ in range(2):
        files._store.buffer.submit("x", 0, lambda: files._store._delete("x"))
    files.save_text("2", to="x")
    assert buffer.flush().ok
    assert [row["op"] for row in rows_in(tmp_path / "run")] == ["save", "delete", "save"]
    assert files.read_text("x") == "2"


def test_duplicating_both_ways_at_once_does_not_wait_for_ever(files, buffer):
    """Two threads that duplicate a to b and b to a take their turns in one order."""
    files.save_text("a", to="a")
    files.save_text("b", to="b")

    def work(source, to):
        for _ in range(50):
            files.duplicate(source, to=to)

    threads = [threading.Thread(target=work, args=pair) for pair in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert files.read_text("a") == files.read_text("b")


def test_tiny_files_count_for_what_they_take_in_memory(files, buffer, monkeypatch):
    """Files of one byte are bounded, too: what is queued is more than its content."""
    sizes = []
    submit = buffer.submit

    def spy(key, size, job):
        sizes.append(size)
        submit(key, size, job)

    monkeypatch.setattr(buffer, "submit", spy)
    files.save_blob(b"1", to="x")
    files.save_image(PIXELS, to="x.png")
    files.delete("x")
    assert min(sizes) > 2000


def test_all_handles_of_a_run_share_one_index(files, buffer):
    """What the recorder saved is seen by `experiment.files` before it is in a segment."""
    other = Files(buffer)
    assert other._store is files._store is store_of(buffer)
    files.list()
    other.save_text("1", to="x.txt")
    assert files.exists("x.txt")


# -- a failing world ------------------------------------------------------------------------------


def test_what_a_full_disk_refused_is_written_when_there_is_space(
    files, buffer, tmp_path, monkeypatch, caplog
):
    """ENOSPC raises nothing into the loop; afterwards every file is there and none is lost."""
    files.save_text("before", to="x.txt")
    buffer.flush()
    failures = fail_writes(monkeypatch, errno.ENOSPC)
    for number in range(20):
        files.save_image(PIXELS, to=f"{number}.jpg")
    files.save_text("after", to="x.txt")
    (tmp_path / "source").write_bytes(b"file")
    assert files.save(tmp_path / "source")["status"] == "queued"
    while len(failures) < 8:
        time.sleep(0.01)
    assert not buffer.report().ok
    monkeypatch.undo()
    assert buffer.flush(timeout=20).ok
    assert len(files.list("*.jpg")) == 20
    assert files.read_text("x.txt") == "after" and files.read_bytes("source") == b"file"
    assert not any(place.endswith(".tmp") for place in places_in(tmp_path / "run"))
    assert sum("not saved yet" in record.getMessage() for record in caplog.records) == 1


def test_an_outage_that_keeps_a_path_busy_raises_nothing_in_the_loop(
    files, buffer, tmp_path, monkeypatch
):
    """When the turn at a path does not come, saves are queued and looking tells what there is."""
    files.save_text("1", to="a.txt")
    files.list()

    def busy(*keys):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(buffer, "exclusive", busy)
    assert files.exists("a.txt") and not files.exists("b.txt")
    assert files.save(__file__, to="b.py")["status"] == "queued"
    assert files.duplicate("a.txt", to="c.txt")["status"] == "lost"
    assert files.delete("a.txt")["status"] == "queued"
    monkeypatch.undo()
    assert buffer.flush().lost == {"files": 1}
    assert [row["path"] for row in files.list()] == ["b.py"]


def test_what_cannot_be_written_at_all_is_counted_once_each(
    files, buffer, tmp_path, monkeypatch, caplog
):
    """An error that is about the file is not tried for ever: lost, counted, warned about once."""
    fail_writes(monkeypatch, errno.EACCES)
    for number in range(5):
        files.save_text("1", to=f"{number}.txt")
    (tmp_path / "source").write_bytes(b"file")
    assert files.save(tmp_path / "source")["status"] == "lost"
    report = buffer.flush()
    assert report.lost == {"files": 6} and not report.ok
    assert sum("is lost" in record.getMessage() for record in caplog.records) == 1
    monkeypatch.undo()
    assert places_in(tmp_path / "run") == [] and rows_in(tmp_path / "run") == []


def test_an_encoder_that_fails_loses_one_image_and_nothing_else(
    files, buffer, tmp_path, monkeypatch, caplog
):
    """The image is counted and named; the ones around it are saved."""
    encode = image.encode

    def picky(pixels, *args, **kwargs):
        if pixels.max() == 7:
            raise RuntimeError("cannot encode a seven")
        return encode(pixels, *args, **kwargs)

    monkeypatch.setattr(image, "encode", picky)
    for number in range(10):
        files.save_image(np.full((4, 4), number, np.uint8), to=f"{number}.png")
    assert buffer.flush().lost == {"files": 1}
    assert len(files.list()) == 9 and not files.exists("7.png")
    (message,) = [record.getMessage() for record in caplog.records]
    assert "'7.png'" in message and "cannot encode a seven" in message


@pytest.mark.parametrize("failing", ["encoder", "disk"])
def test_a_synchronous_save_never_raises_because_the_world_fails(tmp_path, monkeypatch, failing):
    """With the buffer off, too, a failure is a status and a count."""
    buffer = Buffer(LocalBackend(tmp_path / "run"), Settings(buffer_enabled=False))
    files = Files(buffer)
    if failing == "disk":
        fail_writes(monkeypatch, errno.ENOSPC)
    else:
        monkeypatch.setattr(image, "encode", lambda *args, **kwargs: 1 / 0)
    assert files.save_image(PIXELS, to="x.png")["status"] == "lost"
    if failing == "disk":
        assert files.save(__file__)["status"] == "lost"
        assert files.save_numpy(np.zeros(3), to="x.npy")["status"] == "lost"
    monkeypatch.undo()
    assert files.save_image(PIXELS, to="x.png")["size"] > 0
    assert buffer.close().lost == {"files": 3 if failing == "disk" else 1}


def test_a_disk_that_fails_under_torch_save_is_no_error_of_torch(
    files, buffer, tmp_path, monkeypatch
):
    """A large state that goes straight to disk: the encoder sees no error, the caller a status."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr("ml_dash.files.spool.HELD", 1000)
    fail_writes(monkeypatch, errno.ENOSPC)
    result = files.save_torch({"w": torch.zeros(10_000)}, to="m.pt")
    assert result["status"] == "lost" and "No space" in result["error"]
    monkeypatch.undo()
    assert places_in(tmp_path / "run") == []
    assert buffer.flush().lost == {"files": 1}


def test_an_encoder_error_in_the_middle_of_a_large_file_leaves_nothing(
    files, buffer, tmp_path, monkeypatch
):
    """What was written before a value turned out not to be picklable is removed."""
    monkeypatch.setattr("ml_dash.files.spool.HELD", 1000)
    with pytest.raises((TypeError, AttributeError)):
        files.save_pkl([bytes(100_000), lambda: None], to="x.pkl")
    assert places_in(tmp_path / "run") == [] and buffer.flush().ok


def test_a_run_folder_removed_in_the_middle_is_made_again(files, buffer, tmp_path):
    """Later saves go into a new folder; nothing raises."""
    for number in range(10):
        files.save_image(PIXELS, to=f"cam/{number}.png")
    buffer.flush()
    shutil.rmtree(tmp_path / "run")
    for number in range(10, 20):
        files.save_image(PIXELS, to=f"cam/{number}.png")
    buffer.flush()
    assert set(places_in(tmp_path / "run")) >= {f"cam/{number}.png" for number in range(10, 20)}


@posix_only
def test_a_link_planted_behind_our_back_loses_the_file_not_the_outside(files, buffer, tmp_path):
    """A link that appears after the path was checked: counted, and nothing is written outside."""
    outside = tmp_path / "outside"
    outside.mkdir()
    files.save_text("1", to="cam/1.txt")
    buffer.flush()
    shutil.rmtree(tmp_path / "run/files/data/cam")
    (tmp_path / "run/files/data/cam").symlink_to(outside)
    files.save_text("2", to="cam/2.txt")
    with pytest.raises(ValueError, match="symbolic link"):
        files.save(__file__, to="cam/3.py")
    assert buffer.flush().lost == {"files": 1}
    assert list(outside.iterdir()) == []


def test_a_source_that_is_gone_when_its_turn_comes_is_counted(files, buffer, tmp_path):
    """A background save of a file that was removed is lost, told, and never raised."""
    (tmp_path / "source").write_bytes(b"1")
    gate = threading.Event()
    buffer.submit("source", 0, gate.wait)
    files.save(tmp_path / "source", background=True)
    (tmp_path / "source").unlink()
    gate.set()
    assert buffer.flush().lost == {"files": 1}


# -- other processes ------------------------------------------------------------------------------

WRITER = """
import sys, numpy as np
from pathlib import Path
from ml_dash.backends import LocalBackend
from ml_dash.buffer import Buffer
from ml_dash.files import Files
from ml_dash.settings import Settings

run, mark, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
buffer = Buffer(LocalBackend(run), Settings(encoders=2))
files = Files(buffer)
print("ready", flush=True)
for number in range(count):
    pixels = np.full((16, 16), number % 256, np.uint8)
    files.save_image(pixels, to=f"{mark}/{number}.png")
    files.save_image(pixels, to="latest.png", step=number)
    files.save_json({"number": number, "mark": mark}, to="state.json")
    if number % 10 == 9:
        files.delete(f"{mark}/{number - 5}.png")
buffer.close()
"""


def start_writer(run, mark, count):
    """A process that saves images and overwrites two paths, flat out."""
    root = Path(blobs.__file__).parents[1]
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(run), mark, str(count)],
        cwd=root,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
    )


def test_processes_may_write_one_run_and_one_path(tmp_path):
    """Four processes save and delete; two paths are everybody's: what is indexed is whole."""
    run = tmp_path / "run"
    writers = [start_writer(run, f"w{n}", 100) for n in range(4)]
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    latest = assert_whole(run)
    assert sum(row["op"] == "save" for row in latest.values()) == 4 * 90 + 2
    assert len(places_in(run)) == 4 * 90 + 2
    files = Files(buffer := Buffer(LocalBackend(run), Settings()))
    assert files.read_json("state.json")["number"] < 100
    assert image.decode(files.read_bytes("latest.png")).shape == (16, 16)
    assert len(files.list()) == 4 * 90 + 2
    buffer.close()


@posix_only
@pytest.mark.parametrize("seed", range(5))
def test_after_sigkill_every_indexed_file_is_whole(tmp_path, seed):
    """Killed at a random time, in the middle of overwriting two paths: no row lies."""
    run = tmp_path / "run"
    writer = start_writer(run, "w", 100_000)
    assert writer.stdout.readline() == b"ready\n"
    time.sleep(0.05 + random.Random(seed).random() * 0.4)
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    assert not drain_dead(run).problems
    latest = assert_whole(run)
    files = Files(buffer := Buffer(LocalBackend(run), Settings()))
    for path, row in latest.items():
        assert files.exists(path) == (row["op"] == "save")
        if row["op"] == "save":
            files.read_bytes(path)
    files.save_text("on", to="state.json")
    assert files.read_text("state.json") == "on"
    assert buffer.close().ok


@posix_only
def test_a_forked_child_saves_too(tmp_path):
    """Parent and child save, before and after the fork, in either order of ending."""
    code = """
import os, sys
from pathlib import Path
from ml_dash.backends import LocalBackend
from ml_dash.buffer import Buffer
from ml_dash.files import Files
from ml_dash.settings import Settings

buffer = Buffer(LocalBackend(Path(sys.argv[1])), Settings())
files = Files(buffer)
files.save_text("before", to="before.txt")
files.list()
child = os.fork()
name = "parent" if child else "child"
for number in range(50):
    files.save_text(name, to=f"{name}/{number}.txt")
    files.save_text(name, to="both.txt")
assert files.exists("before.txt") and files.exists(f"{name}/49.txt")
buffer.close()
if not child:
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    root = Path(blobs.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    run = tmp_path / "run"
    command = [sys.executable, "-W", "ignore", "-c", code, str(run)]
    subprocess.run(command, check=True, env=environment, timeout=60)
    assert len(assert_whole(run)) == len(places_in(run)) == 102


# -- size -----------------------------------------------------------------------------------------

MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
from ml_dash.backends import LocalBackend
from ml_dash.buffer import Buffer
from ml_dash.files import Files
from ml_dash.settings import Settings

buffer = Buffer(LocalBackend(Path(sys.argv[1]) / "run"), Settings(frame_buffer_mb=16, encoders=1))
files = Files(buffer)
files.save_image(np.zeros((480, 640, 3), np.uint8), to="warm.jpg")
files.list()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if sys.argv[2] == "file":
    with open(sys.argv[1] + "/large", "wb") as file:
        file.truncate(int(sys.argv[3]))
    assert files.save(sys.argv[1] + "/large")["size"] == int(sys.argv[3])
    files("large").download(to=sys.argv[1] + "/back")
else:
    pixels = np.zeros((480, 640, 3), np.uint8)
    for number in range(int(sys.argv[3])):
        files.save_image(pixels, to=f"cam/{number}.jpg")
assert buffer.close().ok
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) // 1024)
"""


@posix_only
@pytest.mark.parametrize(("kind", "amount", "bound"), [("file", 1 << 30, 16), ("frames", 400, 48)])
def test_memory_is_bounded(tmp_path, kind, amount, bound):
    """A file of 1 GB, or 350 MB of frames as fast as they come, take a few megabytes."""
    pytest.importorskip("resource")
    root = Path(blobs.__file__).parents[1]
    output = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path), kind, str(amount)],
        check=True,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        timeout=120,
    ).stdout
    assert int(output) <= bound
    for large in (tmp_path / "run/files/data/large", tmp_path / "back", tmp_path / "large"):
        large.unlink(missing_ok=True)
