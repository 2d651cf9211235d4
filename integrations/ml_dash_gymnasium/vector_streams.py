"""One stream of episodes for each recorded sub-environment of a vector environment.

What a call of a vector environment means for one sub-environment depends on who resets it:

| mode | the step in which the episode ends gives | the next step |
|---|---|---|
| `NEXT_STEP` | the last observation | ignores its action and gives the first observation: a reset |
| `SAME_STEP` | the next episode's first one, and the last in `infos["final_obs"]` | is one |
| `DISABLED` | the last observation | is one; the user resets, all or those in `reset_mask` |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

import numpy as np
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

from ml_dash_gymnasium.episodes import MISSING, EpisodeRecorder
from ml_dash_gymnasium.guard import Guard
from ml_dash_gymnasium.vector_batches import Chosen, splitter
from ml_dash_gymnasium.vector_infos import (
    FINAL_INFO,
    final_observations,
    split_infos,
    without_finals,
)
from ml_dash_gymnasium.vector_renders import Renders


class Autoreset(Enum):
    """Who resets a sub-environment whose episode has ended, and when."""

    NEXT_STEP = "nextstep"
    SAME_STEP = "samestep"
    DISABLED = "disabled"

    @classmethod
    def of(cls, value: Any) -> Autoreset | None:
        """From gymnasium's own enum or a text in any spelling; `None` when it is neither."""
        text = str(getattr(value, "value", value)).lower().replace("_", "").replace("-", "")
        return next((mode for mode in cls if mode.value == text), None)


class Streams:
    """Hands each recorded sub-environment its share of every call.

    Args:
        env: the vector environment that is wrapped.
        chosen: who is recorded.
        autoreset: who resets an environment that is done.
        recorders: one for each of the chosen; with `autoreset=True` where the mode is `NEXT_STEP`.
        renders: where the recorders' pictures come from, if they render.
        guard: told of what could not be taken apart.
    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        chosen: Chosen,
        autoreset: Autoreset,
        recorders: Sequence[EpisodeRecorder],
        renders: Renders | None,
        guard: Guard,
    ) -> None:
        self._chosen = chosen
        self._same_step = autoreset is Autoreset.SAME_STEP
        self._recorders = recorders
        self._renders = renders
        self._guard = guard
        self._observations = splitter(env.single_observation_space, chosen)
        self._action_items = splitter(env.single_action_space, chosen)
        base = env.unwrapped
        self._counts_up = isinstance(base, SyncVectorEnv | AsyncVectorEnv)
        # Workers without shared memory do not notice a reset by the user: a sub-environment that
        # was done then is reset once more by the next step, whose action is ignored.
        self._forgets = (
            autoreset is Autoreset.NEXT_STEP
            and isinstance(base, AsyncVectorEnv)
            and not base.shared_memory
            and getattr(base, "worker", None) is None  # kept since gymnasium 1.1
        )
        self._done = [False for _ in chosen.ids]
        self._again = [False for _ in chosen.ids]  # what the next step does to them is a reset
        self._resetting = [False for _ in chosen.ids]
        self._actions: list[Any] = [MISSING for _ in chosen.ids]

    @property
    def live(self) -> bool:
        """Whether all record: none was closed, and this is no forked child's copy."""
        return all(recorder.live for recorder in self._recorders)

    def before_reset(self, seed: Any, options: Any) -> None:
        """A reset is about to be forwarded, which may take the mask out of `options`."""
        self._forget()
        mask = options.get("reset_mask") if hasattr(options, "get") else None
        if mask is None:
            self._resetting = [True for _ in self._chosen.ids]
        else:
            self._resetting = self._flags(mask)
            options = {key: value for key, value in options.items() if key != "reset_mask"}
        for recorder, due, own_seed in self._each(self._resetting, self._seeds(seed)):
            if due:
                recorder.before_reset(own_seed, options)

    def reset(self, observations: Any, infos: Any) -> None:
        """It has returned."""
        items = self._split(self._observations, observations, "observations")
        each = self._each(self._resetting, items, self._infos(infos))
        for k, (recorder, due, observation, info) in enumerate(each):
            if due:
                recorder.reset(observation, info)
                self._again[k] = self._done[k] and self._forgets
                self._done[k] = False

    def before_step(self, actions: Any) -> None:
        """A step is about to be forwarded. Actions are copied: the user may write into them."""
        self._forget()
        self._actions = self._split(self._action_items, actions, "actions")
        for recorder, again, action in self._each(self._again, self._actions):
            if again:
                recorder.before_reset()
            else:
                recorder.before_step(action)

    def step(
        self, observations: Any, rewards: Any, terminations: Any, truncations: Any, infos: Any
    ) -> None:
        """It has returned."""
        items = self._split(self._observations, observations, "observations")
        rewarded = self._split(self._chosen.scalars, rewards, "rewards", None)
        terminated, truncated = self._flags(terminations), self._flags(truncations)
        self._done = [a or b for a, b in zip(terminated, truncated, strict=True)]
        told = self._infos(infos)
        if self._same_step and any(self._done):
            lasts, finals = self._lasts(infos), self._finals(infos, told)
        each = self._each(self._actions, items, rewarded, terminated, truncated, told)
        for k, (recorder, action, observation, reward, ended, cut, info) in enumerate(each):
            if self._again[k]:
                recorder.reset(observation, info, begun="autoreset")
                self._again[k] = False
            elif self._same_step and self._done[k]:
                last_info, first_info = finals[k]
                self._end(recorder, action, lasts[k], reward, ended, cut, last_info)
                recorder.before_reset()
                recorder.reset(observation, first_info, begun="autoreset")
            else:
                recorder.step(action, observation, reward, ended, cut, info)

    def close(self) -> None:
        """End the episodes that still go on."""
        for recorder in self._recorders:
            recorder.close()

    def _end(self, recorder: EpisodeRecorder, *outcome: Any) -> None:
        """Record the last step of an episode whose environment has been reset already."""
        if self._renders is not None:
            self._renders.shown = False
        try:
            recorder.step(*outcome)
        finally:
            if self._renders is not None:
                self._renders.shown = True

    def _lasts(self, infos: Any) -> list[Any]:
        batch = final_observations(infos)
        if batch is None:
            return [MISSING for _ in self._chosen.ids]
        each = getattr(batch, "dtype", None) == np.dtype(object)  # one by one, None for the others
        split = self._chosen.items if each else self._observations
        items = self._split(split, batch, "final observations")
        return [MISSING if item is None else item for item in items]

    def _finals(self, infos: Any, told: list[Any]) -> list[tuple[Any, Any]]:
        """What the step and what the reset in it told; all is the step's if not told apart."""
        if not hasattr(infos, "items") or FINAL_INFO not in infos:
            return [(without_finals(info), {}) for info in told]
        return [(info.get(FINAL_INFO) or {}, without_finals(info)) for info in told]

    def _infos(self, infos: Any) -> list[Any]:
        return self._split(lambda batch: split_infos(batch, self._chosen), infos, "infos", {})

    def _flags(self, batch: Any) -> list[bool]:
        return [bool(flag) for flag in self._split(self._chosen.scalars, batch, "flags", False)]

    def _split(
        self, split: Callable[[Any], list[Any]], batch: Any, what: str, instead: Any = MISSING
    ) -> list[Any]:
        """Take a batch apart; if it is not what its space says, nobody has anything of it."""
        try:
            items = split(batch)
            if len(items) == len(self._chosen.ids):
                return items
            error: Exception = ValueError(f"{len(items)} items")
        except Exception as defect:  # noqa: BLE001 - recording must not end the training
            error = defect
        self._guard(f"a batch of {what}", error)
        return [instead for _ in self._chosen.ids]

    def _seeds(self, seed: Any) -> list[Any]:
        """Each environment's own: gymnasium counts up from one number, others do as they like."""
        if seed is None:
            return [None for _ in self._chosen.ids]
        if isinstance(seed, int | np.integer):
            return [int(seed) + (i if self._counts_up else 0) for i in self._chosen.ids]
        return self._split(self._chosen.scalars, seed, "seeds", None)

    def _each(self, *columns: Sequence[Any]) -> Any:
        return zip(self._recorders, *columns, strict=True)

    def _forget(self) -> None:
        if self._renders is not None:
            self._renders.forget()
