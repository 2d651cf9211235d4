"""Runs whose last fit went well: they may go on, and need not.

`finalize("success")` is no end: a test or another fit may follow in the same run. Until then,
- a crash that is another's does not make such a run FAILED when the process ends;
- of many, as those of a search over hyperparameters, only the last few stay open, each of which has
  threads and a buffer file; those before are completed, and continued when more is recorded.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import sys

from ml_dash import Experiment

MOST = 8
"""How many finished runs stay open."""

_log = logging.getLogger("ml_dash_lightning")
_events = itertools.count()
_finished: dict[Experiment, int] = {}  # and when, the longest finished first
_begun = 0  # when recording last began, in whichever run
_installed = False


def begin() -> None:
    """Something is recorded into a run for the first time, or after it had finished."""
    global _begun
    _begun = next(_events)


def use(experiment: Experiment) -> None:
    """Something is recorded: its fit has not finished, or another one has begun."""
    if experiment in _finished:
        _finished.pop(experiment, None)
        begin()


def finish(experiment: Experiment) -> None:
    """Its fit went well."""
    global _installed
    if not _installed:
        _installed = True
        atexit.register(_at_exit)  # called before that of `ml_dash`, which came earlier
    _finished[experiment] = next(_events)
    for one in list(_finished)[:-MOST]:
        _complete(one)


def _at_exit() -> None:
    from_a_trainer = _is_out_of_a_trainer(getattr(sys, "last_value", None))
    for one, when in list(_finished.items()):
        if from_a_trainer or when < _begun:
            _complete(one)


def _complete(experiment: Experiment) -> None:
    _finished.pop(experiment, None)
    try:
        experiment.run.complete()
    except Exception as error:  # noqa: BLE001 - it is ended with the process, then
        _log.warning("the run %r could not be completed: %s", experiment.prefix, error)


def _is_out_of_a_trainer(error: BaseException | None) -> bool:
    # A fit that fails by this says so to its loggers: it was not one of a finished run.
    trace = error.__traceback__ if error is not None else None
    while trace is not None:
        if str(trace.tb_frame.f_globals.get("__name__", "")).endswith(".trainer.call"):
            return True
        trace = trace.tb_next
    return False
