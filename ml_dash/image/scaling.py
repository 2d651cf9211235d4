"""The values of a picture, brought to what a file can hold.

| values | in the file |
|---|---|
| uint8 | as they are |
| bool | 0 and 255 |
| float within [0, 1] | times 255, rounded |
| float outside | `(v - min) / (max - min) * 255`; opacity within [0, 1] is no part of that |
| other integers within 0–255 | as they are |
| other integers | like floats outside; but 16-bit gray stays as it is in a PNG |
| NaN, infinity | 0, counted; the finite values decide the scale of the rest |
| one value all over, outside of the range | white above it, black below it |
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ml_dash.errors import missing_extra

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

TOLERANCE = 1e-6
"""How far floats may leave [0, 1] and still count as within: the rounding of a renderer, which
must not change the contrast of one frame among many."""


def to_pixels(data: Array, *, keep16: bool) -> tuple[Array, int]:
    """Scale bools, integers or floats of any byte order to pixels.

    Args:
        data: of shape HxW or HxWxC; not empty. Stays as it is.
        keep16: leave uint16 of shape HxW as it is.

    Returns:
        An array of the same shape, C-contiguous, uint8 or uint16 in native order, which is `data`
        itself where nothing was to be done; and how many values were not finite.
    """
    import numpy as np

    kind = data.dtype.kind
    nonfinite = 0
    if kind == "f":
        data, nonfinite = _from_floats(data)
    elif kind == "b":
        data = np.where(data, np.uint8(255), np.uint8(0))  # PIL's True is any byte but 0
    elif keep16 and kind == "u" and data.itemsize == 2 and data.ndim == 2:
        data = data.astype(np.uint16, copy=False)
    elif data.dtype != np.uint8:
        data = _from_integers(data)
    return _in_order(data), nonfinite


def resize(picture: Array, size: tuple[int, int]) -> Array:
    """Scale a picture to height and width; each new pixel is a mean of all those it covers.

    Args:
        picture: C-contiguous uint8 of shape HxW, HxWx3 or HxWx4, or uint16 of shape HxW.
        size: height and width in pixels.

    Raises:
        ImportError: Pillow is not installed; the text is the pip line.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise missing_extra("Pillow", "scaling an image") from error
    import numpy as np

    height, width = size
    wide = picture.dtype == np.uint16
    # Pillow scales 16-bit pictures by other rules than the rest, floats by the same.
    image = Image.fromarray(picture.astype(np.float32) if wide else picture)
    scaled = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    return np.rint(scaled).astype(np.uint16) if wide else scaled


def _in_order(data: Array) -> Array:
    """The same picture, C-contiguous."""
    import numpy as np

    if data.ndim == 2 or data[0].flags.c_contiguous:
        return np.ascontiguousarray(data)
    # BGR, mirrored, channels first: numpy alone would copy these by threes, five times slower.
    ordered = np.empty(data.shape, data.dtype)
    for channel in range(data.shape[2]):
        ordered[:, :, channel] = data[:, :, channel]
    return ordered


def _from_floats(data: Array) -> tuple[Array, int]:
    """Floats as uint8, and how many were not finite."""
    import numpy as np

    if data.ndim == 3 and data.shape[2] == 4 and _are_shares(data[:, :, 3]):
        # Colours of any range, such as of a renderer with bright lights, are opaque all the same.
        colours, lost = _from_floats(data[:, :, :3])
        opacity, more = _from_floats(data[:, :, 3])
        return np.dstack((colours, opacity)), lost + more
    with np.errstate(all="ignore"):
        # float16 has too few digits for 255 steps, and long double no use for more.
        values = data.astype(np.float32 if data.itemsize <= 4 else np.float64, copy=False)
        low, high = float(values.min()), float(values.max())
        if math.isfinite(low) and math.isfinite(high):  # NaN anywhere makes both of them NaN
            return _from_finite(values, low, high), 0
        finite = np.isfinite(values)
        count = values.size - int(np.count_nonzero(finite))
        if count == values.size:
            return np.zeros(values.shape, np.uint8), count
        known = values[np.unravel_index(finite.argmax(), finite.shape)]
        filled = np.where(finite, values, known)
        scaled = _from_finite(filled, float(filled.min()), float(filled.max()))
        scaled *= finite
        return scaled, count


def _are_shares(values: Array) -> bool:
    """Whether all lie within [0, 1], but for NaN."""
    import numpy as np

    low, high = float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))
    return low >= -TOLERANCE and high <= 1 + TOLERANCE


def _from_finite(values: Array, low: float, high: float) -> Array:
    """Finite float32 or float64 values, between `low` and `high`, as uint8."""
    import numpy as np

    if low >= -TOLERANCE and high <= 1 + TOLERANCE:
        return _rounded(values * values.dtype.type(255))
    if low == high:
        return _constant(values, white=high > 1)
    if high - low > np.finfo(values.dtype).max:
        # Farther apart than their type can say: a quarter of each is not.
        values, low, high = values / 4, low / 4, high / 4
    scaled = values - values.dtype.type(low)
    scaled /= values.dtype.type(high - low)
    scaled *= 255
    return _rounded(scaled)


def _from_integers(values: Array) -> Array:
    """Integers other than uint8 as uint8."""
    import numpy as np

    low, high = int(values.min()), int(values.max())
    if low >= 0 and high <= 255:
        return values.astype(np.uint8)
    if low == high:
        return _constant(values, white=high > 255)
    # Wraps round where the range is wider than the signed type, and is right as unsigned.
    offsets = (values - values.dtype.type(low)).view(f"u{values.itemsize}")
    scaled = offsets.astype(np.float32 if values.itemsize <= 2 else np.float64)
    scaled /= scaled.dtype.type(high - low)
    scaled *= 255
    return _rounded(scaled)


def _rounded(scaled: Array) -> Array:
    """Floats from 0 to 255 as uint8; overwrites them."""
    import numpy as np

    return np.rint(scaled, out=scaled).astype(np.uint8)


def _constant(values: Array, *, white: bool) -> Array:
    """One value all over, outside of what has a meaning: the nearer end of the scale."""
    import numpy as np

    return np.full(values.shape, 255 if white else 0, np.uint8)
