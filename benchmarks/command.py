"""What `python -m benchmarks` takes and prints."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks import machine, peers, suite, table
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
    try:
        measurements = suite.chosen(options.only)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    begin = time.perf_counter()
    with _folder(options.folder) as folder, without_settings():
        bench = Bench(QUICK if options.quick else FULL, folder)
        parts = [machine.describe(folder, bench.scale.name)]
        results = [] if options.peers_only else list(suite.run(bench, measurements, _say))
        if results:
            parts.append(table.report(results))
        if options.peers or options.peers_only:
            parts.append(peers.compare(bench, _say))
    text = "\n\n".join(parts)
    print(text)
    if options.markdown is not None:
        table.publish(text, options.markdown)
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
    return parser


@contextmanager
def _folder(parent: Path | None) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="ml-dash-bench-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _say(text: str) -> None:
    print(f"[bench] {text}", file=sys.stderr, flush=True)
