"""Runs the command line: in this process for speed, in one of its own for what only that shows."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment
from ml_dash.cli import main

SOURCE = Path(__file__).parents[1]

KILLED = """
import os, signal, sys
from ml_dash import Experiment

experiment = Experiment(sys.argv[1], dash_root=sys.argv[2], echo=False, environment=False)
experiment.run.start()
for step in range(100):
    experiment.track("robot/position").append({"step": step, "x": 0.5})
    experiment.log(f"message {step}")
os.kill(os.getpid(), signal.SIGKILL)
"""


@dataclass
class Printed:
    """What a command did."""

    code: int
    out: str
    err: str


def environ(**variables: str) -> dict[str, str]:
    """The environment without what would change the outcome, with `variables`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ML_DASH_", "PYTHON"))}
    for name in ("NO_COLOR", "COLUMNS", "LINES"):  # pytest-xdist sets the last two
        kept.pop(name, None)
    return {**kept, "PYTHONPATH": str(SOURCE), "TERM": "xterm", **variables}


def command(*arguments: object) -> list[str]:
    """`ml-dash` with arguments, as a command of this interpreter."""
    return [sys.executable, "-m", "ml_dash", *map(str, arguments)]


def process(*arguments: object, stdout: Any = subprocess.PIPE, **variables: str) -> Printed:
    """Run a command in a process of its own."""
    done = subprocess.run(
        command(*arguments),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=environ(**variables),
        timeout=120,
        check=False,
    )
    return Printed(done.returncode, (done.stdout or b"").decode(), done.stderr.decode())


def experiment(prefix: str, root: Path, **options: Any) -> Experiment:
    """A quiet experiment."""
    return Experiment(prefix, dash_root=root, echo=False, environment=False, **options)


def killed_run(prefix: str, root: Path) -> None:
    """A run of 100 rows and messages whose process was killed."""
    subprocess.run(
        [sys.executable, "-c", KILLED, prefix, str(root)], env=environ(), check=False, timeout=120
    )


class Line:
    """`line("whoami")` runs a command in this process, as it is."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def __call__(self, *arguments: object) -> Printed:
        """Run a command."""
        self._capture.readouterr()
        code = main([*map(str, arguments)])
        printed = self._capture.readouterr()
        return Printed(code, printed.out, printed.err)


class CommandLine(Line):
    """`cli("list")` runs a command below a root of the test's own."""

    def __init__(self, root: Path, capture: pytest.CaptureFixture[str]) -> None:
        super().__init__(capture)
        self.root = root

    def __call__(self, *arguments: object) -> Printed:
        """Run a command there."""
        return super().__call__(*arguments, "--root", self.root)


def isolate(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """Have the test in an empty folder, with nobody logged in; where the configuration will be."""
    from ml_dash.auth import store

    monkeypatch.setattr(store, "_keyring", lambda: None)
    for name in (*os.environ,):
        if name.startswith("ML_DASH_") or name in ("CI", "SSH_CONNECTION", "SSH_TTY"):
            monkeypatch.delenv(name)
    config = folder / "config" / "config.toml"
    monkeypatch.setenv("ML_DASH_CONFIG", str(config))
    monkeypatch.chdir(folder)
    return config
