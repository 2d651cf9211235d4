"""Runs Python scripts as processes of their own, for tests of how processes end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import orjson

PREAMBLE = """
import os, signal, sys, threading, time
from pathlib import Path
from ml_dash import Experiment
root = Path(sys.argv[1])
# A test that a shell runs in the background would hand down that Ctrl-C is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
"""


def start(folder: Path, script: str, *arguments: object, **environment: str) -> subprocess.Popen:
    """Start `script` with `folder` as its first argument; its output goes to pipes."""
    path = folder / "script.py"
    path.write_text(PREAMBLE + textwrap.dedent(script))
    return subprocess.Popen(
        [sys.executable, str(path), str(folder / "dash"), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        start_new_session=True,  # so that its children can be ended with it
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
    )


def finish(process: subprocess.Popen, timeout: float = 60) -> tuple[int, str, str]:
    """Wait for the end: exit code, stdout, stderr."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"the process hung\n{out}\n{err}") from None
    return process.returncode, out, err


def run(folder: Path, script: str, *arguments: object, **environment: str) -> tuple[int, str, str]:
    """Run `script` to its end."""
    return finish(start(folder, script, *arguments, **environment))


def wait_for_line(process: subprocess.Popen, text: str) -> None:
    """Wait until the process prints a line that contains `text`."""
    while line := process.stdout.readline():
        if text in line:
            return
    raise AssertionError(f"it ended without printing {text!r}: {process.stderr.read()}")


def rows(run_folder: Path, stream: str) -> list[dict]:
    """All rows of a stream by time; fails on a line that is not whole."""
    found = [
        orjson.loads(line)
        for path in sorted((run_folder / stream).glob("*.jsonl"))
        for line in path.read_bytes().splitlines()
    ]
    return sorted(found, key=lambda row: row["timestamp"])


def statuses(run_folder: Path) -> list[str]:
    """The statuses with which sessions ended."""
    return [row["status"] for row in rows(run_folder, "run") if row["event"] == "end"]


def wait_until(condition, timeout: float = 30.0) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
