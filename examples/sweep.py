"""A sweep over learning rates: a run for each, and all of them read back as one table.

The runs lie below one prefix, and differ in a parameter. `list_runs` finds them again, now or next
week; a table is made of their params and the last value of a metric, the best run first. If
matplotlib is installed, their losses are drawn as well.

    RUN                                           LR  STEPS      LOSS  STATUS
    examples/sweep-20260102-101500/lr-0.3        0.3    200    0.0118  COMPLETED
    examples/sweep-20260102-101500/lr-0.1        0.1    200    0.0332  COMPLETED
    …

python examples/sweep.py [--rates 0.1 0.3]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import ml_dash
from ml_dash import Experiment

RATES = (0.003, 0.03, 0.1, 0.3, 2.5)  # the last one is too much


def train(prefix: str, root: str, rate: float, steps: int) -> None:
    """Fit a cubic by gradient descent, and record it as a run of its own."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 256)
    features = np.stack([np.ones_like(x), x, x**2, x**3], axis=1)
    y = features @ [0.5, -1.0, 0.0, 2.0] + rng.normal(0, 0.1, len(x))
    with Experiment(prefix, dash_root=root, tags=["sweep"], echo=False).run as experiment:
        experiment.params.set(lr=rate, steps=steps, model={"degree": 3})
        weights = np.zeros(4)
        for step in range(steps):
            error = features @ weights - y
            loss = float(np.mean(error**2))
            experiment.metrics("train").log(step=step, loss=loss)
            if loss > 1e6:
                experiment.log("diverged", level="warning", step=step, loss=loss)
                experiment.run.fail("diverged")
                break
            weights -= rate * 2 * features.T @ error / len(x)


def draw(runs, path: Path) -> None:
    """Draw the losses of all runs, if matplotlib is there."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print('chart    none: pip install "ml-dash[plot]"')
        return
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="step", ylabel="loss", yscale="log", ylim=(5e-3, 10))
    for run in runs:
        table = run.metrics["train"]
        axes.plot(table["step"], table["loss"], label=f"lr {run.params['lr']:g}")
    axes.legend()
    figure.savefig(path, dpi=120)
    print(f"chart    {path}")


def main() -> None:
    """Run the sweep, then read it back."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", default=".dash", help="the folder that holds the runs")
    parser.add_argument("--steps", type=int, default=200, help="steps of each run")
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, help="learning rates")
    options = parser.parse_args()

    sweep = f"examples/sweep-{time.strftime('%Y%m%d-%H%M%S')}"
    for rate in options.rates:
        train(f"{sweep}/lr-{rate:g}", options.root, rate, options.steps)

    runs = [run for run in ml_dash.list_runs(options.root) if run.prefix.startswith(f"{sweep}/")]
    runs.sort(key=lambda run: run.metrics["train"]["loss"][-1])
    print(f"{'RUN':40} {'LR':>7} {'STEPS':>6} {'LOSS':>9}  STATUS")
    for run in runs:
        loss = run.metrics["train"]["loss"]
        print(f"{run.prefix:40} {run.params['lr']:7g} {len(loss):6} {loss[-1]:9.3g}  {run.status}")
    print(f"best     lr = {runs[0].params['lr']:g}")
    draw(runs, Path(options.root, sweep, "sweep.png"))
    print(f"look     ml-dash list {sweep} --root {options.root}")


if __name__ == "__main__":
    main()
