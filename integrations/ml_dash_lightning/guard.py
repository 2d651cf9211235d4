"""Recording must not end a training: what goes wrong is told once, counted, and goes no further."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import ParamSpec, Protocol

P = ParamSpec("P")

_log = logging.getLogger("ml_dash_lightning")


class Counting(Protocol):
    """What has a count of its failures, by what failed."""

    failures: dict[str, int]


def count(owner: Counting, what: str, error: Exception) -> None:
    """Count a failure; tell of the first of each kind."""
    failures = owner.failures
    failures[what] = failures.get(what, 0) + 1
    if failures[what] == 1:
        _log.warning(
            "MLDashLogger.%s could not record everything: %s: %s (told once; the training goes on)",
            what,
            type(error).__name__,
            error,
        )


def harmless(method: Callable[P, object]) -> Callable[P, None]:
    """Let no exception of a method of a logger out."""
    return harmless_as(method.__name__)(method)


def harmless_as(what: str) -> Callable[[Callable[P, object]], Callable[P, None]]:
    """Let no exception of a part of a method out.

    Args:
        what: the method that users call, which the failure is told of.
    """

    def guard(method: Callable[P, object]) -> Callable[P, None]:
        @functools.wraps(method)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                method(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - whatever it is, the training is worth more
                count(args[0], what, error)  # type: ignore[arg-type]  # it is a method

        return guarded

    return guard
