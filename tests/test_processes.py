"""Forks, spawned processes, many at once: each writes its own segments, nobody harms another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from scripts import rows, run, statuses

OPEN = 'experiment = Experiment("e", dash_root=root, echo=False)\n'


def steps(folder: Path, **of: int) -> list[int]:
    found = rows(folder / "dash/e", "tracks/a")
    return [row["step"] for row in found if all(row.get(key) == of[key] for key in of)]


@pytest.mark.parametrize("first", ["child", "parent"])
def test_parent_and_forked_child_both_keep_their_rows(tmp_path: Path, first: str) -> None:
    """A fork after the start: both record, and they exit in either order."""
    script = (
        OPEN
        + """
experiment.run.start()
track = experiment.track("a")
for step in range(300):
    track.append({"step": step, "w": 0})
child = os.fork()
me = 1 if child == 0 else 0
waits = ("child" if child == 0 else "parent") != sys.argv[2]
for step in range(300, 600):
    track.append({"step": step, "w": me})
    experiment.log("m", step=step)
    experiment.metrics("m").log(step=step, loss=1.0)
if waits:
    time.sleep(1.0)
experiment.run.complete()
if child and waits:
    assert os.waitpid(child, 0)[1] == 0
"""
    )
    assert run(tmp_path, script, first)[0] == 0
    from scripts import wait_until

    wait_until(lambda: len(statuses(tmp_path / "dash/e")) == 2)
    assert steps(tmp_path, w=0) == list(range(600))
    assert steps(tmp_path, w=1) == list(range(300, 600))
    assert len(rows(tmp_path / "dash/e", "logs")) == 600
    assert sorted(statuses(tmp_path / "dash/e")) == ["CLOSED", "COMPLETED"]


def test_a_child_that_records_nothing_leaves_nothing(tmp_path: Path) -> None:
    """Forking is no event of the run."""
    script = (
        OPEN
        + """
with experiment.run:
    experiment.track("a").append({"step": 0})
    child = os.fork()
    if child == 0:
        sys.exit(0)
    os.waitpid(child, 0)
"""
    )
    assert run(tmp_path, script)[0] == 0
    assert len(list((tmp_path / "dash/e/run").iterdir())) == 1
    assert statuses(tmp_path / "dash/e") == ["COMPLETED"]


def test_fork_beside_busy_threads_never_hangs(tmp_path: Path) -> None:
    """Children forked in the middle of other threads' appends and saves record and exit."""
    script = (
        OPEN
        + """
import numpy as np
experiment.run.start()
stop = threading.Event()
pixels = np.zeros((64, 64, 3), np.uint8)
def busy(number):
    step = 0
    while not stop.is_set():
        experiment.track("busy").append({"step": step})
        if step % 100 == 0:
            experiment.files("f").save_image(pixels, to=f"x{number}_{step}.jpg")
        step += 1
threads = [threading.Thread(target=busy, args=(number,)) for number in range(3)]
for thread in threads:
    thread.start()
for number in range(30):
    child = os.fork()
    if child == 0:
        experiment.track("a").append({"step": number, "w": 0})
        experiment.files("f").save_image(pixels, to=f"child{number}.png")
        experiment.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads:
    thread.join()
experiment.run.complete()
"""
    )
    code, _, err = run(tmp_path, script)
    assert code == 0, err
    assert steps(tmp_path) == list(range(30))
    assert len(list((tmp_path / "dash/e/files/data/f").glob("child*.png"))) == 30


def test_sixteen_processes_and_eight_threads_write_one_run(tmp_path: Path) -> None:
    """Every process opens the prefix by itself; rows, frames and statuses all come through."""
    script = """
import multiprocessing
import numpy as np
def work(root, number):
    with Experiment("e", dash_root=root, echo=False).run as experiment:
        def thread(index):
            for step in range(200):
                experiment.track("a").append({"step": step, "p": number, "t": index})
        threads = [threading.Thread(target=thread, args=(index,)) for index in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        experiment.files("frames").save_image(np.zeros((8, 8), np.uint8), to=f"{number}.png")
if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=work, args=(root, number)) for number in range(16)]
    for one in processes:
        one.start()
    for one in processes:
        one.join()
    assert [one.exitcode for one in processes] == [0] * 16
"""
    code, _, err = run(tmp_path, script)
    assert code == 0, err
    for process in range(16):
        for thread in range(8):
            assert steps(tmp_path, p=process, t=thread) == list(range(200))
    assert statuses(tmp_path / "dash/e") == ["COMPLETED"] * 16
    assert len(list((tmp_path / "dash/e/files/data/frames").iterdir())) == 16
    ids = {row["id"] for row in rows(tmp_path / "dash/e", "files/index")}
    assert len(ids) == 16


SPAWN = """
import multiprocessing
def work(experiment, track, files, number):
    for step in range(200):
        track.append({"step": step, "w": number})
    experiment.log("from a child", w=number)
    experiment.metrics("m").log(step=number, loss=0.0)
    files.save_text("hello", to=f"{number}.txt")
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[2])
    with Experiment("e", dash_root=root, echo=False).run as experiment:
        handles = experiment, experiment.track("a"), experiment.files("texts")
        processes = [context.Process(target=work, args=(*handles, n)) for n in range(3)]
        for one in processes:
            one.start()
        for one in processes:
            one.join()
        assert [one.exitcode for one in processes] == [0] * 3
        assert experiment.run.status == "RUNNING"
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_join_the_run(tmp_path: Path, method: str) -> None:
    """Experiment and handles are taken along; children lose nothing and do not end the run."""
    code, _, err = run(tmp_path, SPAWN, method)
    assert code == 0, err
    for number in range(3):
        assert steps(tmp_path, w=number) == list(range(200))
    assert sorted(statuses(tmp_path / "dash/e")) == ["CLOSED"] * 3 + ["COMPLETED"]
    assert len(rows(tmp_path / "dash/e", "logs")) == 3
    names = {path.name for path in (tmp_path / "dash/e/files/data/texts").iterdir()}
    assert names == {"0.txt", "1.txt", "2.txt"}
    assert list((tmp_path / "dash/e/.buffer").glob("*.ring")) == []


LOADER = """
import torch
class Data(torch.utils.data.Dataset):
    def __init__(self, experiment):
        self.experiment = experiment
    def __len__(self):
        return 40
    def __getitem__(self, index):
        self.experiment.track("a").append({"step": index, "w": 0})
        return index
if __name__ == "__main__":
    with Experiment("e", dash_root=root, echo=False).run as experiment:
        loader = torch.utils.data.DataLoader(
            Data(experiment), batch_size=5, num_workers=2, multiprocessing_context=sys.argv[2]
        )
        seen = sorted(int(index) for batch in loader for index in batch)
        assert seen == list(range(40))
        experiment.track("a").append({"step": 40, "w": 0})
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_data_loader_may_hold_the_experiment(tmp_path: Path, method: str) -> None:
    """Workers of a torch DataLoader record from a dataset that holds the experiment."""
    code, _, err = run(tmp_path, LOADER, method)
    assert code == 0, err
    assert sorted(steps(tmp_path, w=0)) == list(range(41))
    assert statuses(tmp_path / "dash/e").count("COMPLETED") == 1


def test_a_killed_child_is_finished_by_its_parent(tmp_path: Path) -> None:
    """What a forked child left behind when it was killed is written when the run ends."""
    script = (
        OPEN
        + """
with experiment.run:
    child = os.fork()
    if child == 0:
        for step in range(100):
            experiment.track("a").append({"step": step, "w": 1})
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
"""
    )
    assert run(tmp_path, script)[0] == 0
    assert steps(tmp_path, w=1) == list(range(100))


@pytest.mark.parametrize("shift", [-3600, 86_400])
def test_a_stepped_clock_bends_nothing(tmp_path: Path, shift: int) -> None:
    """The system clock jumps during a run: timestamps go on as before, also in a child."""
    script = (
        OPEN
        + """
begun = time.time()
experiment.run.start()
for step in range(50):
    experiment.track("a").append({"step": step, "w": 0})
real = time.time
time.time = lambda: real() + int(sys.argv[2])
time.time_ns = lambda: int(time.time() * 1e9)
for step in range(50, 100):
    experiment.track("a").append({"step": step, "w": 0})
child = os.fork()
if child == 0:
    experiment.track("a").append({"step": 100, "w": 0})
    experiment.flush()
    os._exit(0)
os.waitpid(child, 0)
experiment.track("a").append({"step": 101, "w": 0})
experiment.run.complete()
time.time = real
print(begun, time.time())
"""
    )
    code, out, _ = run(tmp_path, script, shift)
    assert code == 0
    begun, ended = map(float, out.split())
    found = rows(tmp_path / "dash/e", "tracks/a")
    assert [row["step"] for row in found] == list(range(102))
    assert all(begun - 1 < row["timestamp"] < ended + 1 for row in found)


def test_a_fork_waits_for_no_thread_that_waits_for_the_fork(tmp_path: Path) -> None:
    """One that loads what it needs may want the lock of `logging`, which forks take, too."""
    code = """
import os, threading, time
from ml_dash import Experiment, lazy

lazy._PATIENCE = 30.0
Experiment("p/forked", echo=False)  # nothing else has imported `logging` yet
begun = threading.Event()

def load():
    with lazy._lock:
        begun.set()
        time.sleep(0.2)
        import logging
        logging.getLogger("some.module")

threading.Thread(target=load).start()
begun.wait()
before = time.monotonic()
child = os.fork()
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
print(time.monotonic() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 15
