"""PyTorch Lightning with ML-Dash as its logger: a fit, a checkpoint, and a second fit that resumes.

A small network learns a curve. Losses, learning rate, gradient norms, the picture of what it has
learned after each epoch and its checkpoints go into one run, also those of the second fit.

python examples/lightning_fit.py
"""

from __future__ import annotations

import argparse
import logging
import warnings

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset

import ml_dash
from ml_dash_lightning import MLDashLogger

HEIGHT, WIDTH = 120, 240


class Curve(pl.LightningModule):
    """Learns y = sin(3x)."""

    def __init__(self, lr: float, width: int) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(1, width), torch.nn.Tanh(), torch.nn.Linear(width, 1)
        )

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        """The loss of a batch."""
        loss = torch.nn.functional.mse_loss(self.layers(batch[0]), batch[1])
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: list[torch.Tensor], index: int) -> None:
        """The loss on what was not trained on."""
        self.log("val/loss", torch.nn.functional.mse_loss(self.layers(batch[0]), batch[1]))

    def on_train_epoch_end(self) -> None:
        """Show what has been learned, in red, beside what it should be, in gray."""
        x = torch.linspace(-1, 1, WIDTH)[:, None]
        picture = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
        with torch.no_grad():
            for y, color in ((torch.sin(3 * x), (170,) * 3), (self.layers(x), (200, 30, 30))):
                rows = ((1.2 - y[:, 0].numpy()) / 2.4 * HEIGHT).clip(0, HEIGHT - 2).astype(int)
                picture[rows, np.arange(WIDTH)] = picture[rows + 1, np.arange(WIDTH)] = color
        for logger in self.loggers:
            if isinstance(logger, MLDashLogger):
                logger.log_image("curve", [picture], step=self.global_step)

    def configure_optimizers(self) -> dict[str, object]:
        """Adam, slower from epoch to epoch."""
        optimizer = torch.optim.Adam(self.parameters(), self.hparams["lr"])
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        return {"optimizer": optimizer, "lr_scheduler": schedule}


def loaders(seed: int) -> tuple[DataLoader, DataLoader]:
    """Points of the curve, for training and for validation."""
    points = torch.Generator().manual_seed(seed)
    x = torch.rand(512, 1, generator=points) * 2 - 1
    train, val = TensorDataset(x[:384], torch.sin(3 * x[:384])), TensorDataset(x, torch.sin(3 * x))
    return DataLoader(train, batch_size=32, shuffle=True), DataLoader(val, batch_size=512)


def main() -> None:
    """Fit, stop, and go on from the checkpoint in the same run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default=".dash", help="the folder that holds the runs")
    parser.add_argument("--epochs", type=int, default=6, help="of each of the two fits")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module="lightning")  # its advice on workers
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)

    pl.seed_everything(0)
    train, val = loaders(0)
    logger = MLDashLogger(options.root, name="examples/lightning", log_model=True)
    checkpoint = None
    for epochs in (options.epochs, 2 * options.epochs):
        keeper = ModelCheckpoint(monitor="val/loss", filename="{epoch}", save_last=True)
        trainer = pl.Trainer(
            logger=logger,
            max_epochs=epochs,
            log_every_n_steps=1,
            accelerator="cpu",
            callbacks=[LearningRateMonitor(), keeper],
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        model = Curve(lr=0.05, width=64)
        logger.watch(model, log_freq=4)
        trainer.fit(model, train, val, ckpt_path=checkpoint)
        logger.unwatch()
        checkpoint = keeper.last_model_path

    logger.experiment.flush()
    run = ml_dash.open_run(f"{logger.name}/{logger.version}", root=options.root)
    metrics = run.metrics["lightning"]
    losses = [row["val/loss"] for row in metrics.rows() if "val/loss" in row]
    (best,) = run.files.read_json("checkpoints/checkpoints.json")
    print(f"run      {run.prefix}: {len(metrics)} rows, steps 0 to {metrics.steps.max()}")
    print(f"loss     {losses[0]:.4f} after the first epoch, {losses[-1]:.4f} after the last")
    print(
        f"kept     {best['best']} (the best), {best['last']}; {len(run.frames('images/curve'))}"
        " pictures of the curve"
    )
    print(f"look     ml-dash show {run.prefix} --root {options.root}")


if __name__ == "__main__":
    main()
