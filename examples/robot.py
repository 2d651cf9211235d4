"""A simulated robot arm, recorded: its joints, sensors and end-effector, and its camera's frames.

python examples/robot.py
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from contact_sheet import contact_sheet
from offscreen import choose_gl

import ml_dash
from ml_dash import Experiment

if TYPE_CHECKING:
    from arm import Arm, Camera

TRACKS = ("robot/joints", "robot/end-effector", "robot/control", "robot/sensors")
FRAMES = "robot/frames"


def record(experiment: Experiment, arm: Arm, camera: Camera, every: int) -> None:
    """Run the arm for a lap: a row in each track at each step, a frame at every `every`th."""
    for step in range(arm.steps):
        arm.step(step)
        time, ee, target = arm.data.time, arm.ee, arm.target
        experiment.track("robot/joints").append(
            {"step": step, "time": time, "position": arm.positions, "velocity": arm.velocities}
        )
        experiment.track("robot/end-effector").append(
            {"step": step, "x": ee[0], "y": ee[1], "z": ee[2], "target": target}
        )
        experiment.track("robot/control").append({"step": step, "angles": arm.data.ctrl})
        experiment.track("robot/sensors").append(
            {"step": step, "touch": arm.sensor("touch")[0], "force": arm.sensor("force")}
        )
        experiment.metrics("tracking").log(step=step, error=np.linalg.norm(target - ee))
        for ball in arm.newly_reached():
            experiment.log("ball reached", level="info", ball=ball, step=step)
        if step % every == 0:
            name = f"frame_{step:05d}.jpg"
            experiment.files(FRAMES).save_image(camera.render(), to=name, step=step, quality=90)


def verify(run, steps: int, every: int) -> None:
    """Read everything back, and print what is there.

    Ends the program when a row or a frame is missing, unreadable, or not at its step.
    """
    rows = run.aligned(*TRACKS, frames=FRAMES, on="step")
    frames = run.frames(FRAMES)
    framed = rows.steps[rows.has_frame()]
    named = [f"frame_{step:05d}.jpg" for step in framed]
    holds = {
        "every step has a row": np.array_equal(rows.steps, np.arange(steps)),
        "every track has every step": all(
            len(run.tracks[name]) == steps and rows[name].present.all() for name in TRACKS
        ),
        "frames belong to the rows they should": np.array_equal(framed, range(0, steps, every)),
        "frames have the names of their steps": frames.names == named,
        "frames can be read": len({frame.shape for frame in frames}) == 1,
    }
    if not all(holds.values()):
        raise SystemExit(
            f"this does not hold: {[fact for fact, held in holds.items() if not held]}"
        )
    print(
        f"rows     {sum(map(len, run.tracks.values())):,} in {len(TRACKS)} tracks, {steps:,} steps"
    )
    print(f"frames   {len(frames):,}, one at every step that divides by {every}")
    print(f"checked  read back: {'; '.join(holds)}")


def main() -> None:
    """Record the arm, check what was recorded, draw it, and say where it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default=".dash", help="the folder that holds the runs")
    parser.add_argument("--steps", type=int, default=1000, help="steps of the simulation")
    parser.add_argument("--every", type=int, default=4, help="steps from one frame to the next")
    parser.add_argument("--height", type=int, default=480, help="of a frame, in pixels")
    parser.add_argument("--width", type=int, default=640)
    options = parser.parse_args()

    gl = choose_gl()  # before MuJoCo is imported
    from arm import Arm, Camera

    arm = Arm(options.steps)
    experiment = Experiment(project="examples", dash_root=options.root)
    with closing(Camera(arm, options.height, options.width)) as camera, experiment.run:
        experiment.params.set(vars(options), timestep=arm.model.opt.timestep, gl=gl)
        experiment.log("the arm starts", joints=arm.joints)
        record(experiment, arm, camera, options.every)

    run = ml_dash.open_run(experiment.prefix, root=options.root)
    print(f"run      {run.folder}")
    verify(run, options.steps, options.every)
    print(f"look     {contact_sheet(run.folder, run.folder / 'contact_sheet.png')}")
    command = Path(sys.executable).with_name("ml-dash")
    print(f"more     {os.path.relpath(command)} show {run.prefix} --root {options.root}")


if __name__ == "__main__":
    main()
