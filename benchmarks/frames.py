"""Frames to record, each of which can be told from all others, also after JPEG."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

_BITS = 16


def render(height: int = 480, width: int = 640) -> Pixels:
    """A picture as a simulator renders it: smooth shading, hard edges, no noise."""
    y, x = np.mgrid[0:height, 0:width]
    tiles = ((x // 40 + y // 40) % 2) * 50 + 90
    floor = np.where(y > height * 0.55, tiles, 60 + y * 120 // height)
    picture = np.stack([floor, floor + 10, np.minimum(floor + 40, 255)], axis=-1).astype(float)
    joints = [(0.5, 0.8), (0.45, 0.55), (0.6, 0.38), (0.75, 0.45)]
    for number, (across, down) in enumerate(joints):
        radius = height * (0.12 - 0.02 * number)
        distance = np.hypot(x - across * width, y - down * height)
        shade = np.sqrt(np.clip(1 - (distance / radius) ** 2, 0, 1))[..., None]
        color = np.array([230, 120 + 30 * number, 40 + 50 * number])
        picture = np.where(distance[..., None] < radius, color * (0.3 + 0.7 * shade), picture)
    return picture.astype(np.uint8)


def camera(height: int = 480, width: int = 640) -> Pixels:
    """The same as a camera sees it: with sensor noise, the hard case for compression."""
    noise = np.random.default_rng(1).normal(0, 6, (height, width, 3))
    return np.clip(render(height, width) + noise, 0, 255).astype(np.uint8)


def gray(height: int = 84, width: int = 84) -> Pixels:
    """A small observation of one channel."""
    return np.ascontiguousarray(render(height, width)[..., 1])


def stamp(frame: Pixels, number: int) -> Pixels:
    """Write a number below 65,536 into the frame's first rows, in place, as black and white."""
    block = _block(frame)
    bits = [255 if number >> bit & 1 else 0 for bit in range(_BITS)]
    line = np.repeat(np.array(bits, np.uint8), block)
    frame[:block, : len(line)] = line if frame.ndim == 2 else line[:, None]
    return frame


def read_stamp(frame: NDArray[Any]) -> int:
    """The number that `stamp` wrote, also when the frame has been through JPEG."""
    block = _block(frame)
    plane = frame if frame.ndim == 2 else frame.mean(axis=2)
    middle = plane[block // 2, block // 2 : _BITS * block : block]
    return int(sum(1 << bit for bit, value in enumerate(middle) if value > 127))


def _block(frame: NDArray[Any]) -> int:
    return min(16, int(frame.shape[1]) // _BITS)
