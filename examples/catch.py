"""A small world of pixels: catch the ball that falls. Drawn with numpy, it needs nothing else."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

SIDE, HALF = 64, 6
BALL, PADDLE, SKY = (235, 110, 60), (70, 130, 220), (24, 26, 34)


class Catch(gymnasium.Env):
    """A ball falls and drifts; the paddle at the bottom goes left, stays, or goes right.

    Observations are pictures of 64x64 pixels. The reward is 1 for each ball that is caught and -1
    for one that is not, which ends the episode; after five balls it is truncated.
    """

    observation_space = spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8)
    action_space = spaces.Discrete(3)
    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 15}
    render_mode = "rgb_array"

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Put the paddle in the middle and drop the first ball."""
        super().reset(seed=seed)
        self.paddle, self.caught = SIDE // 2, 0
        self._drop()
        return self.render(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Move the paddle, and let the ball fall."""
        self.paddle = int(np.clip(self.paddle + 4 * (int(action) - 1), HALF, SIDE - HALF))
        self.ball = self.ball + self.drift
        if not 3 <= self.ball[1] <= SIDE - 4:
            self.drift[1] *= -1
        reward, missed = 0.0, False
        if self.ball[0] >= SIDE - 5:
            missed = abs(self.ball[1] - self.paddle) > HALF + 2
            self.caught += not missed
            reward = -1.0 if missed else 1.0
            self._drop()
        return self.render(), reward, missed, self.caught == 5, {"caught": self.caught}

    def render(self) -> np.ndarray:
        """The world, uint8 of shape (64, 64, 3)."""
        picture = np.full((SIDE, SIDE, 3), SKY, np.uint8)
        row, column = self.ball.astype(int)
        picture[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3] = BALL
        picture[-4:-1, self.paddle - HALF : self.paddle + HALF] = PADDLE
        return picture

    def _drop(self) -> None:
        self.ball = np.array([2.0, self.np_random.uniform(8, SIDE - 8)])
        self.drift = np.array([self.np_random.uniform(2, 4), self.np_random.uniform(-2, 2)])
