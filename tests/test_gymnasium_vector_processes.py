"""Recorded environments inside the workers of an `AsyncVectorEnv`: never mixed, nothing lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scripts import rows, run, statuses

from ml_dash import open_run

SETUP = f"""
sys.path.insert(0, {str(Path(__file__).parent)!r})
import warnings
from functools import partial
import numpy as np
import gymnasium as gym
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from ml_dash_gymnasium import RecordToDash, RecordVectorToDash
from vector_envs import Fails, Pixels, Steady, Walk

QUIET = dict(dash_root=root, echo=False, environment=False)
os.environ.update(ML_DASH_ROOT=str(root), ML_DASH_ECHO="false")

def recorded(experiment, kind):
    return RecordToDash(kind(), experiment, image_format="png")

def drive(envs, number=20):
    envs.action_space.seed(5)
    envs.reset(seed=7)
    for _ in range(number):
        envs.step(envs.action_space.sample())

def vector(kind=Walk, number=3):
    how, given = sys.argv[2:4]
    experiment = Experiment("p/e", **QUIET)
    if given == "running":
        experiment.run.start()
    factory = partial(recorded, "p/e" if given == "prefix" else experiment, kind)
    return AsyncVectorEnv([factory] * number, context=how)

def walk(barrier):
    env = recorded("p/e", Steady)
    barrier.wait()
    env.reset(seed=1)
    for _ in range(6):
        env.step(1)
    barrier.wait()
    env.close()
"""

HOWS = [(how, given) for how in ("fork", "spawn") for given in ("prefix", "waiting", "running")]


def play(folder: Path, script: str, *arguments: str) -> tuple[int, str]:
    """Run a script; its exit code and what it said."""
    body = "".join(f"    {line}\n" for line in script.strip().splitlines())
    code, out, err = run(folder, f"{SETUP}\nif __name__ == '__main__':\n{body}", *arguments)
    return code, out + err


def stream(folder: Path, topic: str) -> list[dict[str, Any]]:
    """The rows of a track by step, without the time."""
    found = rows(folder / "dash/p/e", f"tracks/{topic}")
    for row in found:
        for name in ("timestamp", "frame", "duration"):
            row.pop(name, None)
    return sorted(found, key=lambda row: row["step"])


@pytest.mark.parametrize(("how", "given"), HOWS)
def test_each_worker_has_a_stream_of_its_own(tmp_path: Path, how: str, given: str) -> None:
    """As the vector wrapper would record them, frames included; no row of the parent's dummy."""
    script = """
envs = vector(Pixels)
drive(envs)
envs.close()
whole = RecordVectorToDash(SyncVectorEnv([Pixels] * 3), Experiment("p/w", **QUIET))
drive(whole)
whole.close()
"""
    code, said = play(tmp_path, script, how, given)
    assert code == 0, said
    assert "WARNING" not in said.upper()
    single, whole = open_run(str(tmp_path / "dash/p/e")), open_run(str(tmp_path / "dash/p/w"))
    assert single.tracks.keys() == whole.tracks.keys()
    assert single.status == "COMPLETED"
    assert not single.problems
    for i in range(3):
        left, right = (list(one.tracks[f"env/{i}/steps"].rows()) for one in (single, whole))
        assert [plain(row) for row in left] == [plain(row) for row in right]
        frames, expected = (one.frames(f"env/{i}/obs") for one in (single, whole))
        assert frames.steps.tolist() == expected.steps.tolist()
        assert (frames.to_numpy() == expected.to_numpy()).all()


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what differs between an environment alone and in a vector."""
    names = ("timestamp", "frame", "begun", "ignored_action", "ignored_reward")
    return {name: value for name, value in row.items() if name not in names}


ENDS = {
    "close": "envs.close()",
    "terminate": "envs.close(terminate=True)",
    "exit": "sys.exit(0)",
    "exception": "raise RuntimeError('the training fails')",
    "forgotten": "pass",
}


@pytest.mark.parametrize(
    ("how", "end"),
    [*(("fork", end) for end in ENDS), ("spawn", "terminate"), ("spawn", "forgotten")],
)
def test_nothing_is_lost_however_the_workers_end(tmp_path: Path, how: str, end: str) -> None:
    """Closed, terminated, left to the end of the parent: each row is there, the last one, too."""
    code, said = play(
        tmp_path, f"envs = vector(Steady)\ndrive(envs, 12)\n{ENDS[end]}", how, "prefix"
    )
    assert code == (1 if end == "exception" else 0), said
    for i in range(3):
        found = stream(tmp_path, f"env/{i}/steps")
        assert [row["step"] for row in found] == list(range(13))
        assert found[-1]["ended"] == "close"
    assert not open_run(str(tmp_path / "dash/p/e")).problems


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_a_worker_that_is_killed_loses_at_most_its_last_row(tmp_path: Path, how: str) -> None:
    """Rows whose step had returned are there; the last observation has no row yet."""
    script = """
envs = vector(Steady)
drive(envs, 12)
for process in envs.processes:
    process.kill()
    process.join()
os._exit(0)
"""
    code, said = play(tmp_path, script, how, "prefix")
    assert code == 0, said
    recovered = open_run(str(tmp_path / "dash/p/e"))
    for i in range(3):
        found = list(recovered.tracks[f"env/{i}/steps"].rows())
        assert [row["step"] for row in found] == list(range(12))
        assert all("reward" in row for row in found)


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_an_exception_in_a_worker_is_that_of_the_environment(tmp_path: Path, how: str) -> None:
    """It comes to the parent as without us; what was recorded before is there."""
    script = """
warnings.simplefilter("ignore")
envs = vector(Fails)
try:
    drive(envs)
except ArithmeticError as error:
    print("raised", error)
envs.close(terminate=True)
"""
    code, said = play(tmp_path, script, how, "prefix")
    assert code == 0, said
    assert "raised the motor is gone" in said
    recovered = open_run(str(tmp_path / "dash/p/e"))  # some are ended while they are closing
    for i in range(3):
        found = list(recovered.tracks[f"env/{i}/steps"].rows())
        assert sum("reward" in row for row in found) == 2
        assert found[-1]["ended"] == "close"


def test_a_vector_wrapper_in_a_forked_child_leaves_the_parents_streams_alone(
    tmp_path: Path,
) -> None:
    """Both go on after the fork: the child in topics of its own."""
    script = """
envs = RecordVectorToDash(SyncVectorEnv([Steady] * 2), Experiment("p/e", **QUIET))
drive(envs, 5)
child = os.fork()
actions = np.array([1, 1])
for _ in range(3 if child else 4):
    envs.step(actions)
envs.close()
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    code, said = play(tmp_path, script, "fork", "prefix")
    assert code == 0, said
    assert [row["step"] for row in stream(tmp_path, "env/1/steps")] == list(range(9))
    assert len(stream(tmp_path, "env-2/1/steps")) == 5
    assert "COMPLETED" in statuses(tmp_path / "dash/p/e")


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_processes_that_begin_at_once_have_streams_of_their_own(tmp_path: Path, how: str) -> None:
    """As in the vector environments of others, whose processes have no numbers in their names."""
    script = """
import multiprocessing
context = multiprocessing.get_context(sys.argv[2])
barrier = context.Barrier(4)
processes = [context.Process(target=walk, args=(barrier,), name=f"Some-{i}") for i in range(4)]
for process in processes:
    process.start()
for process in processes:
    process.join()
    assert process.exitcode == 0
"""
    code, said = play(tmp_path, script, how)
    assert code == 0, said
    found = open_run(str(tmp_path / "dash/p/e"))
    topics = ["env", "env/1", "env/2", "env/3"]
    assert sorted(found.tracks) == sorted(f"{t}/{k}" for t in topics for k in ("episodes", "steps"))
    for topic in topics:
        assert found.tracks[f"{topic}/steps"].steps.tolist() == list(range(7))
