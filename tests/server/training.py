"""Trainings in processes of their own that replicate as they go, and die when a test says so."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from .serving import Person

_TRAIN = """
import os, signal, sys, threading, time
from ml_dash import Experiment
prefix, root, url, fork = sys.argv[1:]
end = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), end.set()), daemon=True).start()
child = 0

def work(experiment, name):
    step, due = 0, 0.0
    while not end.is_set():
        experiment.track("robot/" + name).append({"step": step, "x": step / 3})
        if time.monotonic() > due:  # by time: on a slow machine a test lasts, but does not grow
            due = time.monotonic() + 0.1
            experiment.metrics("train").log(step=step, loss=1 / (step + 1))
            experiment.files("models").save_blob(os.urandom(2000), to=f"{name}{step % 64}.bin")
        if step % 400 == 10:
            experiment.files("models").save_blob(os.urandom(1_200_000), to=f"large-{name}.bin")
        step += 1
        time.sleep(0.003)

with Experiment(prefix, dash_root=root, dash_url=url, echo=False,
                environment=False).run as experiment:
    print("started", flush=True)
    if fork == "fork":
        child = os.fork()
        if child == 0:
            work(experiment, "child")
    work(experiment, "parent")
    if child:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
"""


class Training:
    """A process that records and replicates until it is told to end, or is killed.

    Args:
        prefix: the run's key.
        root: what its folder lies in.
        url: of the server, or of a proxy before it.
        person: whose token it has.
        fork: whether a child of it records, too.
    """

    def __init__(
        self, prefix: str, root: Path, url: str, person: Person, *, fork: bool = False
    ) -> None:
        self.prefix = prefix
        self.folder = root / prefix
        variables = {
            **os.environ,
            "ML_DASH_TOKEN": person.token,
            "ML_DASH_FLUSH_INTERVAL": "0.1",
        }
        script = [sys.executable, "-W", "ignore", "-c", _TRAIN]
        self._process = subprocess.Popen(
            [*script, prefix, str(root), url, "fork" if fork else "alone"],
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so that its children can be killed with it
        )

    def wait_for_start(self) -> None:
        """Wait until it records."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"started\n"

    def kill(self) -> None:
        """As `kill -9` does, of it and its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    def finish(self) -> int:
        """Let it come to its end, at which it kills its child; its exit code."""
        self._process.communicate(b"\n", timeout=120)
        return self._process.returncode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
