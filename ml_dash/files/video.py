"""Saving a video: frames become an MP4 while they are given."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import IO, Any

from ml_dash import image
from ml_dash.export.pictures import check_size, to_rgb
from ml_dash.export.video import CRF, Mp4, check_crf, check_fps
from ml_dash.files.place import Metadata, Place
from ml_dash.files.serializers import PathLike, Sink, suffix_of
from ml_dash.scratch import scratch_file
from ml_dash.values import kind_name

SUFFIX = ".mp4"

_CHUNK = 1 << 20


def save_video(
    place: Place,
    frames: Iterable[Any],
    *,
    to: PathLike,
    fps: float,
    crf: int | None,
    size: tuple[int, int] | None,
    layout: str | None,
    step: int | None,
    timestamp: float | None,
) -> Metadata:
    """See `Savers.save_video`, which loads this at first use."""
    saving = place._saving(to, step, timestamp)
    where = f"save_video {saving.path!r}"
    if suffix_of(saving.parts[-1]) != SUFFIX:
        raise ValueError(f"{where}: a video is saved as {SUFFIX}")
    if isinstance(frames, (str, bytes)) or not hasattr(frames, "__iter__"):
        raise TypeError(f"{where}: frames must be several images, not {kind_name(frames)}")
    _refuse_one_image(getattr(frames, "shape", ()), layout, where)
    rate = check_fps(fps)
    if rate is None:
        raise ValueError(f"{where}: fps={fps!r}: give frames a second, such as 30")
    shape = check_size(size)
    with scratch_file() as file:
        with Mp4(file, rate, crf=check_crf(CRF if crf is None else crf)) as movie:
            for number, frame in enumerate(frames):
                shot = image.snapshot(frame, layout=layout, where=f"{where}, frame {number}")
                movie.write(to_rgb(image.pixels(shot)[0], shape))
            if movie.shape is None:
                raise ValueError(f"{where}: there are no frames")
        saving.facts |= _facts(movie, rate)
        file.seek(0)
        return place._store.spool(saving, lambda sink: _copy(file, sink))


def _refuse_one_image(shape: Sequence[int], layout: str | None, where: str) -> None:
    """One image would be taken for as many frames as it has rows."""
    if len(shape) == 3 and shape[0 if layout == "CHW" else 2] in (1, 3, 4):
        raise ValueError(
            f"{where}: frames is one image, of shape {tuple(shape)}; give several of them, such as"
            " a list of images"
        )


def _facts(movie: Mp4, fps: Fraction) -> dict[str, Any]:
    assert movie.shape is not None
    height, width = movie.shape
    return {
        "width": width + width % 2,
        "height": height + height % 2,
        "frames": movie.frames,
        "fps": int(fps) if fps.denominator == 1 else float(fps),
        "duration": math.ceil(movie.frames / fps * 1000) / 1000,
    }


def _copy(file: IO[bytes], sink: Sink) -> None:
    while chunk := file.read(_CHUNK):
        sink.write(chunk)
