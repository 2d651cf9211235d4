"""The examples, run as a user runs them, and what they recorded, read back."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ml_dash

EXAMPLES = Path(__file__).parents[1] / "examples"


def run_example(name, root, *options):
    """Run one example and return what it printed."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ML_DASH_")}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), "--root", str(root), *map(str, options)],
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def only_run(root, example):
    """Open the one run that an example left under `root`."""
    (found,) = (root / "examples").glob(f"{example}*")
    return ml_dash.open_run(found)
