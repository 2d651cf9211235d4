"""Other loggers on the same work, each in a virtual environment of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.recording import Bench
from benchmarks.table import count, duration, markdown
from benchmarks.timing import interleave, median

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent

TASKS = ("rows", "images", "loop")

_SECONDS = 240  # for one task of one peer; a peer that takes longer has failed
_OFFLINE = "http://127.0.0.1:9"  # nobody listens there


@dataclass(frozen=True, slots=True)
class Peer:
    """A logger to compare with.

    Attributes:
        name: as the table shows it.
        script: how it is used: `with_<script>.py`.
        packages: what to install for it, in the versions that the script was written for; none
            for what runs in this interpreter.
    """

    name: str
    script: str
    packages: tuple[str, ...] = ()


PEERS = (
    Peer("floor: orjson, simplejpeg, plain files", "floor"),
    Peer("**ML-Dash**", "ml_dash"),
    Peer("ML-Dash 0.6.22", "ml_dash_earlier", ("ml-dash==0.6.22",)),
    Peer("mcap 1.6.0", "mcap", ("mcap==1.6.0",)),
    Peer("rerun 0.41.0", "rerun", ("rerun-sdk==0.41.0",)),
    Peer("trackio 0.43.0", "trackio", ("trackio==0.43.0",)),
    Peer("TensorBoard (tensorboardX 2.6.5)", "tensorboard", ("tensorboardX==2.6.5", "tensorboard")),
    Peer("wandb 0.31.0, offline", "wandb", ("wandb==0.31.0",)),
    Peer("MLflow 3.17.2, files", "mlflow", ("mlflow-skinny==3.17.2",)),
)

Found = dict[str, Any]


def compare(bench: Bench, say: Callable[[str], None]) -> str:
    """Let all of them do the same work in turns, and count what each lost; a table in Markdown."""
    failures: dict[str, str] = {}
    pythons: dict[str, Path] = {}
    for peer in PEERS:
        try:
            pythons[peer.script] = _python_of(peer, say)
        except (OSError, subprocess.SubprocessError) as error:
            failures[peer.name] = f"did not install: {_told(error)}"
    peers = [peer for peer in PEERS if peer.script in pythons]
    found: dict[str, dict[str, list[Found]]] = {peer.name: {} for peer in peers}
    for task in TASKS:

        def work(peer: Peer, task: str = task) -> Callable[[int], Found]:
            return lambda _: _run(bench, peer, pythons[peer.script], task, failures)

        for peer, rounds in zip(
            peers, interleave(bench.scale.rounds, *map(work, peers)), strict=True
        ):
            found[peer.name][task] = [result for result in rounds if result]
        say(f"peers, {task}: done")
    lines = [_line(peer.name, found[peer.name]) for peer in peers]
    notes = "\n".join(f"* {name}: {reason}" for name, reason in failures.items())
    return f"{_ABOUT}\n\n{markdown(_COLUMNS, lines)}\n\n{notes}".rstrip()


_COLUMNS = (
    "logger",
    "row of 4 scalars: p50",
    "rows/s durable",
    "CPU a row",
    "480x640 frame: p50",
    "frames/s durable",
    "CPU a frame",
    "NumPy loop with both, × bare",
    "lost",
)
_ABOUT = (
    "Other loggers on the same work, in turns with ours, each in a process of its own; medians."
    " Durable: until the run was closed. The loop multiplies two 200x200 matrices and records a row"
    " and a frame in each iteration, as fast as it goes (in brackets: until the run was closed);"
    " BLAS has one thread. Frames are JPEG of quality 85 unless said."
)


def _line(name: str, found: dict[str, list[Found]]) -> tuple[str, ...]:
    def figure(task: str, key: str, show: Callable[[float], str]) -> str:
        values = [result[key] for result in found[task]]
        return show(median(values)) if values else "–"

    pictures = {result["picture"] for result in found["images"]} - {"JPEG"}
    lost = sum(result["lost"] for results in found.values() for result in results)
    loop = figure("loop", "loop", "{:.2f}".format)
    return (
        name,
        figure("rows", "p50", duration),
        figure("rows", "rate", count),
        figure("rows", "cpu", duration),
        figure("images", "p50", duration) + "".join(f" ({picture})" for picture in pictures),
        figure("images", "rate", count),
        figure("images", "cpu", duration),
        f"{loop} ({figure('loop', 'closed', '{:.2f}'.format)})",
        f"**{lost:,}**" if lost else "0",
    )


def _run(bench: Bench, peer: Peer, python: Path, task: str, failures: dict[str, str]) -> Found:
    """What one peer reports of one task; empty when it failed, which is noted."""
    with bench.place() as place:
        script = HERE / f"with_{peer.script}.py"
        command = [python, script, task, place / "run", str(bench.scale.peer_seconds)]
        try:
            done = subprocess.run(
                command,
                cwd=place,
                env=_environment(peer, place),
                capture_output=True,
                text=True,
                check=True,
                timeout=_SECONDS,
                stdin=subprocess.DEVNULL,
            )
            found: Found = json.loads(done.stdout.splitlines()[-1])
        except (subprocess.SubprocessError, ValueError, IndexError) as error:
            failures.setdefault(peer.name, f"{task} failed: {_told(error)}")
            return {}
        return found


def _environment(peer: Peer, place: Path) -> dict[str, str]:
    """No network, no settings of the user, a home of its own; one thread for BLAS."""
    kept = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "SYSTEMROOT")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), _OFFLINE)
    environment |= dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), _OFFLINE)
    environment |= {"NO_PROXY": "localhost,127.0.0.1", "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}
    environment |= {"HOME": str(place), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    if not peer.packages:
        environment["PYTHONPATH"] = str(REPOSITORY)
    return environment


def _python_of(peer: Peer, say: Callable[[str], None]) -> Path:
    """The interpreter that has a peer; its environment is made when there is none yet."""
    if not peer.packages:
        return Path(sys.executable)
    folder = _cache() / peer.script
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    stamp = folder / "installed"
    wanted = "\n".join([sys.version, *peer.packages])
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    say(f"installing {', '.join(peer.packages)} into {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    command = [python, "-m", "pip", "install", "--quiet", "--no-input", "numpy", "pillow"]
    subprocess.run(
        [*command, *peer.packages], check=True, capture_output=True, text=True, timeout=900
    )
    stamp.write_text(wanted)
    return python


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ml-dash-benchmarks"


def _told(error: Exception) -> str:
    """The last thing that a process said, or the error."""
    said = getattr(error, "stderr", None) or ""
    lines = (said if isinstance(said, str) else said.decode(errors="replace")).strip().splitlines()
    return (lines[-1] if lines else f"{type(error).__name__}: {error}")[:300]
