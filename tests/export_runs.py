"""Recorded runs to export: known rows, and frames that a codec can be judged by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ml_dash import Experiment, open_run

START = 1_700_000_000.0
HZ = 10


def picture(number: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A smooth picture of its own for each number: what codecs lose of it is little."""
    y, x = np.mgrid[0:height, 0:width]
    red = 255 * x / width * 0.8
    green = 255 * y / height * 0.8
    blue = np.full_like(red, number * 7 % 200)
    return np.stack([red, green, blue], -1).round().astype(np.uint8)


def record(
    root: Path,
    prefix: str = "robotics/arm",
    *,
    count: int = 20,
    episodes: int = 1,
    every: int = 1,
    size: tuple[int, int] = (48, 64),
    cameras: tuple[str, ...] = ("cameras/front",),
    wide: int = 0,
    suffix: str = "png",
) -> Any:
    """A run at 10 Hz with the tracks `robot/state` and `robot/command`; opened."""
    experiment = Experiment(
        prefix, description="reach the cube", dash_root=root, echo=False, environment=False
    )
    with experiment.run as run:
        run.params.set(lr=1e-3, model={"layers": 4})
        for number in range(count * episodes):
            at = START + number / HZ
            run.track("robot/state").append(state(number, count, wide), timestamp=at)
            run.track("robot/command").append(
                {"step": number, "action": [number / 8, -1.0]}, timestamp=at
            )
            if number % every == 0:
                for offset, camera in enumerate(cameras):
                    run.files(camera).save_image(
                        picture(number + offset, *size),
                        to=f"frame_{number:06d}.{suffix}",
                        timestamp=at,
                    )
    return open_run(prefix, root=root)


def state(number: int, count: int, wide: int = 0) -> dict[str, Any]:
    """The fields of one row of `robot/state`."""
    row: dict[str, Any] = {
        "step": number,
        "episode": number // count,
        "x": number / 4,
        "pose": {"q": [float(number), 0.5, -1.0], "ok": number % 2 == 0},
        "count": number,
        "mode": "auto" if number % 3 else "manual",
    }
    if wide:
        row["wide"] = [float(number)] * wide
    return row


def gradient_error(got: np.ndarray, number: int) -> float:
    """How far a decoded frame is from `picture(number)`, on average of all values."""
    wanted = picture(number, *got.shape[:2])
    return float(np.abs(got.astype(int) - wanted.astype(int)).mean())
