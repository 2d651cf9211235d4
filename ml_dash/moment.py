"""The moment that something is recorded of: one step, one timestamp, one name for its frames.

Two kinds are open at a time, both in the thread (the context, to be exact) that opened them only:

- *blocks*, `with recorder.step(n):`, which everything recorded inside joins;
- moments that were *begun*, `recorder.begin(n)`, which last until the same recorder begins the
  next one; other recorders of the run join them. That is for adapters, whose steps begin in one
  call of the framework and end in another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf
from typing import Any, final
from weakref import WeakKeyDictionary, ref

from ml_dash import clock


@final
class Moment:
    """A step of a run, as one recorder began it. Kept, it can be recorded into later.

    Attributes:
        step: its number.
        given: whether its timestamp was given by the caller, who may give more rows of that time.
        due: by recorder, whether its rows and its frames are due.
        frame: the name of its frames, without the ending, once there are any.
        writer: who gave out that name; a forked child needs another.
        cameras: those that have a frame of that name.
        episode: the number of the one that it is of, where whoever began it counts them; for those
            who join it.
        subject: gives what it is of, such as an environment, where whoever began it says so.
    """

    __slots__ = (
        "_run",
        "_timestamp",
        "cameras",
        "due",
        "episode",
        "frame",
        "given",
        "step",
        "subject",
        "writer",
    )

    def __init__(self, run: object, step: int, timestamp: float | None) -> None:
        self.step = step
        self.given = timestamp is not None
        self.frame = ""
        self.writer = ""
        self.cameras: frozenset[str] = frozenset()
        self.due: dict[int, tuple[bool, bool]] | None = None
        self.episode: int | None = None
        self.subject: Callable[[], object] | None = None
        self._run = run
        self._timestamp = timestamp

    @property
    def timestamp(self) -> float:
        """Seconds since 1970; where none was given, those of the first time it was asked for."""
        if self._timestamp is None:
            self._timestamp = clock.now()
        return self._timestamp

    def belongs_to(self, run: object) -> bool:
        """Whether it is of this run, which is known by its buffer."""
        return self._run is run

    def head(self) -> dict[str, Any]:
        """What each row of it begins with."""
        head = {"timestamp": self.timestamp, "step": self.step}
        if self.given:
            head["_explicit"] = True
        return head

    def __repr__(self) -> str:
        return f"<moment: step {self.step}>"


class OwnClock:
    """A clock of the caller's, such as simulated time, as one recorder sees it.

    Rows with the same given timestamp and step are one when read. Where such a clock begins again,
    as it does with each episode and each start of the program, new rows would take the place of
    those that have the same time already. From then on each call has rows of its own.

    Args:
        run: what is recorded, known by its buffer.
        since: when this session began, if an earlier one may have had the same times: the time of
            day alone is known to go on.
    """

    __slots__ = ("_again", "_passed", "_run", "_since")

    def __init__(self, run: object, *, since: float | None) -> None:
        self._run = run
        self._since = since
        self._again = False
        self._passed: _Passed | None = None

    def moment(self, step: int, timestamp: float | None) -> Moment:
        """A moment of the run; without a timestamp its time is not of this clock."""
        made = Moment(self._run, step, timestamp)
        if timestamp is not None:
            self._take(step, timestamp)
            made.given = not self._again and self._is_new(timestamp)
        return made

    def _is_new(self, timestamp: float) -> bool:
        """Whether no earlier session can have had this time."""
        return self._since is None or self._since <= timestamp <= time.time() + 60

    def _take(self, step: int, timestamp: float) -> None:
        passed = self._passed
        if passed is None:  # another recorder may have gone before, such as one for each episode
            passed, again = _latest.get(self._run, ((step, timestamp, -inf), False))
            self._again = self._again or again
        last, highest, before = passed
        # Not at once, perhaps: a row may have its new step and still the time of the old episode.
        # A late sample has an earlier time only, and rows of different steps stay apart.
        if step < last:
            before = highest
        if timestamp < before:
            self._again = True
        self._passed = step, max(highest, timestamp), before
        _latest[self._run] = self._passed, self._again


_Passed = tuple[int, float, float]
"""The last step, the latest time, and the latest one before the step last went back."""

_latest: WeakKeyDictionary[object, tuple[_Passed, bool]] = WeakKeyDictionary()

BLOCKS: list[Moment] = []
"""Those of all threads. Empty nearly always, and quickly seen to be so in the hot paths."""

_blocks: ContextVar[tuple[Moment, ...]] = ContextVar("ml_dash_blocks", default=())
_begun: ContextVar[tuple[tuple[ref[object], Moment], ...]] = ContextVar("ml_dash_begun", default=())


@contextmanager
def block(moment: Moment) -> Iterator[None]:
    """Let what is recorded inside join a moment."""
    before = _blocks.set((*_blocks.get(), moment))
    BLOCKS.append(moment)
    try:
        yield
    finally:
        BLOCKS.remove(moment)
        _blocks.reset(before)


def begin(owner: object, moment: Moment | None) -> None:
    """Make it the latest moment, in place of the owner's last one; `None` only ends that."""
    begun = _begun.get()
    if moment is not None and len(begun) == 1 and begun[0][0]() is owner:  # nearly always
        _begun.set(((begun[0][0], moment),))
        return
    kept = tuple(one for one in begun if one[0]() not in (owner, None))
    _begun.set(kept if moment is None else (*kept, (ref(owner), moment)))


def in_block(run: object) -> Moment | None:
    """The moment of the innermost block of this run."""
    for moment in reversed(_blocks.get()):
        if moment.belongs_to(run):
            return moment
    return None


def joined(run: object, step: int | None) -> Moment | None:
    """The moment that a row without a timestamp joins: a block's, unless it has another step."""
    moment = in_block(run) if BLOCKS else None
    return None if moment is None or step not in (None, moment.step) else moment


def current(run: object, concerns: Callable[[object], bool] | None = None) -> Moment | None:
    """The moment that a recorder of this run joins: a block's, else the one last begun.

    Args:
        run: known by its buffer.
        concerns: says of the subject of one that was begun whether it may be joined.
    """
    if BLOCKS and (found := in_block(run)) is not None:
        return found
    for owner, moment in reversed(_begun.get()):
        if not moment.belongs_to(run) or owner() is None:
            continue
        if concerns is None or moment.subject is None or concerns(moment.subject()):
            return moment
    return None
