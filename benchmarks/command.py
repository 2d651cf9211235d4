"""What `python -m benchmarks` takes and prints."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks import machine, peers, quotes, suite, table
from benchmarks.peers import pages
from benchmarks.recording import Bench, without_settings
from benchmarks.scale import FULL, QUICK


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print the table.

    Returns:
        The exit code: 1 when data was lost or a measurement failed. A missed target is no failure:
        whether the machine was quiet enough to tell is for a person to judge.
    """
    options = _parser().parse_args(arguments)
    if options.list:
        print("\n".join(suite.SUITE))
        return 0
    if options.quote:
        quotes.refresh()
        return 0
    try:
        measurements = suite.chosen(options.only, options.skip)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    begin = time.perf_counter()
    with _folder(options.folder) as folder, without_settings():
        scale = QUICK if options.quick else FULL
        described = machine.describe(folder, scale.name)
        bench = Bench(replace(scale, peer_rounds=options.rounds or scale.peer_rounds), folder)
        parts = []
        results = [] if options.peers_only else list(suite.run(bench, measurements, _say))
        if results:
            parts = [described, table.report(results)]
        compared = None
        if options.peers or options.peers_only:
            keep = peers.Measured.write if options.write else peers.nothing
            compared = peers.compare(bench, _say, keep)
    print("\n\n".join([*parts, *_shown(compared)]))
    if options.markdown is not None and results:
        table.publish("\n\n".join(parts), options.markdown)
    if options.write:
        if results:
            table.publish("\n\n".join(parts), quotes.REPORT)
        quotes.refresh()
    _say(f"all: {time.perf_counter() - begin:.0f} s")
    return int(any(result.failed for result in results))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures ML-Dash beside the floors of this machine and prints a table.",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, under two minutes")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="measure what NAME is part of the name of; may be repeated (see --list)",
    )
    parser.add_argument(
        "--skip", action="append", default=[], metavar="NAME", help="leave out what NAME names"
    )
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write the report into FILE, too"
    )
    parser.add_argument(
        "--folder", type=Path, metavar="FOLDER", help="the disk to measure (default: temporary)"
    )
    parser.add_argument(
        "--peers",
        action="store_true",
        help="compare with other loggers, too; installs each in a virtual environment of its own",
    )
    parser.add_argument("--peers-only", action="store_true", help="only that")
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="how often the loggers take turns (default: 5)"
    )
    parser.add_argument(
        "--write", action="store_true", help="write what was found into the pages that show it"
    )
    parser.add_argument(
        "--quote", action="store_true", help="measure nothing: bring these pages up to date"
    )
    return parser


def _shown(compared: peers.Measured | None) -> list[str]:
    return [] if compared is None else [text for text in pages.regions(compared).values() if text]


@contextmanager
def _folder(parent: Path | None) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="ml-dash-bench-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _say(text: str) -> None:
    print(f"[bench] {text}", file=sys.stderr, flush=True)
