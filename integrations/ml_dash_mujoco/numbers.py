"""Where the steps and episodes of a topic go on: after those that the run has of it already.

A run may be continued by another process, and a program may make a hook for each episode. Counted
from 0 again, their episodes would not be those that a wrapper of the environment counts.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass

from ml_dash import Experiment


@dataclass(slots=True)
class Numbers:
    """What the next hook of a topic begins with.

    Attributes:
        step: one more than the last.
        episode: likewise.
        hook: gives the hook that the topic is of: the one that was made last.
    """

    step: int = 0
    episode: int = 0
    hook: Callable[[], object] = lambda: None

    def note(self, step: int, episode: int) -> None:
        """A row was recorded."""
        self.step, self.episode = step + 1, episode + 1


_known: weakref.WeakKeyDictionary[Experiment, dict[str, Numbers]] = weakref.WeakKeyDictionary()


def numbers_of(experiment: Experiment, topic: str) -> Numbers:
    """The numbers of a topic; what earlier processes have recorded is looked up once."""
    topics = _known.setdefault(experiment, {})
    if topic not in topics:
        topics[topic] = _stored(experiment, topic)
    return topics[topic]


def _stored(experiment: Experiment, topic: str) -> Numbers:
    found = Numbers()
    try:
        last = experiment.track(topic).find(math.inf)
    except OSError:  # a disk that fails is told of when something is recorded
        last = None
    if last is not None:
        found.note(_whole(last.get("step")), _whole(last.get("episode")))
    return found


def _whole(number: object) -> int:
    return number if type(number) is int else -1  # the row of somebody else
