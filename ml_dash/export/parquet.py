"""`parquet`: a file of typed columns for each track, arrays as lists, and one for each camera.

| column | type |
|---|---|
| `timestamp` | double, seconds |
| `step` | int64; null where a row has none |
| of numbers, booleans, text | double, int64, bool, string |
| of arrays and lists | list of these; of two dimensions list of lists |
| of several kinds | string: the JSON text of each value; the field's metadata says so |

A missing value is null; a NaN that was recorded is NaN. A camera's file has `timestamp`, `step` and
`image`, a struct of `bytes` and `path`, which `datasets` reads as images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ml_dash import image
from ml_dash.export.columns import Column, batches, by_name, flatten
from ml_dash.export.extras import need
from ml_dash.export.job import Entry, Job
from ml_dash.export.json_text import dumps, write_json
from ml_dash.image import FORMATS
from ml_dash.names import encode_path, split_path

KINDS = (".parquet", ".json")

_GROUP_BYTES = 4 << 20
_GROUP_ROWS = 1 << 16
_FRAMES_AT_ONCE = 16


def write(job: Job, folder: Path) -> None:
    """Write the files, and `run.json` with what the run is."""
    arrow = need("pyarrow", "export to parquet", extra="arrow")
    parquet = need("pyarrow.parquet", "export to parquet", package="pyarrow", extra="arrow")
    if not job.topics and not job.cameras:
        raise ValueError(f"{job.run.prefix!r} has no tracks; pass frames= to export its frames")
    total = sum(map(job.count, job.topics)) + sum(len(job.stills(c).numbers) for c in job.cameras)
    done = 0
    for topic in job.topics:
        columns = list(job.columns[topic].values())
        schema = _schema(arrow, columns, job, topic)
        rows = job.told(job.series(topic), total, done)
        _write(arrow, parquet, _place(folder, topic), schema, _tables(arrow, schema, columns, rows))
        done += job.count(topic)
        job.counts["samples"] += job.count(topic)
    for camera in job.cameras:
        count = len(job.stills(camera).numbers)
        schema = _frame_schema(arrow, job, camera)
        _write(
            arrow,
            parquet,
            _place(folder, camera),
            schema,
            _pictures(arrow, schema, job, camera, (done, total)),
        )
        done += count
        job.counts["frames"] += count
    write_json(folder / "run.json", job.about)


def _place(folder: Path, name: str) -> Path:
    parts = split_path(name, "track topic")
    path = folder / f"{encode_path(parts, 'track topic', fold_case=False)}.parquet"
    if path.exists():
        raise ValueError(f"a track and a camera are both called {name!r}; export one at a time")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _write(arrow: Any, parquet: Any, path: Path, schema: Any, tables: Iterable[Any]) -> None:
    """Write record batches, gathered to row groups of useful size."""
    with parquet.ParquetWriter(path, schema) as writer:
        gathered: list[Any] = []
        size = rows = 0
        for batch in tables:
            gathered.append(batch)
            size += batch.nbytes
            rows += batch.num_rows
            if size >= _GROUP_BYTES or rows >= _GROUP_ROWS:
                writer.write_table(arrow.Table.from_batches(gathered, schema))
                gathered.clear()
                size = rows = 0
        if gathered:
            writer.write_table(arrow.Table.from_batches(gathered, schema))


def _schema(arrow: Any, columns: list[Column], job: Job, topic: str) -> Any:
    fields = [arrow.field("timestamp", arrow.float64(), nullable=False)]
    fields.append(arrow.field("step", arrow.int64()))
    for column in columns:
        note = {"ml_dash": "json"} if column.kind == "json" else None
        fields.append(arrow.field(column.name, _type(arrow, column), metadata=note))
    return arrow.schema(fields, metadata=_note(job, topic))


def _note(job: Job, name: str) -> dict[bytes, bytes]:
    return {b"ml_dash": dumps({**job.about, "name": name})}


def _type(arrow: Any, column: Column) -> Any:
    kinds = {
        "bool": arrow.bool_(),
        "int": arrow.int64(),
        "float": arrow.float64(),
        "none": arrow.null(),
    }
    found = kinds.get(column.kind, arrow.string())
    for _ in (0,) if column.shape is None else column.shape:
        found = arrow.list_(found)
    return found


def _tables(arrow: Any, schema: Any, columns: list[Column], rows: Iterable[Entry]) -> Iterator[Any]:
    for batch in batches(rows, of=lambda entry: entry.fields):
        fields = [entry.fields for entry in batch]
        found = by_name(fields, ())
        flat: list[dict[str, Any]] | None = None
        arrays = [
            arrow.array([entry.timestamp for entry in batch], arrow.float64()),
            arrow.array([_step(entry.step) for entry in batch], arrow.int64()),
        ]
        for column, field in zip(columns, list(schema)[2:], strict=True):
            values = found.get(column.name, [])
            if len(values) != len(batch):  # some rows do not have it
                flat = flat or [dict(flatten(row)) for row in fields]
                values = [row.get(column.name) for row in flat]
            arrays.append(arrow.array(_values(values, column), field.type))
        yield arrow.RecordBatch.from_arrays(arrays, schema=schema)


def _values(values: list[Any], column: Column) -> list[Any]:
    if column.kind == "json":
        return [None if value is None else dumps(value).decode() for value in values]
    if column.kind == "float" and set(map(type, values)) != {float}:
        return [_floats(value) for value in values]  # integers among them
    return values


def _floats(value: Any) -> Any:
    if type(value) is list:
        return [_floats(item) for item in value]
    return float(value) if type(value) is int else value


def _step(step: Any) -> int | None:
    return step if type(step) is int and abs(step) < 2**63 else None


def _frame_schema(arrow: Any, job: Job, camera: str) -> Any:
    picture = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    fields = [
        arrow.field("timestamp", arrow.float64(), nullable=False),
        arrow.field("step", arrow.int64()),
        arrow.field("image", picture),
    ]
    return arrow.schema(fields, metadata=_note(job, camera))


def _pictures(
    arrow: Any, schema: Any, job: Job, camera: str, progress: tuple[int, int]
) -> Iterator[Any]:
    stills, images = job.stills(camera), job.images(camera)
    done, total = progress
    gathered: list[tuple[float, int | None, dict[str, Any]]] = []
    for index, number in enumerate(job.told(stills.numbers.tolist(), total, done)):
        path = images.paths[number]
        shot = {"bytes": picture_bytes(job, camera, number), "path": path.rpartition("/")[2]}
        gathered.append((float(stills.timestamps[index]), stills.step(index), shot))
        if len(gathered) == _FRAMES_AT_ONCE or index + 1 == len(stills.numbers):
            columns = zip(zip(*gathered, strict=True), schema, strict=True)
            arrays = [arrow.array(list(values), field.type) for values, field in columns]
            yield arrow.RecordBatch.from_arrays(arrays, schema=schema)
            gathered.clear()


def picture_bytes(job: Job, camera: str, number: int) -> bytes:
    """The file of a frame as it was saved, or encoded anew where it is to be scaled."""
    images = job.images(camera)
    if job.size is None:
        data: bytes = images.read_bytes(number)
        return data
    suffix = f".{images.paths[number].rpartition('.')[2].lower()}"
    return image.encode(job.shots(camera)[number], FORMATS.get(suffix, "png"))
