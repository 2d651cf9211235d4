"""Frames as formats want them: all of one size, with three channels of 8 bits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_dash import image
from ml_dash.export.recording import Images
from ml_dash.image import scaling

Pixels = NDArray[np.uint8]
Size = tuple[int, int]
"""Height and width."""


def to_rgb(picture: NDArray[Any], size: Size | None = None) -> Pixels:
    """A decoded frame as uint8 of shape (H, W, 3).

    Gray becomes three equal channels, 16 bits become the upper 8, and what is transparent lies on
    white, as in a JPEG.

    Args:
        picture: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), uint8 or uint16.
        size: height and width to scale it to.
    """
    if picture.ndim == 3 and picture.shape[2] == 1:
        picture = picture[:, :, 0]
    if picture.dtype == np.uint16:
        picture = (picture >> 8).astype(np.uint8)
    if picture.ndim == 3 and picture.shape[2] == 4:
        alpha = picture[:, :, 3:].astype(np.uint16)
        mixed = picture[:, :, :3] * alpha + 255 * (255 - alpha) + 127
        picture = (mixed // 255).astype(np.uint8)
    if size is not None and picture.shape[:2] != size:
        picture = scaling.resize(np.ascontiguousarray(picture), size)
    if picture.ndim == 2:
        picture = np.repeat(picture[:, :, np.newaxis], 3, axis=2)
    return np.ascontiguousarray(picture, dtype=np.uint8)


class Shots:
    """The frames of one camera, decoded one by one, all of one size.

    Args:
        camera: what error messages call it.
        images: its frames.
        size: height and width to scale to; by default that of the first one taken, and one of
            another size is an error.
    """

    def __init__(self, camera: str, images: Images, size: Size | None = None) -> None:
        self.camera = camera
        self.images = images
        self.size = size
        self._given = size
        self._last: tuple[int, Pixels] | None = None

    def __getitem__(self, number: int) -> Pixels:
        if self._last is not None and self._last[0] == number:
            return self._last[1]  # sampled and held
        try:
            pixels = to_rgb(self.images[number], self._given)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                error.errno,
                "the bytes of a frame are gone; `ml-dash check` tells more",
                self.images.paths[number],
            ) from None
        height, width = pixels.shape[:2]
        if self.size is None:
            self.size = height, width
        if (height, width) != self.size:
            raise ValueError(
                f"frames of {self.camera!r} differ in size: {self.images.paths[number]!r} is"
                f" {height}x{width}, those before it are {self.size[0]}x{self.size[1]}; give"
                f" size=({self.size[0]}, {self.size[1]}), or another, to scale all to it"
            )
        self._last = number, pixels
        return pixels

    def shape(self, first: int) -> Size:
        """Height and width of all, found out from the frame number `first`."""
        if self.size is None:
            self[first]
        assert self.size is not None
        return self.size


def check_size(size: Any) -> Size | None:
    """Height and width from what a user gave, `None` for none. Raises as `image.check_size`."""
    return None if size is None else image.check_size(size)


def names_of_cameras(cameras: Iterable[str]) -> dict[str, str]:
    """A name for each camera that can be part of a file's name, distinct ones."""
    found: dict[str, str] = {}
    for camera in cameras:
        name = camera.replace("/", "_")
        while name in found.values():
            name += "_"
        found[camera] = name
    return found
