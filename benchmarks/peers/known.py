"""The loggers that are compared, each in the version that its script was written for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """A logger to compare with.

    Attributes:
        name: as the tables show it.
        script: how it is used: `scripts/with_<script>.py`.
        packages: what to install for it; none for what runs in this interpreter.
        arguments: what its script is given besides.
        environment: the name of its virtual environment, where several scripts share one.
    """

    name: str
    script: str
    packages: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    environment: str = ""

    @property
    def home(self) -> str:
        """The name of its virtual environment."""
        return self.environment or self.script


_MLFLOW = ("mlflow-skinny==3.17.2", "sqlalchemy", "alembic", "sqlparse")

FLOOR = Peer("floor: orjson, simplejpeg, plain files", "floor")
OURS = Peer("**ML-Dash**", "ml_dash")
PEERS = (
    FLOOR,
    OURS,
    Peer("ml-dash 0.11.0 (earlier)", "ml_dash_earlier", ("ml-dash==0.11.0",), (), "ml_dash_0_11"),
    Peer("ml-dash 0.6.22 (earlier)", "ml_dash_earlier", ("ml-dash==0.6.22",)),
    Peer("MCAP 1.6.0", "mcap", ("mcap==1.6.0",)),
    Peer("Rerun 0.41.0", "rerun", ("rerun-sdk==0.41.0",)),
    Peer("trackio 0.43.0", "trackio", ("trackio==0.43.0",)),
    Peer("TensorBoard (tensorboardX 2.6.5)", "tensorboard", ("tensorboardX==2.6.5", "tensorboard")),
    Peer("wandb 0.31.0, offline", "wandb", ("wandb==0.31.0",)),
    Peer("MLflow 3.17.2, SQLite", "mlflow", _MLFLOW, ("sqlite",)),
    Peer("MLflow 3.17.2, files", "mlflow", _MLFLOW, ("files",)),
)
TASKS = ("rows", "images", "loop", "calm", "calm-killed", "rows-killed")
