"""The quickest look at ML-Dash: train a line through points, record it, read it back.

python examples/quickstart.py
"""

from __future__ import annotations

import argparse

import numpy as np

import ml_dash
from ml_dash import Experiment


def main() -> None:
    """Record a small training run and print what came back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default=".dash", help="the folder that holds the runs")
    parser.add_argument("--steps", type=int, default=200, help="steps of gradient descent")
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 64)
    y = 3.0 * x + 0.5 + rng.normal(0, 0.1, 64)
    slope = offset = 0.0

    with Experiment(project="examples", dash_root=options.root).run as experiment:
        experiment.params.set(learning_rate=0.1, data={"points": 64, "noise": 0.1})
        experiment.log("training starts", steps=options.steps)
        for step in range(options.steps):
            error = slope * x + offset - y
            slope -= 0.1 * 2 * float(np.mean(error * x))
            offset -= 0.1 * 2 * float(np.mean(error))
            experiment.metrics("train").log(step=step, loss=np.mean(error**2))
            experiment.track("model/line").append({"step": step, "slope": slope, "offset": offset})
        experiment.files("models").save({"slope": slope, "offset": offset}, to="line.json")
        experiment.log("training ends", level="info", slope=round(slope, 3))

    run = ml_dash.open_run(experiment.prefix, root=options.root)
    loss = run.metrics["train"]["loss"]
    print(f"run      {run.prefix}: {run.status}")
    print(f"params   {run.params}")
    print(f"loss     {loss[0]:.3f} -> {loss[-1]:.3f} in {len(loss)} steps")
    print(f"line     y = {slope:.2f} x + {offset:.2f}; the points were drawn around 3.00 x + 0.50")
    print(f"look     ml-dash show {run.prefix} --root {options.root}")


if __name__ == "__main__":
    main()
