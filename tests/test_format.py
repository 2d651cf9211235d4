"""docs/format.md, followed by a program that knows nothing else: it finishes a dead process's ring.

What is read here is spelled out from that page, in numbers, and shares no line with ML-Dash.
"""

from __future__ import annotations

import json
import shutil
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts import finish, start

from ml_dash.buffer.recovery import drain_dead

BLOCK, COMMON, SLOT, SLOTS = 65_536, 18_874_368, 262_144, 184
ORDER = "<" if sys.byteorder == "little" else ">"

RECORDED = """
with Experiment("e", dash_root=root, echo=False).run as experiment:
    for step in range(400):
        experiment.track("busy").append({"step": step, "x": [0.5] * 8})
    experiment.flush()  # what came so far is in segments, and partly in the ring as well
    for step in range(400, int(sys.argv[2])):
        experiment.track("busy").append({"step": step, "x": [0.5] * 8})
        if step % 9 == 0:
            experiment.log("now and then", step=step)
            experiment.track(f"quiet/{step}").append({"text": "é" * step})
    experiment.track("long").append({"text": "x" * 300_000})
    os.kill(os.getpid(), signal.SIGKILL)
"""

Piece = tuple[str, int, int, bytes]
"""A stream, a segment's number, an offset in it, and whole lines."""


def read_ring(data: bytes) -> tuple[str, list[Piece]]:
    """The writer of a ring, and what is in it."""
    assert data[:8] == b"MLDRING1" and len(data) == BLOCK + COMMON + SLOT * SLOTS
    (tail,) = struct.unpack_from(f"{ORDER}Q", data, 8)
    (length,) = struct.unpack_from(f"{ORDER}Q", data, 4096)
    writer = json.loads(data[4104 : 4104 + length])["writer"]
    return writer, [*read_log(data, tail), *read_slots(data)]


def read_log(data: bytes, position: int) -> Iterator[Piece]:
    """The records of the common log."""
    while True:
        found = read_record(data, position)
        if found is None and position % COMMON:
            position += COMMON - position % COMMON
            found = read_record(data, position)
        if found is None:
            return
        yield found[0]
        position += found[1]


def read_record(data: bytes, position: int) -> tuple[Piece, int] | None:
    """The record at a position and its length; `None` where there is none."""
    at = BLOCK + position % COMMON
    if at + 32 > BLOCK + COMMON:
        return None
    size, named, segment, offset, check = struct.unpack_from(f"{ORDER}QIIQQ", data, at)
    if check != (0x4D4C445245430001 ^ position << 16) % 2**64:
        return None
    at += 32
    stream = data[at : at + named].decode()
    lines = data[at + named : at + named + size]
    return (stream, segment, offset, lines), (32 + named + size + 7) // 8 * 8


def read_slots(data: bytes) -> Iterator[Piece]:
    """The whole lines in the slots that are lent."""
    for number in range(SLOTS):
        slot = data[BLOCK + COMMON + number * SLOT :][:SLOT]
        lent, offset, named, segment, _ = struct.unpack_from(f"{ORDER}QQIIQ", slot)
        if lent == 0x4D4C44534C4F5431:
            lines = slot[(32 + named + 7) // 8 * 8 :].partition(b"\0")[0]
            stream = slot[32 : 32 + named].decode()
            yield stream, segment, offset, lines[: lines.rfind(b"\n") + 1]


def finish_ring(folder: Path, ring: Path) -> None:
    """Write what is in no segment into segments of its own, and remove the ring."""
    writer, pieces = read_ring(ring.read_bytes())
    found: dict[str, bytes] = {}
    for stream, segment, offset, lines in sorted(pieces):
        suffix = f"-{segment + 1}" if segment else ""
        path = folder / stream / f"{writer}{suffix}.jsonl"
        there = (path.stat().st_size if path.exists() else 0) - offset
        cut = 0 if there <= 0 else lines.rfind(b"\n", 0, there) + 1
        if there < len(lines):
            found[stream] = found.get(stream, b"") + lines[cut:]
    for stream, text in found.items():
        (folder / stream).mkdir(parents=True, exist_ok=True)
        (folder / stream / f"{writer}-r.jsonl").write_bytes(text)
    ring.unlink()


def segments(folder: Path) -> dict[str, bytes]:
    """All segments of a run."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.jsonl")}


def steps_in(stream: Path) -> list[int]:
    """The steps of all rows of a stream, but for a line that the kill cut off."""
    lines = [line for path in stream.iterdir() for line in path.read_bytes().splitlines()]
    return [json.loads(line)["step"] for line in lines if line.endswith(b"}")]


@pytest.mark.parametrize("steps", [401, 1500, 9000])
def test_a_ring_can_be_finished_by_what_the_page_says(tmp_path: Path, steps: int) -> None:
    """The page's way and ML-Dash's own make the same segments, byte for byte."""
    code, _, error = finish(start(tmp_path, RECORDED, steps))
    assert code == -9, error
    folder, copy = tmp_path / "dash" / "e", tmp_path / "copy"
    shutil.copytree(folder, copy)
    (ring,) = (copy / ".buffer").glob("*.ring")
    before = len(segments(copy))
    finish_ring(copy, ring)
    assert drain_dead(folder).problems == []
    assert segments(copy) == segments(folder)
    assert len(segments(copy)) > before, "the ring held nothing that was not in segments"
    assert sorted(steps_in(copy / "tracks/busy")) == list(range(steps))


def test_the_ring_of_a_whole_lap_can_be_read(tmp_path: Path) -> None:
    """Also when the common log went round, and a long row skipped the end of a lap."""
    script = """
    with Experiment("e", dash_root=root, echo=False).run as experiment:
        for number in range(30):
            experiment.track("long").append({"step": number, "text": "x" * 1_500_000})
        os.kill(os.getpid(), signal.SIGKILL)
    """
    code, _, error = finish(start(tmp_path, script))
    assert code == -9, error
    folder = tmp_path / "dash" / "e"
    (ring,) = (folder / ".buffer").glob("*.ring")
    finish_ring(folder, ring)
    assert sorted(steps_in(folder / "tracks/long")) == list(range(30))
