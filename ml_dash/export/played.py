"""The order in which rows or frames followed one another."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def as_played(steps: NDArray[Any], saved: NDArray[np.int64]) -> NDArray[np.int64]:
    """The order of time, or that of saving where as many steps go on in it, or more.

    Simulated time begins again with each episode, and lays what belongs to all of them among one
    another. `reading.episodes` has the same rule within each episode.

    Args:
        steps: of each row or frame in order of time; masked where one has none.
        saved: of each one a number that grows in the order of saving.
    """
    timely = np.arange(len(saved), dtype=np.int64)
    steps = np.ma.asarray(steps)
    if np.ma.getmaskarray(steps).any():
        return timely
    written = np.argsort(saved, kind="stable")
    stops = [np.count_nonzero(np.diff(steps.data[order]) <= 0) for order in (written, timely)]
    return written if stops[1] and stops[0] <= stops[1] else timely
