"""Other loggers on the same work, each in a virtual environment of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks import machine
from benchmarks.peers import known
from benchmarks.peers.installing import python_of, told
from benchmarks.peers.known import Peer
from benchmarks.peers.running import Found, run
from benchmarks.recording import Bench
from benchmarks.timing import interleave

MEASURED = Path(__file__).with_name("measured.json")
"""What was found last: every figure that a page shows comes from it."""

_DIGITS = 5


@dataclass(slots=True)
class Measured:
    """What all of them were found to do.

    Attributes:
        machine: a sentence on what it was measured on, and when.
        seconds: how long each recorded in a round.
        rounds: how many rounds there were.
        found: by logger and task, what each round gave; empty where it failed.
        failures: by logger, why it is absent or a task of it is.
    """

    machine: str
    seconds: float
    rounds: int
    found: dict[str, dict[str, list[Found]]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def write(self, path: Path = MEASURED) -> None:
        """Keep it."""
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", "utf-8")

    @classmethod
    def read(cls, path: Path = MEASURED) -> Measured:
        """What was kept."""
        return cls(**json.loads(path.read_text("utf-8")))


def nothing(_: Measured) -> None:
    """Keep nothing."""


def compare(
    bench: Bench, say: Callable[[str], None], keep: Callable[[Measured], object] = nothing
) -> Measured:
    """Let all of them do the same work in turns, and count what each lost.

    Args:
        bench: where, and how much.
        say: told what is done.
        keep: given what is known so far after each task: all of it takes long.
    """
    scale = bench.scale
    about = machine.describe(bench.folder, scale.name)
    measured = Measured(about, scale.peer_seconds, scale.peer_rounds)
    pythons: dict[str, Path] = {}
    for peer in known.PEERS:
        try:
            pythons[peer.name] = python_of(peer.home, peer.packages, say)
        except (OSError, subprocess.SubprocessError) as error:
            measured.failures[peer.name] = f"did not install: {told(error)}"
    there = [peer for peer in known.PEERS if peer.name in pythons]
    measured.found = {peer.name: {task: [] for task in known.TASKS} for peer in there}
    for task in known.TASKS:
        works = [_work(bench, peer, pythons[peer.name], task, measured.failures) for peer in there]
        for peer, rounds in zip(there, interleave(scale.peer_rounds, *works), strict=True):
            measured.found[peer.name][task] = rounds
        keep(measured)
        say(f"peers, {task}: done")
    return measured


def _work(
    bench: Bench, peer: Peer, python: Path, task: str, failures: dict[str, str]
) -> Callable[[int], Found]:
    """A round of a logger: what it reports; empty when it failed, which is noted."""

    def work(number: int) -> Found:
        # Not always the same time after the last flush
        seconds = bench.scale.peer_seconds * (1 + 0.13 * number if "killed" in task else 1)
        try:
            with bench.place() as place:
                found = run(peer, python, task, place, seconds)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            failures.setdefault(peer.name, f"{task} failed: {told(error)}")
            return {}
        return {key: _short(value) for key, value in found.items()}

    return work


def _short(value: object) -> object:
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value
