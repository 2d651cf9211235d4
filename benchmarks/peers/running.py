"""One task of one logger: in a process of its own, ended or killed, then read back by another."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from benchmarks.peers.known import Peer

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent

_LONGEST = 120.0  # seconds for one process; a logger that takes longer has failed
_QUIET = 0.7  # seconds without a change in the folder, after which helpers are taken to be done
_PATIENCE = 15.0
_OFFLINE = "http://127.0.0.1:9"  # nobody listens there

Found = dict[str, Any]


def run(peer: Peer, python: Path, task: str, place: Path, seconds: float) -> Found:
    """What a logger reports of a task, and how much of it another process reads back.

    Args:
        peer: the logger.
        python: the interpreter that has it.
        task: one of `TASKS`; what ends in `-killed` is killed (SIGKILL) after its time.
        place: an empty folder.
        seconds: how long it records.

    Raises:
        subprocess.SubprocessError: a process failed or took too long.
        ValueError: it said nothing that can be read.
    """
    folder = place / "run"
    recorder = _Process(peer, python, place, task, folder, seconds)
    if task.endswith("-killed"):
        found: Found = {}
        recorder.kill(folder, seconds)
    else:
        found = recorder.result()
    settle(folder, recorder.group)
    return {**found, **_Process(peer, python, place, "read", folder, seconds).result()}


class _Process:
    """A logger's script at work."""

    def __init__(
        self, peer: Peer, python: Path, place: Path, task: str, folder: Path, seconds: float
    ) -> None:
        script = HERE / "scripts" / f"with_{peer.script}.py"
        self._running = subprocess.Popen(
            [str(python), str(script), task, str(folder), str(seconds), *peer.arguments],
            cwd=place,
            env=_environment(peer, place),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.group = self._running.pid

    def result(self) -> Found:
        """What it printed last, when it has ended."""
        try:
            printed, said = self._running.communicate(timeout=_LONGEST)
        except subprocess.TimeoutExpired:
            _end(self.group)
            self._running.communicate()
            raise
        if self._running.returncode:
            raise subprocess.CalledProcessError(self._running.returncode, "", printed, said)
        lines = printed.splitlines()
        found: Found = json.loads(lines[-1] if lines else "")
        return found

    def kill(self, folder: Path, seconds: float) -> None:
        """SIGKILL to the recording process alone, so long after its first row."""
        told, end = folder.with_suffix(".told"), time.monotonic() + _LONGEST
        while not (told.exists() and any(told.read_bytes())):
            if self._running.poll() is not None:
                self.result()
                raise ValueError("it ended before it was killed")
            if time.monotonic() > end:
                _end(self.group)
                raise subprocess.TimeoutExpired("", _LONGEST)
            time.sleep(0.01)
        time.sleep(seconds)
        self._running.kill()
        self._running.wait()
        for pipe in (self._running.stdout, self._running.stderr):
            if pipe is not None:
                pipe.close()


def settle(folder: Path, group: int) -> None:
    """Let helpers finish what they have: they outlive the process that was killed.

    Waits until none is left and the folder no longer changes, or for 15 seconds. Then it ends those
    that are still there.
    """
    end = time.monotonic() + _PATIENCE
    before, since = -1, time.monotonic()
    while time.monotonic() < end:
        size = _size(folder)
        if size != before:
            before, since = size, time.monotonic()
        if time.monotonic() - since >= _QUIET:
            break
        time.sleep(0.05)
    _end(group)


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except OSError:  # renamed or removed meanwhile
            pass
    return total


def _end(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # all gone; the latter is what macOS says
        pass


def _environment(peer: Peer, place: Path) -> dict[str, str]:
    """No network, no settings of the user, a home of its own; one thread for BLAS."""
    kept = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "SYSTEMROOT")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), _OFFLINE)
    environment |= dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), _OFFLINE)
    environment |= {"NO_PROXY": "localhost,127.0.0.1", "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}
    environment |= {"HOME": str(place), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    environment["ML_DASH_NO_VERSION_CHECK"] = "1"  # of the earlier one, which asks the network
    environment["SPAWNED"] = repr(time.monotonic())
    if not peer.packages:
        environment["PYTHONPATH"] = str(REPOSITORY)
    return environment
