"""Records vector environments: one stream of episodes for each sub-environment::

    envs = RecordVectorToDash(gymnasium.make_vec("CartPole-v1", num_envs=8), "project/run")

Sub-environment i has the tracks `env/<i>/steps` and `env/<i>/episodes` and the frames
`env/<i>/obs` and `env/<i>/render`, with the rows that `ml_dash_gymnasium.RecordToDash` would write
around it alone. What differs: the first row of an episode that no `reset` of the user's began says
`begun: autoreset`, and keeps the action that was ignored, if one was; values have the types of the
batch; and where the vector environment is of its own kind, the seed is what that was given for all.
See `vector_streams` for who resets when.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorWrapper

from ml_dash import Experiment
from ml_dash_gymnasium import cameras
from ml_dash_gymnasium.descriptions import about
from ml_dash_gymnasium.episodes import EpisodeRecorder
from ml_dash_gymnasium.guard import Guard
from ml_dash_gymnasium.recorders import Recorders
from ml_dash_gymnasium.runs import RunOwner, env_name, error_on_its_way
from ml_dash_gymnasium.spaces import Layout
from ml_dash_gymnasium.topics import Claim, claim_first
from ml_dash_gymnasium.vector_batches import Chosen
from ml_dash_gymnasium.vector_renders import Renders
from ml_dash_gymnasium.vector_streams import Autoreset, Streams

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv

    from ml_dash_gymnasium.cameras import Frames

    Wrapper = VectorWrapper[Any, Any, Any, Any, Any]
else:
    Wrapper = VectorWrapper  # was not generic before gymnasium 1.3

_logger = logging.getLogger("ml_dash")

IN_PARTS = frozenset({"reset_async", "reset_wait", "step_async", "step_wait"})
"""The methods that an environment has whose calls come in two parts."""

MOST_BASES = 100
"""How many vector environments that go on at once in one run may want the same topic."""


class RecordVectorToDash(Wrapper):
    """Records a vector environment. Nothing that goes through it is changed.

    Args:
        env: a `gymnasium.vector.VectorEnv` of any kind, of arrays or of tensors.
        experiment: an `Experiment`; the prefix of one; `None` for a run named after the
            environment. A run that is started here is ended by `close`.
        env_ids: indices of the sub-environments to record, all by default. The others cost nothing,
            but that an environment other than a `SyncVectorEnv` can only render all.
        frames: as for `ml_dash_gymnasium.RecordToDash`: `"obs"` for the pictures among the
            observations, `"render"`, a list of cameras, or `None`.
        every: take frames at each n-th step of an episode.
        episode_trigger: says of an episode's number, counted in each sub-environment from 0 on,
            whether its rows and frames are recorded; its summary always is.
        image_format: `jpg` or `png`.
        quality: of JPEG frames, 1-100.
        topic: tracks are `<topic>/<index>/steps` and so on.
        autoreset: `next_step`, `same_step` or `disabled`, where `env.metadata["autoreset_mode"]`
            does not say it, or says it wrongly.

    Raises:
        TypeError: `env` is no vector environment, or an argument is of a wrong type.
        ValueError: an argument is out of its range, there is no such camera, or rendered frames are
            wanted of an environment that was not made with `render_mode="rgb_array"`.
    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        experiment: Experiment | str | None = None,
        *,
        env_ids: Iterable[int] | int | None = None,
        frames: Frames = "obs",
        every: int = 1,
        episode_trigger: Callable[[int], bool] | None = None,
        image_format: str = "jpg",
        quality: int = 95,
        topic: str = "env",
        autoreset: str | None = None,
    ) -> None:
        super().__init__(env)
        cameras.check_trigger(episode_trigger)
        cameras.check_encoding(image_format, quality)
        layout = Layout(env.single_observation_space, cameras.OBSERVATIONS)
        self._dash_rendered = cameras.choose(frames, layout).render
        if self._dash_rendered:
            _check_render(env.render_mode)
        self._dash_options: dict[str, Any] = {
            "frames": frames,
            "every": cameras.check_pace(every),
            "episode_trigger": episode_trigger,
        }
        self._dash_encoding: dict[str, Any] = {"image_format": image_format, "quality": quality}
        self._dash_topic = cameras.check_topic(topic)
        self._dash_chosen = Chosen(env_ids, env.num_envs)
        self._dash_autoreset = _mode(env, autoreset)
        self._dash_experiment = experiment
        self._dash_begin()

    def _dash_begin(self) -> None:
        self._dash_guard = Guard()
        self._dash_run = RunOwner(self._dash_experiment, _name(self.env), self._dash_guard)
        self._dash_streams: Streams | None = None
        self._dash_closed = False

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Reset the sub-environments, all or those in `options["reset_mask"]`."""
        self._dash_before_reset(seed, options)
        result = self.env.reset(seed=seed, options=options)
        self._dash_do(Streams.reset, result)
        return result

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Make a step in each, and record what it led to."""
        self._dash_do(Streams.before_step, (actions,))
        result = self.env.step(actions)
        self._dash_do(Streams.step, result)
        return result

    def close(self, **kwargs: Any) -> None:
        """Write the last rows, end the run if it is the wrapper's own, close the environment.

        Called while an exception is on its way, it leaves its own run open: whether that failed is
        told by how the process ends.
        """
        self._dash_closed = True
        try:
            if self._dash_streams is not None:
                self._dash_streams.close()
            if error_on_its_way() is None:
                self._dash_run.end()
        except Exception as defect:  # noqa: BLE001 - recording never ends the training
            self._dash_guard("the end of the run", defect)
        return super().close(**kwargs)

    def __getattr__(self, name: str) -> Any:
        """What the environment has beyond gymnasium's interface, such as `call` or `step_async`."""
        if name.startswith("_") or name == "env":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        value = getattr(self.env, name)
        if name in IN_PARTS:
            return partial(getattr(self, f"_dash_{name}"), value)
        return value

    def __getstate__(self) -> dict[str, Any]:
        """All but the recording that goes on: a copy begins its own."""
        passing = ("_dash_guard", "_dash_run", "_dash_streams")
        return {name: value for name, value in self.__dict__.items() if name not in passing}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._dash_begin()

    # -- environments whose calls come in two parts ----------------------------------------------

    def _dash_reset_async(self, forward: Any, *args: Any, **kwargs: Any) -> Any:
        given = {**dict(zip(("seed", "options"), args, strict=False)), **kwargs}
        self._dash_before_reset(given.get("seed"), given.get("options"))
        return forward(*args, **kwargs)

    def _dash_reset_wait(self, forward: Any, *args: Any, **kwargs: Any) -> Any:
        result = forward(*args, **kwargs)
        self._dash_do(Streams.reset, result)
        return result

    def _dash_step_async(self, forward: Any, actions: Any) -> Any:
        self._dash_do(Streams.before_step, (actions,))
        return forward(actions)

    def _dash_step_wait(self, forward: Any, *args: Any, **kwargs: Any) -> Any:
        result = forward(*args, **kwargs)
        self._dash_do(Streams.step, result)
        return result

    # -- recording -------------------------------------------------------------------------------

    def _dash_before_reset(self, seed: Any, options: Any) -> None:
        self._dash_closed = False
        self._dash_do(Streams.before_reset, (seed, options))

    def _dash_do(self, part: Callable[..., None], arguments: Any) -> None:
        """Record a part of a call. Whatever goes wrong in it is counted, and said once."""
        try:
            streams = self._dash_streams
            if streams is None or not streams.live:
                if self._dash_closed:
                    return
                self._dash_closed = True  # until the next reset, if there is nothing to record into
                streams = self._dash_streams = self._dash_open()
                self._dash_closed = streams is None
            if streams is not None:
                part(streams, *arguments)
        except Exception as error:  # noqa: BLE001 - recording never ends the training
            self._dash_guard(f"a part of {part.__name__}", error)

    def _dash_open(self) -> Streams | None:
        """New streams, in topics that nobody else has."""
        experiment = self._dash_run.start()
        if experiment is None:
            return None
        env, chosen, mode = self.env, self._dash_chosen, self._dash_autoreset
        observed, acted = env.single_observation_space, env.single_action_space
        facts = about(_name(env), observed, acted)
        claims = _claims(experiment, self._dash_topic, chosen, facts)
        renders = Renders(env, chosen, self._dash_guard) if self._dash_rendered else None
        shared = Recorders(experiment, **self._dash_encoding)
        recorders = [
            EpisodeRecorder(
                experiment,
                observed,
                acted,
                topic=claim.topic,
                render=None if renders is None else partial(renders.picture, index),
                autoreset=mode is Autoreset.NEXT_STEP,
                recorders=shared,
                claim=claim,
                guard=self._dash_guard,
                subject=env.unwrapped,
                **self._dash_options,
            )
            for index, claim in zip(chosen.ids, claims, strict=True)
        ]
        return Streams(env, chosen, mode, recorders, renders, self._dash_guard)


RecordToDash = RecordVectorToDash
"""Its name in this module, as the wrappers of `gymnasium.vector` have those of `gymnasium`."""


def _name(env: VectorEnv[Any, Any, Any]) -> str:
    """What to call it: as its sub-environments, where it does not know itself."""
    base = env.unwrapped
    return env_name(base.envs[0] if env.spec is None and isinstance(base, SyncVectorEnv) else env)


def _check_render(mode: str | None) -> None:
    if not cameras.gives_arrays(mode):
        raise ValueError(
            f"frames has 'render', but this environment has render_mode={mode!r}, which gives no"
            ' picture of each step; make it with render_mode="rgb_array", or leave "render" out'
        )


def _mode(env: VectorEnv[Any, Any, Any], given: str | None) -> Autoreset:
    """Who resets the sub-environments."""
    known = env.metadata.get("autoreset_mode") if given is None else given
    mode = Autoreset.of(known)
    if mode is not None:
        return mode
    if given is not None:
        raise ValueError(
            f"autoreset is {given!r}; it must be 'next_step', 'same_step' or 'disabled'"
        )
    if isinstance(env.unwrapped, SyncVectorEnv | AsyncVectorEnv):
        return Autoreset.NEXT_STEP  # before 1.1 they did nothing else, and did not say so
    _logger.warning(
        "ml-dash: %s does not say in its metadata when it resets sub-environments that are done"
        " (autoreset_mode is %r); it is recorded as if by the next step, which is gymnasium's"
        " default; autoreset='same_step' or 'disabled' says otherwise",
        env,
        known,
    )
    return Autoreset.NEXT_STEP


def _claims(
    experiment: Experiment, topic: str, chosen: Chosen, facts: Mapping[str, Any]
) -> list[Claim]:
    """A topic for each, all below one base: the first that has none of them in use."""
    bases = chain([topic], (f"{topic}-{number}" for number in range(2, MOST_BASES + 1)))
    for base in bases:
        claims: list[Claim] = []
        try:
            claims.extend(claim_first(experiment, [f"{base}/{i}"], facts) for i in chosen.ids)
            return claims
        except ValueError as error:
            why = error
            for claim in claims:
                claim.release()
    raise why
