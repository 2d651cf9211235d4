"""What recording a MuJoCo simulation costs: a call of the hook, and a loop that draws frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.recording import Bench, DataLost, check_files, check_rows, lines_of
from benchmarks.table import Result, duration
from benchmarks.timing import Stretch, each_call, interleave, median, ratio, stretch

try:
    import mujoco
except ImportError:  # the suite says so when it comes to this measurement
    mujoco = None

MODEL = Path(__file__).parents[1] / "examples" / "arm.xml"
SIZE = (240, 320)
FPS = 30.0
STREAM = "tracks/mujoco/state"

STATE = ("qpos", "qvel", "ctrl")
DERIVED = (*STATE, "site:ee", "sensor:*")


def hook_calls(bench: Bench) -> Iterator[Result]:
    """Calls of the hook: when nothing is due, and when a row is."""
    model, data = _simulation()
    count = bench.scale.calls
    floors, found = interleave(
        bench.scale.rounds,
        lambda _: each_call("data.time", count, data=data).p50,
        lambda _: _off_beat(bench, model, count),
    )
    yield Result(
        "MuJoCo hook, nothing due: p50",
        "under 1 µs",
        f"{duration(median(floors))} (reading `data.time`)",
        duration(median(found)),
        ratio(found, floors),
        met=median(found) < 1e-6,
        note="called with a simulation whose time moves, between two frames",
    )
    count = max(200, bench.scale.calls // 20)
    step = each_call("step(model, data)", count, step=mujoco.mj_step, model=model, data=data)
    for what, state in (("the state", STATE), ("state, site and sensors", DERIVED)):
        floors, found = interleave(
            bench.scale.rounds,
            lambda _, state=state: _recorded(bench, model, state, count),
            lambda _, state=state: _row(bench, model, state, count),
        )
        yield Result(
            f"MuJoCo hook, a row of {what}: p50",
            "",
            f"{duration(median(floors))} (`recorder.record`)",
            duration(median(found)),
            ratio(found, floors),
            note=f"{', '.join(state)} of the arm of the examples, of which the floor has the values"
            " already; `mj_step` takes"
            f" {duration(step.p50)}",
        )


def hook_loop(bench: Bench) -> Iterator[Result]:
    """Simulating and drawing, with and without the hook."""
    seconds = max(0.5, bench.scale.burst / 60)
    bare, ours, stepped, deferred = interleave(
        bench.scale.rounds,
        lambda _: _drawn(seconds),
        lambda _: _hooked(bench, seconds),
        lambda _: _stepped(seconds),
        lambda _: _hooked(bench, seconds, deferred=True),
    )
    frames = round(seconds * FPS)
    size = f"{SIZE[0]}x{SIZE[1]}"
    yield _compared(
        f"MuJoCo loop with {frames} frames of {size} and their rows",
        "a loop that draws and drops them",
        bare,
        ours,
        seconds,
    )
    yield _compared(
        "the same, drawing deferred", "a loop that only simulates", stepped, deferred, seconds
    )


def _compared(
    name: str, what: str, floors: list[Stretch], found: list[Stretch], seconds: float
) -> Result:
    walls = [[one.wall for one in side] for side in (floors, found)]
    return Result(
        name,
        "",
        f"{duration(median(walls[0]))} ({what})",
        duration(median(walls[1])),
        ratio(walls[1], walls[0]),
        ratio([one.cpu for one in found], [one.cpu for one in floors]),
        note=f"{seconds:.1f} s of simulation, without shadows; the loop alone, without the end of"
        " the run, at which frames may still be encoded",
    )


def _off_beat(bench: Bench, model: Any, count: int) -> float:
    from ml_dash_mujoco import RenderHook

    data = mujoco.MjData(model)
    with bench.run() as (experiment, run):
        hook = RenderHook(experiment, model, [], fps=1e-6)
        hook(data)
        times = np.linspace(1e-3, 1.0, count).tolist()
        names = {"hook": hook, "data": data, "times": times}
        calls = each_call("hook(data)", count, setup="data.time = times[i]", **names)
        experiment.run.complete()
        _check_count(run, 1)
    return calls.p50


def _row(bench: Bench, model: Any, state: tuple[str, ...], count: int) -> float:
    from ml_dash_mujoco import RenderHook

    data = mujoco.MjData(model)
    with bench.run() as (experiment, run):
        hook = RenderHook(experiment, model, [], every=1, state=state)
        names = {"hook": hook, "step": mujoco.mj_step, "model": model, "data": data}
        calls = each_call("hook(data)", count, setup="step(model, data)", **names)
        experiment.run.complete()
        _check_count(run, count)
    return calls.p50


def _recorded(bench: Bench, model: Any, state: tuple[str, ...], count: int) -> float:
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    row: dict[str, Any] = {"time": 0.0, "episode": 0}
    row |= {name: getattr(data, name) for name in STATE}
    if state != STATE:
        row["site.ee"] = data.site("ee").xpos
        row |= {f"sensor.{i}": data.sensor(i).data for i in range(model.nsensor)}
    plain = {k: v.tolist() if hasattr(v, "tolist") else v for k, v in row.items()}
    with bench.run() as (experiment, run):
        recorder = experiment.recorder(strict=False)
        names = {"record": recorder.record, "tracks": {"mujoco/state": row}}
        calls = each_call("record(tracks=tracks)", count, **names)
        experiment.run.complete()
        check_rows(run, STREAM, count, lambda i: {"step": i, **plain})
    return calls.p50


def _hooked(bench: Bench, seconds: float, *, deferred: bool = False) -> Stretch:
    from ml_dash_mujoco import RenderHook

    model, data = _simulation()
    with bench.run() as (experiment, run):
        options = {"cameras": ["front"], "size": SIZE, "fps": FPS, "deferred": deferred}
        with RenderHook(experiment, model, state=DERIVED, **options) as hook:
            hook(data)  # makes the renderer
            taken = _simulate(model, data, seconds, hook)
        experiment.run.complete()
        frames = sum(1 for _ in lines_of(run, STREAM))
        if not deferred:
            check_files(run, frames)
        if abs(frames - seconds * FPS) > 2:
            raise DataLost(f"{frames} frames of {seconds} s at {FPS}")
    return taken


def _drawn(seconds: float) -> Stretch:
    from ml_dash_mujoco.contexts import find_context, given

    model, data = _simulation()
    _, make_context = find_context(*SIZE)
    with given(make_context()):
        renderer = mujoco.Renderer(model, *SIZE)
    renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
    number = 0

    def draw(data: Any) -> None:
        nonlocal number
        if data.time * FPS >= number:
            number += 1
            renderer.update_scene(data, camera="front")
            renderer.render()

    draw(data)
    with renderer:
        return _simulate(model, data, seconds, draw)


def _stepped(seconds: float) -> Stretch:
    return _simulate(*_simulation(), seconds, lambda data: None)


def _simulate(model: Any, data: Any, seconds: float, after: Callable[[Any], object]) -> Stretch:
    with stretch() as taken:
        while data.time < seconds:
            mujoco.mj_step(model, data)
            after(data)
    return taken


def _simulation() -> tuple[Any, Any]:
    if mujoco is None:
        raise ImportError("this measures mujoco, which is not installed")
    model = mujoco.MjModel.from_xml_path(str(MODEL))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


def _check_count(run: Path, count: int) -> None:
    found = sum(1 for _ in lines_of(run, STREAM))
    if found != count:
        raise DataLost(f"{STREAM}: {count:,} rows were recorded, {found:,} are there")
