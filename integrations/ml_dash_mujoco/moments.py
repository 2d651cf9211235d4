"""Which step a call of the hook belongs to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ml_dash import Moment, Recorder


@dataclass(slots=True)
class Place:
    """Where a call belongs.

    Attributes:
        moment: its step and timestamp.
        substep: how many calls with other states were recorded in this step before.
        framed: whether the step has a frame already.
        time: simulation time of the last call that was recorded in it.
    """

    moment: Moment
    time: float
    substep: int = 0
    framed: bool = False


class Places:
    """Finds the step of each call: the one that is open, or else one of its own.

    Another recorder may have opened a step, such as that of an environment's wrapper; it may hold
    several calls.

    Args:
        recorder: of the hook.
        first: the number of the first step, where none is open.
        concerns: says whether an environment, whose wrapper has opened a step, is the one at hand.
    """

    def __init__(
        self, recorder: Recorder, first: int = 0, concerns: Callable[[object], bool] | None = None
    ) -> None:
        self._recorder = recorder
        self._concerns = concerns
        self._first = first
        self._last: Place | None = None

    def find(self, time: float) -> Place | None:
        """Where a call at a simulation time belongs; `None` when its state is recorded already."""
        moment = self._moment()
        last = self._last
        if last is None or last.moment is not moment:
            self._last = last = Place(moment, time)
        elif last.time == time:
            return None
        else:
            last.substep += 1
            last.time = time
        return last

    def has(self, time: float) -> bool:
        """Whether the step that is open has the state of this time already."""
        last = self._last
        return last is not None and last.time == time and last.moment is self._current()

    def _current(self) -> Moment | None:
        return self._recorder.current(self._concerns)

    def _moment(self) -> Moment:
        moment = self._current()
        if moment is None:
            last = self._last
            moment = self._recorder.begin(self._first if last is None else last.moment.step + 1)
            self._recorder.end()  # at once: what the user records until the next call is not of it
        return moment
