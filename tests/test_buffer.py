"""The buffer: what was handed over is written once, in order, whatever the disk does."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from ml_dash.backends import LocalBackend, MemoryBackend
from ml_dash.buffer import Buffer, Stream, outage
from ml_dash.buffer import drain as drain_module
from ml_dash.buffer.drain import Drainer
from ml_dash.buffer.ledger import Ledger
from ml_dash.buffer.recovery import drain_dead, pending_rows, rings
from ml_dash.buffer.writer import PROMOTE, RowWriter
from ml_dash.errors import ClosedError
from ml_dash.settings import Settings
from ml_dash.track import Tracks


class FaultyBackend(LocalBackend):
    """A disk that refuses, in whole or in the middle of a write, for as long as it is told."""

    def __init__(self, folder: Path, streams: str = "") -> None:
        super().__init__(folder)
        self.failing = False
        self.partial = 0
        self.attempts = 0
        self.number = errno.ENOSPC
        self.streams = streams

    def append(self, segment: str, offset: int, data: Sequence[bytes | memoryview]) -> None:
        if self.failing and self.streams in segment:
            self.attempts += 1
            whole = b"".join(data)
            if self.partial:
                super().append(segment, offset, [whole[: self.partial]])
            raise OSError(self.number, os.strerror(self.number))
        super().append(segment, offset, data)


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def steps_in(folder: Path, topic: str) -> list[int]:
    """The steps of a topic, in file order, recovered rows last; fails on an undecodable line."""
    paths = sorted((folder / "tracks" / topic).glob("*.jsonl"), key=lambda path: "-r" in path.name)
    return [orjson.loads(line)["step"] for path in paths for line in lines_of(path)]


def open_below(folder: Path) -> list[str]:
    """The files below a folder that this process has open, those that are gone by now as well."""
    found = []
    for number in list(Path("/proc/self/fd").iterdir()):
        try:
            target = str(number.readlink())
        except FileNotFoundError:
            continue  # the listing itself
        if target.startswith(f"{folder}/"):
            found.append(target)
    return found


def wait_for(condition, timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


@pytest.fixture
def backend(tmp_path: Path) -> FaultyBackend:
    return FaultyBackend(tmp_path / "run")


def test_a_hundred_thousand_rows_come_back_in_order(backend: FaultyBackend) -> None:
    """Rows appended as fast as possible are all there, in order, once."""
    buffer = Buffer(backend, Settings())
    track = Tracks(buffer)("a")
    for step in range(100_000):
        track.append({"step": step, "x": 0.5})
    assert buffer.close().ok
    assert steps_in(backend.folder, "a") == list(range(100_000))


def test_rows_of_mixed_sizes_keep_their_order(backend: FaultyBackend) -> None:
    """Rows that go through slots and rows that are too long for one come out as they went in."""
    buffer = Buffer(backend, Settings())
    track = Tracks(buffer)("a")
    for step in range(3000):
        track.append({"step": step, "x": "y" * (step * 7919 % 400_000 if step % 50 == 0 else 10)})
    assert buffer.close().ok
    assert steps_in(backend.folder, "a") == list(range(3000))


def test_five_thousand_topics_need_few_descriptors(backend: FaultyBackend) -> None:
    """Thousands of topics are written with a bounded number of open files."""
    buffer = Buffer(backend, Settings())
    tracks = Tracks(buffer)
    for step in range(3):
        for topic in range(5000):
            tracks(f"t{topic}").append({"step": step})
    assert len(open_below(backend.folder)) < 400
    assert buffer.close().ok
    assert all(steps_in(backend.folder, f"t{topic}") == [0, 1, 2] for topic in range(5000))


def test_more_busy_topics_than_slots_all_come_through(backend: FaultyBackend) -> None:
    """When slots run short, rows take the common way, and idle streams give theirs up."""
    buffer = Buffer(backend, Settings())
    tracks = Tracks(buffer)
    for step in range(100):
        for topic in range(150):
            tracks(f"t{topic}").append({"step": step})
    assert buffer.close().ok
    assert all(steps_in(backend.folder, f"t{topic}") == list(range(100)) for topic in range(150))


def test_threads_lose_nothing_and_keep_their_own_order(backend: FaultyBackend) -> None:
    """Eight threads write one topic; each finds its rows in the order of its calls."""
    buffer = Buffer(backend, Settings())
    track = Tracks(buffer)("a")

    def work(thread: int) -> None:
        for step in range(5000):
            track.append({"step": step, "thread": thread})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert buffer.close().ok
    rows = [
        orjson.loads(line)
        for path in (backend.folder / "tracks/a").iterdir()
        for line in lines_of(path)
    ]
    for number in range(8):
        assert [row["step"] for row in rows if row["thread"] == number] == list(range(5000))
    assert len({row["timestamp"] for row in rows}) == 40_000


def test_a_slot_that_another_thread_fills_at_once_costs_no_row(
    backend: FaultyBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row that the slot was lent for is in it before anybody else's."""
    buffer = Buffer(backend, Settings())
    stream = buffer.stream("tracks/a")
    lend = Drainer.lend

    def lend_and_fill(self: Drainer, *given: Any) -> bool:
        lent = lend(self, *given)
        with contextlib.suppress(ValueError):
            while lent:
                stream.write(b"{}\n")
        return lent

    monkeypatch.setattr(Drainer, "lend", lend_and_fill)
    for step in range(PROMOTE + 10):
        stream.put(b'{"step":%d}\n' % step)
    assert buffer.close().ok
    (path,) = (backend.folder / "tracks/a").iterdir()
    rows = [line for line in lines_of(path) if line != b"{}"]
    assert rows == [b'{"step":%d}' % step for step in range(PROMOTE + 10)]


def test_a_topic_that_begins_while_the_run_is_closed_stops_nothing(
    backend: FaultyBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread may look up a new one at any moment."""
    buffer = Buffer(backend, Settings())
    tracks = Tracks(buffer)
    for topic in ("a", "b", "c"):
        tracks(topic).append({"step": 0})
    seal = Drainer.seal

    def seal_meanwhile(self: Drainer, stream: Stream) -> None:
        seal(self, stream)
        tracks(f"{stream.name}-new")

    monkeypatch.setattr(Drainer, "seal", seal_meanwhile)
    assert buffer.close().ok
    assert rings(backend.folder) == []
    assert all(steps_in(backend.folder, topic) == [0] for topic in ("a", "b", "c"))


def test_flush_shows_every_row_to_readers(backend: FaultyBackend) -> None:
    """After flush() the rows are in the segments, while the run goes on."""
    buffer = Buffer(backend, Settings())
    track = Tracks(buffer)("a")
    for step in range(50):
        track.append({"step": step})
    report = buffer.flush()
    assert report.ok
    assert report.written > 0
    assert steps_in(backend.folder, "a") == list(range(50))
    buffer.close()


def test_flush_returns_beside_a_thread_that_never_stops_writing(backend: FaultyBackend) -> None:
    """flush() waits for what was recorded before it, not for what comes after."""
    buffer = Buffer(backend, Settings())
    track = Tracks(buffer)("a")
    stop = threading.Event()

    def work() -> None:
        step = 0
        while not stop.is_set():
            track.append({"step": step})
            step += 1

    thread = threading.Thread(target=work)
    thread.start()
    before = time.monotonic()
    buffer.flush()
    took = time.monotonic() - before
    stop.set()
    thread.join()
    assert took < 5
    assert buffer.close().ok


def test_without_buffering_a_row_is_on_disk_when_the_call_returns(backend: FaultyBackend) -> None:
    """ML_DASH_BUFFER_ENABLED=false: no waiting for anything afterwards."""
    buffer = Buffer(backend, Settings(buffer_enabled=False))
    track = Tracks(buffer)("a")
    for step in range(40):
        track.append({"step": step})
        assert steps_in(backend.folder, "a") == list(range(step + 1))
    done = []
    buffer.submit("f", 10, lambda: done.append(1))
    assert done == [1]
    buffer.close()


@pytest.mark.parametrize("partial", [0, 1, 37, 5000])
def test_a_full_disk_loses_nothing_when_space_comes_back(
    backend: FaultyBackend, partial: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows wait in the ring while the disk refuses, also in the middle of a line."""
    buffer = Buffer(backend, Settings())
    tracks = Tracks(buffer)
    for step in range(500):
        tracks("a").append({"step": step, "x": "y" * 100})
        tracks("b").append({"step": step})
    backend.partial, backend.failing = partial, True
    for step in range(500, 1000):
        tracks("a").append({"step": step, "x": "y" * 100})
        tracks("b").append({"step": step})
    wait_for(lambda: backend.attempts > 2)
    backend.partial = 0
    report = buffer.flush(timeout=0.2)
    assert report.pending > 0
    assert "No space left" in (report.error or "")
    backend.failing = False
    assert buffer.flush().ok
    for step in range(1000, 1100):
        tracks("a").append({"step": step})
    assert buffer.close().ok
    assert steps_in(backend.folder, "a") == list(range(1100))
    assert steps_in(backend.folder, "b") == list(range(1000))
    assert sum("disk refuses" in message for message in caplog.messages) == 1


def test_a_disk_that_stays_full_bounds_the_wait_and_counts_the_loss(
    backend: FaultyBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers wait a bounded time in all; then rows are refused and counted; later it goes on."""
    monkeypatch.setattr(outage, "PATIENCE", 0.3)
    buffer = Buffer(backend, Settings())
    track = Tracks(buffer)("a")
    track.append({"step": 0})
    buffer.flush()
    backend.failing = True
    before = time.monotonic()
    for step in range(1, 100):
        track.append({"step": step, "x": "y" * 1_000_000})
    assert time.monotonic() - before < 8
    lost = buffer.report().lost["tracks/a"]
    assert 60 < lost < 99
    backend.failing = False
    assert buffer.flush().pending == 0
    track.append({"step": 1000})
    report = buffer.close()
    assert report.lost == {"tracks/a": lost}
    assert report.pending == 0
    kept = steps_in(backend.folder, "a")
    assert kept == [*range(100 - lost), 1000]


def test_a_flush_tells_of_what_was_recorded_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not of what comes while it waits, from another thread or the run itself."""
    buffer = Buffer(LocalBackend(tmp_path), Settings())
    drain = RowWriter.drain_once

    def busy(self: RowWriter, *given: Any) -> bool:
        done = drain(self, *given)
        buffer.put("tracks/b", b"{}\n")
        return done

    monkeypatch.setattr(RowWriter, "drain_once", busy)
    buffer.put("tracks/a", b"{}\n")
    report = buffer.flush()
    assert report.ok and report.pending == 0, report
    assert buffer.report().pending > 0
    monkeypatch.undo()
    assert buffer.close().ok


def test_rows_that_are_refused_wait_for_nothing(
    backend: FaultyBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once callers have waited their time, a full disk costs the loop nothing more."""
    monkeypatch.setattr(outage, "PATIENCE", 0.1)
    buffer = Buffer(backend, Settings(close_timeout=0.1))
    backend.failing = True
    track = Tracks(buffer)("a")
    row = {"x": "y" * 1_000_000}
    while not buffer.lost:
        track.append(row)
    waited: list[object] = []
    with monkeypatch.context() as patch:
        patch.setattr(RowWriter, "drain_once", lambda *given: waited.append(given))
        for _ in range(20):
            track.append(row)
    assert waited == [] and buffer.lost == {"tracks/a": 21}
    backend.failing = False
    assert buffer.flush(timeout=60.0).pending == 0
    assert buffer.close().pending == 0


@pytest.mark.parametrize("enabled", [True, False])
def test_who_waits_for_a_full_disk_lets_it_breathe(backend: FaultyBackend, enabled: bool) -> None:
    """It is asked now and then, not as often as a loop can."""
    buffer = Buffer(backend, Settings(buffer_enabled=enabled, close_timeout=0.1))
    buffer.put("tracks/a", b"{}\n")
    buffer.flush()
    backend.failing = True
    buffer.put("tracks/a", b"{}\n")
    buffer.flush(timeout=0.5)
    assert 2 < backend.attempts < 60
    backend.failing = False
    assert buffer.close().pending == 0


def test_threads_that_lose_rows_at_once_are_all_counted() -> None:
    """The number of what is lost is no guess."""
    ledger = Ledger()
    together = threading.Barrier(4)
    interval = sys.getswitchinterval()

    def lose() -> None:
        together.wait(30)
        for _ in range(100_000):
            ledger.lose("a", "full")

    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=lose) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert ledger.lost == {"a": 400_000}


def test_one_stream_that_cannot_be_written_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of a stream that alone keeps failing are given up and counted, the others go on."""
    monkeypatch.setattr(drain_module, "GIVE_UP", 0.1)
    backend = FaultyBackend(tmp_path / "run", streams="tracks/bad")
    backend.failing, backend.number = True, errno.EISDIR
    buffer = Buffer(backend, Settings())
    tracks = Tracks(buffer)
    deadline = time.monotonic() + 10
    step = 0
    while "tracks/bad" not in buffer.lost and time.monotonic() < deadline:
        tracks("bad").append({"step": step})
        tracks("good").append({"step": step})
        step += 1
        time.sleep(0.002)
    backend.failing = False
    lost = buffer.lost["tracks/bad"]
    tracks("bad").append({"step": step})
    buffer.close()
    assert steps_in(backend.folder, "good") == list(range(step))
    assert buffer.lost["tracks/bad"] == lost
    kept = steps_in(backend.folder, "bad")
    assert len(kept) + lost == step + 1
    assert kept == list(range(lost, step + 1))


def test_a_disk_full_for_large_rows_only_is_no_reason_to_drop_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another stream that still finds place does not make a full disk the fault of this one."""
    monkeypatch.setattr(drain_module, "GIVE_UP", 0.02)
    backend = FaultyBackend(tmp_path / "run", streams="tracks/large")
    backend.failing = True
    buffer = Buffer(backend, Settings())
    tracks = Tracks(buffer)
    for step in range(100):
        tracks("large").append({"step": step, "x": "y" * 10_000})
        tracks("small").append({"step": step})
        time.sleep(0.005)
    wait_for(lambda: backend.attempts > 2)
    assert buffer.lost == {}
    backend.failing = False
    assert buffer.close().ok
    assert steps_in(backend.folder, "large") == list(range(100))


@pytest.mark.parametrize("killed", [False, True])
def test_a_line_that_was_given_up_half_written_harms_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    """What follows it is there once, also where it comes from the ring of a dead writer."""
    monkeypatch.setattr(drain_module, "GIVE_UP", 0.05)
    backend = FaultyBackend(tmp_path / "run", streams="tracks/bad")
    backend.number = errno.EISDIR
    buffer = Buffer(backend, Settings())
    tracks = Tracks(buffer)
    for step in range(50):  # enough for a slot of its own
        tracks("bad").append({"step": step})
    buffer.flush()
    backend.failing, backend.partial = True, 9
    tracks("bad").append({"step": 50})

    def given_up() -> bool:
        tracks("good").append({"step": 0})
        return "tracks/bad" in buffer.lost

    wait_for(given_up)
    backend.failing = False
    for step in range(51, 60):
        tracks("bad").append({"step": step})
    buffer.flush()
    if killed:
        shutil.copytree(backend.folder, tmp_path / "left")
        monkeypatch.setattr("ml_dash.buffer.recovery.process_alive", lambda _: False)
        drain_dead(tmp_path / "left")
    buffer.close()
    lines = [
        line
        for path in (tmp_path / ("left" if killed else "run") / "tracks" / "bad").iterdir()
        for line in lines_of(path)
        if line.endswith(b"}")
    ]
    assert sorted(orjson.loads(line)["step"] for line in lines) == [*range(50), *range(51, 60)]
    assert buffer.lost["tracks/bad"] == 1


def test_what_a_full_disk_keeps_out_at_the_end_is_finished_later(
    backend: FaultyBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing on a full disk leaves the rows in the ring file; the next reader writes them."""
    monkeypatch.setattr(outage, "PATIENCE", 0.2)
    buffer = Buffer(backend, Settings(close_timeout=0.3))
    track = Tracks(buffer)("a")
    for step in range(100):
        track.append({"step": step})
    buffer.flush()
    backend.failing = True
    for step in range(100, 200):
        track.append({"step": step})
    report = buffer.close()
    assert report.pending > 0
    (ring,) = rings(backend.folder)
    monkeypatch.setattr("ml_dash.buffer.recovery.process_alive", lambda identity: False)
    assert sum(map(len, pending_rows(backend.folder).values())) == 100
    found = drain_dead(backend.folder)
    assert found.rows == {"tracks/a": 100}
    assert not ring.exists()
    assert steps_in(backend.folder, "a") == list(range(200))
    assert drain_dead(backend.folder).rings == 0


def test_recovery_done_twice_at_once_gives_the_same(
    backend: FaultyBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two readers that finish one dead ring write the same bytes; no row is doubled."""
    monkeypatch.setattr(outage, "PATIENCE", 0.1)
    buffer = Buffer(backend, Settings(close_timeout=0.1))
    backend.failing = True
    track = Tracks(buffer)("a")
    for step in range(100):
        track.append({"step": step})
    buffer.close()
    (ring,) = rings(backend.folder)
    copy = ring.read_bytes()
    monkeypatch.setattr("ml_dash.buffer.recovery.process_alive", lambda identity: False)
    drain_dead(backend.folder)
    ring.write_bytes(copy)  # as the second one still sees it
    drain_dead(backend.folder)
    assert steps_in(backend.folder, "a") == list(range(100))


def test_a_removed_folder_is_made_again_and_the_loss_is_counted(
    backend: FaultyBackend, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows of a folder that somebody removed are lost and counted; later ones are kept."""
    opened = []
    buffer = Buffer(backend, Settings(), opened.append)
    tracks = Tracks(buffer)
    for step in range(50):
        tracks("a").append({"step": step})
        tracks("quiet").append({"step": step})
    buffer.flush()
    shutil.rmtree(backend.folder)
    for step in range(50, 60):
        tracks("a").append({"step": step})
    buffer.flush()
    report = buffer.close()
    assert report.lost == {"tracks/a": 50, "tracks/quiet": 50}
    assert steps_in(backend.folder, "a") == list(range(50, 60))
    assert len(opened) == 2  # the run said again who it is
    assert sum("removed" in message and "made again" in message for message in caplog.messages) == 1


def test_rows_survive_a_kill_also_after_the_folder_was_removed(
    backend: FaultyBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ring's file is made again with the folder, and takes what busy and idle streams bring."""
    monkeypatch.setattr(outage, "PATIENCE", 0.1)
    buffer = Buffer(backend, Settings(close_timeout=0.1))
    tracks = Tracks(buffer)
    for step in range(50):
        tracks("a").append({"step": step})
    buffer.flush()
    shutil.rmtree(backend.folder)
    for step in range(50, 60):
        tracks("a").append({"step": step})
    assert buffer.flush().ok is False  # the loss is told
    assert len(rings(backend.folder)) == 1
    backend.failing = True  # what comes now is in the ring only, as when the process is killed
    for step in range(60, 100):
        tracks("a").append({"step": step})
        tracks("late").append({"step": step})
    buffer.close()
    monkeypatch.setattr("ml_dash.buffer.recovery.process_alive", lambda identity: False)
    assert drain_dead(backend.folder).rows == {"tracks/a": 40, "tracks/late": 40}
    assert steps_in(backend.folder, "a") == list(range(50, 100))
    assert steps_in(backend.folder, "late") == list(range(60, 100))


def test_a_ring_that_cannot_be_made_again_is_told_once(
    backend: FaultyBackend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows still arrive, and nothing is tried again and again."""
    tries = []

    def no_room(*_: object) -> None:
        tries.append(1)
        raise OSError(errno.ENOSPC, "No space left on device")

    buffer = Buffer(backend, Settings())
    track = Tracks(buffer)("a")
    track.append({"step": 0})
    buffer.flush()
    monkeypatch.setattr("os.posix_fallocate", no_room)
    shutil.rmtree(backend.folder)
    for step in range(1, 4):
        track.append({"step": step})
        buffer.flush()
    assert buffer.close().lost == {"tracks/a": 1}
    assert steps_in(backend.folder, "a") == [1, 2, 3]
    assert sum("would not survive a kill" in message for message in caplog.messages) == 1
    assert tries == [1]
    assert list((backend.folder / ".buffer").iterdir()) == []


def test_a_closed_buffer_refuses_rows(backend: FaultyBackend) -> None:
    """Using a handle after the end is an error that says what to do, also for busy streams."""
    buffer = Buffer(backend, Settings())
    track = Tracks(buffer)("a")
    for step in range(100):
        track.append({"step": step})
    buffer.close()
    with pytest.raises(ClosedError, match=r"run\.start"):
        track.append({"step": 100})
    with pytest.raises(ClosedError):
        Tracks(buffer)("b").append({"step": 100})
    with pytest.raises(ClosedError):
        buffer.submit("f", 1, lambda: None)
    assert steps_in(backend.folder, "a") == list(range(100))


def test_nothing_is_left_behind_by_a_buffer_that_closed_well(backend: FaultyBackend) -> None:
    """The ring file goes when all of it is in segments."""
    buffer = Buffer(backend, Settings())
    Tracks(buffer)("a").append({"step": 1})
    assert len(rings(backend.folder)) == 1
    buffer.close()
    assert rings(backend.folder) == []


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what is mapped")
def test_a_full_disk_has_the_room_of_the_buffer_again_when_the_run_ends(
    backend: FaultyBackend,
) -> None:
    """No error of the outage holds on to the ring's memory, which counts while it is mapped."""
    buffer = Buffer(backend, Settings())
    Tracks(buffer)("a").append({"step": 1})
    backend.failing = True
    wait_for(lambda: backend.attempts > 2)
    backend.failing = False
    gc.disable()  # which finds it sooner or later
    try:
        assert buffer.close().ok
        assert str(backend.folder) not in Path("/proc/self/maps").read_text()
    finally:
        gc.enable()


def test_where_no_ring_file_can_be_made_rows_are_kept_all_the_same(
    backend: FaultyBackend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without room for the ring file the promise is weaker, said once, and rows still arrive."""

    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", no_room)
    buffer = Buffer(backend, Settings())
    track = Tracks(buffer)("a")
    for step in range(1000):
        track.append({"step": step})
    assert buffer.close().ok
    assert steps_in(backend.folder, "a") == list(range(1000))
    assert sum("would not survive a kill" in message for message in caplog.messages) == 1
    assert list((backend.folder / ".buffer").iterdir()) == []


def test_a_system_that_cannot_set_room_aside_is_left_clean(
    backend: FaultyBackend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As macOS: no open file and no draft of a ring is left, and it is said once."""
    monkeypatch.delattr("os.posix_fallocate")
    for _ in range(5):
        buffer = Buffer(backend, Settings())
        buffer.put("tracks/a", b'{"step":1}\n')
        assert buffer.close().ok
    assert open_below(backend.folder) == []
    assert list((backend.folder / ".buffer").iterdir()) == []
    assert "this system cannot set room aside for a file" in caplog.messages[0]


def test_a_run_in_memory_needs_no_disk() -> None:
    """The memory backend takes everything a folder takes."""
    backend = MemoryBackend()
    buffer = Buffer(backend, Settings())
    track = Tracks(buffer)("a")
    for step in range(1000):
        track.append({"step": step})
    buffer.close()
    (segment,) = backend.list("tracks")
    lines = backend.read(segment.path).splitlines()
    assert [orjson.loads(line)["step"] for line in lines] == list(range(1000))


def test_a_row_longer_than_16_mib_is_refused_at_the_call(backend: FaultyBackend) -> None:
    """Exactly 16 MiB is kept, one byte more is a ValueError and leaves nothing."""
    buffer = Buffer(backend, Settings())
    stream = buffer.stream("tracks/a")
    limit = 16 * 1024 * 1024
    longest = b'{"step":1,"x":"' + b"y" * (limit - 18) + b'"}\n'
    assert len(longest) == limit
    stream.put(longest)
    with pytest.raises(ValueError, match="16,777,216"):
        stream.put(longest[:-1] + b" \n")
    buffer.close()
    (path,) = (backend.folder / "tracks/a").iterdir()
    assert path.read_bytes() == longest


def test_a_turn_at_a_path_is_not_waited_for_through_an_outage(
    backend: FaultyBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who wants a path to itself gets an error when the job before it cannot be done."""
    monkeypatch.setattr(outage, "PATIENCE", 0.2)
    buffer = Buffer(backend, Settings(close_timeout=0.2))
    full = threading.Event()

    def refuse() -> None:
        if not full.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")

    buffer.submit("a", 1, refuse)
    with pytest.raises(OSError, match="No space"), buffer.exclusive("a"):
        pass
    full.set()
    wait_for(lambda: buffer.report().pending_files == 0)
    with buffer.exclusive("a"):
        pass
    assert buffer.close().lost == {}
