"""A simulated arm under control, recorded by a hook: its state, and what its camera sees.

python examples/mujoco_arm.py
python examples/mujoco_arm.py --deferred
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from arm import Arm
from PIL import Image

import ml_dash
from ml_dash import Experiment
from ml_dash_mujoco import RenderHook

CAMERA = "mujoco/front"


def main() -> None:
    """Run the arm for a lap, and look at what was recorded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default=".dash", help="the folder that holds the runs")
    parser.add_argument("--steps", type=int, default=1000, help="steps of the simulation")
    parser.add_argument("--fps", type=float, default=20, help="frames a second of simulation time")
    parser.add_argument("--height", type=int, default=240, help="of a frame, in pixels")
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--deferred", action="store_true", help="draw when the arm has stopped")
    options = parser.parse_args()

    arm = Arm(options.steps)
    with Experiment(project="examples", dash_root=options.root).run as experiment:
        experiment.params.set(vars(options))
        hook = RenderHook(
            experiment,
            arm.model,
            cameras=["front"],
            size=(options.height, options.width),
            fps=options.fps,
            state=["qpos", "qvel", "ctrl", "site:ee", "sensor:touch", "sensor:force"],
            depth=True,
            segmentation=True,
            deferred=options.deferred,
        )
        begin = time.perf_counter()
        for step in range(options.steps):
            arm.step(step)
            hook(arm.data)
            for ball in arm.newly_reached():  # which light up
                experiment.log("ball reached", ball=ball, time=arm.data.time)
        looped = time.perf_counter() - begin
        if options.deferred:
            hook.render_deferred()

    run = ml_dash.open_run(experiment.prefix, root=options.root)
    table = run.tracks["mujoco/state"]
    print(f"run      {run.folder}")
    print(f"rows     {len(table)}, {arm.data.time:.1f} s of simulation in {looped:.1f} s")
    print(f"frames   {', '.join(f'{len(run.frames(c))} of {c}' for c in run.cameras)}")

    rows = run.aligned("mujoco/state", frames=CAMERA, on="step")
    names = run.metadata["mujoco"]["mujoco/state"]["columns"]["qpos"]
    elbow = slice(*names["elbow"])
    x, y, z = table["site.ee"][-1]
    print(f"elbow    {np.degrees(table['qpos'][:, elbow].min()):.0f} degrees at the least")
    print(f"tip      at ({x:.2f}, {y:.2f}, {z:.2f}) m in the last of {len(rows)} frames")
    print(f"look     {picture(run, run.folder / 'frames.png')}")


def picture(run, path: Path) -> Path:
    """Draw five moments side by side: what the camera sees, how far it is, and what is what."""
    depths, labels = run.frames(f"{CAMERA}_depth"), run.frames(f"{CAMERA}_segmentation")
    colours = run.frames(CAMERA)
    hues = np.random.default_rng(7).integers(60, 255, (65536, 3), np.uint8)
    hues[0] = 255  # the background
    columns = []
    for i in np.linspace(0, len(colours) - 1, 5).astype(int):
        metres = depths[i] / 1000
        gray = np.where(metres > 0, 255 * np.clip((3 - metres) / 2.5, 0, 1), 255).astype(np.uint8)
        column = [colours[i], np.repeat(gray[..., None], 3, axis=-1), hues[labels[i]]]
        columns.append(np.concatenate(column, axis=0))
    Image.fromarray(np.concatenate(columns, axis=1)).save(path)
    return path


if __name__ == "__main__":
    main()
