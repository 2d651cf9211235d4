"""Windows over time: what was seen up to a step, and what was done from it on.

For each row t of an episode, with `obs_horizon` To and `action_horizon` Ta:

    observations   t - To + 1, …, t        (the last one is the present)
    actions        t, …, t + Ta - 1        (the first one is what was done at t)

A window never leaves its episode. Where it would, the episode's first observation or last action is
repeated, and a mask is True at those places: `obs_is_pad` of shape (To,), `action_is_pad` of shape
(Ta,). With `pad=False` there are only the rows whose windows are whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ml_dash.loaders.fields import EXACT, LIST, Field, Integers, Key, Samples, Values, gather

OBS_PAD, ACTION_PAD = "obs_is_pad", "action_is_pad"


class Windows:
    """Samples that hold several rows each: stacks of past observations and of future actions.

    Args:
        samples: the rows, those of each episode in order of time.
        episodes: of each row the number of its episode: shape (rows,). Rows of several episodes may
            alternate.
        obs_horizon: how many rows of observations, the present one included.
        action_horizon: how many rows of actions, that of the present row included.
        actions: the fields that are actions. All others are observations, but those of the kind
            `exact` (step, time, indices), which are of the present row alone.
        pad: keep rows at the edges of episodes, whose windows are filled up by repetition.

    Raises:
        ValueError: a horizon is below 1.
    """

    def __init__(
        self,
        samples: Samples,
        episodes: Integers,
        *,
        obs_horizon: int = 1,
        action_horizon: int = 1,
        actions: Sequence[Key] = (),
        pad: bool = True,
    ) -> None:
        for name, value in (("obs_horizon", obs_horizon), ("action_horizon", action_horizon)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}; it must be a whole number, 1 or more")
        self._samples = samples
        self._past = np.arange(1 - obs_horizon, 1, dtype=np.int64)
        self._future = np.arange(action_horizon, dtype=np.int64)
        # Rows in the order of their episodes, where each row is in it, and where episodes begin
        self._order = np.argsort(episodes, kind="stable")
        grouped = np.asarray(episodes)[self._order]
        new = np.concatenate([[True], grouped[1:] != grouped[:-1]])[: len(grouped)]
        begins = np.flatnonzero(new)
        lengths = np.diff(np.append(begins, len(grouped)))
        self._place = np.empty(len(grouped), np.int64)
        self._place[self._order] = np.arange(len(grouped), dtype=np.int64)
        self._begin = np.empty(len(grouped), np.int64)
        self._begin[self._order] = np.repeat(begins, lengths)
        self._last = np.empty(len(grouped), np.int64)
        self._last[self._order] = np.repeat(begins + lengths - 1, lengths)
        whole = (self._place + 1 - obs_horizon >= self._begin) & (
            self._place + action_horizon - 1 <= self._last
        )
        self.rows = np.arange(len(grouped), dtype=np.int64) if pad else np.flatnonzero(whole)
        self._actions = frozenset(actions)
        self.fields: Mapping[Key, Field] = self._described(samples.fields)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        horizons = f"{len(self._past)} observations, {len(self._future)} actions"
        return f"<Windows {len(self)}: {horizons}>"

    def sample(self, index: int, /) -> dict[Key, Any]:
        """One window: observations (To, …), actions (Ta, …), masks, and the present row's rest."""
        index = range(len(self))[index]
        found = self.gather(np.array([index], np.int64))
        return {key: values[0] for key, values in found.items()}

    def gather(self, indices: Integers, keys: Iterable[Key] | None = None) -> dict[Key, Values]:
        """The windows with these numbers, n of them: arrays (n, To, …) and (n, Ta, …)."""
        wanted = set(self.fields if keys is None else keys)
        rows = self.rows[np.asarray(indices, np.int64)]
        past, before = self._window(rows, self._past)
        future, after = self._window(rows, self._future)
        fields = self._samples.fields
        exact = [key for key in fields if key in wanted and self._is_present(key)]
        actions = [key for key in fields if key in wanted and key in self._actions]
        seen = [key for key in fields if key in wanted and key not in {*exact, *actions}]
        found: dict[Key, Values] = dict(gather(self._samples, rows, exact)) if exact else {}
        for names, window in ((seen, past), (actions, future)):
            found |= self._stacks(names, window)
        found[OBS_PAD], found[ACTION_PAD] = before, after
        return {key: found[key] for key in self.fields if key in wanted}

    def _window(self, rows: Integers, offsets: Integers) -> tuple[Integers, Any]:
        """The rows of each window, shape (n, offsets), and which of them stand in for others."""
        places = self._place[rows][:, None] + offsets
        inside = np.clip(places, self._begin[rows][:, None], self._last[rows][:, None])
        return self._order[inside], inside != places

    def _stacks(self, keys: list[Key], window: Integers) -> dict[Key, Values]:
        """Fields of the rows of windows. Each row is read once, however many windows it is in."""
        if not keys:
            return {}
        rows, inverse = np.unique(window, return_inverse=True)
        inverse = inverse.reshape(window.shape)
        places: list[list[int]] = inverse.tolist()  # type: ignore[assignment]  # two dimensions
        found: dict[Key, Values] = {}
        for key, values in gather(self._samples, rows, keys).items():
            if isinstance(values, list):
                found[key] = [[values[number] for number in row] for row in places]
            else:
                found[key] = values[inverse]
        return found

    def _is_present(self, key: Key) -> bool:
        return self._samples.fields[key].kind == EXACT and key not in self._actions

    def _described(self, fields: Mapping[Key, Field]) -> dict[Key, Field]:
        found: dict[Key, Field] = {}
        for key, field in fields.items():
            if self._is_present(key):
                found[key] = field
            else:
                width = len(self._future if key in self._actions else self._past)
                shape = (width, *field.shape) if field.kind != LIST else (width,)
                found[key] = Field(field.kind, shape, field.dtype)
        found[OBS_PAD] = Field(EXACT, (len(self._past),), "bool")
        found[ACTION_PAD] = Field(EXACT, (len(self._future),), "bool")
        return found
