"""Keeps what goes wrong in recording away from the environment and its user's loop."""

from __future__ import annotations

import logging

_logger = logging.getLogger("ml_dash")


class Guard:
    """Counts what could not be recorded, and says so once for each kind of trouble.

    Attributes:
        count: how often something could not be recorded.
    """

    def __init__(self) -> None:
        self.count = 0
        self._said: set[str] = set()

    def __call__(self, what: str, error: BaseException | str) -> None:
        """Note that something could not be recorded. Never raises.

        Args:
            what: which part, such as `a step`; each is said once.
            error: why.
        """
        self.count += 1
        if what not in self._said:
            self._said.add(what)
            reason = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
            _logger.warning(
                "ml-dash: %s could not be recorded, and the environment goes on without it: %s"
                " (further ones are not mentioned)",
                what,
                reason,
            )
