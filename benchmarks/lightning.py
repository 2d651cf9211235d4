"""A fit of PyTorch Lightning that logs at each step, by its own loggers and by ours."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.recording import Bench, DataLost
from benchmarks.table import Result, duration
from benchmarks.timing import Stretch, interleave, median, stretch
from ml_dash import open_run

_SHARE = 0.25
"""The most of CSVLogger's CPU time that ours may take.

The floor is a logger that does nothing: what the trainer itself does to hand metrics to a logger,
whichever it is, is no logger's doing.
"""


def fits(bench: Bench) -> Iterator[Result]:
    """The CPU time that a logger adds to a fit, its data on disk at the end."""
    if importlib.util.find_spec("lightning") is None:
        yield Result("Lightning", note='not measured: pip install "ml-dash[lightning]"')
        return
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    steps = max(40, bench.scale.calls // 100)
    board = importlib.util.find_spec("tensorboard") is not None
    loggers = [_none, _nothing, _csv, _ours, *([_tensorboard] if board else [])]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the framework's advice
        _fit(bench, _ours, 10)
        bare, nothing, csv, *found = interleave(
            bench.scale.rounds, *(lambda _, make=make: _fit(bench, make, steps) for make in loggers)
        )
    base = median([taken.cpu for taken in bare])
    costs = [_added(taken, nothing) for taken in (csv, *found)]
    framework = _added(nothing, bare)
    names = ["CSVLogger", "MLDashLogger", "TensorBoardLogger"][: len(costs)]
    told = ", ".join(
        f"{name} {duration(cost / steps)}" for name, cost in zip(names, costs, strict=True)
    )
    share = costs[1] / costs[0]
    yield Result(
        f"Lightning, {steps:,} steps, logging each: CPU time that the logger adds",
        f"at most {_SHARE:.2f} × CSVLogger's",
        duration(costs[0] / steps),
        duration(costs[1] / steps),
        share,
        median([taken.cpu for taken in found[0]]) / base,
        share <= _SHARE,
        note=f"a step, over a logger that does nothing: {told}; the trainer itself spends"
        f" {duration(framework / steps)} on any logger, and {duration(base / steps)} without one;"
        " until all is on disk; CPU is that of the whole fit by that of the bare one",
    )


def _added(taken: list[Stretch], bare: list[Stretch]) -> float:
    return median([one.cpu - other.cpu for one, other in zip(taken, bare, strict=True)])


def _none(root: Path) -> Any:
    return False


def _nothing(root: Path) -> Any:
    from lightning.pytorch.loggers import Logger

    class Nothing(Logger):
        name = version = "nothing"

        def log_metrics(self, metrics: Any, step: Any = None) -> None:
            pass

        def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
            pass

    return Nothing()


def _csv(root: Path) -> Any:
    from lightning.pytorch.loggers import CSVLogger

    return CSVLogger(root)


def _tensorboard(root: Path) -> Any:
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(root)


def _ours(root: Path) -> Any:
    from ml_dash_lightning import MLDashLogger

    # What is recorded of the machine costs the same however long a fit is.
    return MLDashLogger(root, name="bench", version="0", environment=False)


def _fit(bench: Bench, make: Callable[[Path], Any], steps: int) -> Stretch:
    import lightning.pytorch as pl
    import torch

    class Model(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 1)

        def training_step(self, batch: Any, index: int) -> Any:
            loss = self.layer(batch).pow(2).mean()
            self.log_dict({"loss": loss, "index": float(index), "half": loss / 2})
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 1e-3)

    with bench.place() as root:
        logger = make(root)
        trainer = pl.Trainer(
            logger=logger,
            max_epochs=1,
            log_every_n_steps=1,
            accelerator="cpu",
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        loader = torch.utils.data.DataLoader(torch.zeros(steps, 4), batch_size=1)
        with stretch() as taken:
            trainer.fit(Model(), loader)
            if make is _ours:
                logger.experiment.run.complete()
        if make is _ours:
            _check(root, steps)
    return taken


def _check(root: Path, steps: int) -> None:
    found = open_run("bench/0", root=root).metrics["lightning"]["index"].tolist()
    if found != list(range(steps)):
        raise DataLost(f"{len(found)} rows of {steps} came back, or in another order")
