"""`ml-dash export`: a run becomes a dataset."""

from __future__ import annotations

import logging
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ml_dash.cli.command import DONE, Command, CommandError, take_json, take_run
from ml_dash.cli.progress import Bar
from ml_dash.cli.quantities import count
from ml_dash.cli.screen import Screen
from ml_dash.cli.target import open_target
from ml_dash.cli.text import printable

FORMATS = ("npy", "png", "video", "parquet", "lerobot", "minari", "hdf5", "mcap")
"""Those of `ml_dash.export`, which loads numpy; a test holds the two together."""

_OPTIONS = ("fps", "crf", "observation", "action", "task", "robot_type", "dataset_id")


def _arguments(parser: ArgumentParser) -> None:
    take_run(parser)
    add = parser.add_argument
    add("--format", metavar="FORMAT", required=True, help=", ".join(FORMATS))
    add("-o", "--output", metavar="PATH", help="what is made (default: PREFIX_FORMAT here)")
    add("--topics", metavar="TOPIC", nargs="+", help="the tracks (default: all)")
    add("--frames", metavar="CAMERA", nargs="+", help="the cameras (default: the format's)")
    add("--hz", metavar="HZ", type=float, help="bring everything to this fixed rate")
    add("--size", metavar="HxW", type=size, help="scale frames, such as 128x128")
    add("--on", metavar="KEY", help="join rows on: step (default) or timestamp")
    add("--tolerance", metavar="S", type=float, help="with --on timestamp: seconds at most")
    add("--repeats", metavar="WHICH", help="of repeated steps keep: first or last")
    add("--fps", metavar="FPS", type=float, help="frames a second of video and lerobot")
    add("--crf", metavar="CRF", type=int, help="of videos: 0 (best) to 51 (smallest)")
    add("--observation", metavar="COLUMN", nargs="+", help="the columns that are observed")
    add("--action", metavar="COLUMN", nargs="+", help="the columns that are done")
    add("--task", metavar="TEXT", help="of lerobot: what was to be done")
    add("--robot-type", metavar="NAME", help="of lerobot: the robot's name")
    add("--dataset-id", metavar="ID", help="of minari: such as arm/reach-v0")
    add("--overwrite", action="store_true", help="replace an older export")
    take_json(parser)


def _run(options: Namespace, screen: Screen) -> int:
    view = open_target(options, screen)
    named = {name: getattr(options, name) for name in (*_OPTIONS, "on")}
    given = {name: value for name, value in named.items() if value is not None}
    with wrong_arguments(), _notes_alone(), Bar(screen, printable(options.format)) as bar:
        report = view.export(
            options.format,
            options.output,
            topics=options.topics,
            frames=options.frames,
            hz=options.hz,
            size=options.size,
            tolerance=options.tolerance,
            repeats=options.repeats,
            overwrite=options.overwrite,
            progress=bar,
            **given,
        )
    tell(screen, report, as_json=options.json)
    return DONE


def tell(screen: Screen, report: Any, *, as_json: bool) -> None:
    """Say what an export made."""
    if as_json:
        from ml_dash.cli.json_text import json_text

        facts = {name: getattr(report, name) for name in report.__slots__}
        screen.line(json_text({**facts, "path": str(report.path)}))
        return
    numbers = {"sample": report.samples, "frame": report.frames, "file": len(report.files)}
    shown = ", ".join(count(number, noun) for noun, number in numbers.items() if number)
    screen.line(f"{printable(str(report.path))}  {shown}")
    for note in report.notes:
        screen.say(note)


@contextmanager
def _notes_alone() -> Iterator[None]:
    """Without the log line of what does not fit together: it is among the notes, too."""
    logger = logging.getLogger("ml_dash.export")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def wrong_arguments() -> Iterator[None]:
    """What a call says of its arguments, or of a package that is missing, as one line."""
    try:
        yield
    except KeyError as error:
        raise CommandError(str(error.args[0])) from None
    except (ValueError, TypeError, ImportError, FileExistsError) as error:
        raise CommandError(str(error)) from None


def size(text: str) -> tuple[int, int]:
    """Height and width as they are typed, `128x128`."""
    height, times, width = text.lower().partition("x")
    if not times or not (height.isdecimal() and width.isdecimal()):
        raise ArgumentTypeError(f"{text!r} is no size: give HEIGHTxWIDTH, such as 128x128")
    return int(height), int(width)


EXPORT = Command(
    name="export",
    usage=(
        "RUN --format FORMAT [--output PATH] [--topics TOPIC ...] [--frames CAMERA ...] [--hz HZ]"
        " [--size HxW] [--on KEY] [--tolerance S] [--repeats WHICH] [--fps FPS] [--crf CRF]"
        " [--observation COLUMN ...] [--action COLUMN ...] [--task TEXT] [--robot-type NAME]"
        " [--dataset-id ID] [--overwrite] [--json] [--root DIR] [--server] [--url URL]"
    ),
    summary="write a run as a dataset that other programs load",
    details=(
        "npy      frames as one array, with times, samples, metadata and a README\n"
        "png      the same with a PNG for each frame\n"
        "video    an MP4 for each camera\n"
        "parquet  a table for each track\n"
        "lerobot  a LeRobot v3.0 dataset\n"
        "minari   episodes for minari.load_dataset; hdf5: the same in one file\n"
        "mcap     for Foxglove\n\n"
        "What is made appears whole or not at all; nothing is replaced without\n"
        "--overwrite. Memory does not grow with the run."
    ),
    examples=(
        ("ml-dash export robotics/arm --format npy", "to ./robotics_arm_npy"),
        ("ml-dash export robotics/arm --format npy --hz 10", "at a fixed rate"),
        ("ml-dash export robotics/arm --format parquet -o tables", "to ./tables"),
    ),
    arguments=_arguments,
    run=_run,
)
