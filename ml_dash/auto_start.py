"""`from ml_dash.auto_start import dxp`: an experiment for scripts and notebooks.

It starts by itself when something is first recorded, under the script's name and the time, and ends
with the process. Importing it touches neither disk nor network.
"""

from __future__ import annotations

from typing import Any

from ml_dash.experiment import HANDLES, Experiment


class AutoExperiment(Experiment):
    """An experiment whose run starts at the first use of a handle."""

    def __getattr__(self, name: str) -> Any:
        if name in HANDLES and self.run.status == "NOT STARTED":
            self.run.start()
            return self.__dict__[name]
        return super().__getattr__(name)

    def recorder(self, **options: Any) -> Any:
        """See `Experiment.recorder`; starts the run."""
        if self.run.status == "NOT STARTED":
            self.run.start()
        return super().recorder(**options)


dxp = AutoExperiment(dash_url=False)

__all__ = ["dxp"]
