"""Images and videos in the forms that training code has them, as arrays that can be saved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

CHANNELS = (1, 3, 4)


def as_list(images: Any, what: str) -> list[Any]:
    """The images of one call. One image is taken as a list of one, a batch apart.

    Raises:
        TypeError: it is no list, and nothing that is an image either.
    """
    if isinstance(images, (list, tuple)):
        return list(images)
    if isinstance(images, (str, Path)) or hasattr(images, "getbands") or is_figure(images):
        return [images]
    dimensions = getattr(images, "ndim", None)
    if dimensions in (2, 3):
        return [images]
    if dimensions == 4:
        return list(images)
    raise TypeError(
        f"{what}: images is a {type(images).__name__}; give a list of images: arrays or tensors of"
        " shape (H, W), (H, W, C) or (C, H, W), PIL images, figures or paths"
    )


def as_videos(videos: Any, what: str) -> list[Any]:
    """The videos of one call. One is taken as a list of one, and so are its frames; a batch apart.

    Raises:
        TypeError: it is no list, and nothing that is a video either.
        ValueError: it is one image, or there is one among videos.
    """
    dimensions = getattr(videos, "ndim", 0)
    if isinstance(videos, (str, Path)) or dimensions in (3, 4):
        found = [videos]
    elif dimensions == 5 or isinstance(videos, (list, tuple)):
        found = list(videos)
        if found and all(_may_be_frame(one, len(found)) for one in found):
            return [found]
    else:
        raise TypeError(f"{what}: videos is a {type(videos).__name__}; give a list of videos")
    for one in found:
        if _is_image(one):
            shape = f" of shape {tuple(one.shape)}" if hasattr(one, "shape") else ""
            raise ValueError(
                f"{what}: videos has one image{shape}; a video is an array of shape (T, C, H, W),"
                " (T, H, W, C) or (T, H, W), or a list of its frames: give [[frame, frame, …]]"
            )
    return found


def _is_image(value: Any) -> bool:
    """Whether it is one image for sure, and no video."""
    if hasattr(value, "getbands") or is_figure(value):
        return True
    dimensions = getattr(value, "ndim", 0)
    if dimensions != 3:
        return bool(dimensions == 2)
    # A gray video may be few pixels high and wide.
    return value.shape[2] in CHANNELS and value.shape[1] != value.shape[2]


def _may_be_frame(value: Any, count: int) -> bool:
    """Whether it is one of the images of a video: of tensors also what could be a gray video."""
    if _is_image(value):
        return True
    is_tensor = hasattr(value, "detach") and value.ndim == 3
    return is_tensor and count > 1 and channels_first(value.shape, preferred=True)


def captions_of(count: int, noun: str, what: str, options: dict[str, Any]) -> list[dict[str, Any]]:
    """For each image or video the fields that belong to it, such as its caption.

    Raises:
        ValueError: a list has another length than there are.
        TypeError: an option is no list where there are several.
    """
    fields: list[dict[str, Any]] = [{} for _ in range(count)]
    for name, values in options.items():
        if isinstance(values, str) or not isinstance(values, Sequence):
            if count != 1:
                raise TypeError(f"{what}: {name} must be a list, one for each of {count} {noun}")
            values = [values]
        if len(values) != count:
            raise ValueError(f"{what}: {len(values)} values of {name} for {count} {noun}")
        for row, value in zip(fields, values, strict=True):
            row[name] = value
    return fields


def rates_of(fps: Any, count: int, what: str) -> list[float]:
    """The frames a second of each video.

    Raises:
        ValueError: a list has another length than there are videos, or a rate is none.
    """
    rates = list(fps) if isinstance(fps, (list, tuple)) else [fps] * count
    if len(rates) != count:
        raise ValueError(f"{what}: {len(rates)} values of fps for {count} videos")
    for rate in rates:
        if isinstance(rate, bool) or not isinstance(rate, Real) or not 0 < float(rate) < math.inf:
            raise ValueError(f"{what}: fps is {rate!r}; it must be a positive number, such as 30")
    # Plain ones, which encoders take, whatever number it was.
    return [int(rate) if isinstance(rate, Integral) else float(rate) for rate in rates]


def as_image(image: Any) -> Any:
    """An image with its channels last, if it has any: what `save_image` takes.

    Of a torch tensor the channels are taken to be first, as everywhere in torch, of an array last;
    where only the other reading has 1, 3 or 4 of them, it is that.
    """
    if isinstance(image, (str, Path)):
        from PIL import Image

        with Image.open(image) as opened:
            return opened.copy()  # as deep as it is: `save_image` knows the modes
    if is_figure(image):
        return drawn(image)
    if image is None:
        raise TypeError(
            "None is no image; give an array, a tensor, a PIL image, a figure or a path"
        )
    is_tensor = hasattr(image, "detach")
    array = as_array(image)
    if getattr(array, "ndim", 0) == 3 and channels_first(array.shape, is_tensor):
        import numpy as np

        return np.moveaxis(array, 0, -1)
    return array


def as_video(video: Any) -> list[Any]:
    """The frames of a video, channels last: from (T, C, H, W), (T, H, W, C) or (T, H, W).

    Raises:
        ValueError: it has another number of dimensions.
    """
    if isinstance(video, (list, tuple)):
        return [as_image(frame) for frame in video]
    is_tensor = hasattr(video, "detach")
    array = as_array(video)
    if getattr(array, "ndim", 0) not in (3, 4):
        raise ValueError("a video has the shape (T, C, H, W), (T, H, W, C) or (T, H, W)")
    if array.ndim == 4 and channels_first(array.shape[1:], is_tensor):
        import numpy as np

        array = np.moveaxis(array, 1, -1)
    return list(array)


def channels_first(shape: Sequence[int], preferred: bool) -> bool:
    """Whether a picture of three dimensions has its channels first."""
    first, last = shape[0] in CHANNELS, shape[-1] in CHANNELS
    return first and (preferred or not last)


def as_array(value: Any) -> Any:
    """A tensor as an array; all else as it is."""
    if not hasattr(value, "detach"):
        return value
    value = value.detach().cpu()
    return value.float().numpy() if "bfloat16" in str(value.dtype) else value.numpy()


def is_figure(value: Any) -> bool:
    """Whether it is a figure of matplotlib, without importing that."""
    return hasattr(value, "canvas") and hasattr(value, "savefig")


def drawn(figure: Any) -> Any:
    """A figure as an array of shape (H, W, 4)."""
    import io

    from PIL import Image

    memory = io.BytesIO()
    figure.savefig(memory, format="png")
    with Image.open(memory) as opened:
        return opened.convert("RGBA")
