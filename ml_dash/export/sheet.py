"""A contact sheet: some frames of a run on one picture, each with its step and time."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ml_dash import image
from ml_dash.export.extras import need
from ml_dash.export.job import choose
from ml_dash.export.pictures import Pixels, to_rgb
from ml_dash.export.played import as_played
from ml_dash.export.recording import Images, Recording
from ml_dash.export.target import new_file

_GAP = 8
_LINE = 18
_PAPER, _INK = (255, 255, 255), (40, 44, 52)


def contact_sheet(
    run: Recording,
    to: str | Path,
    *,
    frames: str | list[str] | None = None,
    count: int = 12,
    columns: int = 4,
    width: int = 240,
    overwrite: bool = False,
) -> Path:
    """Draw evenly spaced frames of each camera on one sheet.

    Args:
        run: whose frames.
        to: a `.png` or `.jpg`.
        frames: the cameras; by default all.
        count: how many of each camera; fewer where it has not so many.
        columns: how many stand beside each other.
        width: of each, in pixels.
        overwrite: replace a file that is there.

    Raises:
        ImportError: Pillow is not installed; the text is the pip line.
        KeyError: there is no such camera; it names similar ones.
        ValueError: no frames, or a number that is none.
    """
    for name, value in (("count", count), ("columns", columns), ("width", width)):
        if type(value) is not int or value < 1:
            raise ValueError(f"{name}={value!r}: give a whole number from 1")
    to = Path(to)
    kind = image.check_format(to)
    cameras = choose(frames, run.cameras, "camera")
    if not cameras:
        raise ValueError(f"{run.prefix!r} has no frames")
    sheet = np.concatenate([_of(run.frames(c), c, count, columns, width) for c in cameras])
    with new_file(to, overwrite=overwrite) as file:
        file.write_bytes(image.encode(sheet, kind))
    return to


def chosen(total: int, count: int) -> list[int]:
    """`count` numbers below `total`, evenly spaced, the first and the last among them."""
    found = np.linspace(0, total - 1, min(count, total)).round().astype(np.int64)
    return [int(number) for number in np.unique(found)]


def _of(images: Images, camera: str, count: int, columns: int, width: int) -> Pixels:
    """The part of the sheet that belongs to one camera: uint8 of shape (H, W, 3)."""
    pillow = need("PIL.Image", "a contact sheet", package="Pillow", extra="plot")
    draw = need("PIL.ImageDraw", "a contact sheet", package="Pillow", extra="plot")
    fonts = need("PIL.ImageFont", "a contact sheet", package="Pillow", extra="plot")
    numbers = as_played(images.steps, images.ids)[chosen(len(images), count)].tolist()
    first = to_rgb(images[numbers[0]])
    height = max(1, round(width * first.shape[0] / first.shape[1]))
    rows = math.ceil(len(numbers) / columns)
    cell = height + _LINE + _GAP
    size = columns * (width + _GAP) + _GAP, rows * cell + _LINE + 2 * _GAP
    sheet = pillow.new("RGB", size, _PAPER)
    pen, font = draw.Draw(sheet), fonts.load_default(12)
    pen.text((_GAP, _GAP), _latin(f"{camera}: {len(images):,} frames"), _INK, font)
    begin = float(images.timestamps[0])
    for place, number in enumerate(numbers):
        left = _GAP + place % columns * (width + _GAP)
        top = _LINE + 2 * _GAP + place // columns * cell
        pixels = to_rgb(images[number], (height, width))
        sheet.paste(pillow.fromarray(pixels), (left, top))
        step = images.steps[number]
        name = f"frame {number}" if step is np.ma.masked else f"step {step}"
        text = f"{name}   {float(images.timestamps[number]) - begin:.2f} s"
        pen.text((left, top + height + 2), text, _INK, font)
    return np.asarray(sheet)


def _latin(text: str) -> str:
    """What Pillow's own font may lack is shown as a question mark."""
    return text.encode("latin-1", "replace").decode("latin-1")
