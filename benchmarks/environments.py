"""What recording a Gymnasium environment adds to a step, beside the wrappers of others."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks import frames
from benchmarks.frames import read_stamp, stamp
from benchmarks.recording import Bench, DataLost, check_files, decoded, environment, lines_of
from benchmarks.table import Result, duration
from benchmarks.timing import Latencies, Stretch, each_call, interleave, median, ratio, stretch

try:
    import gymnasium
except ImportError:  # the suite says so when it comes to this measurement
    gymnasium = None

SIDE = 96
LENGTH = 200
"""Steps of an episode of pixels."""

Wrapper = Callable[[Any, Path], Any]


@dataclass(slots=True)
class Loop:
    """What a loop of steps took.

    Attributes:
        steps: each call of `step`.
        whole: all of it, resets and closing included.
        count: how many steps.
    """

    steps: Latencies
    whole: Stretch
    count: int

    @property
    def mean(self) -> float:
        """Seconds a step, resets and closing included."""
        return self.whole.wall / self.count


def cartpole(bench: Bench) -> Iterator[Result]:
    """A step of CartPole, each of which is a row."""
    count = max(200, bench.scale.calls // 10)
    yield from _compare(bench, "CartPole", 10e-6, count, _cartpole, _check_cartpole)


def pixels(bench: Bench) -> Iterator[Result]:
    """A step with an observation of 96x96x3, each of which is a frame and a row."""
    count = max(50, bench.scale.burst)
    yield from _compare(
        bench, f"{SIDE}x{SIDE}x3 observations", 50e-6, count, _pixels, _check_pixels
    )


def _compare(
    bench: Bench,
    what: str,
    limit: float,
    count: int,
    make: Callable[[], Any],
    check: Callable[[Path, int], None],
) -> Iterator[Result]:
    if gymnasium is None:
        raise ImportError("this measures gymnasium, which is not installed")
    from ml_dash_gymnasium import RecordToDash

    def ours(_: int) -> Loop:
        with bench.run() as (experiment, run):
            loop = _loop(RecordToDash(make(), experiment), count)
            experiment.run.complete()
            check(run, count)
        return loop

    def other(wrap: Wrapper) -> Callable[[int], Loop]:
        def measure(_: int) -> Loop:
            with bench.place() as folder, _quiet(folder):
                return _loop(wrap(make(), folder), count)

        return measure

    with bench.run() as (experiment, _):
        RecordToDash(make(), experiment).reset()  # loads what is loaded at first use
    wrappers = _others(renders=make is _pixels)
    found = interleave(
        bench.scale.rounds, other(lambda env, _: env), ours, *map(other, wrappers.values())
    )
    bares, mine, *rest = found
    added = median([m.steps.p50 - b.steps.p50 for m, b in zip(mine, bares, strict=True)])
    mean = median([m.mean - b.mean for m, b in zip(mine, bares, strict=True)])
    beside = ", ".join(
        f"{name} {duration(median([o.mean - b.mean for o, b in zip(loops, bares, strict=True)]))}"
        for name, loops in zip(wrappers, rest, strict=True)
    )
    yield Result(
        f"Gymnasium, {what}: added to a step, p50",
        f"at most {duration(limit)}",
        f"{duration(median([b.steps.p50 for b in bares]))} (bare)",
        duration(added),
        ratio([m.steps.p50 for m in mine], [b.steps.p50 for b in bares]),
        ratio([m.whole.cpu for m in mine], [b.whole.cpu for b in bares]),
        met=added <= limit,
        note=f"{count:,} steps as fast as they come; on average over all of them, with resets and"
        f" closing, {duration(mean)} more than bare; others, on average: {beside or 'none here'}",
    )


def _others(renders: bool) -> dict[str, Wrapper]:
    """The wrappers of others that can be had here."""
    from gymnasium.wrappers import RecordEpisodeStatistics, RecordVideo

    found: dict[str, Wrapper] = {
        "RecordEpisodeStatistics": lambda env, _: RecordEpisodeStatistics(env)
    }
    if renders and find_spec("moviepy"):
        found["RecordVideo"] = lambda env, folder: RecordVideo(
            env, str(folder), episode_trigger=lambda _: True
        )
    if find_spec("minari") and find_spec("jax"):
        import minari

        found["Minari"] = lambda env, _: minari.DataCollector(env, record_infos=False)
    return found


@contextmanager
def _quiet(folder: Path) -> Iterator[None]:
    """Others' files go where ours do; what they say is not of interest here."""
    with environment(MINARI_DATASETS_PATH=os.fspath(folder)), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _loop(env: Any, count: int) -> Loop:
    """Steps with two actions in turn, and a reset where one is due."""
    with stretch() as whole:
        steps = each_call(
            "out = env.step(actions[i & 1])",
            count,
            setup="out = fresh(env, out)",
            env=env,
            fresh=_fresh,
            out=None,
            actions=(0, 1),
        )
        env.close()
    return Loop(steps, whole, count)


def _fresh(env: Any, out: Any) -> Any:
    if out is None or out[2] or out[3]:
        env.reset(seed=7)
    return out


def _cartpole() -> Any:
    return gymnasium.make("CartPole-v1", render_mode="rgb_array", disable_env_checker=True)


def _check_cartpole(run: Path, count: int) -> None:
    """Play it again, and compare what was seen then with what was recorded."""
    env, rows = _cartpole(), map(orjson.loads, lines_of(run, "tracks/env/steps"))
    out = None
    for i in range(count):
        if out is None or out[2] or out[3]:
            seen, _ = env.reset(seed=7)
        row = next(rows)
        out = env.step(i & 1)
        if row["action"] != i & 1 or not np.array_equal(np.float32(row["obs"]), seen):
            raise DataLost(f"step {i} reads {row}, it was {seen}")
        seen = out[0]
        if out[2] or out[3]:
            row = next(rows)
            if "ended" not in row or not np.array_equal(np.float32(row["obs"]), seen):
                raise DataLost(f"the last row of an episode reads {row}, it was {seen}")
    if len(list(rows)) > 1:
        raise DataLost("there are rows of steps that were never made")


def _pixels() -> Any:
    return _Pixels()


class _Pixels(gymnasium.Env if gymnasium else object):  # type: ignore[misc]
    """Shows its number of the observation; one array serves for all of them, as in emulators."""

    if gymnasium:
        observation_space = gymnasium.spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8)
        action_space = gymnasium.spaces.Discrete(2)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012
    render_mode = "rgb_array"

    def __init__(self) -> None:
        self.picture = frames.render(SIDE, SIDE)
        self.number = -1
        self.t = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.number, self.t = self.number + 1, 0
        return stamp(self.picture, self.number), {}

    def step(self, action: int) -> Any:
        self.number, self.t = self.number + 1, self.t + 1
        return stamp(self.picture, self.number), 1.0, False, self.t == LENGTH, {}

    def render(self) -> Any:
        return self.picture.copy()


def _check_pixels(run: Path, count: int) -> None:
    """Every observation has a row and a frame, and the frame shows its number."""
    observations = count + -(-count // LENGTH)
    found = check_files(run, observations + 1)  # and the file that describes the spaces
    rows = list(map(orjson.loads, lines_of(run, "tracks/env/steps")))
    if len(rows) != observations:
        raise DataLost(f"{observations} observations were made, {len(rows)} rows are there")
    for number, row in enumerate(rows):
        shown = read_stamp(decoded(found[f"env/obs/{row['frame']}"]))
        if row["step"] != number or shown != number:
            raise DataLost(f"row {number} has step {row['step']} and a frame of {shown}")
