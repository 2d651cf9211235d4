"""The files of a LeRobot dataset, each begun anew once it has reached its size."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from ml_dash.export.extras import need
from ml_dash.export.json_text import dumps
from ml_dash.export.pictures import Pixels
from ml_dash.export.video import Mp4

CHUNK = 1000
DATA_BYTES = 100 << 20
VIDEO_BYTES = 200 << 20

_GROUP_BYTES = 4 << 20
_EPISODES_AT_ONCE = 50
_GOP = 2  # any frame is near one that stands alone: training draws them in any order


def _place(folder: Path, room: str, number: int, suffix: str) -> Path:
    chunk, file = divmod(number, CHUNK)
    path = folder / room / f"chunk-{chunk:03d}" / f"file-{file:03d}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


class DataFiles:
    """`data/`: the samples."""

    def __init__(self, folder: Path, arrow: Any, schema: Any) -> None:
        self._folder, self._arrow, self._schema = folder, arrow, schema
        self._parquet = need("pyarrow.parquet", "export", package="pyarrow", extra="lerobot")
        self._writer: Any = None
        self._number = -1
        self._path = folder
        self._gathered: list[Any] = []

    def begin(self) -> tuple[int, int]:
        """Begin an episode: the chunk and the number of the file it goes into."""
        if self._writer is not None:
            self._flush()
        if self._writer is None or self._path.stat().st_size >= DATA_BYTES:
            self.close()
            self._number += 1
            self._path = _place(self._folder, "data", self._number, ".parquet")
            self._writer = self._parquet.ParquetWriter(self._path, self._schema)
        return divmod(self._number, CHUNK)

    def add(self, columns: dict[str, list[Any]]) -> None:
        """Add some samples."""
        table = self._arrow.table(
            [self._arrow.array(columns[f.name], f.type) for f in self._schema], self._schema
        )
        self._gathered.append(table)
        if sum(table.nbytes for table in self._gathered) >= _GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        """End the file."""
        if self._writer is not None:
            self._flush()
            self._writer.close()
            self._writer = None

    def _flush(self) -> None:
        if self._gathered:
            self._writer.write_table(self._arrow.concat_tables(self._gathered))
            self._gathered.clear()


class VideoFiles:
    """`videos/<key>/`: the frames of one camera, episodes one after the other."""

    def __init__(self, folder: Path, key: str, fps: Fraction, crf: int) -> None:
        self._folder, self._key, self._fps, self._crf = folder, key, fps, crf
        self._movie: Mp4 | None = None
        self._number = -1
        self._path = folder
        self._shape = (0, 0)

    @property
    def frames(self) -> int:
        """How many are in the present file."""
        return 0 if self._movie is None else self._movie.frames

    def begin(self) -> tuple[int, int, int]:
        """Begin an episode: chunk and number of its file, and how many frames are before it."""
        if self._movie is None or self._size() >= VIDEO_BYTES:
            self.close()
            self._number += 1
            self._path = _place(self._folder, f"videos/{self._key}", self._number, ".mp4")
            self._movie = Mp4(self._path, self._fps, crf=self._crf, gop=_GOP)
        return (*divmod(self._number, CHUNK), self._movie.frames)

    def _size(self) -> int:
        # The encoder holds back some frames, and there is no file before it gives the first one
        return self._path.stat().st_size if self._path.exists() else 0

    def write(self, pixels: Pixels) -> None:
        """Add a frame."""
        assert self._movie is not None
        self._movie.write(pixels)
        height, width = pixels.shape[:2]
        self._shape = height + height % 2, width + width % 2

    def close(self) -> None:
        """End the file."""
        if self._movie is not None:
            self._movie.close()
            self._movie = None

    def info(self) -> dict[str, Any]:
        """What `info.json` says of it."""
        height, width = self._shape
        return {
            "dtype": "video",
            "shape": [height, width, 3],
            "names": ["height", "width", "channels"],
            "info": {
                "video.height": height,
                "video.width": width,
                "video.codec": "h264",
                "video.pix_fmt": "yuv420p",
                "video.is_depth_map": False,
                "video.fps": int(self._fps) if self._fps.denominator == 1 else float(self._fps),
                "video.channels": 3,
                "has_audio": False,
            },
        }


class EpisodeFiles:
    """`meta/episodes/` and `meta/tasks.parquet`."""

    def __init__(self, folder: Path, arrow: Any) -> None:
        self._folder, self._arrow = folder, arrow
        self._parquet = need("pyarrow.parquet", "export", package="pyarrow", extra="lerobot")
        self._writer: Any = None
        self._waiting: list[dict[str, Any]] = []

    def add(self, facts: dict[str, Any]) -> None:
        """Add what is known of an episode."""
        place = {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}
        self._waiting.append({**facts, **place})
        if len(self._waiting) >= _EPISODES_AT_ONCE:
            self._flush()

    def close(self) -> None:
        """End the file."""
        self._flush()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def tasks(self, tasks: list[str]) -> None:
        """Write the tasks, as pandas would write a frame that they are the index of."""
        path = self._folder / "meta/tasks.parquet"
        numbers = list(range(len(tasks)))
        about = {
            "index_columns": ["task"],
            "column_indexes": [],
            "columns": [
                _pandas_column("task_index", "int64", "int64"),
                _pandas_column("task", "unicode", "object"),
            ],
            "creator": {"library": "pyarrow", "version": self._arrow.__version__},
            "pandas_version": "2.2.0",
        }
        table = self._arrow.table({"task_index": numbers, "task": tasks})
        self._parquet.write_table(table.replace_schema_metadata({"pandas": dumps(about)}), path)

    def _flush(self) -> None:
        if not self._waiting:
            return
        table = self._arrow.Table.from_pylist(self._waiting)
        if self._writer is None:
            path = _place(self._folder, "meta/episodes", 0, ".parquet")
            self._writer = self._parquet.ParquetWriter(path, table.schema)
        self._writer.write_table(table.cast(self._writer.schema))
        self._waiting.clear()


def _pandas_column(name: str, kind: str, numpy_kind: str) -> dict[str, Any]:
    return {
        "name": name,
        "field_name": name,
        "pandas_type": kind,
        "numpy_type": numpy_kind,
        "metadata": None,
    }
