"""The wrapper that records an environment: `env = RecordToDash(gym.make("CartPole-v1"))`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from typing import Any, SupportsFloat, TypeVar

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs
from gymnasium.wrappers import Autoreset

from ml_dash import Experiment
from ml_dash_gymnasium.cameras import (
    OBSERVATIONS,
    Frames,
    check_encoding,
    check_pace,
    check_topic,
    check_trigger,
    choose,
    gives_arrays,
)
from ml_dash_gymnasium.descriptions import about
from ml_dash_gymnasium.episodes import EpisodeRecorder
from ml_dash_gymnasium.guard import Guard
from ml_dash_gymnasium.runs import RunOwner, as_argument, env_name, error_on_its_way
from ml_dash_gymnasium.spaces import Layout
from ml_dash_gymnasium.topics import claim

Observation = TypeVar("Observation")
Action = TypeVar("Action")


class RecordToDash(
    gym.Wrapper[Observation, Action, Observation, Action],
    RecordConstructorArgs,
):
    """Records every transition of an environment, its pictures, and a summary of each episode::

        env = RecordToDash(gym.make("CartPole-v1"))
        with Experiment("rl/cartpole").run as experiment:
            env = RecordToDash(gym.make("CartPole-v1"), experiment)

    The environment behaves as without it: what goes in and comes out is passed on untouched. What
    is recorded where, with `topic="env"`:

    - track `env/steps`: a row for each observation, with `episode`, `episode_step`, `obs`, the
      `action` taken then and the `reward`, `terminated`, `truncated` and `info` that came of it.
      The first row of an episode has `seed`, `options` and `reset_info`, the last one has no action
      but `ended`. See `ml_dash_gymnasium.episodes` for resets in mid-episode and the like.
    - frames `env/obs`, `env/obs/cam/front`, …: observations that are pictures; `env/render`.
    - track and metrics `env/episodes`: `return`, `length`, `duration` in seconds.
    - file `env/spaces.json`: what `ml_dash_gymnasium.transitions(run)` needs.

    Args:
        env: the environment.
        experiment: an `Experiment`, or its prefix; by default a new run named after the
            environment. A run that the wrapper starts is started at the first reset and ended by
            `close`, or with the process: FAILED when an exception ends that.
        frames: `"obs"`: all pictures among the observations; `"render"`: what `env.render()` gives
            after each reset and step; a list of these and of cameras such as `"cam/front"`; `None`
            for no frames. Pictures that are not asked for are not recorded at all.
        every: take frames at each n-th step of an episode. Rows are of every step.
        episode_trigger: says of an episode's number, from 0, whether its rows and frames are
            recorded; summaries are of all episodes.
        image_format: `"jpg"`, or `"png"`: without loss. Depth and RGBA are PNG in any case.
        quality: of JPEG frames, 1-100.
        topic: what tracks, frames and metrics are called. When another environment of the run has
            it, this one is `<topic>/1`, `<topic>/2`, …; in an `AsyncVectorEnv` by its number.

    Raises:
        TypeError: `env` is no environment, or an argument of a wrong type.
        ValueError: no such camera; `frames="render"` of an environment that renders no arrays;
            another argument out of its range. The message says what to do instead.
    """

    def __init__(
        self,
        env: gym.Env[Observation, Action],
        experiment: Experiment | str | PurePath | None = None,
        *,
        frames: Frames = "obs",
        every: int = 1,
        episode_trigger: Callable[[int], bool] | None = None,
        image_format: str = "jpg",
        quality: int = 95,
        topic: str = "env",
    ) -> None:
        if not isinstance(env, gym.Env):
            raise TypeError(
                f"RecordToDash takes a gymnasium.Env, not a {type(env).__name__}; for a vector"
                " environment there is ml_dash_gymnasium.RecordVectorToDash, and record(env) picks"
                " the one that fits"
            )
        RecordConstructorArgs.__init__(
            self,
            experiment=as_argument(experiment),
            frames=frames,
            every=every,
            episode_trigger=episode_trigger,
            image_format=image_format,
            quality=quality,
            topic=topic,
        )
        gym.Wrapper.__init__(self, env)
        check_encoding(image_format, quality)
        check_trigger(episode_trigger)
        chosen = choose(frames, Layout(env.observation_space, OBSERVATIONS))
        if chosen.render:
            _check_render(env)
        self._dash_options: dict[str, Any] = {
            "frames": frames,
            "every": check_pace(every),
            "episode_trigger": episode_trigger,
            "image_format": image_format,
            "quality": quality,
        }
        self._dash_topic = check_topic(topic)
        self._dash_experiment = experiment
        self._dash_begin()

    def _dash_begin(self) -> None:
        self._dash_guard = Guard()
        self._dash_run = RunOwner(self._dash_experiment, env_name(self.env), self._dash_guard)
        self._dash_recorder: EpisodeRecorder | None = None
        self._dash_closed = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Reset the environment; the observation begins an episode."""
        self._dash_closed = False
        recorder = self._dash_ready()
        if recorder is None:
            return self.env.reset(seed=seed, options=options)
        recorder.before_reset(seed, options)
        result = self.env.reset(seed=seed, options=options)
        try:
            recorder.reset(*result)
        except Exception as error:  # noqa: BLE001 - an environment may return what it likes
            self._dash_guard("a reset", error)
        return result

    def step(self, action: Action) -> tuple[Observation, SupportsFloat, bool, bool, dict[str, Any]]:
        """Make a step, and record what it led to."""
        recorder = self._dash_recorder
        if recorder is not None and recorder.live:
            recorder.before_step(action)
        result = self.env.step(action)
        try:
            if recorder is None or not recorder.live:
                recorder = self._dash_ready()
            if recorder is not None:
                recorder.step(action, *result)
        except Exception as error:  # noqa: BLE001 - an environment may return what it likes
            self._dash_guard("a step", error)
        return result

    def close(self) -> None:
        """Write the last row, end the run if it is the wrapper's own, and close the environment.

        Called while an exception is on its way, it leaves its own run open: whether that failed is
        told by how the process ends.
        """
        self._dash_close(error_on_its_way(), decided=False)
        super().close()

    def __exit__(self, *args: Any) -> bool:
        """Close the environment; its own run has failed if an exception is given."""
        self._dash_close(args[1] if len(args) > 1 else None, decided=True)
        return bool(super().__exit__(*args))

    def __getstate__(self) -> dict[str, Any]:
        """All but the recording that goes on: a copy begins its own."""
        return {
            name: value
            for name, value in self.__dict__.items()
            if name not in ("_dash_guard", "_dash_run", "_dash_recorder")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._dash_begin()

    def _dash_ready(self) -> EpisodeRecorder | None:
        """The recorder; a new one where the last one was closed, or left to another process."""
        recorder = self._dash_recorder
        if recorder is not None and recorder.live:
            return recorder
        self._dash_recorder = None
        if self._dash_closed:
            return None
        try:
            experiment = self._dash_run.start()
            if experiment is not None:
                self._dash_recorder = self._dash_new_recorder(experiment)
        except Exception as error:  # noqa: BLE001 - recording never ends the training
            self._dash_guard("the environment", error)
        return self._dash_recorder

    def _dash_new_recorder(self, experiment: Experiment) -> EpisodeRecorder:
        env = self.env
        facts = about(env_name(env), env.observation_space, env.action_space)
        mine = claim(experiment, self._dash_topic, facts)
        return EpisodeRecorder(
            experiment,
            env.observation_space,
            env.action_space,
            topic=mine.topic,
            render=self._dash_render,
            autoreset=_resets_itself(env),
            claim=mine,
            guard=self._dash_guard,
            subject=env.unwrapped,
            **self._dash_options,
        )

    def _dash_render(self) -> Any:
        try:
            return self.env.render()
        except Exception as error:  # noqa: BLE001 - a picture that cannot be had is no reason to stop
            self._dash_guard("a rendered picture", error)
            return None

    def _dash_close(self, error: BaseException | None, *, decided: bool) -> None:
        """End what is recorded. Safe when the constructor has failed, and a second time."""
        self._dash_closed = True
        recorder = self.__dict__.get("_dash_recorder")
        if recorder is not None:
            recorder.close()
        run = self.__dict__.get("_dash_run")
        if run is not None and (decided or error is None):
            try:
                run.end(error)
            except Exception as defect:  # noqa: BLE001 - recording never ends the training
                self._dash_guard("the end of the run", defect)


def _check_render(env: gym.Env[Any, Any]) -> None:
    mode = env.render_mode
    if not gives_arrays(mode):
        made = getattr(env.spec, "id", None)
        how = f": gymnasium.make({made!r}, render_mode='rgb_array')" if made else ""
        why = ""
        if mode is not None and mode.endswith("_list"):
            why = " (rendering it would take the pictures that you collect)"
        raise ValueError(
            "frames='render' needs an environment that renders arrays, and this one has"
            f" render_mode={mode!r}{why}; make it with render_mode='rgb_array'{how}"
        )


def _resets_itself(env: gym.Env[Any, Any]) -> bool:
    """Whether a step after the end of an episode is a reset."""
    while isinstance(env, gym.Wrapper):
        if isinstance(env, Autoreset):
            return True
        env = env.env
    return False
