"""Recorded vector environments: one stream of episodes for each sub-environment."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics
from scripts import rows
from vector_envs import Nested, Pixels, TensorWalks, Walk, same, walks

from ml_dash import Experiment, open_run
from ml_dash_gymnasium import RecordToDash, RecordVectorToDash, transitions

QUIET = {"echo": False, "environment": False}
MODES = list(AutoresetMode)
NUMBER = 3
SEED = 7


@pytest.fixture
def experiment(tmp_path: Path) -> Iterator[Experiment]:
    """A run that goes on."""
    experiment = Experiment("p/e", dash_root=tmp_path, **QUIET).run.start()
    yield experiment
    experiment.run.complete()


def stream(experiment: Experiment, topic: str) -> list[dict[str, Any]]:
    """The rows of a track in the order of their steps, without the time."""
    assert experiment.flush().ok
    assert experiment.folder is not None
    found = rows(experiment.folder, f"tracks/{topic}")
    for row in found:
        for name in ("timestamp", "frame", "duration"):
            row.pop(name, None)
    return sorted(found, key=lambda row: row.get("step", 0))


def pictures(experiment: Experiment, camera: str) -> list[tuple[int, bytes]]:
    """A camera's frames: the step and the file of each."""
    assert experiment.flush().ok
    assert experiment.folder is not None
    files = experiment.folder / "files/data" / camera
    found = [
        row for row in rows(experiment.folder, "files/index") if row["path"].startswith(camera)
    ]
    return sorted((row["step"], (files / Path(row["path"]).name).read_bytes()) for row in found)


def actions_of(env: gym.Space, number: int = 25) -> list[Any]:
    """Actions drawn anew at each call, and each time the same."""
    env.seed(5)
    return [env.sample() for _ in range(number)]


def drive(envs: VectorEnv, actions: list[Any], mode: AutoresetMode) -> list[tuple]:
    """Go through the actions, resetting where nobody else does; what came out."""
    out = [envs.reset(seed=SEED, options={"level": 1})]
    for action in actions:
        out.append(envs.step(action))
        done = np.asarray(out[-1][2]) | np.asarray(out[-1][3])
        if mode is AutoresetMode.DISABLED and done.any():
            out.append(
                envs.reset(seed=[11 + i for i in range(NUMBER)], options={"reset_mask": done})
            )
    return out


def drive_alone(env: gym.Env, i: int, actions: list[Any], mode: AutoresetMode) -> None:
    """What the vector environment does with its i-th one, but resets by the next step."""
    env.reset(seed=SEED + i, options={"level": 1})
    for action in actions:
        _, _, terminated, truncated, _ = env.step(action)
        if (terminated or truncated) and mode is AutoresetMode.SAME_STEP:
            env.reset()
        elif (terminated or truncated) and mode is AutoresetMode.DISABLED:
            env.reset(seed=11 + i)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("kind", [Walk, Nested])
def test_each_stream_is_that_of_the_environment_alone(
    experiment: Experiment, kind: type[Walk], mode: AutoresetMode
) -> None:
    """Whoever resets, rows, frames and summaries are those of the same environment by itself."""
    envs = RecordVectorToDash(SyncVectorEnv(walks(NUMBER, kind), autoreset_mode=mode), experiment)
    actions = actions_of(envs.action_space)
    drive(envs, actions, mode)
    split = [list(gym.vector.utils.iterate(envs.action_space, action)) for action in actions]
    envs.close()
    for i in range(NUMBER):
        env: gym.Env = kind()
        if mode is AutoresetMode.NEXT_STEP:
            env = gym.wrappers.Autoreset(env)
        env = RecordToDash(env, experiment, topic=f"alone/{i}")
        drive_alone(env, i, [action[i] for action in split], mode)
        env.close()
        recorded = stream(experiment, f"env/{i}/steps")
        expected = stream(experiment, f"alone/{i}/steps")
        assert len({row["episode"] for row in recorded}) > 3
        if mode is AutoresetMode.SAME_STEP:  # whose resets are the environment's, not the user's
            for row in expected[1:]:
                row |= {"begun": "autoreset"} if "begun" in row else {}
        assert recorded == expected
        assert stream(experiment, f"env/{i}/episodes") == stream(experiment, f"alone/{i}/episodes")
        if kind is Nested:
            assert pictures(experiment, f"env/{i}/obs/cam/front") == pictures(
                experiment, f"alone/{i}/obs/cam/front"
            )


def test_an_ignored_action_is_no_transition(experiment: Experiment) -> None:
    """After the end of an episode the next step's row is a first one, with what was ignored."""
    envs = RecordVectorToDash(SyncVectorEnv(walks(1)), experiment)
    actions = [np.array([3])] * 12
    out = drive(envs, actions, AutoresetMode.NEXT_STEP)
    envs.close()
    resets = [k for k in range(1, len(out) - 1) if out[k][2][0]]
    found = stream(experiment, "env/0/steps")
    assert [row["step"] for row in found if row.get("ended")] == [
        *resets,
        *([] if out[-1][2] else [12]),
    ]
    begun = [row for row in found if row.get("begun") == "autoreset"]
    assert [row["step"] for row in begun] == [k + 1 for k in resets]
    assert all(row["ignored_action"] == 3 and row["ignored_reward"] == 0 for row in begun)
    assert [row["obs"] for row in found] == [step[0][0].tolist() for step in out]


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("shared", [True, False])
def test_an_async_environment_records_what_a_sync_one_does(
    experiment: Experiment, mode: AutoresetMode, shared: bool
) -> None:
    """Workers, with and without shared memory, and nothing copied on the way."""
    options = {"copy": False, "autoreset_mode": mode}
    kind = Walk if mode is AutoresetMode.SAME_STEP else Pixels
    for topic, envs in (
        ("sync", SyncVectorEnv(walks(NUMBER, kind), **options)),
        ("async", AsyncVectorEnv(walks(NUMBER, kind), shared_memory=shared, **options)),
    ):
        recorded = RecordVectorToDash(envs, experiment, topic=topic, image_format="png")
        drive(recorded, actions_of(envs.action_space), mode)
        recorded.close()
    for i in range(NUMBER):
        assert stream(experiment, f"async/{i}/steps") == stream(experiment, f"sync/{i}/steps")
        if kind is Pixels:
            assert pictures(experiment, f"async/{i}/obs") == pictures(experiment, f"sync/{i}/obs")


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_what_goes_through_is_untouched(experiment: Experiment, mode: AutoresetMode) -> None:
    """Reset and step return the very objects that the environment did, infos included."""
    bare = SyncVectorEnv(walks(NUMBER), autoreset_mode=mode)
    inner = Watched(SyncVectorEnv(walks(NUMBER), autoreset_mode=mode))
    envs = RecordVectorToDash(inner, experiment)
    actions = actions_of(bare.action_space)
    expected, found = drive(bare, actions, mode), drive(envs, actions, mode)
    for left, right, given in zip(expected, found, inner.returned, strict=True):
        assert right is given
        assert same(left, right)
    assert [id(action) for action in inner.actions] == [id(action) for action in actions]
    envs.close()


class Watched(VectorWrapper):
    """Keeps what goes in and out."""

    def __init__(self, env: VectorEnv) -> None:
        super().__init__(env)
        self.returned: list[tuple] = []
        self.actions: list[Any] = []

    def reset(self, **arguments: Any) -> tuple:
        self.returned.append(super().reset(**arguments))
        return self.returned[-1]

    def step(self, actions: Any) -> tuple:
        self.actions.append(actions)
        self.returned.append(super().step(actions))
        return self.returned[-1]


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_transitions_are_those_that_happened(experiment: Experiment, mode: AutoresetMode) -> None:
    """Read back, they are what the environments returned, final observations included."""
    envs = RecordVectorToDash(SyncVectorEnv(walks(NUMBER), autoreset_mode=mode), experiment)
    actions = actions_of(envs.action_space)
    out = drive(envs, actions, mode)
    envs.close()
    assert experiment.flush().ok
    run = open_run(str(experiment.folder))
    for i in range(NUMBER):
        expected = happened(out, actions, i, mode)
        found = list(transitions(run, f"env/{i}"))
        assert len(expected) > 15
        # The last one is cut by the end, which is told as truncated.
        assert same([step[:5] for step in found], [step[:5] for step in expected])
        assert [step.truncated for step in found[:-1]] == [step[5] for step in expected[:-1]]


def happened(out: list[tuple], actions: list[Any], i: int, mode: AutoresetMode) -> list[tuple]:
    """The transitions of the i-th sub-environment, by gymnasium's rules."""
    found = []
    given = iter(actions)
    observation, over = None, False
    for step in out:
        if len(step) == 2:  # a reset; a masked one leaves the others as they were
            observation, over = step[0][i], False
            continue
        action, ignored = next(given)[i], over and mode is AutoresetMode.NEXT_STEP
        after, reward, terminated, truncated = (part[i] for part in step[:4])
        over = bool(terminated or truncated)
        if not ignored:
            within = over and mode is AutoresetMode.SAME_STEP
            following = step[4]["final_obs"][i] if within else after
            found.append((observation, action, reward, following, terminated, truncated))
        observation = after
    return found


def test_a_custom_environment_of_tensors_is_recorded(experiment: Experiment) -> None:
    """Tensors that are overwritten in place; infos of the whole batch; final observations."""
    envs = RecordVectorToDash(TensorWalks(4), experiment, env_ids=[1, 3])
    envs.reset(seed=5)
    for _ in range(5):
        envs.step(torch.full((4, 1), 0.5))
    envs.close()
    found = stream(experiment, "env/1/steps")  # of episodes of three steps
    assert [row["obs"] for row in found] == [
        [10, 0], [10.5, 1], [11, 2], [11.5, 3], [10, 0], [10.5, 1], [11, 2]
    ]  # fmt: skip
    assert [row.get("reward") for row in found] == [10.5, 11, 11.5, None, 10.5, 11, None]
    assert [row.get("ended") for row in found] == [
        None,
        None,
        None,
        "terminated",
        None,
        None,
        "close",
    ]
    assert (
        found[0] | {"seed": 5, "action": [0.5], "reset_info": {"fps": 30, "height": 10}} == found[0]
    )
    assert all(row["info"] == {"log": {"loss": 0.5}} for row in found if "reward" in row)
    assert {row["episode"] for row in stream(experiment, "env/3/steps")} == {0, 1, 2}
    assert not stream(experiment, "env/0/steps")


def test_a_final_observation_that_is_not_given_is_not_made_up(experiment: Experiment) -> None:
    """An environment that resets within the step and does not tell: the last row has none."""
    envs = RecordVectorToDash(TensorWalks(2, finals=False), experiment)
    envs.reset()
    for _ in range(3):
        envs.step(np.zeros((2, 1)))
    envs.close()
    found = stream(experiment, "env/0/steps")
    assert [row.get("obs") for row in found] == [[0, 0], [0, 1], None, [0, 0], [0, 1]]
    assert found[2]["ended"] == "terminated"
    assert found[1]["info"] == {"log": {"loss": 0.5}}
    assert "reset_info" not in found[3]


def test_only_the_chosen_cost_anything(experiment: Experiment) -> None:
    """As many calls for three of ten thousand as for three of thirty."""
    calls = []
    for number in (30, 10_000):
        env = TensorWalks(number, AutoresetMode.NEXT_STEP)
        envs = RecordVectorToDash(env, experiment, env_ids=[0, 7, 20], topic=f"of{number}")
        envs.reset()
        actions = np.zeros((number, 1), np.float32)
        for _ in range(4):
            envs.step(actions)
        counted = 0

        def count(*_: Any) -> None:
            nonlocal counted
            counted += 1

        sys.setprofile(count)
        try:
            envs.step(actions)
        finally:
            sys.setprofile(None)
        calls.append(counted)
        envs.close()
    assert 100 < calls[1] < 1.2 * calls[0]
    assert stream(experiment, "of10000/20/steps") == stream(experiment, "of30/20/steps") != []


def test_an_environment_that_says_nothing_about_resets_is_asked_about(
    experiment: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning, and gymnasium's default; or what the argument says."""
    for topic, given in (("assumed", None), ("told", "same_step")):
        env = TensorWalks(1, mode=None)
        envs = RecordVectorToDash(env, experiment, topic=topic, autoreset=given)
        envs.reset()
        for _ in range(4):
            envs.step(np.zeros((1, 1)))
        envs.close()
    assert [row["obs"][1] for row in stream(experiment, "assumed/0/steps")] == [0, 1, 0, 1, 0]
    assert [row["obs"][1] for row in stream(experiment, "told/0/steps")] == [0, 1, 2, 0, 1, 2]
    assert [record.message.count("autoreset='same_step'") for record in caplog.records] == [1]


def test_a_worker_that_forgets_a_reset_is_recorded_as_it_behaves(experiment: Experiment) -> None:
    """Without shared memory, gymnasium resets again what was done when the user reset it."""
    for topic, shared in (("forgets", False), ("notices", True)):
        inner = AsyncVectorEnv(walks(1), shared_memory=shared)
        envs = RecordVectorToDash(inner, experiment, topic=topic)
        envs.reset(seed=SEED)
        while not np.any(envs.step(np.array([3]))[2:4]):
            pass
        envs.reset(seed=SEED)
        after = envs.step(np.array([3]))
        envs.close()
        # As found in gymnasium 1.0 to 1.4: should that change, so must `vector_streams`.
        assert after[1][0] == (1.5 if shared else 0)
        last = stream(experiment, f"{topic}/0/steps")[-1]
        if shared:
            assert last["obs"] == after[0][0].tolist()
        else:  # an episode without a step leaves nothing
            assert last.get("ended")
            assert last["obs"] != after[0][0].tolist()


def test_calls_in_two_parts_are_recorded(experiment: Experiment) -> None:
    """`step_async` and `step_wait`, whose actions the user overwrites in between."""
    inner = AsyncVectorEnv(walks(NUMBER))
    envs = RecordVectorToDash(inner, experiment)
    envs.reset_async(seed=SEED, options={"level": 1})
    out = [envs.reset_wait(timeout=20)]
    buffer = np.zeros(NUMBER, int)
    actions = actions_of(envs.action_space)
    for action in actions:
        buffer[:] = action
        envs.step_async(buffer)
        buffer[:] = -1
        out.append(envs.step_wait())
    envs.close()
    plain = RecordVectorToDash(AsyncVectorEnv(walks(NUMBER)), experiment, topic="plain")
    expected = drive(plain, actions, AutoresetMode.NEXT_STEP)
    plain.close()
    assert all(same(left, right) for left, right in zip(out, expected, strict=True))
    for i in range(NUMBER):
        assert stream(experiment, f"env/{i}/steps") == stream(experiment, f"plain/{i}/steps")


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_rendered_frames_show_the_observations(
    experiment: Experiment, kind: str, mode: AutoresetMode
) -> None:
    """Of the chosen ones; the last observation has none where render shows the next episode."""
    makers = walks(NUMBER, render_mode="rgb_array")
    inner = {"sync": SyncVectorEnv, "async": AsyncVectorEnv}[kind](makers, autoreset_mode=mode)
    envs = RecordVectorToDash(inner, experiment, env_ids=[1], frames="render", image_format="png")
    drive(envs, actions_of(envs.action_space), mode)
    renders = inner.get_attr("renders")
    envs.close()
    assert experiment.flush().ok
    run = open_run(str(experiment.folder))
    assert run.cameras == ["env/1/render"]
    frames = run.frames("env/1/render")
    shades = {step: int(frames[k][0, 0, 0]) for k, step in enumerate(frames.steps)}
    for row in stream(experiment, "env/1/steps"):
        if mode is AutoresetMode.SAME_STEP and row.get("ended") not in (None, "close"):
            assert row["step"] not in shades
        else:
            assert shades[row["step"]] == int(row["obs"][0]) % 256
    if kind == "sync":  # the others are not even rendered
        assert renders[0] == renders[2] == 0


def test_frames_are_paced_and_episodes_chosen_for_each(experiment: Experiment) -> None:
    """`every` counts in the episode; `episode_trigger` is asked for each sub-environment."""
    envs = RecordVectorToDash(
        SyncVectorEnv(walks(2, Pixels)),
        experiment,
        every=2,
        episode_trigger=lambda episode: episode % 2 == 1,
    )
    drive(envs, actions_of(envs.action_space), AutoresetMode.NEXT_STEP)
    envs.close()
    for i in range(2):
        found = stream(experiment, f"env/{i}/steps")
        assert {row["episode"] % 2 for row in found} == {1}
        assert len({row["episode"] for row in found}) > 1
        steps = [step for step, _ in pictures(experiment, f"env/{i}/obs")]
        assert steps == [row["step"] for row in found if row["episode_step"] % 2 == 0]
        summaries = stream(experiment, f"env/{i}/episodes")
        assert [row["episode"] for row in summaries] == list(range(len(summaries)))


def test_statistics_and_lists_of_infos_are_kept(experiment: Experiment) -> None:
    """Wrappers inside: an `episode` at the end of one, and infos as a list of dicts."""
    inner = DictInfoToList(RecordEpisodeStatistics(SyncVectorEnv(walks(2))))
    envs = RecordVectorToDash(inner, experiment)
    drive(envs, actions_of(envs.action_space), AutoresetMode.NEXT_STEP)
    envs.close()
    for i in range(2):
        found = stream(experiment, f"env/{i}/steps")
        summaries = {row["episode"]: row for row in stream(experiment, f"env/{i}/episodes")}
        over = [row for row in found if row.get("terminated") or row.get("truncated")]
        assert len(over) > 3
        for row in over:
            told = row["info"]["episode"]
            assert told["r"] == summaries[row["episode"]]["return"]
            assert told["l"] == summaries[row["episode"]]["length"]
        assert all("episode" not in row.get("info", {}) for row in found if row not in over)


def test_gymnasiums_own_vector_environment_is_recorded(experiment: Experiment) -> None:
    """CartPole in one batch, as `make_vec` gives it; one seed for all of them."""
    inner = gym.make_vec("CartPole-v1", NUMBER, "vector_entry_point")
    envs = RecordVectorToDash(inner, experiment)
    actions = actions_of(envs.action_space, 80)
    out = drive(envs, actions, AutoresetMode.NEXT_STEP)
    envs.close()
    assert experiment.flush().ok
    run = open_run(str(experiment.folder))
    for i in range(NUMBER):
        expected = happened(out, actions, i, AutoresetMode.NEXT_STEP)
        found = list(transitions(run, f"env/{i}"))
        assert 70 < len(expected) < 80
        assert same([step[:5] for step in found], [step[:5] for step in expected])
        assert stream(experiment, f"env/{i}/steps")[0]["seed"] == SEED
