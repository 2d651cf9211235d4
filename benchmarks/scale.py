"""How much of everything is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """The sizes of one pass over the suite.

    Attributes:
        name: `full`, `quick`, or `tiny` for tests.
        rounds: how often floor and ours take turns; every figure is a median over them.
        rows: rows of a long run, appended one call at a time.
        few_rows: rows of a short run, which must not be faster.
        calls: calls of the other handles.
        burst: frames saved in a row while the queue has room for them.
        jpegs: frames for the rate until all are on disk.
        pngs: the same for PNG, whose floor is slow.
        small_frames: 84x84 frames in one run.
        small_files: files in one run.
        spin: seconds of a pure-Python loop.
        paced: iterations of the loop at 30 a second.
        unpaced: iterations of the loop at full speed.
        memory_frames: 480x640 frames, as fast as they come.
        memory_rows: rows, as fast as they come.
        memory_megabytes: size of one saved file.
        starts: interpreters started for import times.
        read_rows: rows of a run that is read back, or sent to a server.
        requests: that each of many clients makes of a server.
        list_runs: runs in a server's list.
        asked: how often a server is asked for one thing in a round.
        peer_seconds: how long each peer records in a round.
        peer_rounds: how often the peers take turns.
    """

    name: str
    rounds: int
    rows: int
    few_rows: int
    calls: int
    burst: int
    jpegs: int
    pngs: int
    small_frames: int
    small_files: int
    spin: float
    paced: int
    unpaced: int
    memory_frames: int
    memory_rows: int
    memory_megabytes: int
    starts: int
    read_rows: int
    requests: int
    list_runs: int
    asked: int
    peer_seconds: float
    peer_rounds: int


FULL = Scale(
    name="full",
    rounds=5,
    rows=1_000_000,
    few_rows=100_000,
    calls=200_000,
    burst=200,
    jpegs=1000,
    pngs=60,
    small_frames=5000,
    small_files=100_000,
    spin=1.0,
    paced=90,
    unpaced=600,
    memory_frames=10_000,
    memory_rows=1_000_000,
    memory_megabytes=1024,
    starts=15,
    read_rows=1_000_000,
    requests=20,
    list_runs=10_000,
    asked=20,
    peer_seconds=2.0,
    peer_rounds=5,
)
QUICK = Scale(
    name="quick",
    rounds=5,
    rows=100_000,
    few_rows=20_000,
    calls=20_000,
    burst=50,
    jpegs=150,
    pngs=8,
    small_frames=1000,
    small_files=4000,
    spin=0.3,
    paced=15,
    unpaced=100,
    memory_frames=500,
    memory_rows=200_000,
    memory_megabytes=256,
    starts=7,
    read_rows=100_000,
    requests=4,
    list_runs=2_000,
    asked=10,
    peer_seconds=1.0,
    peer_rounds=2,
)
TINY = Scale(
    name="tiny",
    rounds=1,
    rows=300,
    few_rows=100,
    calls=100,
    burst=3,
    jpegs=4,
    pngs=2,
    small_frames=40,
    small_files=40,
    spin=0.02,
    paced=1,
    unpaced=3,
    memory_frames=4,
    memory_rows=200,
    memory_megabytes=1,
    starts=1,
    read_rows=300,
    requests=1,
    list_runs=40,
    asked=2,
    peer_seconds=0.1,
    peer_rounds=1,
)
