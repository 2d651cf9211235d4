"""The run that a logger records into, and how copies of the logger find it."""

from __future__ import annotations

import pickle
import secrets
import time
from pathlib import Path
from typing import Any, Self

from ml_dash import Experiment


class Link:
    """An experiment that is started when it is first used; in a copy elsewhere, joined then.

    A copy that is only carried along, such as in the workers of a DataLoader, touches nothing.

    Args:
        experiment: not started yet, or somebody's who has.
        owned: it was made for this logger.
    """

    def __init__(self, experiment: Experiment, owned: bool) -> None:
        self._experiment: Experiment | None = experiment
        self._pickled = b""
        self.owned = owned
        self.prefix = experiment.prefix
        self.folder = experiment.folder

    @property
    def experiment(self) -> Experiment:
        """The experiment, whether it runs or not."""
        if self._experiment is None:
            self._experiment = pickle.loads(self._pickled)
        return self._experiment

    @property
    def is_running(self) -> bool:
        """Whether this process records into it."""
        return self._experiment is not None and self._experiment.run.status == "RUNNING"

    @property
    def exists(self) -> bool:
        """Whether any process has started it."""
        return self.folder is not None and (self.folder / "run").is_dir()

    @property
    def root(self) -> str | None:
        """The folder that its prefix is below."""
        if self.folder is None:
            return None
        return str(self.folder.parents[len(Path(self.prefix).parts) - 1])

    def running(self) -> Experiment:
        """The experiment, started.

        Raises:
            OSError: its folder cannot be made or written.
        """
        experiment = self.experiment
        if experiment.run.status != "RUNNING":
            self.owned = True  # started by us, so ended by us
            experiment.run.start()
        return experiment

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __getstate__(self) -> dict[str, Any]:
        pickled = self._pickled if self._experiment is None else pickle.dumps(self._experiment)
        return {**self.__dict__, "_experiment": None, "_pickled": pickled}


def new_version() -> str:
    """A name for a run that has been given none."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
