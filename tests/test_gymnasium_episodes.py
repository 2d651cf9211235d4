"""Rows and episodes: what becomes of every way in which a run of an environment can go."""

from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import Autoreset
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_dash import Experiment, MemoryBackend, open_run
from ml_dash.reading import RunView
from ml_dash_gymnasium import RecordToDash, read_episodes, transitions

LENGTH = 3


class Counter(gym.Env):
    """Counts all calls: each observation is a number that no other has. Ends after 3 steps."""

    observation_space = spaces.Box(-1, np.inf, (1,), np.float64)
    action_space = spaces.Discrete(100)
    metadata: ClassVar = {"render_modes": ["rgb_array"]}
    render_mode = "rgb_array"

    def __init__(self, length=LENGTH, terminates=True):
        self.length = length
        self.terminates = terminates
        self.calls = 0
        self.t = 0
        self.renders = 0

    def _observation(self):
        self.calls += 1
        return np.array([self.calls], float)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        if options:
            options.pop("taken", None)
        return self._observation(), {"reset": True}

    def step(self, action):
        self.t += 1
        over = self.t >= self.length
        terminated, truncated = over and self.terminates, over and not self.terminates
        return self._observation(), float(action), terminated, truncated, {"t": self.t}

    def render(self):
        self.renders += 1
        return np.full((8, 8, 3), self.calls, np.uint8)


@pytest.fixture
def memory():
    """A run in memory that has begun."""
    experiment = Experiment("rl/counter", backend=MemoryBackend(), echo=False, environment=False)
    experiment.run.start()
    yield experiment
    experiment.run.complete()


def opened(experiment):
    """The run, for reading."""
    experiment.flush()
    return RunView(experiment.run.backend)


def rows_of(experiment, topic="env/steps"):
    """The rows of a track as plain dicts."""
    return list(opened(experiment).tracks[topic].rows())


def test_an_episode_of_n_steps_is_n_rows_and_one_with_the_last_observation(memory):
    """Row t has what was seen at t, the action taken then and what came of it."""
    env = RecordToDash(Counter(), memory, frames=None)
    env.reset(seed=7, options={"a": [1]})
    for action in (10, 11, 12):
        env.step(action)
    rows = rows_of(memory)
    assert [row["obs"] for row in rows] == [[1], [2], [3], [4]]
    assert [row.get("action") for row in rows] == [10, 11, 12, None]
    assert [row.get("reward") for row in rows] == [10, 11, 12, None]
    assert [row.get("terminated") for row in rows] == [False, False, True, None]
    assert [row.get("truncated") for row in rows] == [False, False, False, None]
    assert [row.get("info") for row in rows] == [{"t": 1}, {"t": 2}, {"t": 3}, None]
    assert [row["step"] for row in rows] == [0, 1, 2, 3]
    assert [row["episode_step"] for row in rows] == [0, 1, 2, 3]
    assert [row["episode"] for row in rows] == [0, 0, 0, 0]
    first, last = rows[0], rows[-1]
    assert first["seed"] == 7 and first["options"] == {"a": [1]} and first["begun"] == "reset"
    assert first["reset_info"] == {"reset": True}
    assert last["ended"] == "terminated" and "begun" not in last
    assert "seed" not in rows[1]


@pytest.mark.parametrize(
    "space",
    [spaces.Dict({}), spaces.Tuple(()), spaces.Tuple((spaces.Tuple(()), spaces.Dict({})))],
    ids=str,
)
def test_steps_of_an_environment_that_shows_nothing_come_back(memory, space):
    """Its rows have no column of an observation; its actions and rewards are not lost for that."""
    env = Counter()
    env.observation_space = space
    env._observation = space.sample
    env = RecordToDash(env, memory)
    env.reset()
    for action in (10, 11, 12):
        env.step(action)
    came = list(transitions(opened(memory)))
    assert [(one.action, one.reward, one.terminated) for one in came] == [
        (10, 10.0, False),
        (11, 11.0, False),
        (12, 12.0, True),
    ]
    assert all(one.observation == one.next_observation == space.sample() for one in came)


def test_the_summary_of_an_episode_is_a_track_row_and_a_metric(memory):
    """Return, length and duration, under the step of the last observation."""
    env = RecordToDash(Counter(terminates=False), memory)
    for seed in (None, 3):
        env.reset(seed=seed)
        for action in (1, 2, 3):
            env.step(action)
    rows = rows_of(memory, "env/episodes")
    assert [row["return"] for row in rows] == [6, 6]
    assert [row["length"] for row in rows] == [3, 3]
    assert [(row["first_step"], row["last_step"]) for row in rows] == [(0, 3), (4, 7)]
    assert [row["ended"] for row in rows] == ["truncated", "truncated"]
    assert [row.get("seed") for row in rows] == [None, 3]
    metrics = opened(memory).metrics["env/episodes"]
    assert metrics["return"].tolist() == [6, 6] and metrics["step"].tolist() == [3, 7]
    assert metrics["episode"].tolist() == [0, 1] and (metrics["duration"] > 0).all()


def test_the_frame_of_a_row_shows_its_observation(memory):
    """Rendered pictures are of the moment of the row that names them."""
    env = RecordToDash(Counter(), memory, frames="render", image_format="png")
    for _ in range(2):
        env.reset()
        for action in range(3):
            env.step(action)
    aligned = opened(memory).aligned("env/steps", frames="env/render")
    assert aligned.report.frames_without_row == aligned.report.rows_without_frame == 0
    shown = [aligned.frame(i)[0, 0, 0] for i in range(len(aligned))]
    assert shown == aligned["env/steps.obs"][:, 0].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_rendered_depth_is_a_camera_of_its_own_and_exact(memory):
    """As is what has transparency: JPEG would spoil the one and lose the other."""

    class Deep(Counter):
        def render(self):
            rgb = super().render()
            return rgb, np.linspace(0, 1, rgb[..., 0].size, dtype=np.float32).reshape(rgb.shape[:2])

    class Glassy(Counter):
        def render(self):
            rgb = super().render()
            return np.concatenate([rgb, np.full_like(rgb[..., :1], 99)], axis=-1)

    for topic, kind in (("deep", Deep), ("glassy", Glassy)):
        env = RecordToDash(kind(), memory, frames="render", topic=topic)
        env.reset()
        env.step(1)
        env.close()
    run = opened(memory)
    assert run.cameras == ["deep/render", "deep/render_depth", "glassy/render"]
    assert [name.rpartition(".")[2] for name in run.frames("deep/render").names] == ["jpg"] * 2
    assert [name.rpartition(".")[2] for name in run.frames("deep/render_depth").names] == [
        "png"
    ] * 2
    assert run.frames("glassy/render")[0].shape[2] == 4
    assert (run.frames("glassy/render")[0][..., 3] == 99).all()


@pytest.mark.parametrize(("frames", "renders"), [("obs", 0), (None, 0), ("render", 4)])
def test_render_is_called_only_when_it_was_asked_for(memory, frames, renders):
    """Once for each observation, or never."""
    counter = Counter()
    env = RecordToDash(counter, memory, frames=frames)
    env.reset()
    for action in range(3):
        env.step(action)
    assert counter.renders == renders


def test_every_thins_frames_and_no_rows(memory):
    """A frame at each second step of each episode; transitions stay whole."""
    counter = Counter(length=4)
    env = RecordToDash(counter, memory, frames="render", every=2)
    for _ in range(2):
        env.reset()
        for action in range(4):
            env.step(action)
    rows = rows_of(memory)
    assert [row["episode_step"] for row in rows if "frame" in row] == [0, 2, 4, 0, 2, 4]
    assert len(rows) == 10 and counter.renders == 6
    assert len(list(transitions(opened(memory)))) == 8


def test_a_topic_without_an_environment_is_an_error_that_names_those_there_are(memory):
    """Also one below a topic that has an environment: nothing is not taken for no transitions."""
    env = RecordToDash(Counter(), memory, topic="arm/env")
    env.reset()
    env.step(1)
    env.close()
    run = opened(memory)
    for topic in ("env", "arm/env/7"):
        with pytest.raises(KeyError, match=f"no environment was recorded as '{topic}'.*'arm/env'"):
            next(transitions(run, topic))


def test_a_run_is_given_open_or_by_its_prefix_or_folder(tmp_path, monkeypatch):
    """As where runs are joined to one dataset; one that is not there is named."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ML_DASH_ROOT", raising=False)
    with Experiment("rl/counter", echo=False, environment=False).run as experiment:
        env = RecordToDash(Counter(), experiment)
        env.reset()
        env.step(7)
        env.close()
    for run in (open_run("rl/counter"), "rl/counter", experiment.folder):
        assert [step.action for step in transitions(run)] == [7]
        assert [len(episode) for episode in read_episodes(run)] == [1]
    with pytest.raises(FileNotFoundError, match="rl/nobody"):
        next(transitions("rl/nobody"))


def test_the_trigger_chooses_the_episodes_that_are_recorded(memory):
    """Rows of the others are left out; every episode has its summary, steps count on."""
    env = RecordToDash(Counter(), memory, episode_trigger=lambda episode: episode % 2 == 1)
    for _ in range(4):
        env.reset()
        for action in range(3):
            env.step(action)
    rows = rows_of(memory)
    assert [row["episode"] for row in rows] == [1, 1, 1, 1, 3, 3, 3, 3]
    assert [row["step"] for row in rows] == [4, 5, 6, 7, 12, 13, 14, 15]
    assert len(rows_of(memory, "env/episodes")) == 4


def test_a_reset_in_mid_episode_ends_it_as_truncated(memory):
    """The last row says `reset`; the flags of the step stay what the environment said."""
    env = RecordToDash(Counter(), memory)
    env.reset()
    env.step(1)
    env.reset()
    env.step(2)
    env.close()
    rows = rows_of(memory)
    assert [row.get("ended") for row in rows] == [None, "reset", None, "close"]
    assert [row["obs"] for row in rows] == [[1], [2], [3], [4]]
    assert [row.get("truncated") for row in rows] == [False, None, False, None]
    assert [t.truncated for t in transitions(opened(memory))] == [True, True]
    assert [t.terminated for t in transitions(opened(memory))] == [False, False]


def test_resets_without_a_step_leave_nothing(memory):
    """Their episode's number is used again; a step's number is not."""
    env = RecordToDash(Counter(), memory)
    for _ in range(5):
        env.reset()
    env.step(1)
    env.reset()
    env.close()
    rows = rows_of(memory)
    assert [(row["episode"], row["obs"][0], row["step"]) for row in rows] == [(0, 5, 4), (0, 6, 5)]


def test_a_step_after_the_end_begins_an_episode_where_the_last_one_ended(memory):
    """Its first observation is the last one of the episode before."""
    env = RecordToDash(Counter(length=1), memory, frames="render", image_format="png")
    env.reset()
    env.step(1)
    env.step(2)
    env.close()
    rows = rows_of(memory)
    assert [row["obs"][0] for row in rows] == [1, 2, 2, 3]
    assert [row.get("begun") for row in rows] == ["reset", None, "step", None]
    assert [row["step"] for row in rows] == [0, 1, 2, 3]
    frames = opened(memory).frames("env/render")
    assert [frame[0, 0, 0] for frame in frames] == [1, 2, 2, 3]
    found = [
        (t.observation[0], t.action, t.next_observation[0]) for t in transitions(opened(memory))
    ]
    assert found == [(1, 1, 2), (2, 2, 3)]


def test_an_autoreset_is_a_reset_and_no_transition(memory):
    """The action that was ignored is kept beside the first observation."""
    env = RecordToDash(Autoreset(Counter(length=1)), memory)
    env.reset(seed=1)
    for action in (1, 2, 3):
        env.step(action)
    rows = rows_of(memory)
    assert [row["obs"][0] for row in rows] == [1, 2, 3, 4]
    assert [row.get("action") for row in rows] == [1, None, 3, None]
    assert rows[2]["begun"] == "autoreset" and rows[2]["ignored_action"] == 2
    assert rows[2]["ignored_reward"] == 0 and rows[2]["reset_info"] == {"reset": True}
    assert [row["episode"] for row in rows] == [0, 0, 1, 1]
    found = [
        (t.observation[0], t.action, t.next_observation[0]) for t in transitions(opened(memory))
    ]
    assert found == [(1, 1, 2), (3, 3, 4)]
    all_steps = transitions(opened(memory), autoresets=True)
    found = [(t.observation[0], t.action, t.reward, t.next_observation[0]) for t in all_steps]
    assert found == [(1, 1, 1, 2), (2, 2, 0, 3), (3, 3, 3, 4)]


def test_a_step_without_any_reset_has_no_first_observation(memory):
    """It is recorded with its action; as a transition it is left out, since nothing is guessed."""
    env = RecordToDash(Counter(), memory)
    env.step(5)
    env.step(6)
    env.close()
    rows = rows_of(memory)
    assert [row.get("obs") for row in rows] == [None, [1], [2]]
    assert [row.get("action") for row in rows] == [5, 6, None]
    (episode,) = read_episodes(opened(memory))
    assert len(episode) == 2 and episode.begun == "step"
    assert [t.action for t in transitions(opened(memory))] == [6]


def test_options_are_kept_as_they_were_given(memory):
    """The environment takes something out of them; the row has it."""
    env = RecordToDash(Counter(), memory)
    options = {"taken": 1}
    env.reset(options=options)
    env.step(0)
    env.close()
    assert options == {} and rows_of(memory)[0]["options"] == {"taken": 1}


class Reuser(Counter):
    """Gives one array for all observations, and changes actions and infos afterwards."""

    action_space = spaces.Box(-1, 1, (1,), np.float64)

    def __init__(self):
        super().__init__()
        self.array = np.zeros(1)
        self.info = {"list": [0]}

    def _observation(self):
        self.array[:] = super()._observation()
        return self.array

    def step(self, action):
        self.info["list"][0] += 1
        _, reward, *flags, _ = super().step(0)
        action[:] = -1
        return self.array, reward, *flags, self.info


def test_what_an_environment_uses_again_is_recorded_as_it_was(memory):
    """Observations, actions and infos are of their moment, and nothing of them is changed."""
    reuser = Reuser()
    env = RecordToDash(reuser, memory)
    observation, _ = env.reset()
    assert observation is reuser.array
    for number in range(3):
        action = np.array([number / 4])
        observation, _, _, _, info = env.step(action)
        assert observation is reuser.array and info is reuser.info and action[0] == -1
    rows = rows_of(memory)
    assert [row["obs"][0] for row in rows] == [1, 2, 3, 4]
    assert [row["action"][0] for row in rows[:3]] == [0, 0.25, 0.5]
    assert [row["info"]["list"] for row in rows[:3]] == [[1], [2], [3]]


CALLS = st.lists(st.sampled_from(["reset", "step", "seeded", "fail"]), max_size=25)


class Failing(Counter):
    """Fails when it is told to by its action."""

    def step(self, action):
        if action == 99:
            raise RuntimeError("the motor is hot")
        return super().step(action)


def cut(expected, observation, done):
    """The episode that goes on ends where it is."""
    if expected and not done and observation is not None and expected[-1][3] == observation[0]:
        expected[-1][5] = True


@given(calls=CALLS, length=st.integers(1, 4), terminates=st.booleans(), autoreset=st.booleans())
@settings(deadline=None, max_examples=80)
def test_whatever_is_called_all_transitions_come_back(calls, length, terminates, autoreset):
    """Against a list that is kept by hand; steps rise, episodes count, exceptions pass."""
    backend = MemoryBackend()
    with Experiment("a/b", backend=backend, echo=False, environment=False).run as experiment:
        env = Failing(length, terminates)
        env = RecordToDash(Autoreset(env) if autoreset else env, experiment)
        expected = []
        observation, done = None, False
        for number, call in enumerate(calls):
            if call == "fail":
                if not (autoreset and done):
                    with pytest.raises(RuntimeError, match="hot"):
                        env.step(99)
                    cut(expected, observation, done)
                    observation, done = None, False  # what comes now is not joined with it
            elif call == "step":
                after, reward, terminated, truncated, _ = env.step(number)
                if observation is not None and not (autoreset and done):
                    expected.append(
                        [observation[0], number, reward, after[0], terminated, truncated]
                    )
                observation, done = after, terminated or truncated
            else:
                cut(expected, observation, done)
                observation, _ = env.reset(seed=number if call == "seeded" else None)
                done = False
        env.close()
        cut(expected, observation, done)
        run = opened(experiment)
        if "env/steps" not in run.tracks:
            assert not expected
            return
        found = [
            [t.observation[0], t.action, t.reward, t.next_observation[0], t.terminated, t.truncated]
            for t in transitions(run)
        ]
        assert found == expected
        steps = run.tracks["env/steps"]["step"]
        assert (np.diff(steps) > 0).all()
        assert [e.number for e in read_episodes(run)] == list(range(len(list(read_episodes(run)))))
        assert all(e.complete for e in read_episodes(run))
        sums = [row["return"] for row in run.tracks["env/episodes"].rows()]
        assert sums == [sum(e.rewards) for e in read_episodes(run)]
