"""Ctrl-C and exceptions between any two lines of a call: the loop goes on, nothing is made up."""

import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv

from ml_dash import Experiment, MemoryBackend
from ml_dash.reading import RunView
from ml_dash_gymnasium import (
    RecordToDash,
    episodes,
    observations,
    read_episodes,
    record,
    transitions,
    wrapper,
)
from ml_dash_gymnasium import episode as one_episode

OURS = {module.__file__ for module in (episodes, observations, one_episode, wrapper)}


class Counter(gym.Env):
    """Each observation is a number that no other has. Keeps what truly happened."""

    observation_space = spaces.Box(-1e9, 1e9, (1,), np.float64)
    action_space = spaces.Discrete(1000)

    def __init__(self):
        self.calls = self.t = 0
        self.true = {}
        self.hot = False

    def _observation(self):
        self.calls += 1
        return np.array([self.calls], float)

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return self._observation(), {}

    def step(self, action):
        self.t += 1
        before = float(self.calls)
        observation = self._observation()
        self.true[int(action)] = (before, float(self.calls))
        if self.hot:
            raise RuntimeError("the motor is hot")
        return observation, float(self.calls), self.t == 3, False, {}


class Interrupt:
    """Ctrl-C at the n-th line of ours that a call comes to."""

    def __init__(self, line):
        self.left = line

    def __call__(self, function, *args):
        sys.settrace(self._enter)
        try:
            function(*args)
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)

    def _enter(self, frame, event, arg):
        return self._line if frame.f_code.co_filename in OURS else None

    def _line(self, frame, event, arg):
        self.left -= event == "line"
        if self.left == 0:
            sys.settrace(None)
            raise KeyboardInterrupt
        return self._line


def play(experiment, topic, where, line):
    """Three episodes, one call of which is interrupted; whether it was, and what happened."""
    counter, interrupt = Counter(), Interrupt(line)
    env = RecordToDash(counter, experiment, topic=topic)
    action = 0
    for number in range(3):
        interrupted = where == "reset" and number == 1
        interrupt(env.reset) if interrupted else env.reset()
        for t in range(4 if where == "after" else 3):
            action += 1
            interrupted = number == 1 and t == {"step": 1, "last": 2, "after": 3}.get(where)
            interrupt(env.step, action) if interrupted else env.step(action)
    env.close()
    return interrupt.left <= 0, counter.true


def happened(run, topic):
    """The observations before and after each action, as they are read."""
    return {
        int(t.action): (t.observation[0], t.next_observation[0]) for t in transitions(run, topic)
    }


@pytest.mark.parametrize("where", ["reset", "step", "last", "after"])
def test_wherever_ctrl_c_comes_nothing_is_made_up(where):
    """All transitions that are read have happened; all but a few of those that have are read."""
    backend = MemoryBackend()
    played = {}
    with Experiment("a/b", backend=backend, echo=False, environment=False).run as experiment:
        hit = True
        while hit:
            topic = f"t{len(played) + 1}"
            hit, played[topic] = play(experiment, topic, where, len(played) + 1)
    assert len(played) > 20
    run = RunView(backend)
    for topic, true in played.items():
        rows = list(run.tracks[f"{topic}/steps"].rows())
        assert all("episode" in row and "episode_step" in row for row in rows), topic
        assert (np.diff([row["step"] for row in rows]) > 0).all(), topic
        read = happened(run, topic)
        assert read.items() <= true.items(), topic
        assert len(read) >= len(true) - 3, topic
        numbers = [episode.number for episode in read_episodes(run, topic)]
        assert numbers == sorted(set(numbers)), topic


@pytest.fixture
def memory():
    """A run in memory that has begun."""
    experiment = Experiment("rl/hot", backend=MemoryBackend(), echo=False, environment=False)
    with experiment.run:
        yield experiment


def opened(experiment):
    """The run, for reading."""
    experiment.flush()
    return RunView(experiment.run.backend)


def test_a_step_that_raises_is_joined_with_nothing(memory):
    """It may have been made: the episode ends there, and a new one has no first observation."""
    counter = Counter()
    env = RecordToDash(counter, memory)
    env.reset(seed=5)
    env.step(1)
    counter.hot = True
    with pytest.raises(RuntimeError, match="hot"):
        env.step(2)
    counter.hot = False
    env.step(3)
    env.reset()
    env.close()
    run = opened(memory)
    first, second = read_episodes(run)
    assert (first.ended, second.begun, second.ended) == ("exception", "exception", "terminated")
    assert second.observations[0] is None and second.seed is None
    assert [(int(t.action), t.truncated) for t in transitions(run)] == [(1, True)]
    ended = [row["ended"] for row in run.tracks["env/episodes"].rows()]
    assert ended == ["exception", "terminated"]


def test_a_step_of_a_vector_that_raises_is_joined_with_nothing(memory):
    """In none of its environments: which of them have made it is not known."""
    counters = [Counter(), Counter()]
    envs = record(SyncVectorEnv([lambda c=c: c for c in counters]), memory)
    envs.reset()
    for action in (1, 2, 3, 4):
        counters[1].hot = action == 2
        if counters[1].hot:
            with pytest.raises(RuntimeError, match="hot"):
                envs.step([action, action])
            counters[0].t = counters[1].t = -5
        else:
            envs.step([action, action])
    envs.close()
    run = opened(memory)
    for i, counter in enumerate(counters):
        assert happened(run, f"env/{i}") == {action: counter.true[action] for action in (1, 4)}


def test_a_reset_that_raises_is_joined_with_nothing(memory, monkeypatch):
    """Neither the observation before it nor its seed belongs to the steps after it."""
    env = RecordToDash(Counter(), memory)
    env.reset()
    env.step(1)
    with monkeypatch.context() as patch:
        patch.setattr(Counter, "reset", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            env.reset(seed=7)
    env.step(2)
    env.close()
    first, second = read_episodes(opened(memory))
    assert (first.ended, second.begun, second.seed) == ("reset", "exception", None)
    assert [int(t.action) for t in transitions(opened(memory))] == [1]


def test_a_row_without_an_episode_is_passed_over(memory):
    """Such as Ctrl-C has left in runs of earlier versions."""
    env = RecordToDash(Counter(), memory)
    env.reset()
    env.step(1)
    env.close()
    memory.track("env/steps").append({"reward": 1.0, "terminated": False}, step=9)
    assert [int(t.action) for t in transitions(opened(memory))] == [1]
