"""`mcap`: tracks as JSON messages and frames as compressed images, with schemas, by time.

Foxglove and the `mcap` tools open it. A message of a track has `timestamp` (seconds), `step` and
the fields, nested as they were recorded; JSON has no NaN, so one that is not finite is null, and
`_nonfinite` says by JSON pointer what it was. Frames are `foxglove.CompressedImage`, their bytes as
they were saved.
"""

from __future__ import annotations

import base64
import heapq
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml_dash.export.columns import Column
from ml_dash.export.extras import need
from ml_dash.export.job import Job
from ml_dash.export.json_text import dumps
from ml_dash.export.parquet import picture_bytes
from ml_dash.rows import encode_row

IMAGE = "foxglove.CompressedImage"
_TIME = {
    "type": "object",
    "title": "time",
    "properties": {"sec": {"type": "integer"}, "nsec": {"type": "integer"}},
}
IMAGE_SCHEMA = {
    "title": IMAGE,
    "description": "A compressed image",
    "type": "object",
    "properties": {
        "timestamp": _TIME,
        "frame_id": {"type": "string"},
        "data": {"type": "string", "contentEncoding": "base64"},
        "format": {"type": "string"},
    },
}
_FORMATS = {"jpg": "jpeg", "jpeg": "jpeg", "png": "png"}
_LATEST = 2**64

Message = tuple[int, int, bytes]
"""Time in nanoseconds, the channel's number in order of the topics, data."""


def write(job: Job, path: Path) -> None:
    """Write the file."""
    writers = need("mcap.writer", "export to mcap", package="mcap", extra="mcap")
    if not job.topics and not job.cameras:
        raise ValueError(f"{job.run.prefix!r} has neither tracks nor frames to export")
    total = sum(map(job.count, job.topics)) + sum(len(job.stills(c).numbers) for c in job.cameras)
    with path.open("wb") as file:
        writer = writers.Writer(file)
        writer.start(profile="", library="ml-dash")
        about = {key: _text(value) for key, value in job.about.items()}
        writer.add_metadata("ml_dash", about)
        channels: list[int] = []
        sources: list[Iterator[Message]] = []
        for topic in job.topics:
            schema = schema_of(topic, job.columns[topic])
            channels.append(_channel(writer, topic, topic, schema))
            sources.append(_rows(job, topic, len(sources)))
        for camera in job.cameras:
            name = f"{camera}/image" if camera in job.topics else camera
            channels.append(_channel(writer, name, IMAGE, IMAGE_SCHEMA))
            sources.append(_frames(job, camera, len(sources)))
        counts = [0] * len(channels)
        for time, number, data in job.told(heapq.merge(*sources), total):
            writer.add_message(channels[number], time, data, time, counts[number])
            counts[number] += 1
        writer.finish()
    job.counts["samples"] = sum(counts[: len(job.topics)])
    job.counts["frames"] = sum(counts[len(job.topics) :])


def schema_of(title: str, columns: dict[str, Column]) -> dict[str, Any]:
    """The JSON schema of a track's messages."""
    properties: dict[str, Any] = {"timestamp": {"type": "number"}, "step": {"type": "integer"}}
    for column in columns.values():
        inner = properties
        *path, last = column.name.split(".")
        for part in path:
            found = inner.setdefault(part, {"type": "object", "properties": {}})
            inner = found.setdefault("properties", {})
        inner[last] = _property(column)
    return {"title": title, "type": "object", "properties": properties}


def _property(column: Column) -> dict[str, Any]:
    kinds = {"bool": "boolean", "int": "integer", "float": "number", "text": "string"}
    if column.kind not in kinds:
        return {}  # anything
    found: dict[str, Any] = {"type": kinds[column.kind]}
    for _ in (0,) if column.shape is None else column.shape:
        found = {"type": "array", "items": found}
    return found


def _channel(writer: Any, topic: str, name: str, schema: dict[str, Any]) -> int:
    number = writer.register_schema(name=name, encoding="jsonschema", data=dumps(schema))
    found: int = writer.register_channel(topic=topic, message_encoding="json", schema_id=number)
    return found


def _rows(job: Job, topic: str, channel: int) -> Iterator[Message]:
    for entry in job.series(topic):
        head: dict[str, Any] = {"timestamp": entry.timestamp}
        if entry.step is not None:
            head["step"] = entry.step
        data = encode_row(entry.fields, head=head, where=f"track {topic!r}")
        yield _nanoseconds(entry.timestamp, topic), channel, data.rstrip(b"\n")


def _frames(job: Job, camera: str, channel: int) -> Iterator[Message]:
    stills, images = job.stills(camera), job.images(camera)
    for index, number in enumerate(stills.numbers.tolist()):
        time = _nanoseconds(float(stills.timestamps[index]), camera)
        suffix = images.paths[number].rpartition(".")[2].lower()
        message = {
            "timestamp": {"sec": time // 10**9, "nsec": time % 10**9},
            "frame_id": camera,
            "data": base64.b64encode(picture_bytes(job, camera, number)).decode(),
            "format": _FORMATS.get(suffix, suffix),
        }
        yield time, channel, dumps(message)


def _nanoseconds(timestamp: float, where: str) -> int:
    # Recorded times are whole microseconds; multiplied at once, floats would add some nanoseconds
    time = round(timestamp * 1e6) * 1000
    if not 0 <= time < _LATEST:
        raise ValueError(
            f"{where!r} has the timestamp {timestamp}; MCAP counts from 0, which is 1970, to 2554"
        )
    return time


def _text(value: Any) -> str:
    return value if isinstance(value, str) else dumps(value).decode()
