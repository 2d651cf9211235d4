"""Small environments for tests of vector recording; importable in spawned workers."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv


class Walk(gym.Env):
    """Walks as its seed and the actions say; episodes of 1 to 4 steps; infos come and go."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012 - gymnasium's way

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.observation_space = spaces.Box(-1000, 1000, (3,), np.float32)
        self.action_space = spaces.Discrete(5)
        self.position = np.zeros(3, np.float32)
        self.time = self.length = self.renders = 0

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        super().reset(seed=seed)
        self.time, self.length = 0, int(self.np_random.integers(1, 5))
        self.position[:] = self.np_random.integers(0, 100, 3)
        return self.position.copy(), {"length": self.length} if self.length % 2 else {}

    def step(self, action: int) -> tuple:
        self.time += 1
        self.position += np.array([action, self.time, 0], np.float32)
        done = self.time >= self.length
        info: dict[str, Any] = {"at": {"time": self.time}}
        if self.time % 2:
            info |= {"odd": float(action), "note": f"{action}", "vector": np.full(2, action)}
        return self.position.copy(), 0.5 * action, done and action > 1, done and action <= 1, info

    def render(self) -> np.ndarray:
        self.renders += 1
        return np.full((8, 10, 3), self.position[0] % 256, np.uint8)


class Nested(Walk):
    """The same with an observation and an action of parts, one of them a picture."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.observation_space = spaces.Dict(
            {
                "cam": spaces.Dict({"front": spaces.Box(0, 255, (8, 10, 3), np.uint8)}),
                "pair": spaces.Tuple((spaces.Discrete(100), spaces.Text(8))),
                "list": spaces.Sequence(spaces.Discrete(9)),
                "one": spaces.OneOf((spaces.Discrete(3), spaces.Box(0, 1, (2,), np.float32))),
                "graph": spaces.Graph(spaces.Box(-9, 9, (1,), np.float32), None),
            }
        )
        self.action_space = spaces.Dict(
            {
                "move": spaces.Tuple((spaces.Discrete(5), spaces.Text(4))),
                "on": spaces.MultiBinary(2),
            }
        )

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        _, info = super().reset(seed=seed, options=options)
        return self.observe(), info

    def step(self, action: dict) -> tuple:
        _, *rest = super().step(int(action["move"][0]))
        return self.observe(), *rest

    def observe(self) -> dict:
        shade = int(self.position[0]) % 100
        nodes = np.full((self.time + 1, 1), self.time, np.float32)
        return {
            "cam": {"front": np.full((8, 10, 3), shade, np.uint8)},
            "pair": (shade, f"t{self.time}"),
            "list": tuple(range(self.time)),
            "one": (self.time % 2, shade % 3 if self.time % 2 == 0 else np.ones(2, np.float32)),
            "graph": spaces.GraphInstance(nodes, None, None),
        }


class Pixels(Walk):
    """Observes a picture that it overwrites in place."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.observation_space = spaces.Box(0, 255, (8, 10, 3), np.uint8)
        self.canvas = np.zeros((8, 10, 3), np.uint8)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        _, info = super().reset(seed=seed, options=options)
        return self.paint(), info

    def step(self, action: int) -> tuple:
        _, *rest = super().step(action)
        return self.paint(), *rest

    def paint(self) -> np.ndarray:
        self.canvas[:] = int(self.position[0] + 10 * self.time) % 256
        return self.canvas


class Fails(Walk):
    """Fails at its third step."""

    def step(self, action: int) -> tuple:
        if self.time == 2:
            raise ArithmeticError("the motor is gone")
        self.length = 9
        return super().step(action)


class Steady(Walk):
    """Never comes to an end."""

    def step(self, action: int) -> tuple:
        self.length = self.time + 2
        return super().step(action)


class TensorWalks(VectorEnv):
    """A vector environment of its own kind, of torch tensors that it overwrites, as simulators do.

    Sub-environment i counts up by its action, from 10 i on; its episodes have `i % 3 + 2` steps.
    """

    def __init__(
        self, num_envs: int = 4, mode: Any = AutoresetMode.SAME_STEP, finals: bool = True
    ) -> None:
        import torch

        self.num_envs = num_envs
        self.metadata = {} if mode is None else {"autoreset_mode": mode}
        self.single_observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.observation_space = spaces.Box(-np.inf, np.inf, (num_envs, 2), np.float32)
        self.single_action_space = spaces.Box(-1, 1, (1,), np.float32)
        self.action_space = spaces.Box(-1, 1, (num_envs, 1), np.float32)
        self.finals = finals
        self.state = torch.zeros((num_envs, 2))
        self.begin = torch.arange(num_envs) * 10.0
        self.lengths = torch.arange(num_envs) % 3 + 2
        self.asked = 0

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple:
        self.state[:, 0] = self.begin
        self.state[:, 1] = 0
        return self.state, {"fps": 30, "height": self.state[:, 0].clone()}

    def step(self, actions: Any) -> tuple:
        import torch

        self.state[:, 0] += torch.as_tensor(actions)[:, 0]
        self.state[:, 1] += 1
        reward = self.state[:, 0].clone()
        done = self.state[:, 1] >= self.lengths
        infos: dict[str, Any] = {"log": {"loss": 0.5}}
        if self.finals and bool(done.any()):
            infos |= {"final_obs": self.state.clone(), "_final_obs": done.clone()}
        self.state[done, 0] = self.begin[done]
        self.state[done, 1] = 0
        return self.state, reward, done, torch.zeros_like(done), infos


def walks(number: int, kind: type[Walk] = Walk, **options: Any) -> list[partial]:
    """Factories of that many environments."""
    return [partial(kind, **options) for _ in range(number)]


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal, arrays and their parts included."""
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, tuple | list):
        return len(left) == len(right) and all(map(same, left, right))
    if getattr(left, "dtype", None) == np.dtype(object):
        return same(list(left), list(right))
    return bool(np.array_equal(left, right))
