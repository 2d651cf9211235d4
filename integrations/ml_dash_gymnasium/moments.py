"""The steps of a stream, each begun when its observation is about to be made."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from ml_dash import Moment, Recorder
from ml_dash_gymnasium.guard import Guard
from ml_dash_gymnasium.topics import Claim


class Moments:
    """Begins the steps of one stream.

    Args:
        recorder: what begins them.
        claim: the stream's numbers, which count on.
        guard: counts what could not be recorded.
        shared: whether other streams have the recorder, too; then only the claim's numbers count.
        subject: the environment; steps are only joined by what concerns it.
    """

    def __init__(
        self, recorder: Recorder, claim: Claim, guard: Guard, *, shared: bool, subject: object
    ) -> None:
        self._recorder = recorder
        self._claim = claim
        self._guard = guard
        self._shared = shared
        self._subject = _weakly(subject)
        self._latest: Moment | None = None

    def begin(self) -> Moment | None:
        """Begin the moment of the next observation: what is recorded from now on belongs to it."""
        begin, step = self._recorder.begin, self._claim.step
        try:
            moment = begin(step) if self._shared else begin()
            # Of a `with recorder.step(n):` of the user's, unless that would be to go back.
            if moment is self._latest or moment.step < step - 1:
                moment = begin(step)
        except Exception as error:  # noqa: BLE001 - recording never ends the training
            self._guard("a step", error)
            return None
        self._latest = moment
        self._claim.step = moment.step + 1
        moment.subject = self._subject
        if not self._shared:
            moment.episode = self._claim.episode
        return moment


def _weakly(subject: object) -> Callable[[], object] | None:
    try:
        return weakref.ref(subject)
    except TypeError:  # none is given, or it has slots of its own
        return None
