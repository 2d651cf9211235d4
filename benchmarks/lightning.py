"""What logging a step costs with Lightning's own loggers, and with ours."""

from __future__ import annotations

import importlib.util
import logging
import statistics
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.recording import Bench, DataLost
from benchmarks.table import Result, duration
from benchmarks.timing import Stretch, interleave, median, repeat, stretch
from ml_dash import open_run

_SHARE = 0.25
"""The most of CSVLogger's CPU time that ours may take."""

_STEP = "logger.log_metrics(metrics={**values, 'index': i}, step=i); logger.save()"
"""What a trainer does for a step that is logged: scalars of Python, by keyword, then `save`."""

_VALUES = {"loss": 0.25, "half": 0.125, "epoch": 0}

Maker = Callable[[Path], Any]


def fits(bench: Bench) -> Iterator[Result]:
    """The CPU time that a logger takes for a step, its data on disk at the end."""
    if importlib.util.find_spec("lightning") is None:
        yield Result("Lightning", note='not measured: pip install "ml-dash[lightning]"')
        return
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    steps = max(40, bench.scale.calls // 100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the framework's advice
        yield _steps(bench, steps)
        yield _whole(bench, steps // 2)


def _steps(bench: Bench, steps: int) -> Result:
    makers = {"nothing": _nothing, "CSVLogger": _csv, "MLDashLogger": _ours}
    if importlib.util.find_spec("tensorboard") is not None:
        makers["TensorBoardLogger"] = _tensorboard
    for make in makers.values():
        _logged(bench, make, 10)  # imports, and what is made once
    *rounds, empty = interleave(
        3 * bench.scale.rounds,
        *(lambda _, make=make: _logged(bench, make, steps) for make in makers.values()),
        lambda _: _logged(bench, _ours, 1),
    )
    taken = dict(zip(makers, rounds, strict=True))
    fixed = median([one.cpu for one in empty])
    costs = {name: _costs(taken[name], taken["nothing"], steps) for name in makers}
    del costs["nothing"]
    ours, csv = costs["MLDashLogger"], costs["CSVLogger"]
    shares = [one / floor for one, floor in zip(ours, csv, strict=True)]
    walls = [
        one.wall / floor.wall
        for one, floor in zip(taken["MLDashLogger"], taken["CSVLogger"], strict=True)
    ]
    share = median(shares)
    told = ", ".join(f"{name} {_spread(each)}" for name, each in costs.items())
    return Result(
        f"Lightning, `log_metrics` and `save` of {steps:,} steps: CPU time a step",
        f"at most {_SHARE:.2f} × CSVLogger's",
        duration(median(csv)),
        duration(median(ours)),
        share,
        share,
        share <= _SHARE,
        note=f"{len(shares)} rounds, until all is on disk; medians, and in brackets the middle half"
        f" of the rounds: {told}. Of ours {duration(fixed / steps)} are the start and the end of"
        f" the run ({duration(fixed)}), which a longer fit pays once, too: without, the ratio is"
        f" {(median(ours) - fixed / steps) / median(csv):.2f}. It is between {min(shares):.2f} and"
        f" {max(shares):.2f} in these rounds, and {median(walls):.2f} on the clock",
    )


def _whole(bench: Bench, steps: int) -> Result:
    makers: list[Maker] = [_none, _csv, _ours]
    _fit(bench, _ours, 10)
    bare, csv, ours = interleave(
        min(3, bench.scale.rounds),
        *(lambda _, make=make: _fit(bench, make, steps) for make in makers),
    )
    costs = {"CSVLogger": _costs(csv, bare, steps), "MLDashLogger": _costs(ours, bare, steps)}
    told = ", ".join(f"{name} {_spread(each)}" for name, each in costs.items())
    return Result(
        f"Lightning, a fit of {steps:,} steps that logs each: CPU time a step",
        "",
        f"{duration(_per_step(csv, steps))} (CSVLogger)",
        duration(_per_step(ours, steps)),
        note=f"for context: {duration(_per_step(bare, steps))} without a logger; added to that by"
        f" {told}, most of which the trainer takes to hand metrics to any logger. It varies more"
        " from fit to fit than the loggers differ: the row above is the comparison",
    )


def _per_step(taken: list[Stretch], steps: int) -> float:
    return median([one.cpu for one in taken]) / steps


def _costs(taken: list[Stretch], bare: list[Stretch], steps: int) -> list[float]:
    """CPU seconds a step in each round, over what the loop itself takes."""
    return [(one.cpu - floor.cpu) / steps for one, floor in zip(taken, bare, strict=True)]


def _spread(values: list[float]) -> str:
    if len(values) < 2:
        return duration(values[0])
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{duration(middle)} ({duration(low)} to {duration(high)})"


# -- the loggers -----------------------------------------------------------------------------------


def _none(root: Path) -> Any:
    return False


class _Nothing:
    """The loop and the call, and nothing else."""

    def log_metrics(self, metrics: Any, step: int) -> None:
        pass

    def save(self) -> None:
        pass

    def finalize(self, status: str) -> None:
        pass


def _nothing(root: Path) -> Any:
    return _Nothing()


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


# -- what is timed ---------------------------------------------------------------------------------


def _logged(bench: Bench, make: Maker, steps: int) -> Stretch:
    with bench.place() as root:
        logger = make(root)
        with stretch() as taken:
            repeat(_STEP, steps, logger=logger, values=_VALUES)
            logger.finalize("success")
            if make is _ours:
                logger.experiment.run.complete()
        if make is _ours:
            _check(root, steps)
    return taken


def _fit(bench: Bench, make: Maker, steps: int) -> Stretch:
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
