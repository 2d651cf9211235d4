"""An outage costs no memory: what is not sent is on the disk, and nowhere else."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROWS = 200_000
ALLOWED = 4.0 if sys.platform == "linux" else 24.0
"""MiB that a process may grow by; elsewhere the file that it buffers in counts, too."""

_RECORD = """
import logging, resource, sys, threading
from ml_dash import Experiment

def held():
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) / 2**10

warned = threading.Event()
handler = logging.Handler()
handler.emit = lambda record: warned.set()
logging.getLogger("ml_dash").addHandler(handler)
root, url, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
with Experiment("memory/flat", dash_root=root, dash_url=url or False, echo=False,
                environment=False).run as experiment:
    track = experiment.track("robot/position")
    for step in range(rows + rows // 5):
        if step == rows // 5:  # from here on, what is needed is loaded and has been used
            experiment.flush()
            assert not url or warned.wait(60), "the replicator has seen that nobody answers"
            before = most = held()
        if step >= rows // 5 and step % 5_000 == 0:
            most = max(most, held())
        track.append({"step": step, "note": "x" * 100, "x": step / 7})
    experiment.flush()
    print(max(most, held()) - before)
"""


def growth(root: Path, url: str) -> float:
    """MiB by which a process grows while it records to a server that is not there, or to none."""
    done = subprocess.run(
        [sys.executable, "-c", _RECORD, str(root), url, str(ROWS)],
        env=os.environ | {"ML_DASH_FLUSH_INTERVAL": "0.05", "ML_DASH_CLOSE_TIMEOUT": "0.1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    written = sum(path.stat().st_size for path in root.rglob("tracks/**/*.jsonl"))
    assert written > 1.5 * ALLOWED * 2**20, "what it wrote would have been seen"
    return float(done.stdout)


@pytest.mark.parametrize("kind", ["local", "refused"])
def test_memory_stays_flat_while_the_server_is_down(tmp_path: Path, kind: str) -> None:
    """As that of a run without a server does, over 200,000 rows."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = "" if kind == "local" else f"http://127.0.0.1:{nobody.getsockname()[1]}"
        found = growth(tmp_path, url)
        assert found < ALLOWED, f"{found:.1f} MiB"
