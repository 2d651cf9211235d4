"""Reading runs back: rows, columns, frames, alignment, status, and checking that all is whole.

Nothing here is loaded before it is asked for: numpy only for columns, Pillow only for frames.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml_dash.reading.check import check_run
    from ml_dash.reading.check_report import CheckReport
    from ml_dash.reading.concat import Runs, concat_runs
    from ml_dash.reading.lines import Problem
    from ml_dash.reading.locate import list_runs, open_run, run_folders
    from ml_dash.reading.run_view import RunView
    from ml_dash.reading.source import Source
    from ml_dash.reading.stream import Slice, Stream, Tail, read_rows
    from ml_dash.reading.views import write_views

_PLACES = {
    "CheckReport": "check_report",
    "Problem": "lines",
    "RunView": "run_view",
    "Runs": "concat",
    "Slice": "stream",
    "Source": "source",
    "Stream": "stream",
    "Tail": "stream",
    "check_run": "check",
    "concat_runs": "concat",
    "list_runs": "locate",
    "open_run": "locate",
    "read_rows": "stream",
    "run_folders": "locate",
    "write_views": "views",
}

__all__ = [
    "CheckReport",
    "Problem",
    "RunView",
    "Runs",
    "Slice",
    "Source",
    "Stream",
    "Tail",
    "check_run",
    "concat_runs",
    "list_runs",
    "open_run",
    "read_rows",
    "run_folders",
    "write_views",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    globals()[name] = value
    return value
