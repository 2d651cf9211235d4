"""A recorded run becomes a dataset on disk, and comes back: 10 Hz, 128x128, five files.

python examples/export_session.py [--root DIR]

It records a pendulum at 50 Hz with a camera at 25 Hz, exports what a recorder of 10 Hz would have
written, loads it, and compares it with what was recorded.
"""

import argparse
import math
import tempfile
from pathlib import Path

import numpy as np

from ml_dash import Experiment, load_session, open_run

SECONDS, HZ, START = 6, 50, 1_700_000_000.0


def draw(angle: float, side: int = 160) -> np.ndarray:
    """A pendulum on a dark ground, (side, side, 3) uint8."""
    y, x = np.mgrid[0:side, 0:side] / side
    bob = 0.5 + 0.35 * math.sin(angle), 0.2 + 0.35 * math.cos(angle)
    picture = np.full((side, side, 3), 30, np.uint8)
    picture[(x - bob[0]) ** 2 + (y - bob[1]) ** 2 < 0.004] = (250, 150, 30)
    return picture


def record(root: Path) -> None:
    """Simulate and record. The times are those of the simulation, so that rates are true."""
    with Experiment("examples/pendulum", dash_root=root, echo=False).run as run:
        run.params.set(length=1.0, damping=0.05)
        angle, speed = 1.0, 0.0
        for step in range(SECONDS * HZ):
            at = START + step / HZ
            torque = 0.3 * math.sin(step / 40)
            row = {"step": step, "angle": angle, "speed": speed, "action": [torque]}
            run.track("pendulum").append(row, timestamp=at)
            if step % 2 == 0:
                run.files("camera").save_image(draw(angle), to=f"{step:05d}.png", timestamp=at)
            speed += (-9.81 * math.sin(angle) - 0.05 * speed + torque) / HZ
            angle += speed / HZ


def main(root: Path) -> None:
    """Record, export, load, compare."""
    record(root)
    run = open_run("examples/pendulum", root=root)
    made = run.export("npy", root / "session", hz=10, size=(128, 128), overwrite=True)
    print(f"{made.path}: {', '.join(made.files)}")

    session = load_session(made)
    print(session, session.frames_array.shape, f"{session.metadata['sampling_rate_hz']:g} Hz")
    angles = run.tracks["pendulum"]["angle"]
    assert all(sample["angle"] == angles[sample["step"]] for sample in session)
    assert np.allclose(np.diff(session.frame_timestamps), 100)
    print("the sample at 2.5 s:", {k: session.find(2500)[k] for k in ("step", "angle", "action")})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, help="where to (default: a folder that is removed)")
    chosen = parser.parse_args().root
    if chosen is not None:
        main(chosen)
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder))
