"""`from ml_dash.auto_start import dxp`: an experiment for scripts and notebooks.

It starts by itself when something is first recorded, under the script's name and the time, and ends
with the process. Importing it touches neither disk nor network.
"""

from __future__ import annotations

from typing import Any

from ml_dash import run as runs
from ml_dash.buffer import Buffer
from ml_dash.experiment import HANDLES, Experiment


class AutoExperiment(Experiment):
    """An experiment that is made when it is first looked at, and starts when it is first used.

    Args:
        **arguments: those of `Experiment`.
    """

    def __init__(self, **arguments: Any) -> None:
        self._arguments = arguments

    def __getattr__(self, name: str) -> Any:
        # Only reached when the attribute is not there.
        if name != "_arguments":
            with runs.starting:
                if "run" not in self.__dict__:
                    super().__init__(**self._arguments)
                if name in HANDLES and self.run.status == "NOT STARTED":
                    self.run.start()
                if name in self.__dict__:
                    return self.__dict__[name]
        return super().__getattr__(name)

    def _buffer(self, name: str) -> Buffer:
        with runs.starting:
            if self.run.status == "NOT STARTED":
                self.run.start()
        return super()._buffer(name)


dxp = AutoExperiment()

__all__ = ["dxp"]
