"""Picks the wrapper that fits an environment."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from gymnasium.vector import VectorEnv

from ml_dash_gymnasium.vector import RecordVectorToDash
from ml_dash_gymnasium.wrapper import RecordToDash

_ONLY_VECTORS = ("env_ids", "autoreset")


def record(env: Any, experiment: Any = None, **options: Any) -> Any:
    """Record an environment, or a vector environment: `env = record(env, "project/run")`.

    Args:
        env: a `gymnasium.Env` or a `gymnasium.vector.VectorEnv`.
        experiment: an `Experiment`, its prefix, or `None` for a run named after the environment.
        **options: those of `RecordToDash`, or of `RecordVectorToDash`.

    Returns:
        The wrapped environment.

    Raises:
        TypeError: it is neither, or an option is not one of the wrapper's; the message says what to
            do instead.
        ValueError: as the wrapper does.
    """
    if isinstance(env, VectorEnv):
        return RecordVectorToDash(env, experiment, **options)
    if isinstance(env, gym.Env):
        for name in _ONLY_VECTORS:
            if name in options:
                raise TypeError(
                    f"record: {name} is for vector environments, and {env} is a single one;"
                    " leave it out"
                )
        return RecordToDash(env, experiment, **options)
    raise TypeError(f"record: {_remedy(env)}")


def _remedy(env: Any) -> str:
    if isinstance(env, str):
        return f"{env!r} is a name; make the environment first: record(gymnasium.make({env!r}))"
    if isinstance(env, type) or (callable(env) and not hasattr(env, "step")):
        return f"{env!r} makes environments; call it first"
    if isinstance(env, tuple | list):
        return (
            "a list is no environment; put its environments together first, by"
            " gymnasium.vector.SyncVectorEnv or AsyncVectorEnv, or record each one"
        )
    if any(base.__module__.startswith("stable_baselines3.") for base in type(env).__mro__):
        return (
            f"{type(env).__name__} is a vector environment of Stable-Baselines3, not of Gymnasium;"
            " record the environments inside: make_vec_env(…, wrapper_class=RecordToDash)"
        )
    if any(base.__module__.split(".")[0] == "gym" for base in type(env).__mro__):
        return (
            f"{type(env).__name__} is an environment of the old gym; port it to gymnasium, or"
            " convert it with shimmy first"
        )
    return (
        f"expected a gymnasium.Env or a gymnasium.vector.VectorEnv, not {type(env).__name__};"
        " environments of other libraries have to be converted first, with shimmy for example"
    )
