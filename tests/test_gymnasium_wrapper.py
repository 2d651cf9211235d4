"""The wrapper: it changes nothing, survives everything, and owns its run when it was given none."""

import copy
import gc
import logging
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import closing
from functools import partial
from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import RecordEpisodeStatistics

import ml_dash
from ml_dash import Experiment, MemoryBackend
from ml_dash.reading import RunView
from ml_dash.recorder import Recorder
from ml_dash_gymnasium import (
    RecordToDash,
    endings,
    read_episodes,
    topics,
    transitions,
)
from ml_dash_gymnasium.episodes import EpisodeRecorder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of its own, which runs are kept in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ML_DASH_ROOT", raising=False)
    return tmp_path


@pytest.fixture
def memory():
    """A run in memory that has begun."""
    experiment = Experiment("rl/test", backend=MemoryBackend(), echo=False, environment=False)
    with experiment.run:
        yield experiment


def opened(experiment):
    """The run, for reading."""
    experiment.flush()
    return RunView(experiment.run.backend)


def only_run():
    """The one run below `.dash`."""
    (run,) = ml_dash.list_runs(".dash")
    return run


def cartpole(**options):
    """CartPole without the checker, which warns of what is no concern here."""
    return gym.make("CartPole-v1", disable_env_checker=True, **options)


def play(env, steps=40, seed=3):
    """What a policy sees: all that came out of an environment."""
    seen = []
    observation, info = env.reset(seed=seed)
    seen.append((observation.tolist(), info))
    for number in range(steps):
        *outcome, info = env.step(number % 2)
        seen.append((outcome[0].tolist(), *outcome[1:], info))
        if outcome[2] or outcome[3]:
            seen.append((env.reset()[0].tolist(), {}))
    return seen


def test_trajectories_are_those_of_the_bare_environment(memory):
    """With the same seed the same comes out, and random numbers of the program are left alone."""
    np.random.seed(5)
    before = np.random.get_state()[1].tolist()
    assert play(RecordToDash(cartpole(), memory)) == play(cartpole())
    assert np.random.get_state()[1].tolist() == before


class Silent(gym.Env):
    """Does nothing, and hands out one object for each thing it must give."""

    observation_space = spaces.Dict(x=spaces.Box(-1, 1, (2,)))
    action_space = spaces.Discrete(2)
    metadata: ClassVar = {"render_modes": ["rgb_array"]}

    def __init__(self, render_mode=None):
        self.render_mode = render_mode
        self.observation = {"x": np.zeros(2, np.float32)}
        self.info = {"object": object()}
        self.asked = []
        self.closed = 0
        self.secret = 1

    def reset(self, *, seed=None, options=None):
        self.asked.append((seed, options))
        return self.observation, self.info

    def step(self, action):
        if action is None:
            raise ZeroDivisionError("no action")
        return self.observation, 1.0, False, False, self.info

    def render(self):
        return np.zeros((8, 8, 3), np.uint8)

    def close(self):
        self.closed += 1


def test_objects_are_passed_on_untouched(memory):
    """The very objects come out, none is changed, and no seed is invented."""
    silent = Silent()
    env = RecordToDash(silent, memory)
    options = {"a": 1}
    observation, info = env.reset(options=options)
    assert observation is silent.observation and info is silent.info
    result = env.step(1)
    assert result[0] is silent.observation and result[4] is silent.info
    assert list(observation) == ["x"] and list(info) == ["object"]
    assert silent.asked == [(None, {"a": 1})] and silent.asked[0][1] is options


def test_attributes_pass_through_and_none_is_shadowed(memory):
    """What an environment or a wrapper offers is reached; ours all begin with `_dash_`."""
    env = RecordToDash(RecordEpisodeStatistics(Silent("rgb_array")), memory)
    assert env.render_mode == "rgb_array" and env.metadata == Silent.metadata
    assert env.unwrapped is env.env.env
    assert env.get_wrapper_attr("secret") == 1 and env.get_wrapper_attr("episode_count") == 0
    env.set_wrapper_attr("secret", 2)
    assert env.unwrapped.secret == 2 and "secret" not in vars(env)
    assert env.np_random is env.unwrapped.np_random
    with pytest.raises(AttributeError):
        _ = env._np_random
    inherited = set(dir(gym.Wrapper)) | set(vars(gym.Wrapper(Silent()))) | {"_saved_kwargs"}
    own = set(dir(env)) - inherited
    assert {name for name in own if not name.startswith(("_dash_", "__"))} == set()


@pytest.mark.filterwarnings("ignore:.*different from the unwrapped version:UserWarning")
@pytest.mark.filterwarnings("ignore:.*WARN.*:UserWarning")
def test_check_env_passes_and_leaves_little(memory):
    """Gymnasium's checker finds nothing; episodes without a step leave nothing."""
    env = RecordToDash(cartpole(render_mode="rgb_array"), memory)
    check_env(env, skip_render_check=True)
    env.close()
    assert sum(len(episode) for episode in read_episodes(opened(memory))) < 30


def test_the_spec_makes_the_environment_again(folder):
    """`gym.make(env.spec)` records a run of its own; the spec can be JSON."""
    env = RecordToDash(RecordEpisodeStatistics(cartpole()), frames=None, every=2)
    spec = gym.envs.registration.EnvSpec.from_json(env.spec.to_json())
    again = gym.make(spec)
    assert isinstance(again, RecordToDash) and str(again) == str(env)
    assert again.spec == env.spec
    for one in (env, again, again):
        play(one)
    env.close()
    again.close()
    lengths = [len(list(transitions(run))) for run in ml_dash.list_runs(".dash")]
    assert sorted(lengths) == [40, 80]


def test_an_environment_made_again_records_beside_the_first(memory):
    """Given the same run, the second one has a topic of its own."""
    env = RecordToDash(cartpole(), memory)
    again = gym.make(env.spec)
    play(env)
    play(again)
    play(env)
    env.close()
    third = RecordToDash(cartpole(), memory)
    play(third, steps=7)
    third.close()
    again.close()
    run = opened(memory)
    assert len(list(transitions(run, "env"))) == 87
    assert len(list(transitions(run, "env/1"))) == 40
    assert (np.diff(run.tracks["env/steps"]["step"]) > 0).all()
    numbers = [episode.number for episode in read_episodes(run)]
    assert numbers == list(range(len(numbers)))


def test_environments_that_differ_share_no_topic(memory):
    """Not even one after the other: their rows would mean different things."""
    for env_id in ("CartPole-v1", "MountainCar-v0", "CartPole-v1"):
        env = RecordToDash(gym.make(env_id, disable_env_checker=True), memory)
        env.reset(seed=1)
        env.step(1)
        env.close()
    run = opened(memory)
    assert [len(t.observation) for t in transitions(run)] == [4, 4]
    assert [len(t.observation) for t in transitions(run, "env/1")] == [2]


def test_a_continued_run_goes_on_counting(folder):
    """A second session's steps and episodes follow those of the first one."""
    for _ in range(2):
        env = RecordToDash(cartpole(), "rl/continued")
        play(env, steps=30)
        env.close()
    run = only_run()
    steps = run.tracks["env/steps"]["step"]
    assert (np.diff(steps) > 0).all()
    assert len(list(transitions(run))) == 60
    numbers = [episode.number for episode in read_episodes(run)]
    assert numbers == list(range(len(numbers)))


def test_a_run_that_was_removed_and_recorded_again_begins_anew(folder):
    """In one process, as in a notebook: with what its rows mean, and from step 0."""
    for _ in range(2):
        with Experiment("rl/again", echo=False).run as experiment:
            env = RecordToDash(cartpole(), experiment)
            play(env, steps=5)
            env.close()
        run = only_run()
        assert run.tracks["env/steps"]["step"].tolist() == list(range(6))
        assert len(list(transitions(run))) == 5
        shutil.rmtree(experiment.folder)


SESSION = """
import gymnasium as gym
from ml_dash_gymnasium import RecordToDash
env = RecordToDash(gym.make("CartPole-v1"), "rl/again")
env.reset(seed=1)
for _ in range(30):
    if any(env.step(1)[2:4]):
        env.reset()
env.close()
"""


def test_a_run_that_another_process_continues_goes_on_counting(folder):
    """As within one process; the first one is gone, so that its topic is free."""
    for _ in range(2):
        subprocess.run([sys.executable, "-c", SESSION], check=True, timeout=60)
    run = only_run()
    assert len(run.sessions) == 2 and sorted(run.tracks) == ["env/episodes", "env/steps"]
    assert (np.diff(run.tracks["env/steps"]["step"]) > 0).all()
    assert len(list(transitions(run))) == 60
    numbers = [episode.number for episode in read_episodes(run)]
    assert numbers == list(range(len(numbers)))


def test_a_run_that_is_continued_counts_episodes_that_were_not_recorded(folder):
    """Their numbers and steps, which only their summaries have, come no second time."""
    program = SESSION.replace('again")', 'again", episode_trigger=lambda n: n == 0)')
    assert program != SESSION
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    episodes = only_run().tracks["env/episodes"]
    assert episodes["episode"].tolist() == list(range(len(episodes)))
    assert (np.diff(episodes["first_step"]) > 0).all()
    assert (episodes["first_step"][1:] > episodes["last_step"][:-1]).all()


def test_nothing_is_made_before_the_first_reset(folder):
    """Making, pickling, copying and closing an environment leaves no trace."""
    env = RecordToDash(cartpole())
    copy.deepcopy(env).close()
    pickle.loads(pickle.dumps(env)).close()
    assert env.spec is not None
    env.close()
    env.close()
    assert list(folder.iterdir()) == []


def test_its_own_run_is_named_after_the_environment(folder):
    """It starts with the first reset and is completed by close, also by a second one."""
    env = RecordToDash(cartpole())
    env.reset(seed=1)
    assert only_run().status == "RUNNING"
    env.step(1)
    env.close()
    env.close()
    run = only_run()
    assert run.status == "COMPLETED" and run.prefix.startswith("CartPole-v1/")
    assert len(list(transitions(run))) == 1


@pytest.mark.parametrize("name", ["Aux", "nul.x", "Run", "..."])
def test_an_environment_may_be_called_as_no_run_can_be(folder, name):
    """Its own run is called otherwise."""
    env = RecordToDash(type(name, (Silent,), {})())
    env.reset()
    env.step(0)
    env.close()
    assert len(list(transitions(only_run()))) == 1


def test_a_run_that_was_given_goes_on_after_close(folder):
    """Who starts a run ends it."""
    with Experiment("rl/mine", echo=False).run as experiment:
        env = RecordToDash(cartpole(), experiment)
        play(env)
        env.close()
        assert experiment.run.status == "RUNNING"
        experiment.log("still here")


def test_an_experiment_that_was_not_started_is_started_and_ended(folder):
    """By the first of its environments, and the last one; and again."""
    experiment = Experiment("rl/later", echo=False)
    for _ in range(2):
        first, second = RecordToDash(cartpole(), experiment), RecordToDash(cartpole(), experiment)
        first.reset()
        second.reset()
        first.close()
        assert experiment.run.status == "RUNNING"
        second.step(1)
        second.close()
        assert experiment.run.status == "COMPLETED"
    run = only_run()
    assert sum(len(list(transitions(run, topic))) for topic in ("env", "env/1")) == 2


def test_a_run_that_was_ended_for_its_environments_is_shared_again(folder):
    """Whoever begins it anew: the last of them ends it, and not the first that is closed."""
    experiment = Experiment("rl/shared", echo=False)
    with closing(RecordToDash(cartpole(), experiment)) as env:
        env.reset()  # from now on it is theirs to begin and to end
    envs = [RecordToDash(cartpole(), experiment) for _ in range(2)]
    for env in envs:
        env.reset()
    experiment.run.complete()
    for env in envs:
        env.reset()
    envs[1].close()
    assert experiment.run.status == "RUNNING"
    envs[0].close()
    assert experiment.run.status == "COMPLETED"


def test_environments_of_one_prefix_share_one_session(folder):
    """Equal wrappers, as a vector environment makes them, each have a topic of the one run."""
    envs = [RecordToDash(cartpole(), "rl/several") for _ in range(3)]
    for env in envs:
        env.reset(seed=1)
    for env in envs:
        env.step(0)
        env.close()
    run = only_run()
    assert len(run.sessions) == 1 and run.status == "COMPLETED"
    assert [len(list(transitions(run, t))) for t in ("env", "env/1", "env/2")] == [1, 1, 1]


def test_exceptions_of_the_environment_pass_unchanged(memory):
    """What was recorded before is kept, and what comes after is not joined with it."""
    env = RecordToDash(Silent(), memory)
    env.reset()
    env.step(0)
    with pytest.raises(ZeroDivisionError, match=r"^no action$"):
        env.step(None)
    env.step(1)
    env.step(2)
    env.close()
    assert [t.action for t in transitions(opened(memory))] == [0, 2]


def test_the_with_block_tells_how_it_ended(folder):
    """An exception inside makes the wrapper's own run FAILED, Ctrl-C CANCELLED."""
    for error in (None, ValueError("too steep"), KeyboardInterrupt()):
        try:
            with RecordToDash(cartpole(), f"rl/{type(error).__name__}") as env:
                env.reset()
                env.step(1)
                if error:
                    raise error
        except (ValueError, KeyboardInterrupt):
            pass
    statuses = {run.prefix: run.status for run in ml_dash.list_runs(".dash")}
    assert statuses == {
        "rl/NoneType": "COMPLETED",
        "rl/ValueError": "FAILED",
        "rl/KeyboardInterrupt": "CANCELLED",
    }
    assert "too steep" in ml_dash.open_run("rl/ValueError").error


ENDINGS = {
    "env.step(1)": ("COMPLETED", 0),
    "env.step(1); raise ValueError('too steep')": ("FAILED", 1),
    "try:\n    raise ValueError('too steep')\nfinally:\n    env.close()": ("FAILED", 1),
    "try:\n    raise ValueError\nexcept ValueError:\n    env.close()": ("COMPLETED", 0),
    "raise KeyboardInterrupt": ("CANCELLED", -2),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_how_the_process_ends_is_how_its_run_ends(ending, folder):
    """Also when the environment was never closed, or closed on the way of an exception."""
    program = (
        "import gymnasium as gym\nfrom ml_dash_gymnasium import RecordToDash\n"
        "env = RecordToDash(gym.make('CartPole-v1'))\nenv.reset()\nenv.step(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program + ending], capture_output=True, timeout=60)
    status, code = ENDINGS[ending]
    assert done.returncode == code, done.stderr
    run = only_run()
    assert run.status == status
    (episode,) = read_episodes(run)
    assert episode.complete and episode.ended == "close"


def test_a_run_that_ends_first_has_the_last_row(folder):
    """The user's `with` block ends before the environment is closed."""
    with Experiment("rl/first", echo=False).run as experiment:
        env = RecordToDash(cartpole(), experiment)
        env.reset()
        env.step(1)
    env.step(0)
    env.close()
    (episode,) = read_episodes(only_run())
    assert len(episode) == 1 and episode.complete


@pytest.mark.parametrize("then", ["close", "reset", "step"])
@pytest.mark.parametrize("where", ["_write", "_look"])
def test_ctrl_c_while_a_step_is_recorded_doubles_no_row(folder, monkeypatch, where, then):
    """And no transition is made up: what came of the interrupted step is not known."""
    env = RecordToDash(cartpole(), "rl/hit")
    env.reset(seed=0)
    env.step(1)
    kept = getattr(EpisodeRecorder, where)

    def hit(*args):
        monkeypatch.setattr(EpisodeRecorder, where, kept)
        kept(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(EpisodeRecorder, where, hit)
    with pytest.raises(KeyboardInterrupt):
        env.step(0)
    for _ in range(2 if then == "step" else 0):
        env.step(1)
    if then == "reset":
        env.reset()
    env.close()
    rows = list(only_run().tracks["env/steps"].rows())
    steps = [(row["step"], row["episode_step"]) for row in rows]
    assert steps == [(t, t) for t in range(len(rows))]
    (episode,) = read_episodes(only_run())
    assert [int(action) for action in episode.actions] == [
        1,
        0,
        *([1, 1] if then == "step" else []),
    ]
    assert episode.complete is (then == "step")
    kinds = [
        (int(one.action), bool((one.observation == one.next_observation).all()))
        for one in episode.transitions()
    ]
    assert kinds == ([(1, False), (1, False)] if then == "step" else [(1, False)])


def test_an_environment_that_nobody_has_any_more_ends_its_episode(folder):
    """Made in a function that returns without closing it: its last row is there all the same."""
    with Experiment("rl/left", echo=False).run as experiment:

        def play():
            env = RecordToDash(cartpole(), experiment)
            env.reset()
            env.step(1)

        play()
        gc.collect()
        with closing(RecordToDash(cartpole(), experiment)) as env:  # whose topic is free again
            env.reset()
            env.step(0)
    first, second = read_episodes(only_run())
    assert first.complete and first.ended == "close" and second.complete


def test_an_environment_that_a_thread_of_ours_collects_is_closed_by_another(folder):
    """That thread writes files: it would wait for itself where there is no room for more."""
    with Experiment("rl/left", echo=False).run as experiment:

        def play():
            env = RecordToDash(cartpole(), experiment)
            env.reset()
            env.step(1)
            env.itself = env  # so that only the collector finds it

        gc.collect()
        gc.disable()
        try:
            play()
            thread = threading.Thread(target=gc.collect, name="ml-dash-files-0")
            thread.start()
            thread.join()
        finally:
            gc.enable()
        (left,) = endings._left
        assert left.live
        del left
    (episode,) = read_episodes(only_run())
    assert episode.complete and episode.ended == "close" and endings._left == []


def test_an_environment_goes_on_when_its_run_has_ended(folder, caplog):
    """That nothing is recorded any more is said once."""
    with Experiment("rl/ended", echo=False).run as experiment:
        env = RecordToDash(cartpole(), experiment)
    with caplog.at_level(logging.WARNING, "ml_dash"):
        for _ in range(3):
            env.reset()
            env.step(1)
    (record,) = caplog.records
    assert "has ended" in record.getMessage()
    experiment.run.start()
    env.reset()
    env.step(1)
    experiment.run.complete()
    assert len(list(transitions(only_run()))) == 1


def test_a_folder_that_cannot_be_written_stops_nothing(folder, caplog):
    """The environment is as it would be without us; what is wrong is said once."""
    (folder / ".dash").write_text("a file")
    env = RecordToDash(cartpole())
    with caplog.at_level(logging.WARNING, "ml_dash"):
        assert play(env) == play(cartpole())
    env.close()
    (record,) = caplog.records
    assert "could not be recorded" in record.getMessage()


def hostile(kind):
    """Something that nobody can store, copy or print."""

    def refuse(*_, **__):
        raise RuntimeError("hands off")

    return type(
        kind,
        (),
        {"__deepcopy__": refuse, "__repr__": refuse, "__array__": refuse, "__bool__": refuse},
    )()


class Odd(gym.Env):
    """Gives what environments should not."""

    observation_space = spaces.Box(-1, 1, (2,))
    action_space = spaces.Discrete(2)

    def __init__(self, observation=None, reward=1.0, info=None, flag=False):
        self.given = observation, reward, flag, flag, info

    def reset(self, *, seed=None, options=None):
        return self.given[0], self.given[4]

    def step(self, action):
        return self.given


LOOP = {}
LOOP["itself"] = LOOP

ODD = {
    "an object": {"observation": hostile("Observation")},
    "no observation": {"observation": None},
    "an info that holds itself": {"info": LOOP},
    "an info with keys that clash": {"info": {1: "a", "1": "b"}},
    "an info of objects": {"info": {"object": hostile("Info"), "array": np.array([object()])}},
    "no info": {"info": None},
    "an info that is no dict": {"info": np.zeros(3)},
    "NaN": {"observation": np.full(2, np.nan), "reward": float("inf")},
    "rewards of two objectives": {"reward": np.array([1.0, 2.0])},
    "no reward": {"reward": None},
    "flags as arrays": {"flag": np.array([False, False])},
    "a flag that is none": {"flag": hostile("Flag")},
    "a text": {"observation": "left", "reward": "much"},
}


@pytest.mark.parametrize("what", ODD)
def test_what_environments_should_not_give_harms_nobody(memory, what):
    """It comes out as it went in, and there is a row of it."""
    odd = Odd(**ODD[what])
    env = RecordToDash(odd, memory)
    assert env.reset(options=LOOP)[0] is odd.given[0]
    for _ in range(3):
        assert env.step(1) is odd.given
    env.step(hostile("Action"))
    env.close()
    rows = list(opened(memory).tracks["env/steps"].rows())
    assert [row.get("action") for row in rows[:3]] == [1, 1, 1] and len(rows) == 5


def test_rewards_of_several_objectives_are_summed_each(memory):
    """The return is an array, too."""
    env = RecordToDash(Odd(np.zeros(2), np.array([1.0, 2.0]), {}), memory)
    env.reset()
    env.step(1)
    env.step(1)
    env.close()
    run = opened(memory)
    assert [t.reward for t in transitions(run)] == [[1, 2], [1, 2]]
    assert run.tracks["env/episodes"]["return"].tolist() == [[2, 4]]


def test_an_old_environment_fails_as_it_would(memory):
    """Four values instead of five are passed on for the next one to complain about."""

    class Old(Silent):
        def step(self, action):
            return 1, 2, 3, 4

    env = RecordToDash(Old(), memory)
    env.reset()
    assert env.step(0) == (1, 2, 3, 4)


def test_a_trigger_that_fails_records_the_episode(memory):
    """The user's own function never stops the training."""
    env = RecordToDash(cartpole(), memory, episode_trigger=lambda episode: 1 / 0)
    env.reset()
    env.step(1)
    env.close()
    assert len(list(transitions(opened(memory)))) == 1


def test_a_render_that_fails_costs_only_its_frame(memory):
    """Rows are whole, and the environment goes on."""

    class Blind(Silent):
        def render(self):
            raise OSError("no screen")

    env = RecordToDash(Blind("rgb_array"), memory, frames="render")
    env.reset()
    env.step(1)
    env.close()
    assert len(list(transitions(opened(memory)))) == 1 and not opened(memory).cameras


WRONG = [
    ({"frames": "render"}, ValueError, "render_mode='rgb_array'"),
    ({"frames": "front"}, ValueError, "no camera 'front'.*'obs', 'render'"),
    ({"frames": 3}, TypeError, "'obs', 'render', a list"),
    ({"every": 0}, ValueError, "whole number from 1"),
    ({"every": 1.5}, ValueError, "whole number from 1"),
    ({"episode_trigger": 5}, TypeError, "function of an episode's number"),
    ({"image_format": "gif"}, ValueError, "'jpg' or 'png'"),
    ({"quality": 0}, ValueError, "from 1 to 100"),
    ({"experiment": 5}, TypeError, "an Experiment, the prefix"),
    ({"experiment": "../x"}, ValueError, "prefix"),
    ({"topic": ""}, ValueError, "a name, such as 'env'"),
    ({"topic": "../x"}, ValueError, "topic '../x' has the component '..'; leave it out"),
    ({"topic": "a//b"}, ValueError, "topic 'a//b' has an empty component"),
    (
        {"topic": "arm/aux"},
        ValueError,
        "'arm/aux' has the component 'aux', which is a device",
    ),
    ({"topic": "x" * 300}, ValueError, "more than the 255"),
]


@pytest.mark.parametrize(("options", "error", "text"), WRONG)
def test_a_wrong_argument_is_refused_with_the_remedy(options, error, text):
    """In the constructor, before any training."""
    with pytest.raises(error, match=text):
        RecordToDash(Silent(), **options)


@pytest.mark.parametrize("topic", ["run", "tracks/metrics", "/Arm é/left/"])
def test_a_topic_may_be_called_as_a_folder_of_runs_is(memory, topic):
    """Only prefixes of runs may not: topics lie one floor below."""
    with closing(RecordToDash(Silent(), memory, topic=topic)) as env:
        env.reset()
        env.step(0)
    assert len(opened(memory).tracks[f"{topic.strip('/')}/steps"]) == 2


@pytest.mark.parametrize("mode", ["human", "ansi", "rgb_array_list", None])
def test_only_modes_that_give_arrays_are_rendered(mode):
    """Of a list, rendering would take the pictures that the user collects."""
    with pytest.raises(ValueError, match="renders arrays"):
        RecordToDash(Silent(mode), frames="render")


def test_a_vector_environment_is_refused(folder):
    """The message names what there is for it."""
    with (
        closing(gym.make_vec("CartPole-v1", 2, vectorization_mode="sync")) as env,
        pytest.raises(TypeError, match="RecordVectorToDash"),
    ):
        RecordToDash(env)


def test_a_pickled_environment_begins_a_recording_of_its_own(folder):
    """In mid-episode, too; the first one goes on."""
    env = RecordToDash(cartpole(), "rl/pickled")
    env.reset(seed=1)
    env.step(1)
    again = pickle.loads(pickle.dumps(env))
    assert again.step(0)[0].tolist() == env.step(0)[0].tolist()
    again.step(1)
    env.close()
    again.close()
    run = only_run()
    assert [len(episode) for episode in read_episodes(run)] == [2]
    assert [len(episode) for episode in read_episodes(run, "env/1")] == [2]


def test_a_copy_records_beside_the_original(memory):
    """Copies are independent, as those of the bare environment are."""
    env = RecordToDash(cartpole(), memory)
    env.reset(seed=1)
    again = copy.deepcopy(env)
    assert again.unwrapped is not env.unwrapped
    again.reset(seed=2)
    again.step(1)
    env.step(1)
    env.close()
    again.close()
    run = opened(memory)
    assert len(list(transitions(run))) == 1 and len(list(transitions(run, "env/1"))) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_records_beside_its_parent(folder):
    """It begins a topic of its own, and the parent's episode stays whole.

    What the child has seen last, in the parent, is not known of its first step.
    """
    with Experiment("rl/forked", echo=False).run as experiment:
        env = RecordToDash(cartpole(), experiment)
        env.reset(seed=1)
        env.step(0)
        child = multiprocessing.get_context("fork").Process(target=_in_child, args=(env,))
        child.start()
        child.join(60)
        assert child.exitcode == 0
        env.step(1)
        env.close()
    run = only_run()
    assert [t.action for t in transitions(run)] == [0, 1]
    assert [t.action for t in transitions(run, "env/1")] == [1, 1, 0, 0]
    assert run.status == "COMPLETED"


def _in_child(env):
    for action in (1, 1, 1):
        env.step(action)
    env.reset()
    for action in (0, 0):
        env.step(action)
    env.close()


@pytest.mark.parametrize("context", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_environments_in_workers_are_never_mixed(context, folder, monkeypatch):
    """Each worker of an AsyncVectorEnv records the topic of its environment's number."""
    # One environment is made in this process, too: what that sets is set back afterwards.
    monkeypatch.setenv("ML_DASH_ROOT", str(folder / ".dash"))
    make = partial(make_recorded, str(folder / ".dash"))
    with closing(gym.vector.AsyncVectorEnv([make] * 2, context=context)) as envs:
        envs.reset(seed=5)
        for _ in range(30):
            envs.step(np.array([0, 1]))
    run = only_run()
    assert sorted(run.tracks) == ["env/0/episodes", "env/0/steps", "env/1/episodes", "env/1/steps"]
    for index in (0, 1):
        found = list(transitions(run, f"env/{index}"))
        assert {t.action for t in found} == {index} and len(found) > 25
        assert next(read_episodes(run, f"env/{index}")).seed == 5 + index


def make_recorded(root):
    """A recorded CartPole, in a worker."""
    os.environ["ML_DASH_ROOT"] = root
    return RecordToDash(cartpole(), "rl/workers")


def test_other_recorders_join_the_step_of_the_observation(memory):
    """What is recorded inside a step, and after it, is of the observation that it leads to."""

    class Telling(Silent):
        def step(self, action):
            recorder.record(tracks={"inside": {"action": action}})
            return super().step(action)

    recorder, later = memory.recorder(), memory.recorder()
    env = RecordToDash(Telling(), memory)
    env.reset()
    later.record(tracks={"outside": {"x": 0}})
    for action in (1, 0):
        env.step(action)
        later.record(tracks={"outside": {"x": action}})
    env.close()
    run = opened(memory)
    assert run.tracks["inside"]["step"].tolist() == [1, 2]
    assert run.tracks["outside"]["step"].tolist() == [0, 1, 2]
    aligned = run.aligned("env/steps", "inside", "outside")
    assert len(aligned) == 3 and set(aligned.report.without.values()) <= {0, 1}


def test_a_step_that_the_user_opened_is_joined(memory):
    """The user's own numbers are those of the rows."""
    recorder = memory.recorder()
    env = RecordToDash(Silent(), memory)
    with recorder.step(100):
        env.reset()
    for number in (101, 102):
        with recorder.step(number):
            env.step(0)
    env.reset()
    env.step(0)
    env.close()
    assert opened(memory).tracks["env/steps"]["step"].tolist() == [100, 101, 102, 103, 104]


def test_frames_of_nested_observations_come_back(memory):
    """Two cameras, depth and a vector, through files and rows, as the environment gave them."""

    class Robot(gym.Env):
        observation_space = spaces.Dict(
            cam=spaces.Dict(
                front=spaces.Box(0, 255, (40, 48, 3), np.uint8),
                side=spaces.Box(0, 255, (3, 40, 48), np.uint8),
            ),
            depth=spaces.Box(0, 65535, (40, 48), np.uint16),
            stack=spaces.Box(0, 255, (4, 36, 36), np.uint8),
            joints=spaces.Tuple([spaces.Box(-1, 1, (6,)), spaces.Discrete(4)]),
        )
        action_space = spaces.Box(-1, 1, (2,))

        def reset(self, *, seed=None, options=None):
            self.observation_space.seed(3)
            return self.observation_space.sample(), {}

        def step(self, action):
            return self.observation_space.sample(), 0.5, False, False, {}

    env = RecordToDash(Robot(), memory, image_format="png")
    env.action_space.seed(1)
    seen, actions = [env.reset()[0]], []
    for _ in range(3):
        actions.append(env.action_space.sample())
        seen.append(env.step(actions[-1])[0])
    env.close()
    run = opened(memory)
    assert sorted(run.cameras) == [
        "env/obs/cam/front",
        "env/obs/cam/side",
        "env/obs/depth",
        "env/obs/stack",
        "env/obs/stack_earlier",
    ]
    assert len(run.frames("env/obs/stack")) == len(seen), "without those of the camera beside it"
    (episode,) = read_episodes(run)
    np.testing.assert_equal(episode.observations, seen)
    np.testing.assert_equal(episode.actions, actions)
    aligned = run.aligned("env/steps", frames=["env/obs/cam/front", "env/obs/depth"])
    assert aligned.report.frames_without_row == aligned.report.rows_without_frame == 0


class Cameras(gym.Env):
    """Two pictures, one called as a device of Windows, and an info with a list."""

    image = spaces.Box(0, 255, (40, 48, 3), np.uint8)
    observation_space = spaces.Dict(front=image, aux=image)
    action_space = spaces.MultiDiscrete([3, 3])

    def reset(self, *, seed=None, options=None):
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.5, False, False, {"list": [1, 2]}


def two_steps(experiment):
    """What the cameras saw in two steps."""
    env = RecordToDash(Cameras(), experiment, image_format="png")
    seen = [env.reset(seed=3)[0], *(env.step([1, 2])[0] for _ in range(2))]
    env.close()
    return seen


def test_a_picture_named_as_a_device_of_windows_is_recorded(memory, caplog):
    """With all the others, and without a warning."""
    seen = two_steps(memory)
    run = opened(memory)
    assert sorted(run.cameras) == ["env/obs/front", "env/obs/~aux"]
    (episode,) = read_episodes(run)
    np.testing.assert_equal(episode.observations, seen)
    assert episode.infos == [{"list": [1, 2]}] * 2 and not caplog.records


def test_frames_that_cannot_be_recorded_are_told_once_and_cost_nothing_else(
    memory, caplog, monkeypatch
):
    """The rows stay what they are."""

    def fail(*_):
        raise RuntimeError("no pictures today")

    monkeypatch.setattr(Recorder, "_snapshots", fail)
    two_steps(memory)
    run = opened(memory)
    (episode,) = read_episodes(run)
    assert not run.cameras and episode.infos == [{"list": [1, 2]}] * 2
    assert [list(action) for action in episode.actions] == [[1, 2]] * 2
    (record,) = caplog.records
    assert "no pictures today" in record.getMessage()


def test_a_picture_beyond_its_bounds_is_told_once(memory, caplog):
    """Its frame has the nearest colours, from which the numbers do not come back."""
    env = Cameras()
    env.observation_space = spaces.Box(0, 255, (40, 48, 3), np.uint8)
    env.reset = lambda **_: (np.full((40, 48, 3), 300.0), {})
    env = RecordToDash(env, memory)
    env.reset()
    env.reset()
    env.close()
    (record,) = caplog.records
    assert "camera 'obs' was given numbers that are not of its space" in record.getMessage()


@pytest.mark.parametrize("frames", ["obs", ["obs"]])
def test_a_stack_of_pictures_comes_back_whole(memory, frames):
    """By its only camera's name, too: the earlier pictures go with it."""

    class Stack(Silent):
        observation_space = spaces.Box(0, 255, (4, 40, 48), np.uint8)

        def reset(self, *, seed=None, options=None):
            self.observation = np.stack([np.full((40, 48), k, np.uint8) for k in range(4)])
            return self.observation, {}

    env = RecordToDash(Stack(), memory, frames=frames, image_format="png")
    env.reset()
    env.step(0)
    env.close()
    run = opened(memory)
    assert {name: len(run.frames(name)) for name in run.cameras} == {
        "env/obs": 2,
        "env/obs_earlier": 2,
    }
    (one,) = transitions(run)
    assert np.array_equal(one.observation, env.unwrapped.observation)
    for step, picture in enumerate(run.frames("env/obs_earlier")):  # where they were before
        name = f"frame_{step:08d}.png"
        memory.files("env/obs/earlier").save_image(picture, to=name, step=step)
        memory.files("env/obs_earlier").delete(name)
    (again,) = transitions(opened(memory))
    assert np.array_equal(again.observation, one.observation)


def test_depth_and_transparency_are_never_spoilt_by_a_jpeg(memory):
    """They are PNG beside the JPEG of the others, and rows find both."""

    class Camera(gym.Env):
        observation_space = spaces.Tuple(
            [spaces.Box(0, 65535, (40, 48), np.uint16), spaces.Box(0, 255, (40, 48, 3), np.uint8)]
        )
        action_space = spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            return self.observation_space.sample(), {}

        def step(self, action):
            return self.observation_space.sample(), 0.5, False, False, {}

    env = RecordToDash(Camera(), memory)
    seen = [env.reset()[0], env.step(0)[0]]
    env.close()
    run = opened(memory)
    assert [path.rpartition(".")[2] for path in run.frames("env/obs/0").names] == ["png", "png"]
    assert [path.rpartition(".")[2] for path in run.frames("env/obs/1").names] == ["jpg", "jpg"]
    (episode,) = read_episodes(run)
    for given, found in zip(seen, episode.observations, strict=True):
        assert np.array_equal(given[0], found[0]) and found[1].shape == (40, 48, 3)
    aligned = run.aligned("env/steps", frames=["env/obs/0", "env/obs/1"])
    assert aligned.report.frames_without_row == aligned.report.rows_without_frame == 0


def test_only_the_cameras_chosen_are_recorded(memory):
    """By their short name; the others' pictures are nowhere."""
    space = spaces.Dict(
        a=spaces.Box(0, 255, (40, 48, 3), np.uint8), b=spaces.Box(0, 255, (40, 48, 3), np.uint8)
    )

    class Two(Silent):
        observation_space = space

        def __init__(self):
            super().__init__("rgb_array")
            self.observation = space.sample()

    env = RecordToDash(Two(), memory, frames=["b", "render"])
    env.reset()
    env.step(1)
    env.close()
    assert opened(memory).cameras == ["env/obs/b", "env/render"]


def test_a_recorder_without_a_wrapper_needs_no_before(memory):
    """Its calls may also all be made afterwards."""
    space = spaces.Box(-1, 1, (1,))
    recorder = EpisodeRecorder(memory, space, spaces.Discrete(3), topic="mine")
    memory.files("mine").save_json(
        ml_dash_gymnasium_about(space, spaces.Discrete(3)), to="spaces.json"
    )
    recorder.reset(np.zeros(1), {}, seed=4)
    recorder.step(2, np.ones(1), 1.0, True, False, {})
    recorder.close()
    (found,) = transitions(opened(memory), "mine")
    assert found.action == 2 and found.terminated and found.next_observation == 1


def ml_dash_gymnasium_about(*both):
    """What `spaces.json` says."""
    from ml_dash_gymnasium.descriptions import about

    return about("mine", *both)


@pytest.mark.timeout(60)
def test_a_signals_handler_may_record_while_a_topic_is_chosen(folder, monkeypatch):
    """It never waits for the thread that it has stopped, and gets a topic of its own."""
    monkeypatch.setattr(topics, "_PATIENCE", float("inf"))
    raised = []
    process = topics._process

    def interrupted():
        if not raised:
            raised.append(True)
            signal.raise_signal(signal.SIGUSR1)
        return process()

    with Experiment("rl/signal", echo=False, environment=False).run as experiment:

        def play(*_):
            with RecordToDash(cartpole(), experiment) as env:
                env.reset(seed=1)
                env.step(0)

        monkeypatch.setattr(topics, "_process", interrupted)
        before = signal.signal(signal.SIGUSR1, play)
        try:
            play()
        finally:
            signal.signal(signal.SIGUSR1, before)
        play()
    tracks = ml_dash.open_run("rl/signal").tracks
    assert {name: len(track) for name, track in tracks.items() if name.endswith("steps")} == {
        "env/steps": 4,
        "env/1/steps": 2,
    }


def test_an_environment_that_is_dropped_after_its_episode_gives_its_topic_back(folder):
    """As one does that is dropped in the middle: twenty in turn record one stream."""
    with Experiment("rl/turns", echo=False).run as experiment:
        for _ in range(5):
            env = RecordToDash(cartpole(max_episode_steps=2), experiment)
            env.reset(seed=1)
            env.step(0)
            env.step(0)
            del env
            gc.collect()
    run = ml_dash.open_run("rl/turns")
    assert sorted(run.tracks) == ["env/episodes", "env/steps"]
    assert run.tracks["env/episodes"]["episode"].tolist() == [0, 1, 2, 3, 4]
