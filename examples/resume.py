"""A training process is killed by SIGKILL, and goes on in the same run: no row is lost.

This program starts a second process, which fits a line and prints the number of each step whose row
was recorded. In the middle it is killed, as the kernel does when memory runs out: no handler runs.
The second process is started again under the same prefix. It reads the last row, takes weights and
step from there, and goes on. Then it is counted: is every step that was printed in the run?

    killed   by SIGKILL at step 120; acknowledged: 121 rows
    status   INTERRUPTED, 121 rows; acknowledged ones that are lost: 0
    goes on  at step 121, to step 299

A model that does not fit into a row goes on from its last checkpoint, found in the same way.

python examples/resume.py
"""

from __future__ import annotations

import argparse
import math
import signal
import subprocess
import sys
import time

import numpy as np

import ml_dash
from ml_dash import Experiment


def train(prefix: str, root: str, steps: int) -> None:
    """Fit a line; begin where the run ends."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 64)
    y = 3.0 * x + 0.5 + rng.normal(0, 0.1, 64)
    with Experiment(prefix, dash_root=root, echo=False).run as experiment:
        track = experiment.track("train")
        last = track.find(math.inf) or {"step": -1, "slope": 0.0, "offset": 0.0}
        slope, offset = last["slope"], last["offset"]
        experiment.log("training starts", step=last["step"] + 1)
        for step in range(last["step"] + 1, steps):
            error = slope * x + offset - y
            slope -= 0.1 * float(np.mean(error * x))
            offset -= 0.1 * float(np.mean(error))
            row = {"step": step, "slope": slope, "offset": offset, "loss": np.mean(error**2)}
            track.append(row)
            print(step, flush=True)  # the call has returned: this row is safe
            time.sleep(0.002)  # what a real step would take


def run_until(kill_at: int | None, command: list[str]) -> list[int]:
    """Run the training, kill it once it has printed a step; the steps that it printed."""
    printed = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:  # goes on with what was printed before the end
            printed.append(int(line))
            if printed[-1] == kill_at:
                process.send_signal(signal.SIGKILL)
    return printed


def main() -> None:
    """Train, kill, look, go on, count."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", default=".dash", help="the folder that holds the runs")
    parser.add_argument("--steps", type=int, default=300, help="steps of the whole training")
    parser.add_argument("--kill-at", type=int, default=120, help="the step at which it is killed")
    parser.add_argument("--prefix", help=argparse.SUPPRESS)  # given to the process that trains
    options = parser.parse_args()
    if options.prefix:
        train(options.prefix, options.root, options.steps)
        return

    prefix = f"examples/resume-{time.strftime('%Y%m%d-%H%M%S')}"
    command = [sys.executable, __file__, "--prefix", prefix, "--root", options.root]
    command += ["--steps", str(options.steps)]

    before = run_until(options.kill_at, command)
    print(f"killed   by SIGKILL at step {options.kill_at}; acknowledged: {len(before)} rows")
    run = ml_dash.open_run(prefix, root=options.root)
    recorded = run.tracks["train"]["step"]
    lost = {*before} - {*recorded.tolist()}
    print(
        f"status   {run.status}, {len(recorded)} rows; acknowledged ones that are lost: {len(lost)}"
    )

    after = run_until(None, command)
    print(f"goes on  at step {after[0]}, to step {after[-1]}")
    run = ml_dash.open_run(prefix, root=options.root)
    table = run.tracks["train"]
    if lost or not np.array_equal(table["step"], np.arange(options.steps)):
        raise SystemExit("this does not hold: every step is in the run, once")
    print(f"run      {run.prefix}: {run.status}, after {[each.status for each in run.sessions]}")
    print(f"rows     {len(table)}: every step from 0 to {table['step'][-1]}, each once")
    print(f"line     y = {table['slope'][-1]:.2f} x + {table['offset'][-1]:.2f}")
    print(f"look     ml-dash show {prefix} --root {options.root}")


if __name__ == "__main__":
    main()
