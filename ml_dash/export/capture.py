"""The layout of a fixed-rate capture: what the formats `npy` and `png` have in common.

| file | what |
|---|---|
| `<session>_timestamps.npy` | float32 (N,): milliseconds since the first frame |
| `<session>_data.jsonl` | line i is the sample of frame i |
| `<session>_metadata.json` | what the session is |
| `<session>_README.md` | says all this of the very dataset |
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ml_dash.export.job import Job
from ml_dash.export.json_text import write_json
from ml_dash.export.pictures import Pixels
from ml_dash.export.readme import readme
from ml_dash.export.samples import Sample, Samples
from ml_dash.rows import encode_row

RESERVED = ("timestamp_ms", "time_elapsed_s", "step", "timestamp", "frame_timestamp_ms", "frame")
"""Keys of a sample that are not fields of a track."""

FRAME_FILE = "frame_file"
"""What the field `frame` of a row, the name of its picture, is called in a sample."""

EXACT_MS = 2.0**24
"""From here on, 4.66 hours, a float32 does not tell every millisecond."""

Take = Callable[[int, Pixels], None]


def write_capture(job: Job, folder: Path, kind: str, take: Take) -> None:
    """Write everything but the frames' files; hand each frame to `take`.

    Args:
        job: what to export; it has one camera.
        folder: where to.
        kind: `npy` or `png`, for the metadata.
        take: called with the number of each frame and its pixels, in order.
    """
    (camera,) = job.cameras
    samples = framed(job)
    shots = job.shots(camera)
    numbers = samples.frame_numbers(camera)
    shape = [len(samples), *shots.shape(int(numbers[0])), 3]
    times = samples.timestamps
    elapsed = np.round(times - times[0], 6)  # recorded times are whole microseconds
    nested = _is_nested(job)
    with (folder / f"{job.name}_data.jsonl").open("wb") as file:
        for sample in job.told(samples, len(samples)):
            take(sample.number, shots[sample.frames[camera]])
            file.write(_line(sample, float(elapsed[sample.number]), nested))
    np.save(folder / f"{job.name}_timestamps.npy", (elapsed * 1000).astype(np.float32))
    if elapsed[-1] * 1000 > EXACT_MS:
        job.notes.append(
            "longer than 4.66 hours: late timestamps in the .npy are rounded to some milliseconds;"
            " those in the .jsonl are exact"
        )
    facts = metadata(job, samples, kind, shape, nested)
    write_json(folder / f"{job.name}_metadata.json", facts)
    (folder / f"{job.name}_README.md").write_text(readme(facts, job.notes), "utf-8")
    job.counts.update(samples=len(samples), frames=len(samples))


def framed(job: Job) -> Samples:
    """The samples that have a frame.

    Raises:
        ValueError: none has.
    """
    (camera,) = job.cameras
    samples = job.samples.with_frame(camera)
    if not len(samples):
        raise ValueError(_no_frames(job, camera))
    return samples


def _no_frames(job: Job, camera: str) -> str:
    said = "; ".join(job.notes)
    if job.hz is not None:
        span = job.samples.timestamps[-1] - job.samples.timestamps[0]
        return (
            f"at hz={job.hz:g} no tick has a frame of {camera!r} ({said}): the ticks are"
            f" {1 / job.hz:g} s apart and span {span:.3f} s; give a higher rate, or none"
        )
    return (
        f"no row of {', '.join(map(repr, job.topics))} has a frame of {camera!r}: {said}; join"
        " them by time with on='timestamp'"
    )


def metadata(
    job: Job, samples: Samples, kind: str, shape: list[int], nested: bool
) -> dict[str, Any]:
    """What `<session>_metadata.json` says."""
    times = samples.timestamps
    run = job.about
    name = job.name
    pattern = f"{name.replace('%', '%%')}_frame_%06d.png"
    frames = f"{name}_frames.npy" if kind == "npy" else pattern
    return {
        "session_id": name,
        "start_time": moment(times[0]),
        "end_time": moment(times[-1]),
        "duration_s": float(times[-1] - times[0]),
        "sampling_rate_hz": samples.rate,
        "num_frames": shape[0],
        "num_samples": len(samples),
        "frame_shape": shape[1:],
        "frame_dtype": "uint8",
        "format": kind,
        "fixed_rate": job.hz is not None,
        "start_timestamp": float(times[0]),
        "end_timestamp": float(times[-1]),
        "files": {
            "frames": frames,
            "timestamps": f"{name}_timestamps.npy",
            "data": f"{name}_data.jsonl",
            "readme": f"{name}_README.md",
        },
        "camera": job.cameras[0],
        "tracks": job.topics,
        "columns": dict(_columns(job, nested)),
        "parameters": run.pop("parameters"),
        "run": run,
    }


def moment(timestamp: float) -> str | None:
    """A timestamp as ISO 8601 in UTC; `None` for one that no calendar has."""
    try:
        return datetime.datetime.fromtimestamp(timestamp, datetime.UTC).isoformat()
    except (OverflowError, ValueError, OSError):
        return None


def _columns(job: Job, nested: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    for topic, columns in job.columns.items():
        for column in columns.values():
            name = f"{_key(topic)}.{column.name}" if nested else column.name
            if not nested and column.name.partition(".")[0] == "frame":
                name = f"{FRAME_FILE}{column.name.removeprefix('frame')}"
            found: dict[str, Any] = {"type": column.type, "track": topic}
            if column.optional:
                found["optional"] = True
            if column.low is not None and math.isfinite(column.low):
                found |= {"min": column.low, "max": column.high}
            yield name, found


def _key(topic: str) -> str:
    """What a track is called in a sample: keys that begin with `_` are ML-Dash's own."""
    return f"track:{topic}" if topic.startswith("_") else topic


def _is_nested(job: Job) -> bool:
    """Whether samples have their fields by track: of several tracks, or where names clash."""
    if len(job.topics) != 1:
        return True
    columns = job.columns[job.topics[0]]
    tops = {name.partition(".")[0] for name in columns}
    frame = columns.get("frame")
    if (frame is not None and frame.kind == "text") or frame is None:
        tops -= {"frame"}  # the name of a picture, or those of several cameras
    return bool(tops & {*RESERVED, FRAME_FILE})


def _line(sample: Sample, elapsed: float, nested: bool) -> bytes:
    head: dict[str, Any] = {
        "timestamp_ms": round(elapsed * 1000, 3),
        "time_elapsed_s": elapsed,
        "timestamp": sample.timestamp,
    }
    if sample.step is not None:
        head["step"] = sample.step
    rows = {_key(topic): row for topic, row in sample.rows.items() if row is not None}
    fields: dict[str, Any] = rows
    if not nested:
        fields = next(iter(rows.values()), {})
        fields = {FRAME_FILE if key == "frame" else key: value for key, value in fields.items()}
    return encode_row(fields, head=head, where=f"sample {sample.number}")
