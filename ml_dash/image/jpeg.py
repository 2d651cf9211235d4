"""JPEG files, encoded and decoded with the interpreter lock freed.

libjpeg-turbo, through simplejpeg, does both. It has one set of Huffman tables for all pictures;
tables made for the picture at hand come from Pillow, whose encoder frees the lock only when it
writes to a file of the operating system, so it is given one that lives in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.errors import missing_extra
from ml_dash.scratch import scratch_file

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

SIGNATURE = b"\xff\xd8\xff"

MAX_SIDE = 65_500
"""The most pixels that libjpeg writes along one side; the format itself ends at 65,535."""


def encode(pixels: Array, *, quality: int, optimize: bool = False) -> bytes:
    """Encode a picture, colour at half resolution (4:2:0), RGBA composited onto white.

    Args:
        pixels: C-contiguous uint8 of shape HxW, HxWx3 or HxWx4.
        quality: 1–100.
        optimize: make Huffman tables for this picture.

    Raises:
        ImportError: the encoder is not installed; the text is the pip line.
        ValueError: a picture that a JPEG cannot hold.
    """
    if pixels.dtype.str != "|u1":
        raise ValueError(f"a JPEG holds 8 bits a channel, not {pixels.dtype}")
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels = _onto_white(pixels)
    return (_with_pillow if optimize else _with_turbo)(pixels, quality)


def decode(data: bytes) -> Array:
    """Decode a JPEG file to uint8 of shape HxW or HxWx3.

    Raises:
        ImportError: simplejpeg is not installed; the text is the pip line.
        ValueError: the file is damaged.
    """
    try:
        import simplejpeg
    except ImportError as error:
        raise missing_extra("simplejpeg", "reading a JPEG image") from error
    gray = simplejpeg.decode_jpeg_header(data)[2] == "Gray"
    picture: Array = simplejpeg.decode_jpeg(data, "GRAY" if gray else "RGB")
    return picture[:, :, 0] if gray else picture


def _with_turbo(pixels: Array, quality: int) -> bytes:
    try:
        import simplejpeg
    except ImportError as error:
        raise missing_extra("simplejpeg", "saving a JPEG image") from error
    data: bytes
    if pixels.ndim == 2:
        data = simplejpeg.encode_jpeg(pixels[:, :, None], quality, "GRAY", "Gray")
    else:
        data = simplejpeg.encode_jpeg(pixels, quality, "RGB", "420")
    return data


def _with_pillow(pixels: Array, quality: int) -> bytes:
    try:
        from PIL import Image
    except ImportError as error:
        raise missing_extra("Pillow", "saving a JPEG image with optimize=True") from error
    picture = Image.fromarray(pixels)
    try:
        with scratch_file() as file:
            picture.save(file, "JPEG", quality=quality, optimize=True, subsampling="4:2:0")
            file.seek(0)
            return file.read()
    except OSError:
        # Pillow gives the file as many bytes as the picture has pixels, which some noise exceeds
        # at qualities near 94. A file that is not the smallest is better than none.
        return _with_turbo(pixels, quality)


def _onto_white(pixels: Array) -> Array:
    """RGBA as the RGB that shows when it lies on white."""
    import numpy as np

    alpha = pixels[:, :, 3:]
    if alpha.min() == 255:
        return np.ascontiguousarray(pixels[:, :, :3])
    # Counted in whole steps of 1/255, so that opaque stays exactly what it was.
    alpha = alpha.astype(np.uint16)
    mixed = pixels[:, :, :3] * alpha + (255 - alpha) * np.uint16(255)
    return ((mixed + 127) // 255).astype(np.uint8)
