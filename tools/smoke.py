"""Uses the installed package as a stranger would: import, record, read back, the command line."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import ml_dash

ROWS = 100
ADAPTERS = ("gymnasium", "lightning", "mujoco")


def main() -> None:
    """Fail with the first thing that does not hold."""
    package = Path(ml_dash.__file__).parent
    assert package.is_relative_to(sys.prefix), f"imported {package}, not the installed package"
    assert (package / "py.typed").exists(), "py.typed is missing: type checkers would ignore us"
    for name in ADAPTERS:
        adapter = package.with_name(f"ml_dash_{name}")
        assert (adapter / "py.typed").exists(), f"{adapter} is not in the wheel"
    version = importlib.metadata.version("ml-dash")
    printed = subprocess.run(
        ["ml-dash", "--version"], check=True, capture_output=True, text=True
    ).stdout
    assert version in printed, f"ml-dash --version says {printed!r}, installed is {version}"
    with tempfile.TemporaryDirectory() as root:
        pixels = np.zeros((48, 64, 3), dtype=np.uint8)
        with ml_dash.Experiment("smoke/test", dash_root=root).run as experiment:
            experiment.params.set(lr=0.1)
            for step in range(ROWS):
                experiment.track("robot/position").append({"step": step, "x": step / 2})
            experiment.files("frames").save_image(pixels, to="frame_00000.jpg")
        run = ml_dash.open_run("smoke/test", root=root)
        track = run.tracks["robot/position"]
        assert len(track) == ROWS, f"{len(track)} rows of {ROWS} came back"
        assert list(track["step"]) == list(range(ROWS))
        shown = subprocess.run(
            ["ml-dash", "show", "smoke/test", "--root", root],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        assert "robot/position" in shown, shown
    print(f"ml-dash {version}: installed wheel imports, records and reads back")


if __name__ == "__main__":
    main()
