"""Which `Box` observations are pictures, and how they become frames and arrays again.

| a `Box` of | is |
|---|---|
| uint8 `(H, W)`, `(H, W, 1)`, `(1, H, W)` | a gray picture |
| uint8 `(H, W, 3)`, `(H, W, 4)`, `(3, H, W)` | colours; if both could be, channels are last |
| uint8 `(K, H, W)`, `(H, W, K)`, `(K, H, W, C)`, … | a stack of K pictures |
| floats or integers of these shapes, bounded by 0 and 255, or floats by 0 and 1 | the same |
| uint16 or bounded floats with one channel | depth, in a PNG of 16 bits |
| anything else | no picture: numbers |

Of a stack, `obs` shows the last picture and `obs_earlier` those before it, one below the other.
Pictures of so few values that they may well be symbols (a grid world) are kept as numbers, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

Array = NDArray[Any]

FEW = 1024
"""Up to so many values a picture is kept as a column, too."""

EARLIER = "earlier"
"""What is put behind the name of a camera for that which has a stack's earlier pictures."""

_CHANNELS = (1, 3, 4)
_LEAST_SIDE = 32  # of pictures that only their size tells from other arrays
_NARROWEST = 8  # a long strip is a table
_LARGEST_STACK = 16

Order = Literal["HW", "HWC", "CHW", "KHW", "HWK", "KHWC", "KCHW"]


@dataclass(frozen=True, slots=True)
class Picture:
    """How the values of one `Box` lie in a picture.

    Attributes:
        order: what its axes are: K pictures of a stack, height, width, channels.
        shape: of a value.
        dtype: of a value.
        low, high: what is black and what is white.
        deep: kept with 16 bits.
    """

    order: Order
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    low: float
    high: float
    deep: bool = False

    @property
    def stacked(self) -> bool:
        """Whether it is a stack of pictures."""
        return "K" in self.order

    @property
    def lossless(self) -> bool:
        """Whether it must be a PNG: a JPEG has neither 16 bits nor a fourth channel."""
        return self.deep or ("C" in self.order and self.shape[self.order.index("C")] == 4)

    @property
    def few(self) -> bool:
        """Whether its values are so few that they are kept as numbers, too."""
        return int(np.prod(self.shape)) <= FEW

    def frames(self, value: Any) -> list[Array] | None:
        """The pictures of a value, in memory of their own: the current one, then the earlier ones.

        Returns:
            Arrays of shape HxW or HxWxC; `None` when the value has another shape.
        """
        array = value if type(value) is np.ndarray else np.asarray(value)
        if array.shape != self.shape:
            return None
        array = self._scaled(array)
        if self.order == "HWC" and self.shape[2] != 1:
            return [array]
        planes = self._planes(array)
        if not self.stacked:
            return [planes[0]]
        return [planes[-1], planes[:-1].reshape(-1, *planes.shape[2:])]

    def shows(self, value: Any) -> bool:
        """Whether the frames of a value of this shape say its numbers, as exactly as they can.

        They do not where it is not of its space: beyond what is black and white, NaN, or fractions
        where the space has integers.
        """
        array = value if type(value) is np.ndarray else np.asarray(value)
        if array.dtype == np.uint8 or (self.deep and array.dtype == np.uint16):
            return (self.low, self.high) == (0, 65535 if self.deep else 255)  # see `_scaled`
        if not (array.min() >= self.low and array.max() <= self.high):
            return False
        whole = self.dtype.kind == "f" or array.dtype.kind != "f"
        return whole or bool((array == np.rint(array)).all())

    def value(self, frames: list[Array]) -> Array | None:
        """The value whose pictures these are; `None` when they do not fit.

        Args:
            frames: as `frames` gave them, decoded.
        """
        if len(frames) != (2 if self.stacked else 1):
            return None
        planes = frames[0][None]
        if self.stacked:
            planes = np.concatenate([frames[1].reshape(-1, *frames[0].shape), planes])
        if planes.ndim == 4 and self.order in ("CHW", "KCHW"):
            planes = np.moveaxis(planes, -1, 1)
        elif self.order == "HWK":
            planes = np.moveaxis(planes, 0, -1)
        if planes.size != int(np.prod(self.shape)):
            return None
        return self._unscaled(planes.reshape(self.shape))

    def _planes(self, array: Array) -> Array:
        """As `(K, H, W)` or `(K, H, W, C)`; views of `array`."""
        order = self.order
        if order == "HWK":
            return np.moveaxis(array, -1, 0)
        if order in ("CHW", "KCHW"):
            array = np.moveaxis(array, -3, -1)
        if "K" not in order:
            array = array[None]
        return array[..., 0] if "C" in order and array.shape[-1] == 1 else array

    def _scaled(self, array: Array) -> Array:
        """A copy, as it goes to the encoder: of uint8, uint16, or floats from 0 to 1."""
        if array.dtype == np.uint8 or (self.deep and array.dtype == np.uint16):
            return array.copy()
        if not self.deep and array.dtype.kind == "f" and (self.low, self.high) == (0, 1):
            return array.copy()  # the encoder's thread scales it
        most = 65535 if self.deep else 255
        part: Array = array
        if (self.low, self.high) != (0, most):
            part = (np.asarray(array, np.float64) - self.low) * (most / (self.high - self.low))
        whole: Array = np.nan_to_num(np.clip(np.rint(part), 0, most))
        return whole.astype(np.uint16 if self.deep else np.uint8)

    def _unscaled(self, array: Array) -> Array:
        if self.dtype.kind == "f" and not (self.high == 255 and self.low == 0 and not self.deep):
            most = 65535 if self.deep else 255
            array = array * ((self.high - self.low) / most) + self.low
        return np.ascontiguousarray(array.astype(self.dtype))


def picture_of(space: Box) -> Picture | None:
    """How the values of a space lie in a picture, or `None` when they are none."""
    dtype: np.dtype[Any] = np.dtype(space.dtype)
    shape = tuple(space.shape)
    order = None if 0 in shape else _order(shape)
    if order is None:
        return None
    least, gray = min(_sides(shape, order)), _gray(order, shape)
    if int(np.prod(shape)) > FEW and least < _NARROWEST:
        return None
    bits = 8 * dtype.itemsize if dtype.kind == "u" else 0
    if bits == 8:
        return Picture(order, shape, dtype, 0, 255)
    bounds = _bounds(space)
    if bits == 16 and gray:
        return Picture(order, shape, dtype, 0, 65535, deep=True)
    if bounds is None or dtype.kind == "b":
        return None
    low, high = bounds
    floats = dtype.kind == "f"
    if low == 0 and (high == 255 or (floats and high == 1)):
        if len(shape) > 2 or least >= _LEAST_SIDE:
            return Picture(order, shape, dtype, low, high)
    elif floats and "K" not in order and least >= _LEAST_SIDE:
        return Picture(order, shape, dtype, low, high, deep=gray)
    return None


def _order(shape: tuple[int, ...]) -> Order | None:
    if len(shape) == 2:
        return "HW"
    if len(shape) == 3:
        if shape[2] in _CHANNELS:
            return "HWC"
        if shape[0] in (1, 3):
            return "CHW"
        if shape[0] == 4:
            return "KHW"  # a stack: of colours with a fourth channel, the channels are last
        if min(shape[1:]) >= _LEAST_SIDE and shape[0] <= _LARGEST_STACK:
            return "KHW"
        if min(shape[:2]) >= _LEAST_SIDE and shape[2] <= _LARGEST_STACK:
            return "HWK"
    if len(shape) == 4 and 1 < shape[0] <= _LARGEST_STACK:
        if shape[3] in _CHANNELS:
            return "KHWC"
        if shape[1] in (1, 3):
            return "KCHW"
    return None


def _gray(order: Order, shape: tuple[int, ...]) -> bool:
    return order == "HW" or (order in ("HWC", "CHW") and shape[order.index("C")] == 1)


def _sides(shape: tuple[int, ...], order: Order) -> tuple[int, int]:
    return shape[order.index("H")], shape[order.index("W")]


def _bounds(space: Box) -> tuple[float, float] | None:
    """The bounds that all values share; `None` when they differ or are infinite."""
    low, high = float(space.low.min()), float(space.high.max())
    same = low == float(space.low.max()) and high == float(space.high.min())
    return (low, high) if same and np.isfinite([low, high]).all() and low < high else None
