"""A small model to train, and what a logger was told, for the tests of the Lightning adapter."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch

from ml_dash import list_runs

PACKAGES = ("lightning.pytorch", "pytorch_lightning")

SETUP = f"""
import logging, warnings
warnings.simplefilter("ignore")
logging.disable()
sys.path.insert(0, {str(Path(__file__).parent)!r})
from lightning_parts import data, model, package, trainer
from ml_dash_lightning import MLDashLogger
pl = package()
"""
"""How a script begins that `scripts.start` runs."""


def only_run(folder: Path) -> Any:
    """The one run that a script left."""
    (found,) = list_runs(folder / "dash")
    return found


def all_statuses(folder: Path) -> dict[str, str]:
    """Of all runs that a script left, by their prefixes."""
    return {found.prefix: found.status for found in list_runs(folder / "dash")}


def package(name: str = "lightning.pytorch") -> Any:
    """One of the two packages that Lightning is."""
    return importlib.import_module(name)


def model(pl: Any, on_step: Any = None) -> Any:
    """A linear model that logs at each step, at each epoch, and in validation and test."""

    class Model(pl.LightningModule):
        def __init__(self, lr: float = 0.1, activation: str = "relu") -> None:
            super().__init__()
            self.save_hyperparameters()
            self.layer = torch.nn.Linear(4, 1)

        def training_step(self, batch: Any, index: int) -> Any:
            if on_step is not None:
                on_step(self, index)
            loss = self.layer(batch).pow(2).mean()
            self.log("train/loss", loss, on_step=True, on_epoch=True)
            return loss

        def validation_step(self, batch: Any, index: int) -> None:
            self.log("val_loss", self.layer(batch).pow(2).mean())

        def test_step(self, batch: Any, index: int) -> None:
            self.log("test_loss", self.layer(batch).pow(2).mean())

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), self.hparams.lr)
            return {
                "optimizer": optimizer,
                "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 1),
            }

    return Model()


def data(workers: int = 0, **options: Any) -> Any:
    """Eight batches."""
    torch.manual_seed(0)
    return torch.utils.data.DataLoader(
        torch.randn(32, 4), batch_size=4, num_workers=workers, **options
    )


def trainer(pl: Any, logger: Any, epochs: int = 2, **options: Any) -> Any:
    """A quiet trainer that logs each step."""
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    return pl.Trainer(
        **{"logger": logger, "max_epochs": epochs, "log_every_n_steps": 1, **quiet, **options}
    )


def tape(pl: Any) -> Any:
    """A logger that remembers what it was told, in order."""

    class Tape(pl.loggers.Logger):
        name = "tape"
        version = "0"

        def __init__(self) -> None:
            super().__init__()
            self.rows: list[tuple[Any, dict[str, Any]]] = []

        def log_metrics(self, metrics: Any, step: Any = None) -> None:
            self.rows.append((step, dict(metrics)))

        def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
            pass

    return Tape()
