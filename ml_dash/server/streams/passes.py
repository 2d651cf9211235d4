"""Passes over an axis: rows whose steps begin anew, as in each episode or after a resume.

A line through all of them would go back and forth; each pass is a line of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ml_dash.reading.entries import Booleans, Floats

MOST = 32
"""Lines of one column that can be told from each other."""

EPISODE = "episode"
"""The column that says of which episode a row is."""


@dataclass(frozen=True, slots=True)
class Passes:
    """The passes of rows.

    Attributes:
        number: of each row, the number of its pass.
        names: what each is.
    """

    number: Any
    names: list[str]

    @property
    def many(self) -> bool:
        """Whether there are too many for a line each."""
        return len(self.names) > MOST


def goes_back(steps: Floats) -> bool:
    """Whether the steps of rows in order of time go back anywhere."""
    known = steps[~np.isnan(steps)]
    return bool(np.any(known[1:] < known[:-1]))


def repeats(steps: Floats) -> bool:
    """Whether steps of rows in order of time do not always rise."""
    known = steps[~np.isnan(steps)]
    return bool(np.any(known[1:] <= known[:-1]))


def find_passes(
    steps: Floats, episodes: tuple[Floats, Booleans] | None, by_step: bool
) -> Passes | None:
    """Which pass each row is of; `None` where one line can go through all.

    Args:
        steps: of rows in order of time, NaN where there is none; they do not always rise.
        episodes: the episode of each row, and whether it has one.
        by_step: whether the axis is that of steps, and not of time.
    """
    whole = None if episodes is None else _of_episodes(*episodes)
    if not by_step:
        # Rows come in order of time: only episodes that lie over each other, as where the clock of
        # a simulation begins anew, are no single line
        if whole is None or np.count_nonzero(np.diff(whole.number)) < len(whole.names):
            return None
        return whole
    if whole is not None and not _any_goes_back(steps, whole.number):
        return whole if len(whole.names) > 1 else None
    if not goes_back(steps):
        return None
    known = ~np.isnan(steps)
    back = np.zeros(len(steps), np.int64)
    back[np.flatnonzero(known)[1:]] = steps[known][1:] < steps[known][:-1]
    number = np.cumsum(back)
    return Passes(number, [f"pass {n + 1}" for n in range(int(number[-1]) + 1)])


def _of_episodes(episodes: Floats, there: Booleans) -> Passes | None:
    """A pass for each episode, if each row is of one."""
    if not len(episodes) or not there.all() or not np.isfinite(episodes).all():
        return None
    values, number = np.unique(episodes, return_inverse=True)
    return Passes(number.reshape(-1), [f"{EPISODE} {value:.12g}" for value in values.tolist()])


def _any_goes_back(steps: Floats, number: Any) -> bool:
    """Whether steps go back within a pass."""
    order = np.argsort(number, kind="stable")
    steps, number = steps[order], number[order]
    known = ~np.isnan(steps)
    steps, number = steps[known], number[known]
    return bool(np.any((steps[1:] < steps[:-1]) & (number[1:] == number[:-1])))
