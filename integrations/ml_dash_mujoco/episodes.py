"""Where episodes begin, told from simulation time going back."""

from __future__ import annotations

from collections.abc import Callable

import mujoco

from ml_dash_mujoco.simulation import bad_state_name, bad_states


class Episodes:
    """Counts episodes.

    Args:
        first: the number of the first one.

    Attributes:
        number: of the episode that goes on.
    """

    def __init__(self, first: int = 0) -> None:
        self.number = first
        self._reason = ""
        self._bad = 0
        self._reset = float("-inf")  # the time of the call that saw MuJoCo's last reset
        self._time = float("-inf")
        self._asked = False

    def begin(self) -> None:
        """Have the next call begin an episode, unless it is the first one."""
        self._asked = self._time > float("-inf")

    def see(
        self,
        data: mujoco.MjData,
        time: float,
        before: float,
        is_recorded: Callable[[float], bool],
    ) -> bool:
        """Take in a call; whether it begins an episode.

        Args:
            data: the simulation.
            time: its time.
            before: its time at the call before, whether that was recorded or not.
            is_recorded: whether the open step has the state of a time already: it was called twice.
        """
        self._time = time
        if time > before and not self._asked:
            return False
        # MuJoCo resets a simulation whose state has gone bad, and counts that after the reset.
        bad, known = bad_states(data), self._bad
        self._bad = bad
        asked, self._asked = self._asked, False
        # The next such reset leaves the same count and the same time: both begin anew.
        again = bad > 0 and time == before == self._reset and not is_recorded(time)
        if not (asked or time < before or bad > known or again):
            return False
        self._reset = time if bad and not asked else float("-inf")
        self.number += 1
        self._reason = "" if asked else bad_state_name(data)
        return True

    def join(self, number: int | None) -> int:
        """The number of the episode: that of the step that a call has joined, if it has one."""
        if number is not None:
            self.number = number
        return self.number

    def take_reason(self) -> str:
        """What made MuJoCo begin the episode by itself, such as `BADQPOS`: told once."""
        reason, self._reason = self._reason, ""
        return reason
