"""The vector wrapper as a well-behaved wrapper, and `record`, which picks the class."""

from __future__ import annotations

import copy
import gc
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from scripts import rows, statuses
from vector_envs import Fails, Steady, TensorWalks, Walk, same, walks

import ml_dash_gymnasium
from ml_dash import Experiment, list_runs, open_run
from ml_dash_gymnasium import RecordToDash, RecordVectorToDash, record, vector

QUIET = {"echo": False, "environment": False}


@pytest.fixture
def experiment(tmp_path: Path) -> Iterator[Experiment]:
    """A run that goes on."""
    experiment = Experiment("p/e", dash_root=tmp_path, **QUIET).run.start()
    yield experiment
    experiment.run.complete()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where runs go that are made by a prefix."""
    monkeypatch.setenv("ML_DASH_ROOT", str(tmp_path))
    monkeypatch.setenv("ML_DASH_ECHO", "false")
    return tmp_path


def play(envs: VectorEnv, number: int = 12) -> list[tuple]:
    """Reset, and make some steps; what came out."""
    envs.action_space.seed(5)
    return [envs.reset(seed=7), *(envs.step(envs.action_space.sample()) for _ in range(number))]


def steps(experiment: Experiment, topic: str) -> list[dict[str, Any]]:
    """The rows of a sub-environment's steps."""
    assert experiment.flush().ok
    assert experiment.folder is not None
    return rows(experiment.folder, f"tracks/{topic}/steps")


def test_it_shows_the_environment_as_it_is(experiment: Experiment) -> None:
    """Spaces, number, spec, metadata, render mode, seeds, whatever else the environment has."""
    inner = gym.make_vec("CartPole-v1", 2, "sync", render_mode="rgb_array")
    envs = RecordVectorToDash(inner, experiment)
    for name in (
        *("num_envs", "observation_space", "action_space", "single_observation_space", "spec"),
        *("single_action_space", "metadata", "render_mode", "closed", "unwrapped", "envs", "copy"),
    ):
        assert getattr(envs, name) is getattr(inner, name), name
    envs.reset(seed=3)
    assert envs.np_random_seed == (3, 4)
    assert envs.get_attr("theta_threshold_radians") == envs.call("theta_threshold_radians")
    envs.set_attr("gravity", 5.0)
    assert inner.get_attr("gravity") == (5.0, 5.0)
    assert repr(envs) == f"<RecordVectorToDash, {inner}>"
    again = gym.make_vec(envs.spec)
    assert again.num_envs == 2
    again.close()
    envs.close()
    assert envs.closed
    with pytest.raises(AttributeError):
        _ = envs.step_async  # a SyncVectorEnv has none
    with pytest.raises(AttributeError):
        _ = envs._dash_nothing


def test_only_a_vector_environment_is_taken() -> None:
    """The base class refuses any other, as it does in all its wrappers."""
    with pytest.raises(TypeError, match="VectorEnv"):
        RecordVectorToDash(Walk(), "p/e")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"env_ids": [5]}, ValueError, "no sub-environment 5; this one has 2"),
        ({"frames": ["render"]}, ValueError, 'render_mode="rgb_array"'),
        ({"frames": "front"}, ValueError, "no camera 'front'"),
        ({"every": 0}, ValueError, "every is 0"),
        ({"quality": 101}, ValueError, "quality is 101"),
        ({"image_format": "gif"}, ValueError, "'jpg' or 'png'"),
        ({"episode_trigger": 10}, TypeError, "episode_trigger is 10"),
        ({"autoreset": "never"}, ValueError, "'next_step', 'same_step' or 'disabled'"),
        ({"topic": ""}, ValueError, "topic is ''"),
        ({"topic": "../x"}, ValueError, "topic '../x' has the component"),
        ({"experiment": 3}, TypeError, "experiment is a int"),
    ],
)
def test_a_misconfiguration_is_refused_at_once(options: Any, error: Any, message: str) -> None:
    """In the constructor, with a message that says what to do."""
    envs = SyncVectorEnv(walks(2))
    with pytest.raises(error, match=message):
        RecordVectorToDash(envs, **{"experiment": "p/e", **options})
    envs.close()
    gc.collect()  # what was not built says nothing when it goes


@pytest.mark.parametrize(
    "make",
    [
        lambda: gym.make_vec("CartPole-v1", 2),
        lambda: SyncVectorEnv([lambda: gym.make("CartPole-v1")] * 2),
    ],
)
def test_a_run_is_made_and_ended(root: Path, make: Any) -> None:
    """Without an experiment: named after the environment, begun at the first reset."""
    envs = RecordVectorToDash(make())
    assert not list(root.iterdir())
    play(envs)
    envs.close()
    envs.close()
    (run,) = list_runs(str(root))
    assert run.prefix.startswith("CartPole-v1/")
    assert run.status == "COMPLETED"
    assert sorted(run.tracks) == [
        f"env/{i}/{name}" for i in range(2) for name in ("episodes", "steps")
    ]


def test_an_experiment_of_the_users_is_left_open(experiment: Experiment) -> None:
    """Closing ends the episodes, not the run."""
    envs = RecordVectorToDash(SyncVectorEnv(walks(2)), experiment)
    play(envs)
    envs.close()
    assert experiment.run.status == "RUNNING"
    assert steps(experiment, "env/1")[-1]["ended"]


def test_one_that_was_never_used_leaves_nothing(root: Path) -> None:
    """Made and closed, it has touched no disk."""
    RecordVectorToDash(SyncVectorEnv(walks(2)), "p/e").close()
    assert not list(root.iterdir())


def test_close_passes_its_arguments_on(experiment: Experiment) -> None:
    """`close(terminate=True)` of an AsyncVectorEnv, with the last rows written before."""
    inner = AsyncVectorEnv(walks(2))
    envs = RecordVectorToDash(inner, experiment)
    play(envs, 3)
    envs.close(terminate=True)
    assert not any(process.is_alive() for process in inner.processes)
    assert steps(experiment, "env/0")[-1]["ended"]
    with pytest.raises(TypeError):
        RecordVectorToDash(TensorWalks(1), experiment).close(wrong=1)


@pytest.mark.parametrize("kind", [SyncVectorEnv, AsyncVectorEnv])
@pytest.mark.filterwarnings("ignore:.*Worker:UserWarning", "ignore:.*Raising:UserWarning")
@pytest.mark.filterwarnings("ignore:.*Traceback:UserWarning")
def test_an_exception_passes_and_what_was_recorded_stays(
    experiment: Experiment, kind: type[VectorEnv]
) -> None:
    """The third step fails: it raises as without the wrapper, and two transitions are there."""
    envs = RecordVectorToDash(kind(walks(2, Fails)), experiment)
    envs.reset(seed=1)
    actions = np.array([1, 2])
    envs.step(actions)
    envs.step(actions)
    with pytest.raises(ArithmeticError, match="the motor is gone"):
        envs.step(actions)
    if kind is AsyncVectorEnv:
        envs.close(terminate=True)
    else:
        envs.reset()
        envs.step(actions)
        envs.close()
    found = steps(experiment, "env/0")
    assert [row["reward"] for row in found if "reward" in row][:2] == [0.5, 0.5]
    assert next(row["ended"] for row in found if "ended" in row) in ("reset", "close")


def test_a_mask_is_read_before_the_environment_takes_it(experiment: Experiment) -> None:
    """It is gone from the user's dict afterwards, as without us; what else it has is recorded."""
    inner = SyncVectorEnv(walks(3), autoreset_mode=AutoresetMode.DISABLED)
    envs = RecordVectorToDash(inner, experiment)
    envs.reset(seed=[3, None, 4])
    options = {"reset_mask": np.array([False, True, True]), "level": 2}
    envs.reset(seed=9, options=options)
    assert options == {"level": 2}
    envs.step(np.array([1, 1, 1]))
    envs.close()
    first = [steps(experiment, f"env/{i}")[0] for i in range(3)]
    assert [row.get("seed") for row in first] == [3, 10, 11]
    assert [row.get("options") for row in first] == [None, {"level": 2}, {"level": 2}]


def test_two_of_one_run_are_never_mixed(experiment: Experiment) -> None:
    """With each other, and with single environments; a topic that is let go is continued."""
    first = RecordVectorToDash(SyncVectorEnv(walks(2, Steady)), experiment)
    second = RecordVectorToDash(SyncVectorEnv(walks(2, Steady)), experiment)
    alone = RecordToDash(Walk(), experiment)
    play(first, 5)
    play(second, 6)
    alone.reset()
    alone.step(1)
    for env in (first, second, alone):
        env.close()
    assert [row["step"] for row in steps(experiment, "env/0")] == list(range(6))
    assert [row["step"] for row in steps(experiment, "env-2/1")] == list(range(7))
    assert len(steps(experiment, "env")) == 2
    third = RecordVectorToDash(SyncVectorEnv(walks(2, Steady)), experiment)
    play(third, 3)
    third.close()
    assert [row["step"] for row in steps(experiment, "env/0")] == list(range(10))


def test_one_that_finds_its_topic_in_use_takes_none_of_it(experiment: Experiment) -> None:
    """All sub-environments of one lie below one base; what it did not get is free for others."""
    made = [
        RecordVectorToDash(SyncVectorEnv(walks(2, Steady)), experiment, env_ids=ids)
        for ids in ([1], None, [0])
    ]
    for number, envs in enumerate(made):
        play(envs, 3 + number)
    for envs in made:
        envs.close()
    assert len(steps(experiment, "env/1")) == 4
    assert [len(steps(experiment, f"env-2/{i}")) for i in range(2)] == [5, 5]
    assert len(steps(experiment, "env/0")) == 6


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda envs: pickle.loads(pickle.dumps(envs))])
def test_a_copy_records_for_itself(experiment: Experiment, copied: Any) -> None:
    """Before and after it was used; it goes on where the environment was."""
    envs = RecordVectorToDash(SyncVectorEnv(walks(2, Steady)), experiment)
    copied(envs).close()
    play(envs, 4)
    twin = copied(envs)
    actions = np.array([1, 1])
    assert same(list(twin.step(actions)), list(envs.step(actions)))
    twin.close()
    envs.close()
    assert len(steps(experiment, "env/0")) == 6
    assert steps(experiment, "env-2/0")[0]["begun"] == "step"


class Painted(TensorWalks):
    """Renders one picture of all, batches of pictures, or nothing but an error."""

    render_mode = "rgb_array"
    shape: tuple[int, ...] | None = None

    def render(self) -> Any:
        return np.zeros(self.shape, np.uint8)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("shape", "pictured"),
    [((4, 5, 3), [0]), ((2, 4, 5, 3), [0, 1]), ((2, 4, 5), [0, 1]), (("x",), [])],
)
def test_rendered_pictures_of_any_kind_are_kept(
    experiment: Experiment, shape: Any, pictured: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """One of all is kept once; of a batch each its own; no picture does no harm."""
    env = Painted(2)
    env.shape = shape
    envs = RecordVectorToDash(env, experiment, frames=["obs", "render"])
    play(envs, 2)
    envs.close()
    assert experiment.flush().ok
    run = open_run(str(experiment.folder))
    assert run.cameras == [f"env/{i}/render" for i in pictured]
    assert len(steps(experiment, "env/1")) >= 3
    assert len(caplog.records) == (not pictured)


class Strange(SyncVectorEnv):
    """Returns what no space allows."""

    def step(self, actions: Any) -> tuple:
        _, *rest, _ = super().step(actions)
        return object(), *rest, [None, object()]


def test_what_cannot_be_recorded_does_no_harm(
    experiment: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    """Batches that cannot be taken apart: said once, and all else is recorded."""
    envs = RecordVectorToDash(Strange(walks(2)), experiment)
    out = play(envs, 6)
    assert type(out[1][0]) is object
    envs.close()
    found = steps(experiment, "env/0")
    assert sum("reward" in row for row in found) > 2
    said = [record.message for record in caplog.records]
    assert sum("a batch of observations" in message for message in said) == 1
    assert sum("a batch of infos" in message for message in said) == 1


def test_recording_stops_quietly_when_the_run_has_ended(root: Path) -> None:
    """The training goes on; the episodes were ended with the run."""
    with Experiment("p/e", dash_root=root, **QUIET).run as experiment:
        envs = RecordVectorToDash(SyncVectorEnv(walks(2)), experiment)
        expected = SyncVectorEnv(walks(2))
        play(envs, 3)
    assert all(same(list(a), list(b)) for a, b in zip(play(envs), play(expected), strict=True))
    envs.close()
    assert experiment.folder is not None
    assert len(rows(experiment.folder, "tracks/env/0/steps")) == 4
    assert statuses(experiment.folder) == ["COMPLETED"]


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_make_vec_with_our_wrapper_in_each_environment(root: Path, mode: str) -> None:
    """All alike, on one run: each has a topic of its own."""
    envs = gym.make_vec(
        "CartPole-v1",
        3,
        vectorization_mode=mode,
        wrappers=(lambda env: RecordToDash(env, "p/e", frames=None),),
    )
    play(envs, 9)
    envs.close()
    (run,) = list_runs(str(root))
    topics = ["env/0", "env/1", "env/2"] if mode == "async" else ["env", "env/1", "env/2"]
    assert {track for track in run.tracks if "steps" in track} == {
        f"{topic}/steps" for topic in topics
    }
    seeds = [run.tracks[f"{topic}/steps"].rows() for topic in topics]
    assert [next(iter(found))["seed"] for found in seeds] == [7, 8, 9]
    assert {len(run.tracks[f"{topic}/steps"]) for topic in topics} == {10}


# -- record ------------------------------------------------------------------------------------


def test_record_picks_the_class(experiment: Experiment) -> None:
    """An environment, a vector environment; with the options of either."""
    single = record(Walk(), experiment, frames=None)
    assert type(single) is RecordToDash
    several = record(SyncVectorEnv(walks(3)), experiment, env_ids=[1])
    assert type(several) is RecordVectorToDash is vector.RecordToDash
    play(several, 2)
    several.close()
    single.close()
    assert len(steps(experiment, "env/1")) == 3
    assert {"record", "RecordVectorToDash"} <= set(ml_dash_gymnasium.__all__)


class VecEnv:
    """As that of Stable-Baselines3 looks."""

    def step(self) -> None:
        """Do nothing."""


VecEnv.__module__ = "stable_baselines3.common.vec_env.base_vec_env"


class OldEnv(VecEnv):
    """As those of gym look."""


VecEnv2 = type("Env", (), {"step": None, "__module__": "gym.core"})


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ("CartPole-v1", r"gymnasium\.make\('CartPole-v1'\)"),
        (Walk, "call it first"),
        (lambda: Walk(), "call it first"),
        ([Walk()], "SyncVectorEnv"),
        (VecEnv(), "make_vec_env"),
        (VecEnv2(), "shimmy"),
        (None, "not NoneType"),
    ],
)
def test_record_refuses_what_is_no_environment(env: Any, message: str) -> None:
    """And says what to do."""
    with pytest.raises(TypeError, match=message):
        record(env)


def test_record_refuses_options_of_the_other_class() -> None:
    """`env_ids` of a single environment; what is no option of either."""
    with pytest.raises(TypeError, match="env_ids is for vector environments"):
        record(Walk(), env_ids=[0])
    with pytest.raises(TypeError, match="wrong"):
        record(TensorWalks(1), wrong=1)
