"""SIGKILL at random times: every row whose call had returned is there afterwards."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import struct
import time
from pathlib import Path

import orjson
import pytest
from scripts import start, wait_until

from ml_dash import Experiment, open_run
from ml_dash.reading import check_run

CELLS = 512
WRITERS = 3

# Three processes write one run; each says in a shared file how far its calls have returned.
SCRIPT = """
import mmap, random
import numpy as np
seed = int(sys.argv[2])
cells = memoryview(mmap.mmap(os.open(sys.argv[3], os.O_RDWR), 4096)).cast("Q")
choice = random.Random(seed)
topics = [f"t{i}" for i in range(choice.choice([1, 2, 30]))]
large = choice.random() < 0.6
images = choice.random() < 0.7

def write(experiment, writer):
    rows = random.Random(seed * 100 + writer)
    base = writer * 100
    step = 0
    while True:
        for number, topic in enumerate(topics):
            row = {"step": step, "w": writer, "x": step * 0.5}
            if large and rows.random() < 0.01:
                row["x"] = "y" * rows.randrange(100_000, 500_000)
            experiment.track(topic).append(row)
            cells[base + number] = step + 1
        experiment.metrics("m").log(step=step, w=writer, loss=0.5)
        cells[base + 50] = step + 1
        experiment.log("message", step=step, w=writer)
        cells[base + 51] = step + 1
        if images and step % 20 == 0:
            pixels = np.full((60, 80, 3), step % 256, np.uint8)
            path = f"frame_{writer}_{step:06d}." + ("png" if step % 40 else "jpg")
            experiment.files("frames").save_image(pixels, to=path)
        step += 1

experiment = Experiment("killed", dash_root=root, echo=False)
experiment.run.start()
children = []
for writer in range(1, 3):
    child = os.fork()
    if child == 0:
        write(experiment, writer)
    children.append(child)
print(*children, flush=True)
write(experiment, 0)
"""


def kill_while_writing(folder: Path, seed: int) -> list[int]:
    """Kill all three writers at a random moment; how far each of their streams had got."""
    cells = folder / "cells"
    cells.write_bytes(bytes(4096))
    process = start(folder, SCRIPT, seed, cells)
    children = [int(text) for text in process.stdout.readline().split()]
    deadline = time.monotonic() + 60
    while not all(read(cells)[writer * 100] for writer in range(WRITERS)):
        assert time.monotonic() < deadline, process.poll()
        time.sleep(0.01)
    choice = random.Random(seed)
    time.sleep(choice.random() * 0.5)
    victims = [*children, process.pid]
    choice.shuffle(victims)
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
        time.sleep(choice.choice([0, 0.02]))
    process.communicate()
    wait_until(lambda: all(map(is_gone, children)))
    return read(cells)


def is_gone(process: int) -> bool:
    """A killed process dies thread by thread when the kernel gets to it; then it is a zombie."""
    try:
        status = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return status[0] in "ZX" and status[17] in "01"
    except (FileNotFoundError, ProcessLookupError):
        return True


def read(cells: Path) -> list[int]:
    return list(struct.unpack(f"<{CELLS}Q", cells.read_bytes()))


def check_steps(rows: list[dict], returned: list[int], cell: int) -> None:
    """Of each writer all rows up to the returned one are there, in order, and at most one more."""
    for writer in range(WRITERS):
        steps = [row["step"] for row in rows if row["w"] == writer]
        assert steps == list(range(len(steps)))
        assert returned[writer * 100 + cell] <= len(steps) <= returned[writer * 100 + cell] + 1


@pytest.mark.parametrize("seed", range(50))
def test_rows_survive_sigkill(tmp_path: Path, seed: int) -> None:
    """No returned row is missing, no neighbour's row is harmed, every indexed file is whole."""
    returned = kill_while_writing(tmp_path, seed)
    folder = tmp_path / "dash/killed"
    run = open_run(folder)
    assert run.status == "INTERRUPTED"
    for number, topic in enumerate(sorted(run.tracks, key=lambda name: int(name[1:]))):
        check_steps(list(run.tracks[topic].rows()), returned, number)
    check_steps(list(run.metrics["m"].rows()), returned, 50)
    logs = [{**row.get("fields", {}), "step": row["step"]} for row in run.logs]
    check_steps(logs, returned, 51)
    check_files(folder)
    report = check_run(folder)
    assert not [finding for finding in report.findings if finding.severity == "error"], (
        report.findings
    )

    before = sum(len(run.tracks[topic]) for topic in run.tracks)
    with Experiment("killed", dash_root=tmp_path / "dash", echo=False).run as experiment:
        experiment.track("t0").append({"step": 0, "w": 9})
    again = open_run(folder)
    assert again.status == "COMPLETED"
    assert sum(len(again.tracks[topic]) for topic in again.tracks) == before + 1


def check_files(folder: Path) -> None:
    for segment in (folder / "files/index").glob("*.jsonl"):
        for line in segment.read_bytes().split(b"\n")[:-1]:
            try:
                row = orjson.loads(line)
            except ValueError:
                continue  # torn; its whole row is in a recovered segment
            data = (folder / "files/data" / row["data"]).read_bytes()
            assert len(data) == row["size"]
            assert hashlib.sha256(data).hexdigest() == row["sha256"]
