"""A stream of episodes of one environment: rows, frames and summaries::

    recorder.before_reset(seed, options)
    observation, info = env.reset(seed=seed, options=options)
    recorder.reset(observation, info)
    recorder.before_step(action)
    recorder.step(action, *env.step(action))

Row t of an episode has obs_t, the action taken then, and what came of it: reward, terminated,
truncated, info. The last row has the last observation and no action. Its frame shows its
observation. Each row has a `step` of its own that never goes back, and its `episode_step`, t.

| what happens | what becomes of it |
|---|---|
| terminated, truncated | the last row is written at once; `ended` says which |
| reset in mid-episode | the episode's last row has `ended: reset`; readers take it as truncated |
| close in mid-episode | the same, with `ended: close` |
| reset after reset | an episode without a step leaves no row, and its number is used again |
| a step after the end | a new episode, `begun: step`, whose first observation is the last one |
| autoreset, where known | a new episode, `begun: autoreset`, with the action that was ignored |
| an exception or Ctrl-C, then a step | `ended: exception`, and a new episode, `begun: exception` |

What a call has done that an exception left is not known: no transition joins what was before it and
what came after, and the new episode has no first observation.

So Minari's collector sees it, but for the autoreset: it records that as a transition, from the last
observation of one episode to the first of the next. `transitions(run, autoresets=True)` does, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gymnasium.spaces import Space

from ml_dash import ClosedError, Experiment
from ml_dash_gymnasium import endings
from ml_dash_gymnasium.cameras import OBSERVATIONS, Frames
from ml_dash_gymnasium.copies import as_flag, as_number, keep
from ml_dash_gymnasium.episode import Episode
from ml_dash_gymnasium.guard import Guard
from ml_dash_gymnasium.moments import Moments
from ml_dash_gymnasium.observations import MISSING, Observations
from ml_dash_gymnasium.recorders import Recorders
from ml_dash_gymnasium.spaces import Layout
from ml_dash_gymnasium.topics import Claim

if TYPE_CHECKING:
    from ml_dash import Moment

Row = dict[str, Any]

__all__ = ["MISSING", "EpisodeRecorder"]


class EpisodeRecorder:
    """Records one environment's episodes. No call of it raises; what goes wrong is counted.

    Args:
        experiment: a run that was started.
        observation_space: of the environment.
        action_space: of the environment.
        topic: tracks are `<topic>/steps` and `<topic>/episodes`, frames `<topic>/obs` and
            `<topic>/render`, metrics `<topic>/episodes`.
        frames: see `cameras.choose`.
        every: take a frame at each n-th step of an episode. Rows are of every step.
        episode_trigger: says of an episode's number whether its rows and frames are recorded; its
            summary always is.
        image_format: `jpg` or `png`.
        quality: of JPEG frames, 1-100.
        render: gives the rendered picture, HxW or HxWxC, or `None` where there is none.
        autoreset: a step after the end of an episode is a reset, whose action is ignored.
        recorders: to share; then steps are numbered by this stream alone.
        claim: the topic's numbers, to go on from and to give back.
        guard: counts what could not be recorded.
        subject: the environment itself; steps are only joined by what concerns it.

    Attributes:
        live: whether it records: it was not closed, its run goes on, and it is not a forked
            child's copy of its parent's.

    Raises:
        ValueError, TypeError: as `cameras.choose`.
    """

    def __init__(
        self,
        experiment: Experiment,
        observation_space: Space[Any],
        action_space: Space[Any],
        *,
        topic: str = "env",
        frames: Frames = "obs",
        every: int = 1,
        episode_trigger: Callable[[int], bool] | None = None,
        image_format: str = "jpg",
        quality: int = 95,
        render: Callable[[], Any] | None = None,
        autoreset: bool = False,
        recorders: Recorders | None = None,
        claim: Claim | None = None,
        guard: Guard | None = None,
        subject: object = None,
    ) -> None:
        self.topic = topic
        self.guard = guard or Guard()
        self.live = True
        self._observations = Observations(
            observation_space, topic, frames=frames, every=every, render=render, guard=self.guard
        )
        self._actions = Layout(action_space, "action", pictures=False)
        self._trigger = episode_trigger
        self._autoreset = autoreset
        self._recorders = recorders or Recorders(
            experiment, image_format=image_format, quality=quality
        )
        self._steps, self._episodes = f"{topic}/steps", f"{topic}/episodes"
        self._claim = claim or Claim(topic)
        self._moments = Moments(
            self._recorders.usual,
            self._claim,
            self.guard,
            shared=recorders is not None,
            subject=subject,
        )
        self._moment: Moment | None = None  # of the observation at hand
        self._following: Moment | None = None  # of the one that is being made
        self._episode: Episode | None = None  # that goes on
        self._row: Row = {}  # of the observation at hand
        self._frames: dict[str, Any] = {}
        self._taken = False  # that row, by its action; the next one is not there yet
        self._action: Row = {}
        self._asked: tuple[Any, Any] | None = None  # seed and options of the reset that goes on
        self._done = False  # the environment has ended the last episode
        self._resetting = False  # the step that goes on is a reset
        self._under_way = False  # a call, until all of its outcome is there: Ctrl-C may come before
        endings.watch(experiment, self)

    # -- what the environment does ---------------------------------------------------------------

    def before_reset(self, seed: Any = None, options: Any = None) -> None:
        """A reset is about to be forwarded: end the episode that goes on, begin a moment.

        Args:
            seed: as given by the user.
            options: likewise; copied now, because environments may take things out of it.
        """
        self._under_way = True
        self._end("reset")
        self._asked = (seed, keep(options))
        self._following = self._moments.begin()

    def reset(
        self,
        observation: Any,
        info: Any,
        *,
        seed: Any = None,
        options: Any = None,
        begun: str = "reset",
    ) -> None:
        """The reset has returned.

        Args:
            observation: the first one of the episode.
            info: any dict.
            seed: counts, like `options`, where `before_reset` was not called.
            options: likewise.
            begun: who reset it: `reset` for the user, or `autoreset`.
        """
        if self._asked is None:
            self.before_reset(seed, options)
        self._new_episode(observation, begun, info)
        self._under_way = False

    def before_step(self, action: Any) -> None:
        """A step is about to be forwarded: copy the action, begin the moment of its outcome."""
        lost, self._under_way = self._under_way, True
        if self._taken and self._episode is not None:
            self._pass_over(self._episode)
        elif lost:
            self._begin_anew()
        elif self._episode is None and self._done and self._autoreset:
            self._resetting = True
        elif self._episode is None:
            self._go_on()
        self._action = {}
        try:
            if action is not MISSING:
                self._actions.write(action, self._action)
        except Exception as error:  # noqa: BLE001 - an object of the user's may raise anything
            self.guard("an action", error)
        self._following = self._moments.begin()

    def step(
        self, action: Any, observation: Any, reward: Any, terminated: Any, truncated: Any, info: Any
    ) -> None:
        """The step has returned.

        Args:
            action: as given to `before_step`.
            observation: `MISSING` when the environment did not give it.
            reward: a number, or an array of several.
            terminated: whether the task has ended the episode.
            truncated: whether something else has.
            info: any dict.
        """
        if not self._under_way:
            self.before_step(action)
        if self._resetting:
            self._reset_by_step(observation, reward, info)
            return
        episode = self._episode
        assert episode is not None
        terminated, truncated, reward = as_flag(terminated), as_flag(truncated), as_number(reward)
        t = episode.add(reward)
        if episode.recorded:
            row = {**self._row, **self._action, "reward": reward}
            row["terminated"], row["truncated"] = terminated, truncated
            if not _is_empty(info):
                row["info"] = info
            self._taken = True
            self._write({self._steps: row}, self._frames)
            self._look(observation, episode.number, t)
        self._moment, self._following = self._following, None
        self._taken = False
        if terminated or truncated:
            self._done = True
            self._end("terminated" if terminated else "truncated")
        self._under_way = False

    def close(self) -> None:
        """End the episode that goes on, and let go of the topic. The run goes on."""
        if self.live:
            self._end("close")
            self._recorders.usual.end()
            self.abandon()

    def __del__(self) -> None:
        # Of an environment that nobody has any more, and that was not closed
        if getattr(self, "_episode", None) is not None:
            if not endings.put_off(self):
                self.close()
        elif getattr(self, "live", False) and hasattr(self, "_claim"):
            self._claim.release()  # nothing is left to be written

    def abandon(self) -> None:
        """Record nothing from now on, not even the end."""
        self.live = False
        self._claim.release()

    # -- episodes --------------------------------------------------------------------------------

    def _new_episode(self, observation: Any, how: str, info: Any = None) -> None:
        """The first observation of an episode is there."""
        self._moment, self._following = self._following, None
        (seed, options), self._asked = self._asked or (None, None), None
        step = self._claim.step - 1 if self._moment is None else self._moment.step
        number = self._claim.episode
        self._episode = Episode(number, self._triggered(number), step, seed)
        self._done = self._taken = False
        self._row, self._frames = {}, {}
        if self._episode.recorded:
            self._look(observation, number, 0)
            self._row["begun"] = how
            for name, value in (("seed", seed), ("options", options), ("reset_info", info)):
                if not _is_empty(value):
                    self._row[name] = keep(value)

    def _go_on(self) -> None:
        """A step without a reset: a new episode, which begins where the last one ended."""
        row, frames = self._row, self._frames
        self._following = self._moments.begin()
        self._new_episode(MISSING, "step")
        if self._row:
            self._row |= {k: v for k, v in row.items() if k.split(".")[0] == OBSERVATIONS}
            self._frames = frames

    def _begin_anew(self) -> None:
        """The loop goes on after an exception: what comes now is not joined with what was before.

        The environment may have made the step, or the reset, or a part of it.
        """
        self._end("exception")
        self._asked, self._resetting = None, False
        self._following = self._moments.begin()
        self._new_episode(MISSING, "exception")

    def _pass_over(self, episode: Episode) -> None:
        """The loop goes on after Ctrl-C in a step: its outcome is known, its observation not."""
        self._moment, self._following = self._following or self._moments.begin(), None
        self._row, self._frames = {"episode": episode.number, "episode_step": episode.t}, {}
        self._taken = False

    def _reset_by_step(self, observation: Any, reward: Any, info: Any) -> None:
        self._resetting = False
        self._new_episode(observation, "autoreset", info)
        if self._row:
            self._row |= {f"ignored_{name}": value for name, value in self._action.items()}
            self._row["ignored_reward"] = as_number(reward)
        self._under_way = False

    def _triggered(self, number: int) -> bool:
        try:
            return self._trigger is None or bool(self._trigger(number))
        except Exception as error:  # noqa: BLE001 - the user's own function
            self.guard("the choice of episode_trigger", error)
            return True

    def _end(self, how: str) -> None:
        """Write the last row of the episode that goes on, and its summary."""
        episode = self._episode
        if episode is None or episode.t == 0:
            self._episode = None
            return  # nothing has happened in it: its number is used again
        self._claim.episode, self._episode = episode.number + 1, None
        last = self._claim.step - 1 if self._moment is None else self._moment.step
        result = episode.result()
        tracks = {self._episodes: result | episode.place(last, how)}
        if episode.recorded and not self._taken:
            self._row["ended"] = how
            tracks = {self._steps: self._row, **tracks}
        self._write(tracks, self._frames, {self._episodes: result})

    # -- writing ---------------------------------------------------------------------------------

    def _look(self, observation: Any, episode: int, t: int) -> None:
        """The observation at hand is another one."""
        self._row = {"episode": episode, "episode_step": t}
        self._frames = self._observations.take(observation, self._row, t)

    def _write(
        self,
        tracks: dict[str, Row],
        frames: dict[str, Any],
        metrics: dict[str, Row] | None = None,
    ) -> None:
        """Record what is of the observation at hand."""
        moment = self._moment
        if moment is None or not self.live:
            return  # what went wrong was said then
        try:
            self._recorders.write(moment, tracks, frames, self._observations.exact, metrics)
        except ClosedError as error:
            self.abandon()
            self.guard("a step", error)
        except Exception as error:  # noqa: BLE001 - recording never ends the training
            self.guard("all of a step", error)
            self._recorders.write_less(moment, tracks, metrics, self.guard)


def _is_empty(value: Any) -> bool:
    return value is None or (type(value) is dict and not value)
