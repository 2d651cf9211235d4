"""`png`: the same session with a picture file for each frame in place of the array."""

from __future__ import annotations

from pathlib import Path

from ml_dash import image
from ml_dash.export.capture import write_capture
from ml_dash.export.job import Job
from ml_dash.export.pictures import Pixels

KINDS = (".png", ".npy", ".jsonl", ".json", ".md")


def write(job: Job, folder: Path) -> None:
    """Write the files of a session, frames without loss."""

    def take(number: int, pixels: Pixels) -> None:
        (folder / f"{job.name}_frame_{number:06d}.png").write_bytes(image.encode(pixels, "png"))

    write_capture(job, folder, "png", take)
