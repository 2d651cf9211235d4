"""PNG files, written several times faster than Pillow writes them, for frames that come in streams.

Two choices make the speed, both held against measurements of renders, camera noise, depth, text,
masks and pixel art:

- Every row is stored as its difference from the row above (the filter "Up"): one subtraction over
  the frame, after which LZ77 finds nearly all that the row-by-row choice of Pillow would find.
- libdeflate compresses, at a level chosen from how busy the differences are. Noise has no matches
  to be found, and searching for them is what the time went into.

The compressor is one call that frees the interpreter lock once, so beside a busy Python thread a
frame waits for that lock once and not, as with zlib, for every buffer of output.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache
from io import BytesIO
from struct import pack
from threading import local
from typing import TYPE_CHECKING, Any

from ml_dash.errors import missing_extra

if TYPE_CHECKING:
    import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"

FAST, NORMAL, SMALLEST = 1, 4, 9
"""Levels of deflate: for noise and for small frames; for all others; when size matters most."""

SMALL = 16 * 1024
"""Raw bytes below which a better level costs more time than its few bytes are worth."""

SCRATCH = 8 * 1024 * 1024
"""Bytes that a thread keeps from one frame to the next: fresh memory costs a third of a render."""

BUSY = 0.4
"""The share of differences over `CALM` above which a frame counts as noise."""
CALM = 3

_UP = 2
_GRAY, _RGB, _RGBA = 0, 2, 6
_COLOR_TYPES = {1: _GRAY, 3: _RGB, 4: _RGBA}
_HEADER = b"IHDR"
_DATA = b"IDAT"
_END = b"\0\0\0\0IEND\xaeB`\x82"

_thread = local()


def encode(pixels: np.ndarray[Any, Any], *, smallest: bool = False) -> bytes:
    """Encode a picture as a PNG file, without loss.

    Args:
        pixels: C-contiguous; uint8 of shape HxW, HxWx3 or HxWx4, or uint16 of shape HxW.
        smallest: spend four to twenty times the time on a file that is smaller by 5 % (renders) to
            25 % (gradients, depth, masks). Noise gains nothing, so no more time goes into it.

    Returns:
        The bytes of the file.
    """
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    depth = 8 * pixels.itemsize
    height, width = pixels.shape[:2]
    rows = _rows(pixels)
    scratch = _take_scratch(rows.size + height)
    filtered = _differences(rows, scratch)
    level = _level(filtered, pixels.itemsize, smallest)
    deflate, crc32 = _codec()
    data = deflate(filtered, level)
    _keep_scratch(scratch)
    header = pack(">4sIIBBBBB", _HEADER, width, height, depth, _COLOR_TYPES[channels], 0, 0, 0)
    return b"".join(
        (
            SIGNATURE,
            b"\0\0\0\x0d",
            header,
            pack(">I", crc32(header, 0)),
            pack(">I", len(data)),
            _DATA,
            data,
            pack(">I", crc32(data, crc32(_DATA, 0))),
            _END,
        )
    )


def decode(data: bytes) -> np.ndarray[Any, Any]:
    """Decode a PNG file.

    Returns:
        An array of shape HxW, HxWx3 or HxWx4; uint8, or uint16 for 16-bit gray. Palettes and gray
        with transparency become RGB and RGBA.

    Raises:
        ImportError: Pillow is not installed; the text is the pip line.
        ValueError: the file is damaged.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise missing_extra("Pillow", "reading a PNG image") from error
    import numpy as np

    try:
        with Image.open(BytesIO(data), formats=["PNG"]) as image:
            mode = image.mode
            if mode.startswith("I"):
                return np.asarray(image).astype(np.uint16)
            if mode not in ("L", "RGB", "RGBA"):
                gray = mode == "1"
                target = "L" if gray else "RGBA" if image.has_transparency_data else "RGB"
                return np.array(image.convert(target))
            return np.array(image)  # a copy, for one may write to it
    except (OSError, SyntaxError, EOFError) as error:  # how Pillow says that a file is damaged
        raise ValueError(f"the PNG image cannot be decoded: {error}") from error


def _rows(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The picture's bytes in the order of the file, one row each; PNG is big-endian."""
    if pixels.itemsize > 1:
        pixels = pixels.astype(pixels.dtype.newbyteorder(">")).view("u1")
    return pixels.reshape(pixels.shape[0], -1)


def _differences(rows: np.ndarray[Any, Any], scratch: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Each row minus the row above it, modulo 256, led by the byte that names this filter."""
    import numpy as np

    height, width = rows.shape
    filtered: np.ndarray[Any, Any] = scratch[: rows.size + height].reshape(height, width + 1)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    return filtered


def _take_scratch(size: int) -> np.ndarray[Any, Any]:
    """Memory for at least `size` bytes.

    It is taken out of the thread's keeping while in use, so that a signal handler which encodes a
    frame of its own meanwhile does not write into this one.
    """
    kept: np.ndarray[Any, Any] | None = _thread.__dict__.pop("scratch", None)
    if kept is None or kept.size < size:
        import numpy as np

        kept = np.empty(size, np.uint8)
    return kept


def _keep_scratch(scratch: np.ndarray[Any, Any]) -> None:
    """Keep this memory for the thread's next frame, unless it is large."""
    if scratch.size <= SCRATCH:
        _thread.scratch = scratch


def _level(filtered: np.ndarray[Any, Any], itemsize: int, smallest: bool) -> int:
    """The level of compression that pays for these differences."""
    if filtered.size < SMALL and not smallest:
        return FAST
    import numpy as np

    # About 30 rows tell noise from a picture, for a hundredth of the time of looking at all.
    sample = filtered[1 :: max(1, filtered.shape[0] // 30), 1:]
    busy = np.count_nonzero(sample + np.uint8(CALM) > 2 * CALM) / max(1, sample.size)
    # The low byte of a 16-bit value nearly always differs, also where LZ77 does well.
    if busy > BUSY * itemsize:
        return FAST
    return SMALLEST if smallest else NORMAL


@cache
def _codec() -> tuple[Callable[[Any, int], bytes | bytearray], Callable[[Any, int], int]]:
    """Compression to a zlib stream, and CRC-32: libdeflate's, or zlib's where it is missing."""
    try:
        import deflate
    except ImportError:
        return zlib.compress, zlib.crc32
    return deflate.zlib_compress, deflate.crc32
