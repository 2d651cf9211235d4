"""`npy`: frames as one array that numpy maps into memory, with times, samples and metadata."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ml_dash.export.capture import framed, write_capture
from ml_dash.export.job import Job
from ml_dash.export.pictures import Pixels

KINDS = (".npy", ".jsonl", ".json", ".md")


def write(job: Job, folder: Path) -> None:
    """Write the five files of a session.

    The array is written frame by frame after its header: the same bytes that a memory map would
    hold, while a disk that runs full is an error and not the end of the process.
    """
    (camera,) = job.cameras
    samples = framed(job)
    first = int(samples.frame_numbers(camera)[0])
    height, width = job.shots(camera).shape(first)
    shape = (len(samples), height, width, 3)
    with (folder / f"{job.name}_frames.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)

        def take(number: int, pixels: Pixels) -> None:
            file.write(pixels.data)

        write_capture(job, folder, "npy", take)
