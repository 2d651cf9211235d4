"""Frames: what saving one costs the caller, and how many a second reach the disk."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import frames, machine
from benchmarks.frames import Pixels, stamp
from benchmarks.recording import Bench, check_frames, environment
from benchmarks.table import Result, count, duration
from benchmarks.timing import Latencies, Stretch, each_call, interleave, median, ratio, stretch
from ml_dash import Experiment
from ml_dash.settings import default_encoders

QUALITY = 85

SAVE = 'experiment.files("robot/frames").save_image(frame, to=f"{{i:06d}}.{}", quality=85)'
"""Saving a frame, as a loop writes it; the suffix is to be filled in."""


def save_image(bench: Bench) -> Iterator[Result]:
    """The caller's share of `save_image` beside a copy of the frame, the queue having room."""
    burst = bench.scale.burst
    base = frames.render()

    def floor(_: int) -> Latencies:
        names = {"stamp": stamp, "frame": base.copy()}
        return each_call("frame.copy()", burst, setup="stamp(frame, i)", **names)

    def kept(_: int) -> Latencies:
        names = {"stamp": stamp, "frame": base.copy(), "copies": []}
        return each_call("copies.append(frame.copy())", burst, setup="stamp(frame, i)", **names)

    def ours(suffix: str) -> Callable[[int], Latencies]:
        def measure(_: int) -> Latencies:
            names = {"stamp": stamp, "frame": base.copy()}
            with bench.run() as (experiment, run):
                warm_up(experiment, base, suffix)
                times = each_call(
                    SAVE.format(suffix),
                    burst,
                    setup="stamp(frame, i)",
                    experiment=experiment,
                    **names,
                )
                experiment.run.complete()
                check_frames(run, "robot/frames", burst, base, suffix)
            return times

        return measure

    floors, keeps, jpegs, pngs = interleave(
        bench.scale.rounds, floor, kept, ours("jpg"), ours("png")
    )
    for name, found in (("JPEG", jpegs), ("PNG", pngs)):
        share = ratio([times.p50 for times in found], [times.p50 for times in floors])
        yield Result(
            f"`save_image` 480x640 {name}, in the caller: p50",
            "at most 3 × `frame.copy()`",
            duration(median([times.p50 for times in floors])),
            duration(median([times.p50 for times in found])),
            share,
            met=share <= 3,
            note=f"{burst} frames in a row while the queue has room; p99"
            f" {duration(median([times.percentile(99) for times in found]))}. The floor's copy is"
            " dropped at once, so its memory is warm; one that is kept, in memory that is new,"
            f" takes {duration(median([times.p50 for times in keeps]))}",
        )


def jpeg_rate(bench: Bench) -> Iterator[Result]:
    """JPEG frames a second until the run is closed, beside encode, hash and write in one thread."""
    number = bench.scale.jpegs
    base = frames.render()
    encoders = sorted({default_encoders(), machine.cores()})

    def floor(_: int) -> Stretch:
        return _written(bench, base, number, _jpeg)

    def together(_: int) -> Stretch:
        return _written(bench, base, number, _jpeg, threads=encoders[-1])

    def ours(threads: int) -> Callable[[int], Stretch]:
        return lambda _: _recorded(bench, base, number, "jpg", threads)[0]

    floors, togethers, *found = interleave(
        bench.scale.rounds, floor, together, *map(ours, encoders)
    )
    for threads, stretches in zip(encoders, found, strict=True):
        times = [floor.wall / threads for floor in floors]
        all_at_once = number / median([s.wall for s in togethers])
        speed = ratio([1 / s.wall for s in stretches], [1 / time for time in times])
        default = threads == default_encoders()
        yield Result(
            f"JPEG frames/s durable, {threads} encoder{'s' * (threads > 1)}"
            f"{' (the default here)' * default}",
            f"at least 0.85 × {threads} × one thread that encodes, hashes and writes",
            f"{threads} × {count(number / median([floor.wall for floor in floors]))} frames/s",
            f"{count(number / median([s.wall for s in stretches]))} frames/s",
            speed,
            ratio([s.cpu for s in stretches], [floor.cpu for floor in floors]),
            speed >= 0.85,
            f"the floor's work shared out to {threads} threads, with nobody to feed them, makes"
            f" {count(all_at_once)} frames/s"
            if threads > 1
            else "",
        )


def png_rate(bench: Bench) -> Iterator[Result]:
    """PNG frames a second of one encoder, and file sizes, beside Pillow as it comes."""
    number = bench.scale.pngs
    pictures = {"smooth render": frames.render(), "camera noise": frames.camera()}
    for name, base in pictures.items():

        def floor(_: int, base: Pixels = base) -> tuple[Stretch, int]:
            sizes: list[int] = []
            taken = _written(bench, base, number, lambda frame: _png(frame, sizes))
            return taken, sum(sizes[-number:])  # the first one was to warm up

        def ours(_: int, base: Pixels = base) -> tuple[Stretch, int]:
            return _recorded(bench, base, number, "png", 1)

        floors, found = interleave(bench.scale.rounds, floor, ours)
        speed = ratio([1 / s.wall for s, _ in found], [1 / s.wall for s, _ in floors])
        size = ratio([float(s) for _, s in found], [float(s) for _, s in floors])
        yield Result(
            f"PNG frames/s per core, {name}",
            "at least 4 × Pillow's default level, files at most 1.10 ×",
            f"{count(number / median([s.wall for s, _ in floors]))} frames/s",
            f"{count(number / median([s.wall for s, _ in found]))} frames/s, {size:.2f} × the size",
            speed,
            ratio([s.cpu for s, _ in found], [s.cpu for s, _ in floors]),
            speed >= 4 and size <= 1.1,
        )


def warm_up(experiment: Experiment, frame: Pixels, suffix: str) -> None:
    """Save a frame as number 0, which the first one of the loop will replace.

    It loads the encoders, which happens once in a process and is not what is measured.
    """
    experiment.files("robot/frames").save_image(frame, to=f"{0:06d}.{suffix}")
    experiment.flush()


def _jpeg(frame: Pixels) -> bytes:
    import simplejpeg

    return bytes(simplejpeg.encode_jpeg(frame, QUALITY, "RGB", "420"))


def _png(frame: Pixels, sizes: list[int]) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(frame).save(file, "PNG")
    sizes.append(file.tell())
    return file.getvalue()


def _written(
    bench: Bench,
    base: Pixels,
    number: int,
    encode: Callable[[Pixels], bytes],
    threads: int = 1,
) -> Stretch:
    """Encode, hash and write frames; each of several threads takes its share."""
    with bench.place() as place:

        def work(first: int) -> None:
            frame = base.copy()
            for i in range(first, number, threads):
                data = encode(stamp(frame, i))
                hashlib.sha256(data).hexdigest()
                (place / f"{i:06d}").write_bytes(data)

        encode(base)
        with stretch() as taken:
            if threads == 1:
                work(0)
            else:
                with ThreadPoolExecutor(threads) as pool:
                    list(pool.map(work, range(threads)))
        return taken


def _recorded(
    bench: Bench, base: Pixels, number: int, suffix: str, threads: int
) -> tuple[Stretch, int]:
    frame = base.copy()
    run: Path
    with environment(ML_DASH_ENCODERS=str(threads)), bench.run() as (experiment, run):
        warm_up(experiment, base, suffix)
        with stretch() as taken:
            files = experiment.files("robot/frames")
            for i in range(number):
                files.save_image(stamp(frame, i), to=f"{i:06d}.{suffix}", quality=QUALITY)
            experiment.run.complete()
        found = check_frames(run, "robot/frames", number, base, suffix)
        return taken, sum(file.stat().st_size for file in found.values())
