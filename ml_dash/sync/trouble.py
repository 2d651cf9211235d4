"""What can go wrong between a run and its server, what is said of it, and when to try again."""

from __future__ import annotations

import random
from collections.abc import Callable

LONGEST = 60.0
"""Seconds between two attempts at most, unless the server asks for more."""

MOST_ASKED = 300.0
"""Seconds for which a server is left alone at most, though it may ask for more."""


class BackOff:
    """How long to wait before the next attempt: longer after each failure, and never in step.

    Args:
        first: seconds that the first wait takes at most; doubled with each failure.
        chance: a number from 0 to 1, a new one at each call.
    """

    def __init__(self, first: float = 0.5, chance: Callable[[], float] = random.random) -> None:
        self._first = first
        self._chance = chance
        self._failures = 0

    def next(self, error: BaseException) -> float:
        """Seconds to wait after one more failure."""
        ceiling = min(LONGEST, self._first * 2.0 ** min(self._failures, 30))
        self._failures += 1
        asked = getattr(error, "retry_after", None)
        if asked is not None:
            # A little more than asked: not all who were told the same come back at once.
            return min(MOST_ASKED, float(asked)) + self._chance() * self._first
        return self._chance() * ceiling

    def reset(self) -> None:
        """An attempt has succeeded."""
        self._failures = 0


def kind_of(error: BaseException) -> str:
    """What troubles are the same one, of which is told once."""
    return str(getattr(error, "kind", None) or type(error).__name__)


def is_refusal(error: BaseException) -> bool:
    """Whether waiting a little will not help: somebody has to do something first."""
    from ml_dash.remote import ForbiddenError, NotFoundError, RejectedError, UnauthorizedError

    if isinstance(error, (ForbiddenError, NotFoundError, UnauthorizedError, RejectedError)):
        return True
    return getattr(error, "kind", None) == "tls"


def is_cut(error: BaseException) -> bool:
    """Whether a connection broke that had been made: less may get through at a time."""
    return getattr(error, "kind", None) == "closed"


def ends_replication(error: BaseException, *, connected: bool) -> bool:
    """Whether the run stays local from now on, for as long as this process goes on.

    Args:
        error: what the server answered.
        connected: whether it had taken the run before.
    """
    from ml_dash.remote import ForbiddenError, NotFoundError, RejectedError

    if connected:
        return isinstance(error, NotFoundError)  # somebody deleted the run there
    if isinstance(error, RejectedError) and error.status in (409, 413):
        return False  # somebody else makes the same just now; a proxy refuses what is small
    return isinstance(error, (ForbiddenError, RejectedError))
