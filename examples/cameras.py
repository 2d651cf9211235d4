"""A robot with three cameras, each at a rate of its own, and its joints at every step.

Frames and rows carry the step that they belong to. So it does not matter that the wrist's camera
takes twice as many pictures as the front one, and the one above few: read back, each row has the
frames of its step and no others. The moments that all three saw are drawn on one sheet.

python examples/cameras.py          # needs: pip install ".[mujoco]"
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from offscreen import choose_gl
from PIL import Image

import ml_dash
from ml_dash import Experiment

JOINTS = "robot/joints"
EVERY = {"cameras/wrist": 4, "cameras/front": 8, "cameras/top": 20}  # steps between two frames
COLUMNS = 6  # moments on the sheet


def record(experiment: Experiment, steps: int, height: int, width: int) -> None:
    """Move the arm: a row at each step, and the frames that are due then."""
    import mujoco  # choose_gl() comes first
    from arm import Arm

    arm = Arm(steps)
    recorder = experiment.recorder(quality=90)
    with mujoco.Renderer(arm.model, height, width) as renderer:
        # In software OpenGL, shadows would cost more than everything else together.
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False

        def see(camera: str) -> np.ndarray:
            renderer.update_scene(arm.data, camera.removeprefix("cameras/"))
            return renderer.render()

        for step in range(steps):
            arm.step(step)
            arm.newly_reached()  # lights the balls that the arm has touched
            recorder.record(
                step,
                tracks={JOINTS: {"q": arm.positions, "tip": arm.ee}},
                frames={camera: see(camera) for camera in EVERY if step % EVERY[camera] == 0},
            )


def verify(rows) -> None:
    """End the program when a frame is missing, or not at its step."""
    if not np.array_equal(rows.steps, np.arange(len(rows))):
        raise SystemExit("this does not hold: every step has a row")
    for camera, every in EVERY.items():
        framed = rows.steps[rows.has_frame(camera)]
        if not np.array_equal(framed, np.arange(0, len(rows), every)):
            raise SystemExit(f"this does not hold: {camera} has a frame every {every} steps")
        print(f"frames   {len(framed):4} of {camera}, one every {every} steps")


def sheet(rows, path: Path) -> Path:
    """Draw moments that all cameras saw: a row for each camera, a column for each moment."""
    common = np.flatnonzero(np.logical_and.reduce([rows.has_frame(camera) for camera in EVERY]))
    chosen = common[np.unique(np.linspace(0, len(common) - 1, COLUMNS).round().astype(int))]
    pictures = [np.hstack([rows.frame(i, camera) for i in chosen]) for camera in EVERY]
    Image.fromarray(np.vstack(pictures)).save(path)
    print(f"together {len(common):4} moments seen by all; drawn: steps {rows.steps[chosen]}")
    return path


def main() -> None:
    """Record the arm, read it back, check the steps, draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default=".dash", help="the folder that holds the runs")
    parser.add_argument("--steps", type=int, default=400, help="steps of the simulation")
    parser.add_argument("--height", type=int, default=180, help="of a frame, in pixels")
    parser.add_argument("--width", type=int, default=240)
    options = parser.parse_args()

    gl = choose_gl()  # before MuJoCo is imported
    with Experiment(project="examples", dash_root=options.root).run as experiment:
        experiment.params.set(vars(options), every=EVERY, gl=gl)
        record(experiment, options.steps, options.height, options.width)

    run = ml_dash.open_run(experiment.prefix, root=options.root)
    rows = run.aligned(JOINTS, frames=[*EVERY])
    print(f"run      {run.folder}")
    print(f"rows     {len(rows):4} of {JOINTS}, one every step")
    verify(rows)
    print(f"look     {sheet(rows, run.folder / 'cameras.png')}")


if __name__ == "__main__":
    main()
