"""Pictures from arrays: colour, gray, masks, heat maps, 16-bit depth, and what `save_image` does.

python examples/images.py
"""

from __future__ import annotations

import argparse

import numpy as np

import ml_dash
from ml_dash import Experiment


def scene(step: int, steps: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A bright ball that crosses a sunset: uint8[height, width, 3], and its depth in metres."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    sky = np.stack([255 - 120 * y / height, 140 + 40 * y / height, 90 + 150 * y / height], axis=-1)
    centre = np.array([0.15 + 0.7 * step / max(steps - 1, 1), 0.5]) * (width, height)
    distance = np.hypot(x - centre[0], y - centre[1]) / (0.14 * height)
    ball = np.clip(1.2 - distance, 0, 1)[..., None]
    depth = np.where(distance < 1, 1.5 + 0.2 * distance, 6.0 - 3.0 * y / height)
    return (sky * (1 - ball) + 250 * ball).astype(np.uint8), depth.astype(np.float32)


def main() -> None:
    """Record a few kinds of pictures at each step, then read them back as arrays."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default=".dash", help="the folder that holds the runs")
    parser.add_argument("--steps", type=int, default=30, help="pictures of each kind")
    parser.add_argument("--height", type=int, default=240)
    parser.add_argument("--width", type=int, default=320)
    options = parser.parse_args()

    with Experiment(project="examples", dash_root=options.root).run as experiment:
        for step in range(options.steps):
            rgb, depth = scene(step, options.steps, options.height, options.width)
            name = f"frame_{step:05d}"
            # The ending chooses the encoder; the number in the name is the frame's step.
            experiment.files("camera/rgb").save_image(rgb, to=f"{name}.jpg", quality=90)
            # A mask: False is black, True is white.
            experiment.files("camera/mask").save_image(depth < 2, to=f"{name}.png")
            # Floats within 0..1 are brightness; outside, the range is stretched to fit.
            experiment.files("camera/heat").save_image(1 / depth, to=f"{name}.png")
            # 16-bit gray stays 16-bit: millimetres survive to the last one.
            millimetres = (depth * 1000).astype(np.uint16)
            experiment.files("camera/depth").save_image(millimetres, to=f"{name}.png")
            # PyTorch's order of axes has to be named: nobody guesses.
            planes = np.moveaxis(rgb, -1, 0)
            experiment.files("camera/planes").save_image(planes, to=f"{name}.png", layout="CHW")

    run = ml_dash.open_run(experiment.prefix, root=options.root)
    for kind in ("rgb", "mask", "heat", "depth", "planes"):
        frames = run.frames(f"camera/{kind}")
        first = frames[0]
        print(f"camera/{kind:7} {len(frames)} frames, {first.dtype} {first.shape}")
    print(f"look     {run.folder}/files/data/camera/rgb/frame_00000.jpg")


if __name__ == "__main__":
    main()
