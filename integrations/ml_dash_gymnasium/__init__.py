"""Records Gymnasium environments: transitions as rows, pictures as frames, episodes as metrics.

import gymnasium as gym
from ml_dash_gymnasium import RecordToDash

env = RecordToDash(gym.make("CartPole-v1"))
"""

from __future__ import annotations

try:
    import gymnasium  # noqa: F401
except ImportError as error:
    raise ImportError(
        "recording environments needs gymnasium, which is not installed:"
        ' pip install "ml-dash[gymnasium]"'
    ) from error

from ml_dash_gymnasium.reading import RecordedEpisode, Transition, read_episodes, transitions
from ml_dash_gymnasium.record import record
from ml_dash_gymnasium.vector import RecordVectorToDash
from ml_dash_gymnasium.wrapper import RecordToDash

__all__ = [
    "RecordToDash",
    "RecordVectorToDash",
    "RecordedEpisode",
    "Transition",
    "read_episodes",
    "record",
    "transitions",
]
