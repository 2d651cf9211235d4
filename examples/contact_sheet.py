"""Draw a run as one picture: a grid of its frames beside the path that its end-effector took.

python examples/contact_sheet.py RUN-FOLDER [--out sheet.png]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import ml_dash

FRAMES = "robot/frames"
POSITIONS = "robot/end-effector"
COLUMNS, ROWS = 3, 4
THUMB = (288, 216)
GAP, TOP, CAPTION = 14, 66, 20
PLOT = 620  # width of the right-hand side
SCALE = 2  # plots are drawn this much larger, then shrunk: Pillow's lines have no smooth edges
PAPER, INK, FAINT, GRID = "#ffffff", "#1d2430", "#7b8494", "#e3e7ed"
AXES = {"x": "#d1495b", "y": "#2a9d5c", "z": "#2f6fde"}


def contact_sheet(folder: str | Path, out: str | Path) -> Path:
    """Read the run in `folder` and write its contact sheet, a PNG, to `out`; returns the path."""
    run = ml_dash.open_run(folder)
    rows = run.aligned(POSITIONS, frames=FRAMES, on="step")
    framed = np.flatnonzero(rows.has_frame())
    chosen = framed[np.linspace(0, len(framed) - 1, COLUMNS * ROWS).round().astype(int)]
    pictures = [(int(rows.steps[i]), rows.frame(i)) for i in np.unique(chosen)]
    points = np.stack([rows[POSITIONS][axis] for axis in "xyz"], axis=1)
    title = f"{len(rows):,} steps, {len(framed):,} frames"
    sheet = draw(run.prefix, title, pictures, rows.steps, points)
    sheet.save(out)
    return Path(out)


def draw(
    name: str,
    title: str,
    pictures: list[tuple[int, np.ndarray]],
    steps: np.ndarray,
    points: np.ndarray,
) -> Image.Image:
    """Lay out the sheet: `pictures` are (step, HxWx3), `points` are N positions in metres."""
    height = TOP + ROWS * (THUMB[1] + CAPTION + GAP)
    left = GAP + COLUMNS * (THUMB[0] + GAP)
    sheet = Image.new("RGB", (left + PLOT + GAP, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP, 14), name, INK, font(22))
    pen.text((GAP, 42), title, FAINT, font(14))
    for i, (step, pixels) in enumerate(pictures):
        x = GAP + (i % COLUMNS) * (THUMB[0] + GAP)
        y = TOP + (i // COLUMNS) * (THUMB[1] + CAPTION + GAP)
        sheet.paste(
            Image.fromarray(pixels).convert("RGB").resize(THUMB, Image.Resampling.LANCZOS), (x, y)
        )
        pen.rectangle((x, y, x + THUMB[0] - 1, y + THUMB[1] - 1), outline=GRID)
        pen.ellipse((x, y + THUMB[1] + 7, x + 9, y + THUMB[1] + 16), fill=shade(step, steps))
        pen.text((x + 15, y + THUMB[1] + 3), f"step {step}", INK, font(14))
    curves = 300
    marks = np.searchsorted(steps, [step for step, _ in pictures])
    sheet.paste(path_plot(steps, points, marks, (PLOT, height - curves - GAP)), (left, 0))
    sheet.paste(curve_plot(steps, points, marks, (PLOT, curves)), (left, height - curves - GAP))
    return sheet


def path_plot(
    steps: np.ndarray, points: np.ndarray, marks: np.ndarray, size: tuple[int, int]
) -> Image.Image:
    """The path seen from the front and above, its shadow on the floor, one dot for each frame."""
    image, pen = canvas(size)
    low = np.floor(np.append(points.min(0)[:2], 0.0) * 10) / 10
    high = np.ceil(points.max(0) * 10) / 10
    corners = np.array(
        [[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])]
    )
    place = fit(project(corners), (50, 70, size[0] - 40, size[1] - 40))

    def at(p: np.ndarray) -> list[tuple[float, float]]:
        return [(float(u) * SCALE, float(v) * SCALE) for u, v in place(project(p))]

    for x in np.arange(low[0], high[0] + 1e-6, 0.1):
        pen.line(at(np.array([[x, low[1], 0], [x, high[1], 0]])), GRID, SCALE)
    for y in np.arange(low[1], high[1] + 1e-6, 0.1):
        pen.line(at(np.array([[low[0], y, 0], [high[0], y, 0]])), GRID, SCALE)
    origin = np.array([low[0], low[1], 0.0])
    for i, (axis, colour) in enumerate(AXES.items()):
        end = origin.copy()
        end[i] = high[i]
        line = at(np.stack([origin, end]))
        pen.line(line, colour, 2 * SCALE)
        label = f"{axis}  {low[i]:.1f} to {high[i]:.1f} m"
        place_at = (line[1][0], line[1][1] + (16 if axis == "x" else -12) * SCALE)
        pen.text(place_at, label, colour, font(13 * SCALE), anchor="mm")
    pen.line(at(points * [1, 1, 0]), "#d5d9e0", 3 * SCALE, joint="curve")
    dots = at(points)
    for i in range(len(dots) - 1):
        pen.line(dots[i : i + 2], shade(int(steps[i]), steps), 4 * SCALE)
    for i in marks:
        (u, v), r = dots[int(i)], 6 * SCALE
        pen.ellipse((u - r, v - r, u + r, v + r), shade(int(steps[i]), steps), PAPER, 2 * SCALE)
    pen.text((12 * SCALE, 14 * SCALE), "End-effector's path", INK, font(18 * SCALE))
    return image.resize(size, Image.Resampling.LANCZOS)


def curve_plot(
    steps: np.ndarray, points: np.ndarray, marks: np.ndarray, size: tuple[int, int]
) -> Image.Image:
    """x, y and z over the steps, with a line at each step that has a frame on the sheet."""
    image, pen = canvas(size)
    left, top, right, bottom = (
        52 * SCALE,
        34 * SCALE,
        (size[0] - 16) * SCALE,
        (size[1] - 30) * SCALE,
    )
    low, high = np.floor(points.min() * 5) / 5, np.ceil(points.max() * 5) / 5
    span = max(int(steps[-1] - steps[0]), 1)

    def u(step: float) -> float:
        return left + (step - steps[0]) / span * (right - left)

    def v(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - top)

    for value in np.arange(low, high + 1e-6, 0.2):
        pen.line((left, v(value), right, v(value)), GRID, SCALE)
        pen.text((left - 8 * SCALE, v(value)), f"{value:.1f}", FAINT, font(12 * SCALE), anchor="rm")
    for i in marks:
        pen.line((u(steps[i]), top, u(steps[i]), bottom), shade(int(steps[i]), steps), SCALE)
        pen.text(
            (u(steps[i]), bottom + 5 * SCALE), str(steps[i]), FAINT, font(11 * SCALE), anchor="ma"
        )
    for i, (axis, colour) in enumerate(AXES.items()):
        line = [(u(s), v(p)) for s, p in zip(steps, points[:, i], strict=True)]
        pen.line(line, colour, 2 * SCALE, joint="curve")
        pen.text((left + (8 + 26 * i) * SCALE, 10 * SCALE), axis, colour, font(16 * SCALE))
    pen.text((left + 90 * SCALE, 12 * SCALE), "metres over steps", FAINT, font(13 * SCALE))
    return image.resize(size, Image.Resampling.LANCZOS)


def canvas(size: tuple[int, int]) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """An empty picture, `SCALE` times `size`."""
    image = Image.new("RGB", (size[0] * SCALE, size[1] * SCALE), PAPER)
    return image, ImageDraw.Draw(image)


def project(points: np.ndarray) -> np.ndarray:
    """Flatten N points (x to the front, y to the left, z up) to N pairs (right, down)."""
    turn, tilt = np.radians(-45), np.radians(30)
    x, y, z = points.T
    right = -x * np.sin(turn) + y * np.cos(turn)
    depth = x * np.cos(turn) + y * np.sin(turn)
    return np.stack([right, depth * np.sin(tilt) - z * np.cos(tilt)], axis=1)


def fit(flat: np.ndarray, box: tuple[int, int, int, int]):
    """A function that scales and moves flat points so that `flat` fills `box`."""
    low, high = flat.min(0), flat.max(0)
    room = np.array([box[2] - box[0], box[3] - box[1]])
    scale = float((room / (high - low)).min())
    offset = np.array(box[:2]) + (room - (high - low) * scale) / 2
    return lambda points: (points - low) * scale + offset


def shade(step: int, steps: np.ndarray) -> tuple[int, int, int]:
    """The colour of a step: from deep blue at the first, over magenta, to orange at the last."""
    stops = np.array([[45, 62, 190], [205, 30, 140], [250, 150, 30]], dtype=float)
    t = (step - steps[0]) / max(int(steps[-1] - steps[0]), 1) * (len(stops) - 1)
    i = min(int(t), len(stops) - 2)
    r, g, b = (stops[i] + (t - i) * (stops[i + 1] - stops[i])).round().astype(int)
    return int(r), int(g), int(b)


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font: no font file to find on the machine."""
    return ImageFont.load_default(size)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="the run's folder, as robot.py prints it")
    parser.add_argument("--out", default="contact_sheet.png", help="the PNG to write")
    options = parser.parse_args()
    print(contact_sheet(options.run, options.out))
