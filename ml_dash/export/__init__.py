"""A run becomes a dataset: one module for each format.

Every format is written as it goes, a row and a frame at a time, into a temporary place that is
renamed at the end. Formats look at a run through the protocols in `recording`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.export.interrupt import heeded
from ml_dash.export.job import ExportReport, Job, Progress, check_hz, check_options, choose
from ml_dash.export.pictures import check_size
from ml_dash.export.target import new_file, new_folder

if TYPE_CHECKING:
    from ml_dash.export.recording import Recording, Together

__all__ = ["FORMATS", "ExportReport", "Format", "Progress", "export_run", "find_format"]


class Format(NamedTuple):
    """One of the formats.

    Attributes:
        name: what the user says.
        module: where it is; it has `write(job, path)`, and `KINDS`, the suffixes of its files.
        summary: what comes out, in a line.
        cameras: `one` (it needs exactly one), `all` (those there are, unless named), or `named`
            (only those that are named).
        tracks: whether it is made of tracks.
        options: what it can be told beside, with what each is.
        suffix: of its one file; empty when it is a folder.
    """

    name: str
    module: str
    summary: str
    cameras: str
    tracks: bool = True
    options: Mapping[str, str] = {}
    suffix: str = ""


_ROLES = {
    "observation": "the columns that are observed; by default obs or observation",
    "action": "the columns that are done; by default action",
}
_FORMATS = (
    Format(
        "npy",
        "ml_dash.export.npy",
        "a session of five files: frames as one array, times, samples, metadata, README",
        "one",
    ),
    Format("png", "ml_dash.export.png", "the same session with a PNG for each frame", "one"),
    Format(
        "video",
        "ml_dash.export.video",
        "an MP4 (H.264) for each camera",
        "all",
        tracks=False,
        options={
            "fps": "frames a second; by default the rate that they were recorded at",
            "crf": "0 (best) to 51 (smallest file); 18 by default",
        },
    ),
    Format(
        "parquet",
        "ml_dash.export.parquet",
        "a file of typed columns for each track, and for each camera that is named",
        "named",
    ),
    Format(
        "lerobot",
        "ml_dash.export.lerobot",
        "a LeRobot v3.0 dataset: samples as Parquet, cameras as H.264",
        "all",
        options={
            **_ROLES,
            "fps": "frames a second; by default the usual rate, or hz",
            "task": "what was to be done, in words; by default the run's description",
            "robot_type": "the robot's name",
            "crf": "of the videos: 0 (best) to 51 (smallest file); 18 by default",
        },
    ),
    Format(
        "minari",
        "ml_dash.export.minari",
        "episodes in a folder that minari.load_dataset takes",
        "named",
        options={**_ROLES, "dataset_id": "the dataset's name for Minari, such as arm/reach-v0"},
    ),
    Format(
        "hdf5",
        "ml_dash.export.hdf5",
        "the same episodes in one HDF5 file",
        "named",
        options=_ROLES,
        suffix=".hdf5",
    ),
    Format(
        "mcap",
        "ml_dash.export.mcap",
        "one file with tracks as JSON messages and frames as compressed images",
        "all",
        suffix=".mcap",
    ),
)
FORMATS: dict[str, Format] = {format.name: format for format in _FORMATS}
"""All formats by name."""


def find_format(name: Any) -> Format:
    """A format by its name.

    Raises:
        ValueError: there is none of that name; the message lists them.
    """
    found = FORMATS.get(name) if isinstance(name, str) else None
    if found is None:
        raise ValueError(f"format is {name!r}; it must be one of {', '.join(FORMATS)}")
    return found


def export_run(
    run: Recording,
    format: str,
    to: str | os.PathLike[str] | None = None,
    *,
    topics: str | Sequence[str] | None = None,
    frames: str | Sequence[str] | None = None,
    hz: float | None = None,
    size: tuple[int, int] | None = None,
    on: str = "step",
    tolerance: float | None = None,
    repeats: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    is_aligned: bool = False,
    join: Callable[..., Together] | None = None,
    **options: Any,
) -> ExportReport:
    """Write a run as a dataset. See `RunView.export`, and `Dataset.export` for aligned rows.

    `join` takes the place of `run.aligned` where that logs what does not fit: an export logs what
    does not fit in the end.
    """
    chosen = find_format(format)
    check_options(format, chosen.options, options)
    tracks = list(run.tracks)
    if on == "timestamp" and chosen.tracks:  # to the first one all others are fitted
        tracks.sort(key=lambda topic: -len(run.tracks[topic]))
    job = Job(
        run,
        choose(topics, tracks, "track") if chosen.tracks else [],
        _cameras(chosen, run, frames),
        check_hz(hz),
        check_size(size),
        {"on": on, "tolerance": tolerance, "repeats": repeats},
        options,
        progress,
        is_aligned=is_aligned,
        join=join,
    )
    if topics is not None and not chosen.tracks:
        raise ValueError(f"the format {format!r} is made of frames alone: leave topics= out")
    module = import_module(chosen.module)
    target = Path(f"{job.name}_{format}{chosen.suffix}" if to is None else to)
    _check_outside(target, run)
    write: Callable[[Job, Path], None] = module.write
    with heeded() as job.check_interrupt:
        if chosen.suffix:
            with new_file(target, overwrite=overwrite) as file:
                write(job, file)
                job.check_interrupt()
        else:
            with new_folder(target, overwrite=overwrite, kinds=module.KINDS) as folder:
                write(job, folder)
                job.check_interrupt()
    return _report(job, format, target.expanduser().resolve())


def _cameras(format: Format, run: Recording, frames: str | Sequence[str] | None) -> list[str]:
    if frames is None and format.cameras == "named":
        return []
    found = choose(frames, run.cameras, "camera") if frames is not None else run.cameras
    if format.cameras == "one" and len(found) != 1:
        listed = ", ".join(map(repr, run.cameras))
        if not run.cameras:
            raise ValueError(
                f"the format {format.name!r} is made of frames, and this run has none; export its"
                " tracks with 'parquet', or another run"
            )
        raise ValueError(
            f"the format {format.name!r} takes the frames of one camera, and {len(found)} are"
            f" {'chosen' if frames is not None else 'there'}: pass frames= or --frames, one of"
            f" {listed}"
        )
    return found


def _check_outside(target: Path, run: Recording) -> None:
    """An export into the run's own folder would be taken for a part of the run."""
    folder = getattr(run, "folder", None)
    if folder is not None:
        place = target.expanduser().resolve()
        inside = Path(folder).resolve()
        if place == inside or inside in place.parents:
            raise ValueError(f"{place} is inside the run's own folder {inside}; name another place")


def _report(job: Job, format: str, path: Path) -> ExportReport:
    if path.is_dir():
        inside = (Path(place, name) for place, _, names in os.walk(path) for name in names)
        files = sorted(str(file.relative_to(path)) for file in inside)
    else:
        files = [path.name]
    return ExportReport(path, format, job.counts["samples"], job.counts["frames"], files, job.notes)
