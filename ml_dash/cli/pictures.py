"""`ml-dash plot`, `frames` and `video`: a run as a picture."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from shlex import quote
from typing import TYPE_CHECKING

from ml_dash.cli.command import DONE, Command, CommandError, take_run
from ml_dash.cli.export import size, tell, wrong_arguments
from ml_dash.cli.progress import Bar
from ml_dash.cli.screen import Screen
from ml_dash.cli.target import open_target
from ml_dash.cli.text import printable

if TYPE_CHECKING:
    from ml_dash.reading import RunView


def _take_output(parser: ArgumentParser, what: str) -> None:
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help=what)
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")


def _plot_arguments(parser: ArgumentParser) -> None:
    take_run(parser)
    add = parser.add_argument
    add("--track", metavar="TOPIC", help="the track to draw")
    add("--metric", metavar="NAME", help="the metric to draw")
    add("--columns", metavar="COLUMN", nargs="+", help="the curves (default: all numbers)")
    add("--path", metavar="COLUMN", nargs="*", help="2 or 3 columns (default: x y z, if any)")
    add("--against", metavar="WHAT", default="step", help="step (default) or time")
    _take_output(parser, "a .png, .pdf or .svg")


def _choices(view: RunView) -> str:
    """The options that choose a track or metric, as far as a line holds them."""
    ways = [f"--track {quote(name)}" for name in view.tracks]
    ways += [f"--metric {quote(name)}" for name in view.metrics]
    if not ways:
        return f"--track or --metric, but {view.prefix!r} has neither"
    more = f", … ({len(ways)} in all)" if len(ways) > 10 else ""
    return ", ".join(ways[:10]) + more


def _plot(options: Namespace, screen: Screen) -> int:
    from ml_dash.export.plot import plot_table

    if options.track is not None and options.metric is not None:
        raise CommandError("give either --track or --metric")
    view = open_target(options, screen)
    if options.track is None and options.metric is None:
        raise CommandError(f"say which: {_choices(view)}")
    with wrong_arguments(), Bar(screen, "plot"):
        by_track = options.track is not None
        table = view.tracks[options.track] if by_track else view.metrics[options.metric]
        made = plot_table(
            table,
            options.output,
            title=f"{view.prefix}  {table.name}",
            columns=options.columns,
            path=options.path if by_track or options.path else [],
            against=options.against,
            overwrite=options.overwrite,
        )
    screen.line(printable(str(made)))
    return DONE


def _frames_arguments(parser: ArgumentParser) -> None:
    take_run(parser)
    add = parser.add_argument
    add("--frames", metavar="CAMERA", nargs="+", help="the cameras (default: all)")
    add("-n", "--count", metavar="N", type=int, default=12, help="frames of each (default: 12)")
    add("--columns", metavar="N", type=int, default=4, help="beside each other (default: 4)")
    add("--width", metavar="PIXELS", type=int, default=240, help="of each (default: 240)")
    _take_output(parser, "a .png or .jpg")


def _frames(options: Namespace, screen: Screen) -> int:
    from ml_dash.export.sheet import contact_sheet

    view = open_target(options, screen)
    with wrong_arguments(), Bar(screen, "frames"):
        made = contact_sheet(
            view,
            options.output,
            frames=options.frames,
            count=options.count,
            columns=options.columns,
            width=options.width,
            overwrite=options.overwrite,
        )
    screen.line(printable(str(made)))
    return DONE


def _video_arguments(parser: ArgumentParser) -> None:
    take_run(parser)
    add = parser.add_argument
    add("--frames", metavar="CAMERA", help="the camera, where there are several")
    add("--hz", metavar="HZ", type=float, help="bring the frames to this rate")
    add("--fps", metavar="FPS", type=float, help="show so many a second (default: their rate)")
    add("--size", metavar="HxW", type=size, help="scale frames, such as 480x640")
    add("--crf", metavar="CRF", type=int, default=18, help="0 (best) to 51 (smallest); 18")
    _take_output(parser, "an .mp4")


def _video(options: Namespace, screen: Screen) -> int:
    from ml_dash.export.video import movie

    view = open_target(options, screen)
    with wrong_arguments(), Bar(screen, "video") as bar:
        report = movie(
            view,
            options.output,
            frames=options.frames,
            hz=options.hz,
            size=options.size,
            fps=options.fps,
            crf=options.crf,
            overwrite=options.overwrite,
            progress=bar,
        )
    tell(screen, report, as_json=False)
    return DONE


PLOT = Command(
    name="plot",
    usage=(
        "RUN [--track TOPIC] [--metric NAME] [--columns COLUMN ...] [--path COLUMN ...]"
        " [--against WHAT] --output FILE [--overwrite] [--root DIR] [--server] [--url URL]"
    ),
    summary="draw a track or metric: its curves, and its path in the plane or in space",
    details=(
        "Every column of numbers is a curve over the steps. A track with columns x and y,\n"
        "or x, y and z, is drawn as a path beside them."
    ),
    examples=(
        ("ml-dash plot robotics/arm --track robot/position -o path.png", "and path"),
        ("ml-dash plot robotics/arm --metric train -o loss.svg", "curves"),
    ),
    arguments=_plot_arguments,
    run=_plot,
)

FRAMES = Command(
    name="frames",
    usage=(
        "RUN [--frames CAMERA ...] [--count N] [--columns N] [--width PIXELS] --output FILE"
        " [--overwrite] [--root DIR] [--server] [--url URL]"
    ),
    summary="draw a contact sheet: evenly spaced frames on one picture",
    details="Each frame has its step and the seconds since the first one below it.",
    examples=(
        ("ml-dash frames robotics/arm -o sheet.png", "12 of each camera"),
        ("ml-dash frames robotics/arm -n 30 --columns 6 -o sheet.jpg", "more, smaller"),
    ),
    arguments=_frames_arguments,
    run=_frames,
)

VIDEO = Command(
    name="video",
    usage=(
        "RUN [--frames CAMERA] [--hz HZ] [--fps FPS] [--size HxW] [--crf CRF] --output FILE"
        " [--overwrite] [--root DIR] [--server] [--url URL]"
    ),
    summary="make a video of a camera that any player and browser opens",
    details="An MP4 with H.264, at the rate that the frames were recorded at.",
    examples=(
        ("ml-dash video robotics/arm -o run.mp4", "at the data's own rate"),
        ("ml-dash video robotics/arm --fps 30 -o run.mp4", "at 30 frames a second"),
    ),
    arguments=_video_arguments,
    run=_video,
)
