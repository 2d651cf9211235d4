"""ML-Dash records what happens while a model trains or a robot moves, and loses none of it.

from ml_dash import Experiment

with Experiment("robotics/arm").run as experiment:
    experiment.track("robot/position").append({"step": 0, "x": 0.1, "y": 0.2})

from ml_dash import open_run

run = open_run("robotics/arm")
run.tracks["robot/position"]["x"]
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml_dash.backends import LocalBackend, MemoryBackend
    from ml_dash.buffer.report import FlushReport
    from ml_dash.errors import AlignmentError, ClosedError, NotStartedError
    from ml_dash.experiment import Experiment, ml_dash_experiment
    from ml_dash.moment import Moment
    from ml_dash.names import check_path
    from ml_dash.reading import concat_runs, list_runs, open_run
    from ml_dash.recorder import Recorder
    from ml_dash.session import Session, load_session
    from ml_dash.turns import turn

from ml_dash.version import __version__

# Looked up at first use, so that reading does not load what recording needs, nor the other way.
_PLACES = {
    "AlignmentError": "errors",
    "ClosedError": "errors",
    "Experiment": "experiment",
    "FlushReport": "buffer.report",
    "LocalBackend": "backends",
    "MemoryBackend": "backends",
    "Moment": "moment",
    "NotStartedError": "errors",
    "Recorder": "recorder",
    "Session": "session",
    "check_path": "names",
    "concat_runs": "reading",
    "list_runs": "reading",
    "load_session": "session",
    "ml_dash_experiment": "experiment",
    "open_run": "reading",
    "turn": "turns",
}

__all__ = [
    "AlignmentError",
    "ClosedError",
    "Experiment",
    "FlushReport",
    "LocalBackend",
    "MemoryBackend",
    "Moment",
    "NotStartedError",
    "Recorder",
    "Session",
    "__version__",
    "check_path",
    "concat_runs",
    "list_runs",
    "load_session",
    "ml_dash_experiment",
    "open_run",
    "turn",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'ml_dash' has no attribute {name!r}")
    value = getattr(import_module(f"ml_dash.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
