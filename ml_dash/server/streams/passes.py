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
        told: whether the rows say it, by their episode; else it follows from their steps.
    """

    number: Any
    names: list[str]
    told: bool

    @property
    def many(self) -> bool:
        """Whether there are too many for a line each."""
        return len(self.names) > MOST

    def of(self, kept: Booleans, steps: Floats) -> Passes | None:
        """Those of some of the rows; `None` where one line can go through these.

        Rows that are written late, such as those of an evaluation beside the training, go back
        behind the others, and not among themselves.

        Args:
            kept: which rows.
            steps: of all rows.
        """
        if not self.told:
            return self if kept.all() else _of_steps(steps[kept])
        number = self.number[kept]
        if not np.any(np.bincount(number) > 1):  # a row for each episode: those make one line
            return None
        return Passes(number, self.names, told=True)


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
    return _of_steps(steps)


def _of_steps(steps: Floats) -> Passes | None:
    """A pass from where steps go back on, if they do; a single row that came late is none."""
    places = np.flatnonzero(~np.isnan(steps))
    known = steps[places]
    back = known[1:] < known[:-1]
    back[:-1] &= known[2:] <= known[:-2]
    if not back.any():
        return None
    begins = np.zeros(len(steps), np.int64)
    begins[places[1:]] = back
    number = np.cumsum(begins)
    return Passes(number, [f"pass {n + 1}" for n in range(int(number[-1]) + 1)], told=False)


def _of_episodes(episodes: Floats, there: Booleans) -> Passes | None:
    """A pass for each episode, if each row is of one."""
    if not len(episodes) or not there.all() or not np.isfinite(episodes).all():
        return None
    values, number = np.unique(episodes, return_inverse=True)
    names = [f"{EPISODE} {value:.12g}" for value in values.tolist()]
    return Passes(number.reshape(-1), names, told=True)


def _any_goes_back(steps: Floats, number: Any) -> bool:
    """Whether steps go back within a pass."""
    order = np.argsort(number, kind="stable")
    steps, number = steps[order], number[order]
    known = ~np.isnan(steps)
    steps, number = steps[known], number[known]
    return bool(np.any((steps[1:] < steps[:-1]) & (number[1:] == number[:-1])))
