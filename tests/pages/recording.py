"""Runs whose frames tell, by the colour of their pixels, which camera and step they are of."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ml_dash import Experiment

MARKUP = "<img src=x onerror=alert(1)>"
CAMERAS = {"front": (1, 2), "arm/wrist": (2, 4)}
"""Number of each camera, and how many steps lie between two of its frames."""
EPISODE = 50


def frame(camera: str, step: int, run: int = 0) -> np.ndarray:
    """A picture of one colour: the step's low and high digits, and camera and run."""
    made = np.empty((24, 32, 3), np.uint8)
    made[:] = (step % 200, step // 200, 100 * run + CAMERAS[camera][0])
    return made


def write_step(experiment: Experiment, step: int, run: int = 0) -> None:
    """All that belongs to one step, with one timestamp."""
    at = 1_800_000_000.0 + 0.1 * step
    row = {"x": float(np.cos(step / 30)), "y": float(np.sin(step / 30)), "q": [step, -step]}
    row |= {"episode": step // EPISODE}
    experiment.track("arm/joints").append(row, step=step, timestamp=at)
    experiment.metrics("train").log(step=step, timestamp=at, loss=1.0 / (step + 1))
    for camera, (_, every) in CAMERAS.items():
        if step % every == 0:
            experiment.files(camera).save_image(
                frame(camera, step, run), to=f"frame_{step:05d}.png", step=step, timestamp=at
            )


def record(
    root: Path, prefix: str, steps: int = 200, run: int = 0, warnings: tuple[int, ...] = ()
) -> None:
    """A run that is complete."""
    with Experiment(prefix, dash_root=root, echo=False, tags=["recorded"]).run as experiment:
        experiment.params.set(lr=0.001 * (run + 1), model={"layers": 3}, same=1)
        for step in range(steps):
            write_step(experiment, step, run)
        for number in range(450):
            level = "error" if number == 400 else "info"
            experiment.log(f"message {number}", level=level, step=number % steps)
        for step in warnings:
            experiment.log("slipped", level="warn", step=step)
        experiment.files("results").save_text("# What this is\n", to="notes.md")
        experiment.files("results").save_json({"mean": [1, 2]}, to="summary.json")
