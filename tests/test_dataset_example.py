"""The example that learns from what it recorded, run as a user runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

import ml_dash

EXAMPLE = Path(__file__).parents[1] / "examples" / "behaviour_cloning.py"


def test_behaviour_cloning_learns_from_its_recording(tmp_path):
    """Frames and actions are recorded, the loss falls, and the hand gets nearer to the coin."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ML_DASH_")}
    sizes = ("--episodes", "20", "--length", "15", "--epochs", "8")
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), "--root", "runs", *sizes],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shown, training = sorted(ml_dash.list_runs(tmp_path / "runs"), key=lambda run: run.prefix)
    rows = shown.aligned("expert", frames="camera")
    assert len(rows) == 20 * 15 and rows.has_frame().all()
    assert np.array_equal(np.bincount(rows.episode_index), [15] * 20)
    losses = training.metrics["train"]["loss"]
    assert len(losses) == 8 and losses[-1] < losses[0] / 2
    (line,) = re.findall(
        r"^tried .*?([\d.]+) away from the coin before, ([\d.]+) after", done.stdout, re.M
    )
    assert float(line[1]) < float(line[0])
