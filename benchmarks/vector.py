"""A vector environment of Gymnasium, recorded and not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.recording import Bench, DataLost, lines_of
from benchmarks.table import Result, duration
from benchmarks.timing import interleave, median, ratio
from ml_dash import open_run

ENVS = 8
"""How many sub-environments."""

_MOST = 10e-6
"""Seconds that recording may add to the step of one of them."""


def vector_steps(bench: Bench) -> Iterator[Result]:
    """Steps of eight CartPoles, by one `SyncVectorEnv`."""
    steps = max(50, bench.scale.calls // 40)
    bares, found = interleave(
        bench.scale.rounds,
        lambda _: _play(_cartpoles(), steps)[0],
        lambda _: _recorded(bench, steps),
    )
    loops, closes = ([times[i] for times in found] for i in (0, 1))
    added = median([ours - bare for ours, bare in zip(loops, bares, strict=True)]) / steps / ENVS
    yield Result(
        f"`RecordVectorToDash`, {ENVS} CartPoles: a step of all",
        f"at most {_MOST * 1e6:.0f} µs more for each of them",
        duration(median(bares) / steps),
        duration(median(loops) / steps),
        ratio(loops, bares),
        met=added <= _MOST,
        note=f"{duration(added)} more for each; until `close()` had returned:"
        f" {duration(median(closes) / steps)} a step of all",
    )


def _cartpoles() -> Any:
    import gymnasium  # only here: the other measurements do without

    return gymnasium.make_vec("CartPole-v1", ENVS, "sync")


def _play(envs: Any, steps: int) -> tuple[float, list[Any]]:
    """Seconds for the steps, and what came out of the last sub-environment."""
    envs.action_space.seed(1)
    actions = [envs.action_space.sample() for _ in range(100)]
    rewards = []
    observation, _ = envs.reset(seed=1)
    begin = time.perf_counter()
    for i in range(steps):
        observation, reward, *_ = envs.step(actions[i % 100])
        rewards.append(reward[-1])
    return time.perf_counter() - begin, [observation[-1], rewards]


def _recorded(bench: Bench, steps: int) -> tuple[float, float]:
    """Seconds of the loop, and until all was on disk."""
    from ml_dash_gymnasium import RecordVectorToDash

    run: Path
    with bench.run() as (experiment, run):
        envs = RecordVectorToDash(_cartpoles(), experiment)
        begin = time.perf_counter()
        loop, (observation, rewards) = _play(envs, steps)
        envs.close()
        experiment.run.complete()
        closed = time.perf_counter() - begin
        _check(run, steps, observation, rewards)
    return loop, closed


def _check(run: Path, steps: int, observation: Any, rewards: list[float]) -> None:
    """Hold what is there against what came out.

    Raises:
        DataLost: a row is missing or differs.
    """
    for i in range(ENVS):
        rows = list(open_run(run).tracks[f"env/{i}/steps"].rows())
        if sum(1 for _ in lines_of(run, f"tracks/env/{i}/steps")) != len(rows):
            raise DataLost(f"env/{i}: lines were passed over")
        numbers = [row["step"] for row in rows]
        if numbers != list(range(len(numbers))) or len(numbers) < steps:
            raise DataLost(f"env/{i}: {steps + 1} observations were made, {len(numbers)} are there")
    earned = [row["reward"] for row in rows if "reward" in row]
    if sum(earned) != sum(rewards):
        raise DataLost(f"the rewards add up to {sum(earned)}, not to {sum(rewards)}")
    if numbers[-1] == steps and not np.array_equal(np.float32(rows[-1]["obs"]), observation):
        raise DataLost(f"the last observation is {rows[-1]['obs']}, not {observation}")
