"""Fits in processes that a trainer has started: how they end there is told to no logger.

With `ddp_spawn` and `ddp_fork` it is the parent that calls `finalize` when a fit is left by an
exception. A rank that is interrupted even ends as if all were well: torch catches the Ctrl-C, which
it also has sent to each rank when their parent is gone. So a fit that has begun in a child and was
not finalized is ended here.
"""

from __future__ import annotations

import sys
from typing import Any

from ml_dash import Experiment
from ml_dash_lightning.ending import end_by

_fits: dict[Experiment, Any] = {}  # those of this process, with what ends them


def begin(experiment: Experiment, caller: str) -> None:
    """Somebody asks for the experiment: if that is a trainer, which has begun, await its end.

    Args:
        experiment: the run that it records into.
        caller: the name of the module that asks.
    """
    from multiprocessing import parent_process, util

    if caller.endswith(".trainer.call") and parent_process() is not None:
        end(experiment)
        # Before that of `ml_dash`, which completes what is open; only multiprocessing's own
        # finalizers are called in its children.
        _fits[experiment] = util.Finalize(None, _leave, (experiment,), exitpriority=1)


def end(experiment: Experiment) -> None:
    """The trainer has said itself how it ended."""
    awaited = _fits.pop(experiment, None)
    if awaited is not None:
        awaited.cancel()


def _leave(experiment: Experiment) -> None:
    error = sys.exc_info()[1]
    trace = None if error is None else error.__traceback__
    name = None if trace is None else trace.tb_frame.f_globals.get("__name__")
    # Another one is that which the parent was handling when it forked.
    end_by(experiment.run, error if name == "multiprocessing.process" else KeyboardInterrupt())
