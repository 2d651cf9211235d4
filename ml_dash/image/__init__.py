"""Pictures: from whatever a user calls an image to the bytes of a JPEG or PNG file, and back.

The work is cut where the threads meet. `snapshot` runs in the caller's thread: it looks at shape
and type, copies the array once and returns. `pixels` and `encode` run in a worker: they look at the
values, scale them to what a file can hold (`scaling`), and encode (`jpeg`, `png`) with the
interpreter lock freed.
"""

from __future__ import annotations

import operator
import os
import sys
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from ml_dash.errors import missing_extra
from ml_dash.image import jpeg, png, scaling
from ml_dash.image.memory import copy_of
from ml_dash.values import as_array, kind_name

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

Format = Literal["jpg", "png"]

FORMATS: dict[str, Format] = {".png": "png", ".jpg": "jpg", ".jpeg": "jpg"}

_CHANNELS = (1, 3, 4)
_SHAPES = "an image is an array of shape HxW, HxWx1, HxWx3 or HxWx4"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A private copy of a picture, as its user gave it; nothing done later changes it.

    Raises:
        ValueError: the format cannot hold a picture of this size.
    """

    data: Array
    """Of shape HxW or HxWxC, of any numeric type and byte order, not always C-contiguous."""
    where: str
    """What an error message calls the call that gave it."""
    format: Format | None = None
    """The file it is meant for, where that is known."""
    size: tuple[int, int] | None = None
    """Height and width that it is to be scaled to."""

    def __post_init__(self) -> None:
        if self.format == "jpg" and max(self.height, self.width) > jpeg.MAX_SIDE:
            raise ValueError(
                f"{self.where}: {self.height:,}x{self.width:,} pixels; a JPEG has at most"
                f" {jpeg.MAX_SIDE:,} a side: save it as .png"
            )

    @property
    def height(self) -> int:
        """Rows of the picture that will be stored."""
        return self.size[0] if self.size else int(self.data.shape[0])

    @property
    def width(self) -> int:
        """Pixels in a row of the picture that will be stored."""
        return self.size[1] if self.size else int(self.data.shape[1])

    @property
    def channels(self) -> int:
        """Channels of the picture that will be stored: 1, 3 or 4; a JPEG has no fourth."""
        channels = int(self.data.shape[2]) if self.data.ndim == 3 else 1
        return 3 if channels == 4 and self.format == "jpg" else channels

    @property
    def nbytes(self) -> int:
        """Bytes of memory the copy takes."""
        return int(self.data.nbytes)


def check_format(
    path: str | os.PathLike[str], quality: int = 95, *, optimize: bool = False
) -> Format:
    """Tell the encoder from a file's name, and check what is asked of it.

    Raises:
        ValueError: the name ends otherwise than in `.png`, `.jpg` or `.jpeg` (any case), or the
            quality lies outside 1–100.
        TypeError: the quality is not an integer.
        ImportError: the encoder is not installed; the text is the pip line.
    """
    suffix = _suffix(path)
    if suffix not in FORMATS:
        raise ValueError(
            f"to={os.fspath(path)!r}: an image is saved as .png, .jpg or .jpeg;"
            f" {f'{suffix!r} is none of these' if suffix else 'the name has no such ending'}"
        )
    try:
        value = operator.index(quality)
    except TypeError:
        value = None
    if value is None or isinstance(quality, bool):
        raise TypeError(f"quality={quality!r}: give an integer from 1 to 100")
    if not 1 <= value <= 100:
        raise ValueError(f"quality={quality!r}: give an integer from 1 (smallest) to 100 (best)")
    if FORMATS[suffix] == "jpg":
        if not _installed("simplejpeg"):
            raise missing_extra("simplejpeg", "saving a JPEG image")
        if optimize and not _installed("PIL"):
            raise missing_extra("Pillow", "saving a JPEG image with optimize=True")
    return FORMATS[suffix]


def check_size(size: Any) -> tuple[int, int]:
    """Check a height and width that pictures are to be scaled to.

    Raises:
        ValueError: not two positive integers.
        ImportError: Pillow, which does the scaling, is not installed; the text is the pip line.
    """
    try:
        height, width = (operator.index(side) for side in size)
    except (TypeError, ValueError):
        height = width = 0
    if height < 1 or width < 1:
        raise ValueError(f"size={size!r}: give height and width in pixels, such as (128, 128)")
    if not _installed("PIL"):
        raise missing_extra("Pillow", "scaling an image")
    return height, width


def snapshot(
    array: Any,
    *,
    layout: str | None = None,
    format: Format | None = None,
    size: tuple[int, int] | None = None,
    where: str,
) -> Snapshot:
    """Check a picture by shape and type, and copy it.

    Costs about a copy of the array's memory; no value is looked at.

    Args:
        array: numpy array, PIL image, torch tensor or what has `__array__`; bool, integers or
            floats of shape HxW, HxWx1, HxWx3 or HxWx4.
        layout: `"CHW"` for 1xHxW, 3xHxW and 4xHxW; `"HWC"` or `None` for channels last.
        format: the file it is meant for, if that is known already.
        size: height and width to scale it to, as `check_size` returns them; the worker does it.
        where: what an error message calls the call, such as `save_image 'frame_00012.jpg'`.

    Raises:
        ValueError: not an array, or of a shape, type or size that no such file can hold.
    """
    if layout not in (None, "HWC", "CHW"):
        raise ValueError(f"{where}: layout={layout!r}: give 'HWC' or 'CHW'")
    picture = _as_picture(array, where)
    _check_type(picture, where)
    picture = _channels_last(picture, layout, where)
    return Snapshot(_private(picture), where, format, size)


def pixels(snapshot: Snapshot) -> tuple[Array, int]:
    """Bring a snapshot to the values and size that its file will hold.

    Returns:
        The picture, C-contiguous, as uint8 of shape HxW, HxWx3 or HxWx4, or as uint16 of shape
        HxW; and how many of its values were NaN or infinite and became 0. A uint8 snapshot is
        returned without a copy, so do not write to the result.
    """
    data = snapshot.data
    if data.ndim == 3 and data.shape[2] == 1:
        data = data[:, :, 0]
    picture, nonfinite = scaling.to_pixels(data, keep16=snapshot.format != "jpg")
    if snapshot.size and picture.shape[:2] != snapshot.size:
        picture = scaling.resize(picture, snapshot.size)
    return picture, nonfinite


def encode(pixels: Array, format: Format, *, quality: int = 95, optimize: bool = False) -> bytes:
    """Encode what `pixels` returned as a file; the interpreter lock is free nearly all the while.

    Args:
        pixels: uint8 of shape HxW, HxWx3 or HxWx4, or for a PNG uint16 of shape HxW.
        format: `"jpg"` (colour at half resolution, 4:2:0; RGBA composited onto white) or `"png"`
            (without loss; `quality` means nothing to it).
        quality: of a JPEG, 1–100.
        optimize: spend more time on a smaller file of the same picture. A JPEG with Huffman tables
            of its own is 2–14 % smaller and takes two to five times as long; a PNG is 5–25 %
            smaller where it is no noise, and takes four to twenty times as long.

    Raises:
        ImportError: the encoder is not installed; the text is the pip line.
        ValueError: pixels that this format cannot hold.
    """
    import numpy as np

    pixels = np.ascontiguousarray(pixels)
    if format == "png":
        return png.encode(pixels, smallest=optimize)
    return jpeg.encode(pixels, quality=int(quality), optimize=optimize)


def decode(data: bytes) -> Array:
    """Decode a JPEG or PNG file.

    Returns:
        An array of shape HxW, HxWx3 or HxWx4; uint8, or uint16 for 16-bit gray.

    Raises:
        ValueError: neither a JPEG nor a PNG file, or a damaged one.
        ImportError: the decoder is not installed; the text is the pip line.
    """
    if data[:3] == jpeg.SIGNATURE:
        return jpeg.decode(data)
    if data[:8] == png.SIGNATURE:
        return png.decode(data)
    raise ValueError(f"neither a JPEG nor a PNG file: it begins with {bytes(data[:8])!r}")


def _suffix(path: str | os.PathLike[str]) -> str:
    """The ending of a name in small letters, with its dot; of `.png` it is none."""
    stem, dot, ending = os.fspath(path).rpartition("/")[2].rpartition(".")
    return f".{ending.lower()}" if stem and dot else ""


@cache
def _installed(package: str) -> bool:
    """Whether a package can be imported, found out without importing it."""
    return find_spec(package) is not None


def _as_picture(value: Any, where: str) -> Array:
    """`value` as an array, which may share its memory."""
    try:
        picture: Array | None = _from_pillow(value)
        if picture is None:
            picture = as_array(value)
    except (TypeError, ValueError, RuntimeError, OSError) as error:
        # Tensors on a device, sparse ones, images cut short: their own words say it best.
        raise ValueError(
            f"{where}: {_SHAPES}; this {kind_name(value)} cannot be read as one: {error}"
        ) from error
    if picture is None:
        remedy = (
            "to store a file that exists use files(...).save(path)"
            if isinstance(value, (str, bytes, os.PathLike))
            else "pass numpy.asarray(image)"
        )
        raise ValueError(f"{where}: {_SHAPES}; got a {kind_name(value)}, not an array: {remedy}")
    return picture


def _from_pillow(value: Any) -> Array | None:
    """The array of a PIL image; `None` if it is none. Palettes and the like become colours."""
    kind = getattr(sys.modules.get("PIL.Image"), "Image", None)  # a thread may be importing it
    if kind is None or not isinstance(value, kind):
        return None
    import numpy as np

    if value.mode not in ("1", "L", "RGB", "RGBA", "F") and not value.mode.startswith("I"):
        value = value.convert("RGBA" if value.has_transparency_data else "RGB")
    return np.asarray(value)


def _check_type(picture: Array, where: str) -> None:
    if picture.dtype.kind in "buif":
        return
    raise _refusal(
        where,
        picture,
        "take its magnitude with numpy.abs(image)"
        if picture.dtype.kind == "c"
        else "its values must be bool, integers or floats; convert it, for example with"
        " image.astype(numpy.float32)",
    )


def _channels_last(picture: Array, layout: str | None, where: str) -> Array:
    """The picture as HxW or HxWxC, a view."""
    shape = picture.shape
    if picture.size == 0:
        raise _refusal(where, picture, "it is empty")
    if picture.ndim not in (2, 3):
        raise _refusal(
            where,
            picture,
            "save its pictures one at a time"
            if picture.ndim > 3
            else "give it two or three dimensions, for example with image.reshape(height, width)",
        )
    if picture.ndim == 2:
        return picture
    if layout == "CHW":
        if shape[0] not in _CHANNELS:
            raise _refusal(where, picture, "layout='CHW' needs 1, 3 or 4 channels first")
        return picture.transpose(1, 2, 0)
    if shape[2] in _CHANNELS:
        return picture
    if shape[0] in _CHANNELS and shape[2] > max(_CHANNELS):
        raise _refusal(
            where,
            picture,
            "its channels come first: pass numpy.moveaxis(image, 0, -1), or layout='CHW'",
        )
    raise _refusal(where, picture, f"{shape[2]} channels; take 1, 3 or 4, such as image[:, :, :3]")


def _refusal(where: str, picture: Array, remedy: str) -> ValueError:
    kind = f"shape {picture.shape}, dtype {picture.dtype}"
    return ValueError(f"{where}: {_SHAPES}; got {kind}: {remedy}")


def _private(picture: Array) -> Array:
    """A copy in memory of its own, for about the cost of a plain copy of that memory.

    Turned and flipped pictures (channels first, BGR to RGB, a renderer's upside down) are copied in
    the order their memory has and turned again as views; the worker puts the bytes in order.
    """
    if picture.flags.c_contiguous:
        return copy_of(picture)
    flips = tuple(slice(None, None, -1 if step < 0 else 1) for step in picture.strides)
    return copy_of(picture[flips])[flips]
