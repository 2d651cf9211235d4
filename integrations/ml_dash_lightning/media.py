"""What a logger takes beside numbers: images, videos, texts, tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from ml_dash import Moment
from ml_dash_lightning.base import rank_zero_only
from ml_dash_lightning.guard import count, harmless_as
from ml_dash_lightning.pictures import (
    as_image,
    as_list,
    as_video,
    as_videos,
    captions_of,
    rates_of,
)
from ml_dash_lightning.plain import row_of, short
from ml_dash_lightning.recording import Recording

BYTES = (bytes, bytearray, memoryview)


class Media(Recording):
    """The `log_…` methods of `MLDashLogger` for what is no metric.

    A wrong argument is an exception; what goes wrong in recording is told once.
    """

    @rank_zero_only
    def log_image(self, key: str, images: Any, step: int | None = None, **options: Any) -> None:
        """Log images as PNG files `images/<key>/frame_….png`, and a row for each.

        Args:
            key: what they are, such as `val/samples`.
            images: a list of arrays or tensors of shape (H, W), (H, W, C) or (C, H, W), PIL images,
                figures, or paths; one of them; or a batch (N, …).
            step: the step that they belong to; by default that of the latest metrics.
            **options: lists as long as `images`, such as `caption=[…]`: columns of the track
                `images/<key>`, whose `frame` names the file.

        Raises:
            TypeError: `images` or an option is no list, or `key` no text.
            ValueError: an option has another length than there are images, or `key` is no name.
        """
        what = f"log_image {key!r}"
        found = as_list(images, what)
        fields = captions_of(len(found), "images", what, options)
        topic, number = self._place("log_image", "images", key), self._number("log_image", step)
        for index, (image, row) in enumerate(zip(found, fields, strict=True)):
            self._log_one(topic, image, number, {"index": index, **_fields(row)})

    @harmless_as("log_image")
    def _log_one(self, topic: str, image: Any, step: int | None, row: dict[str, Any]) -> None:
        moment = self._moment(step)
        saved: dict[str, Any] = {}
        try:
            picture = as_image(image)
            name = self._opened().name_frames(moment, [topic])
            files = self._running().files(topic)
            # By this and not by the recorder, which leaves out in silence what is no picture.
            files.save_image(picture, to=name, step=moment.step, timestamp=moment.timestamp)
            saved["frame"] = name
        except Exception as error:  # noqa: BLE001 - such as a file that is not there
            count(self, "log_image", error)
        self._record(moment, tracks={topic: row | saved})

    @rank_zero_only
    def log_video(
        self,
        key: str,
        videos: Any,
        step: int | None = None,
        fps: float | Sequence[float] = 30,
        **options: Any,
    ) -> None:
        """Log videos: files as they are, arrays as MP4 where `ml-dash[video]` is installed.

        Where it is not, an array's frames are saved one by one, below `videos/<key>/`, so that
        nothing is lost. The track `videos/<key>` has a row for each video.

        Args:
            key: what they show.
            videos: a list of paths, or of arrays or tensors of shape (T, C, H, W), (T, H, W, C) or
                (T, H, W); or one of them; or a batch of five dimensions; or the frames of one, a
                list of images as `log_image` takes them. What of three dimensions is none, such as
                an array with its channels first, is a gray video.
            step: the step that they belong to; by default that of the latest metrics.
            fps: frames a second; a list for videos that differ.
            **options: lists as long as `videos`, such as `caption=[…]`.

        Raises:
            TypeError, ValueError: as for `log_image`.
        """
        what = f"log_video {key!r}"
        found = as_videos(videos, what)
        rates = rates_of(fps, len(found), what)
        fields = captions_of(len(found), "videos", what, options)
        topic, number = self._place("log_video", "videos", key), self._number("log_video", step)
        for index, (video, rate, row) in enumerate(zip(found, rates, fields, strict=True)):
            self._log_clip(topic, video, number, {"index": index, "fps": rate, **_fields(row)})

    @harmless_as("log_video")
    def _log_clip(self, topic: str, video: Any, step: int | None, row: dict[str, Any]) -> None:
        moment = self._moment(step)
        saved: dict[str, Any] = {}
        try:
            saved = self._save_video(topic, video, moment, row["fps"])
        except Exception as error:  # noqa: BLE001 - such as a file that is not there
            count(self, "log_video", error)
        self._record(moment, tracks={topic: row | saved})

    def _save_video(self, topic: str, video: Any, moment: Moment, fps: float) -> dict[str, Any]:
        files = self._running().files
        stem = self._new_name(moment, topic, "video")
        at: dict[str, Any] = {"step": moment.step, "timestamp": moment.timestamp}
        if isinstance(video, (str, Path)):
            name = f"{stem}{Path(video).suffix}"
            files(topic).save_file(video, to=name, **at)
            return {"file": name}
        frames = as_video(video)
        try:
            files(topic).save_video(frames, to=f"{stem}.mp4", fps=fps, **at)
            return {"file": f"{stem}.mp4"}
        except ImportError:
            pass  # no encoder is installed
        except Exception as error:  # noqa: BLE001 - such as frames of several sizes
            count(self, "log_video", error)
        for number, frame in enumerate(frames):
            files(f"{topic}/{stem}").save_image(frame, to=f"{number:06d}.png", **at)
        return {"folder": stem, "frames": len(frames)}

    @rank_zero_only
    def log_text(self, key: str, text: Any, step: int | None = None, **fields: Any) -> None:
        """Log texts, such as generated samples, as rows of the track `texts/<key>`.

        Args:
            key: what they are.
            text: a text, or a list of them.
            step: the step that they belong to; by default that of the latest metrics.
            **fields: more columns.

        Raises:
            TypeError, ValueError: `key` is no name, or the text is missing, or bytes.
        """
        texts = [text] if isinstance(text, str) or not isinstance(text, Sequence) else text
        if any(isinstance(one, BYTES) for one in (text, *texts)):
            raise TypeError(f"log_text {key!r}: the text is bytes; give text.decode()")
        topic = self._place("log_text", "texts", key)
        self._log_texts(topic, texts, self._number("log_text", step), fields)

    @harmless_as("log_text")
    def _log_texts(
        self, topic: str, texts: Sequence[Any], step: int | None, fields: Mapping[str, Any]
    ) -> None:
        columns = row_of(fields, "column")
        moment = self._moment(step)
        for one in texts:
            self._record(moment, tracks={topic: {"text": str(one), **columns}})

    @rank_zero_only
    def log_table(
        self,
        key: str,
        columns: Sequence[str] | None = None,
        data: Sequence[Sequence[Any] | Mapping[str, Any]] | None = None,
        dataframe: Any = None,
        step: int | None = None,
    ) -> None:
        """Log a table as rows of the track `tables/<key>`, numbered by the column `row`, if it has
        none of that name.

        A column called `step` or `timestamp`, or beginning with `_`, is stored as `column/<name>`,
        a second `a` as `a'`.

        Args:
            key: what it is.
            columns: the names of the columns.
            data: rows, each as long as `columns`, or a dict with these keys.
            dataframe: a pandas or polars frame, in place of both.
            step: the step that it belongs to; by default that of the latest metrics.

        Raises:
            TypeError: a row is no list, `columns` are none, `dataframe` is no frame, or `key` no
                text.
            ValueError: neither data nor a frame is given, or a row has another length or other
                keys, or `key` is no name.
        """
        rows = _table(key, columns, data, dataframe)
        topic = self._place("log_table", "tables", key)
        self._log_rows(topic, rows, self._number("log_table", step))

    @harmless_as("log_table")
    def _log_rows(self, topic: str, rows: list[Mapping[str, Any]], step: int | None) -> None:
        moment = self._moment(step)
        for number, row in enumerate(rows):
            columns = {"row": number, **row_of(row, "column")}
            try:
                self._record(moment, tracks={topic: columns})
            except (TypeError, ValueError) as error:  # too long, as a rule
                count(self, "log_table", error)
                self._record(moment, tracks={topic: short(columns)})


_OWN = frozenset({"index", "frame", "fps", "file", "folder", "frames"})


def _fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """What the user says of an image or video, none of it in place of what we say."""
    return row_of({f"column/{k}" if k in _OWN else k: v for k, v in options.items()}, "column")


def _table(key: str, columns: Any, data: Any, dataframe: Any) -> list[Mapping[str, Any]]:
    where = f"log_table {key!r}"
    if dataframe is not None:
        if hasattr(dataframe, "to_dicts"):  # polars
            return list(dataframe.to_dicts())
        if not hasattr(dataframe, "itertuples"):
            kind = type(dataframe).__name__
            raise TypeError(f"{where}: dataframe is a {kind}; give a frame of pandas or polars")
        columns, data = dataframe.columns, dataframe.itertuples(index=False, name=None)
    if columns is None or data is None:
        raise ValueError(f"{where}: give columns and data, or dataframe")
    if isinstance(columns, str):
        raise TypeError(f"{where}: columns is {columns!r}; give a list of names")
    for name, given in (("columns", columns), ("data", data)):
        if not isinstance(given, Iterable):
            raise TypeError(f"{where}: {name} is {given!r}; give a list")
    columns = list(columns)
    names = _distinct(columns)
    rows: list[Mapping[str, Any]] = []
    for number, row in enumerate(data):
        if isinstance(row, Mapping):
            if row.keys() != set(columns):
                raise ValueError(f"{where}: row {number} has the keys {[*row]}, not {columns}")
            row = [row[column] for column in columns]
        if not hasattr(row, "__len__") or isinstance(row, (str, Set, *BYTES)):
            raise TypeError(f"{where}: row {number} is {row!r}; give a list of rows, each a list")
        if len(row) != len(names):
            raise ValueError(f"{where}: row {number} has {len(row)} values, not {len(names)}")
        rows.append(dict(zip(names, row, strict=True)))
    return rows


def _distinct(columns: Sequence[Any]) -> list[str]:
    """The names of columns, none of which replaces another."""
    names: dict[str, None] = {}
    for column in columns:
        name = str(column)
        while name in names:
            name += "'"
        names[name] = None
    return list(names)
