"""The recorder: frames and rows of one step together, whole or not at all, joined when read."""

from __future__ import annotations

import gc
import math
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from effort import calls_of
from scripts import run, wait_until

from ml_dash import Experiment, MemoryBackend, Recorder, frame_names, open_run
from ml_dash.buffer.stream import Stream
from ml_dash.pace import Pace
from ml_dash.reading import RunView
from ml_dash.reading.check import check_run

QUIET = {"echo": False, "environment": False}
CAMERA = "robot/frames"
TOPIC = "robot/position"


def picture(shade: int = 0, height: int = 4, width: int = 6) -> np.ndarray:
    """A gray picture."""
    return np.full((height, width, 3), shade, np.uint8)


@pytest.fixture
def experiment(tmp_path: Path) -> Iterator[Experiment]:
    """A run that goes on."""
    experiment = Experiment("p/e", dash_root=tmp_path, **QUIET).run.start()
    yield experiment
    experiment.run.complete()


def view(experiment: Experiment) -> RunView:
    """The run as it reads now."""
    assert experiment.flush().ok
    assert experiment.folder is not None
    return open_run(experiment.folder)


def names(experiment: Experiment, camera: str = CAMERA) -> list[str]:
    """The names of a camera's frames, in order of time; none where it has none."""
    run = view(experiment)
    return run.frames(camera).names if camera in run.cameras else []


def steps(experiment: Experiment, topic: str = TOPIC) -> list[int]:
    """The steps of a track's rows."""
    return [entry["step"] for entry in experiment.track(topic).list_entries()]


def record(recorder: Recorder, step: int | None = None, *, shade: int = 0, **options: Any) -> int:
    """Record a row and a frame."""
    return recorder.record(
        step, tracks={TOPIC: {"x": shade}}, frames={CAMERA: picture(shade)}, **options
    )


# -- one step ------------------------------------------------------------------------------------


def test_what_a_call_records_shares_step_and_timestamp(experiment: Experiment) -> None:
    """Rows of tracks and metrics, frames of all cameras; rows name their frame."""
    recorder = experiment.recorder(format="png")
    step = recorder.record(
        12,
        tracks={TOPIC: {"x": 0.5, "time": 0.024}, "robot/joints": {"q": np.zeros(3)}},
        metrics={"train": {"loss": 0.5, "eval": {"acc": 1.0}}},
        frames={CAMERA: picture(1), "wrist": picture(2)},
    )
    assert step == 12
    (row,) = experiment.track(TOPIC).list_entries()
    (joints,) = experiment.track("robot/joints").list_entries()
    assert row == {
        "timestamp": row["timestamp"],
        "step": 12,
        "x": 0.5,
        "time": 0.024,
        "frame": "frame_00000012.png",
    }
    assert abs(row["timestamp"] - time.time()) < 60
    run = view(experiment)
    assert run.metrics["train"].to_numpy().keys() == {"timestamp", "step", "loss", "eval/acc"}
    found = {
        (float(table.timestamps[0]), int(table.steps[0]))
        for table in (run.tracks[TOPIC], run.tracks["robot/joints"], run.metrics["train"])
    } | {
        (float(run.frames(camera).timestamps[0]), int(run.frames(camera).steps[0]))
        for camera in (CAMERA, "wrist")
    }
    assert found == {(row["timestamp"], 12)}
    assert joints["frame"] == row["frame"] == run.frames("wrist").names[0]
    assert run.frames(CAMERA)[0].tolist() == picture(1).tolist()
    assert "step_from" not in run.files.list()[0]


def test_a_row_without_frames_names_none(experiment: Experiment) -> None:
    """The field `frame` is there where a frame is; a user's own is kept."""
    recorder = experiment.recorder()
    recorder.record(0, tracks={TOPIC: {"x": 1}})
    recorder.record(1, tracks={TOPIC: {"frame": "mine.jpg"}}, frames={CAMERA: picture()})
    rows = experiment.track(TOPIC).list_entries()
    assert [row.get("frame") for row in rows] == [None, "mine.jpg"]


def test_steps_count_on_by_themselves(experiment: Experiment) -> None:
    """From 0, or from one more than the last that was given; the call tells which."""
    recorder = experiment.recorder()
    given = [None, None, 10, None, 3, None, np.int64(20), None]
    told = [recorder.record(step, tracks={TOPIC: {}}) for step in given]
    assert told == [0, 1, 10, 11, 3, 4, 20, 21]
    assert all(type(step) is int for step in told)
    assert steps(experiment) == told


def test_a_given_timestamp_is_that_of_rows_and_frames(experiment: Experiment) -> None:
    """Rows with it are explicit, and so unite with others of that time."""
    recorder = experiment.recorder()
    recorder.record(1, 2.5, tracks={TOPIC: {"x": 1}}, frames={CAMERA: picture()})
    experiment.track(TOPIC).append({"y": 2}, timestamp=2.5)
    (row,) = experiment.track(TOPIC).list_entries()
    assert (row["timestamp"], row["x"], row["y"], row["step"]) == (2.5, 1, 2, 1)
    assert view(experiment).frames(CAMERA).timestamps.tolist() == [2.5]


@pytest.mark.parametrize("each", [False, True], ids=["one recorder", "one for each episode"])
def test_episodes_on_a_clock_that_begins_again_are_kept_apart(tmp_path: Path, each: bool) -> None:
    """Time and steps begin at 0 in each episode and session; no row replaces another."""
    for session in range(2):
        with Experiment("p/e", dash_root=tmp_path, **QUIET).run as experiment:
            recorder = experiment.recorder(format="png", frames_every=2)
            for episode in range(3):
                if each:
                    recorder = experiment.recorder(format="png", frames_every=2)
                for step in range(4):
                    shade = 40 * session + 10 * episode + step
                    record(recorder, step, shade=shade, timestamp=step / 10)
                    with recorder.step(step, step / 10):
                        experiment.track("inside").append({"x": shade})
    run = open_run("p/e", root=tmp_path)
    rows = run.aligned(TOPIC, "inside", frames=CAMERA)
    assert len(rows) == len(run.tracks[TOPIC]) == 24
    assert rows[f"{TOPIC}.x"].tolist() == rows["inside.x"].tolist()
    framed = [int(row) for row in np.flatnonzero(rows.has_frame())]
    assert [int(rows.frame(row)[0, 0, 0]) for row in framed] == [
        int(rows["inside.x"][row]) for row in framed
    ]
    assert len(framed) == 12


def test_an_episode_may_begin_with_the_time_of_the_one_before(experiment: Experiment) -> None:
    """The simulation is reset after its first row, or before the last one of the old episode."""
    recorder = experiment.recorder()
    ticks = [0.0, 0.1, 0.2, 0.2, 0.1, 0.2, 0.0, 0.0, 0.1]
    steps = [0, 1, 2, 0, 1, 2, 3, 0, 1]
    for number, (step, at) in enumerate(zip(steps, ticks, strict=True)):
        recorder.record(step, at, tracks={TOPIC: {"x": number}})
    assert len(experiment.track(TOPIC).list_entries()) == len(steps)


@pytest.mark.parametrize("forked", [False, True])
def test_the_time_of_day_does_not_begin_again(tmp_path: Path, forked: bool) -> None:
    """In a run that is continued two recorders with its stamps still write one row, others two."""
    for session in range(2):
        with Experiment("p/e", dash_root=tmp_path, **QUIET).run as experiment:
            begin = time.time()
            child = os.fork() if forked and session else None
            first, second = experiment.recorder(), experiment.recorder()
            for step in range(3):
                for at in (begin + step / 1000, step / 10):
                    first.record(step, at, tracks={TOPIC: {"x": session}})
                    second.record(step, at, tracks={TOPIC: {"y": session}})
            if child == 0:
                experiment.flush()
                os._exit(0)
            if child is not None:
                assert os.waitpid(child, 0)[1] == 0
    entries = list(open_run("p/e", root=tmp_path).tracks[TOPIC])
    both = [entry for entry in entries if {"x", "y"} <= entry.keys()]
    assert sorted(entry["x"] for entry in both) == [0] * 6 + [1] * 3
    assert len(entries) - len(both) == (12 if forked else 6)


def test_a_late_sample_does_not_begin_a_clock_again(experiment: Experiment) -> None:
    """What goes back in time only, or is of a step that was there, still unites."""
    recorder = experiment.recorder()
    for step, at in ((0, 0.0), (1, 0.1), (2, 0.05), (3, 0.3)):
        recorder.record(step, at, tracks={TOPIC: {"x": step}})
        recorder.record(step, at, tracks={TOPIC: {"y": step}})
    assert [(e["x"], e["y"]) for e in experiment.track(TOPIC).list_entries()] == [
        (0, 0), (2, 2), (1, 1), (3, 3)
    ]  # fmt: skip


def test_a_step_among_the_fields_must_be_that_of_the_call(experiment: Experiment) -> None:
    """As `Track.append` takes it; another one would belong to another step."""
    recorder = experiment.recorder()
    recorder.record(
        3, 1.5, tracks={TOPIC: {"step": 3, "timestamp": 1.5}}, metrics={"m": {"step": 3, "x": 1}}
    )
    assert steps(experiment) == [3]
    assert view(experiment).metrics["m"]["step"].tolist() == [3]
    for options in ({"tracks": {TOPIC: {"step": 4}}}, {"metrics": {"m": {"timestamp": 9.0}}}):
        with pytest.raises(ValueError, match="is given twice and differently"):
            recorder.record(3, 1.5, **options)


def test_what_is_recorded_may_be_changed_at_once(experiment: Experiment) -> None:
    """Frames and rows are copied before the call returns."""
    recorder = experiment.recorder(format="png")
    image, row = picture(0), {"x": np.zeros(2), "list": [0]}
    for step in range(20):
        recorder.record(step, tracks={TOPIC: row}, frames={CAMERA: image})
        image += 1
        row["x"] += 1
        row["list"][0] += 1
    run = view(experiment)
    assert [int(frame[0, 0, 0]) for frame in run.frames(CAMERA)] == list(range(20))
    assert run.tracks[TOPIC]["x"].tolist() == [[n, n] for n in range(20)]
    assert run.tracks[TOPIC]["list"].tolist() == [[n] for n in range(20)]


# -- pacing --------------------------------------------------------------------------------------


def paced(experiment: Experiment, calls: int, **options: Any) -> tuple[list[int], list[int]]:
    """The steps that got a row, and those for which a frame was asked for."""
    recorder = experiment.recorder(**options)
    asked: list[int] = []

    def camera(step: int) -> np.ndarray:
        asked.append(step)
        return picture()

    for step in range(calls):
        recorder.record(
            step, tracks={TOPIC: {"x": 1}}, frames={CAMERA: lambda step=step: camera(step)}
        )
    frames = view(experiment).frames(CAMERA).steps.tolist()
    assert frames == asked
    rows = experiment.track(TOPIC).list_entries()
    assert [row["step"] for row in rows if "frame" in row] == asked
    return [row["step"] for row in rows], asked


@pytest.mark.parametrize(
    ("options", "rows", "frames"),
    [
        ({}, [0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 3, 4, 5, 6]),
        ({"every": 3}, [0, 3, 6], [0, 3, 6]),
        ({"frames_every": 4}, [0, 1, 2, 3, 4, 5, 6], [0, 4]),
        ({"every": 2, "frames_every": 4}, [0, 2, 4, 6], [0, 4]),
        ({"every": 2, "frames_every": 3}, [0, 2, 3, 4, 6], [0, 3, 6]),
        ({"every": 100}, [0], [0]),
        ({"every": np.int64(5)}, [0, 5], [0, 5]),
    ],
)
def test_every_paces_rows_and_frames_and_frames_every_frames(
    experiment: Experiment, options: dict[str, Any], rows: list[int], frames: list[int]
) -> None:
    """Counted in calls from the first; a callable is called only when its frame is due."""
    assert paced(experiment, 7, **options) == (rows, frames)


def beats(hz: float, times: list[float], every: int = 1) -> list[float]:
    """The times at which a frame is due."""
    pace = Pace(every, None, hz)
    return [time for time in times if pace.due(time)[1]]


@pytest.mark.parametrize("start", [0.0, -50.0, 12345.678, 1.76e9])
def test_frames_come_at_most_so_often_a_second(start: float) -> None:
    """On any clock, today's epoch among them, and whatever its rounding."""
    times = [start + number * 0.002 for number in range(5000)]
    found = beats(30, times)
    assert len(found) == 300
    gaps = np.diff(found)
    assert gaps.min() >= 1 / 30 - 0.0021
    assert gaps.max() <= 1 / 30 + 0.0021
    assert beats(500, times) == times  # every call, although times are rounded
    assert len(beats(100, times)) == 1000
    assert beats(10_000, times) == times


def test_a_time_that_is_added_up_step_by_step_misses_no_beat() -> None:
    """As simulators count it."""
    times, now = [], 0.0
    for _ in range(100_000):
        times.append(now)
        now += 0.002
    assert len(beats(50, times)) == 10_000
    assert np.allclose(np.diff(beats(50, times)), 0.02)


def test_small_delays_do_not_add_up() -> None:
    """A loop that comes a little late each time still gets its frames."""
    generator = np.random.default_rng(1)
    times = [number * 0.01 + float(generator.random()) * 0.004 for number in range(10_000)]
    assert abs(len(beats(25, times)) - 2500) <= 2


def test_after_a_gap_comes_one_frame_not_as_many_as_were_missed() -> None:
    """And then one beat after the other."""
    assert beats(10, [0.0, 0.05, 0.1, 5.0, 5.01, 5.05, 5.1, 5.11]) == [0.0, 0.1, 5.0, 5.1]


def test_a_clock_that_goes_back_begins_anew() -> None:
    """A simulation that is reset does not wait until its time has come again."""
    times = [0.0, 0.1, 0.2, 0.3, 0.0, 0.05, 0.1, 0.2]
    assert beats(10, times) == [0.0, 0.1, 0.2, 0.3, 0.0, 0.1, 0.2]


def test_hz_paces_frames_by_given_time(experiment: Experiment) -> None:
    """Rows are recorded all the same; frames are due by the calls' timestamps."""
    recorder = experiment.recorder(hz=10)
    for step in range(50):
        record(recorder, step, timestamp=step * 0.02)
    assert steps(experiment) == list(range(50))
    assert view(experiment).frames(CAMERA).steps.tolist() == list(range(0, 50, 5))


def test_hz_paces_frames_by_wall_time(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no timestamp is given, by the clock that stamps the rows."""
    now = iter(1.76e9 + number * 0.02 for number in range(1000))
    recorder = experiment.recorder(hz=10)
    monkeypatch.setattr("ml_dash.clock.now", lambda: next(now))
    for step in range(50):
        recorder.record(step, frames={CAMERA: picture} if step < 25 else {})
    monkeypatch.undo()
    assert view(experiment).frames(CAMERA).steps.tolist() == [0, 5, 10, 15, 20]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"every": 0}, "every is 0"),
        ({"every": True}, "every is True"),
        ({"every": 1.5}, "every is 1.5"),
        ({"frames_every": -1}, "frames_every is -1"),
        ({"frames_every": "2"}, "frames_every is '2'"),
        ({"hz": 0}, "hz is 0"),
        ({"hz": -1.0}, "hz is -1.0"),
        ({"hz": math.inf}, "hz is inf"),
        ({"hz": math.nan}, "hz is nan"),
        ({"hz": "10"}, "hz is '10'"),
        ({"hz": 10, "frames_every": 2}, "give one"),
        ({"format": "gif"}, "format is 'gif'"),
        ({"format": "PNG"}, "format is 'PNG'"),
        ({"quality": 0}, "quality=0"),
        ({"quality": 101}, "quality=101"),
        ({"size": (0, 10)}, "size=.0, 10."),
        ({"size": 128}, "size=128"),
    ],
)
def test_a_wrong_option_is_refused_by_name(
    experiment: Experiment, options: dict[str, Any], text: str
) -> None:
    """When the recorder is made, not in the middle of training."""
    with pytest.raises(ValueError, match=text):
        experiment.recorder(**options)


# -- frames --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("format", "kind"), [("jpg", "jpeg"), ("jpeg", "jpeg"), ("png", "png")])
def test_the_format_is_that_of_the_frames(experiment: Experiment, format: str, kind: str) -> None:
    """JPEG with its quality, PNG exact."""
    small = experiment.recorder(format=format, quality=5)
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    small.record(0, frames={CAMERA: noise})
    experiment.recorder(format=format).record(1, frames={CAMERA: noise})
    run = view(experiment)
    first, second = run.files.list()
    assert first["path"].endswith(f"frame_00000000.{format}")
    assert first["content_type"] == f"image/{kind}"
    assert (first["size"] < second["size"] / 2) == (kind == "jpeg")
    assert np.array_equal(run.frames(CAMERA)[1], noise) == (kind == "png")


def test_size_scales_the_frames_down(experiment: Experiment) -> None:
    """To height and width; what is smaller or wider, too."""
    recorder = experiment.recorder(size=(8, 10), format="png")
    ramp = np.repeat(np.repeat(np.arange(4, dtype=np.uint8) * 60, 10)[None, :], 32, axis=0)
    recorder.record(0, frames={CAMERA: ramp, "small": picture(7, 2, 2)})
    run = view(experiment)
    (row,) = (row for row in run.files.list() if row["path"].startswith(CAMERA))
    assert (row["height"], row["width"], row["channels"]) == (8, 10, 1)
    frame = run.frames(CAMERA)[0]
    assert frame.shape == (8, 10)
    assert (frame[:, 0], frame[:, -1].tolist()) == (pytest.approx(0), [180] * 8)
    assert run.frames("small")[0].tolist() == picture(7, 8, 10).tolist()


def test_anything_that_is_an_image_is_a_frame(experiment: Experiment) -> None:
    """Floats, gray, alpha, PIL images, tensors; several cameras of different shapes."""
    image = pytest.importorskip("PIL.Image")
    torch = pytest.importorskip("torch")
    recorder = experiment.recorder(format="png")
    recorder.record(
        0,
        frames={
            "float": np.full((2, 3, 3), 0.5),
            "gray": np.zeros((2, 3), bool),
            "alpha": np.zeros((2, 3, 4), np.uint8),
            "pil": image.new("RGB", (3, 2), (1, 2, 3)),
            "tensor": torch.zeros((2, 3, 1), dtype=torch.uint8),
            "turned": picture()[::-1],
        },
    )
    run = view(experiment)
    shapes = {camera: run.frames(camera)[0].shape for camera in run.cameras}
    assert shapes["float"] == (2, 3, 3)
    assert shapes["gray"] == shapes["tensor"] == (2, 3)
    assert shapes["alpha"] == (2, 3, 4)
    assert run.frames("pil")[0][0, 0].tolist() == [1, 2, 3]
    assert run.frames("turned")[0].shape == (4, 6, 3)


def test_steps_that_repeat_or_go_back_overwrite_no_frame(experiment: Experiment) -> None:
    """Each has a name of its own, and its rows name that."""
    recorder = experiment.recorder(format="png")
    order = [0, 1, 1, 2, 0, 1, 5, 5, 5, 3, -1, -1]
    for shade, step in enumerate(order):
        record(recorder, step, shade=shade)
    found = names(experiment)
    assert len(set(found)) == len(order)
    frames = view(experiment).frames(CAMERA)
    shown = dict(zip(frames.names, (int(frame[0, 0, 0]) for frame in frames), strict=True))
    rows = experiment.track(TOPIC).list_entries()
    assert [row["step"] for row in rows] == order
    assert [shown[row["frame"]] for row in rows] == list(range(len(order)))
    assert [name for name in found if len(name) == len("frame_00000000.png")][:2] == [
        "frame_00000000.png",
        "frame_00000001.png",
    ]


def test_recorders_beside_each_other_overwrite_no_frame(experiment: Experiment) -> None:
    """Several in one process, in several threads, of one camera."""
    gate = threading.Barrier(4)

    def work(number: int) -> None:
        recorder = experiment.recorder(format="png")
        gate.wait()
        for step in range(25):
            record(recorder, step, shade=number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    frames = view(experiment).frames(CAMERA)
    assert len(set(frames.names)) == len(frames) == 100
    assert sorted(int(frame[0, 0, 0]) for frame in frames) == sorted(list(range(4)) * 25)


def test_a_run_that_is_continued_overwrites_no_frame(tmp_path: Path) -> None:
    """Not in later sessions, nor in an experiment beside it, nor in a forked child."""
    script = """
import numpy as np
def record(experiment, shade):
    recorder = experiment.recorder(format="png")
    for step in range(3):
        recorder.record(
            step, tracks={"a": {"s": shade}}, frames={"c": np.full((2, 2), shade, np.uint8)}
        )
options = dict(dash_root=root, echo=False, environment=False)
for shade in (0, 1):
    with Experiment("p/e", **options).run as experiment:
        record(experiment, shade)
with Experiment("p/e", **options).run as one, Experiment("p/e", **options).run as two:
    record(one, 2)
    record(two, 3)
    child = os.fork()
    if child == 0:
        record(one, 4)
        one.run.complete()
        os._exit(0)
    record(one, 2)
    assert os.waitpid(child, 0)[1] == 0
"""
    code, _, err = run(tmp_path, script)
    assert code == 0, err
    found = open_run("p/e", root=tmp_path / "dash")
    frames = found.frames("c")
    assert len(set(frames.names)) == len(frames) == 18
    shown = dict(zip(frames.names, (int(frame[0, 0]) for frame in frames), strict=True))
    rows = list(found.tracks["a"])
    assert len(rows) == 18
    assert all(shown[row["frame"]] == row["s"] for row in rows)
    assert frames.names[:3] == [f"frame_0000000{step}.png" for step in range(3)]
    report = found.aligned("a", frames="c").report
    assert (report.rows, report.frames_without_row, report.frames_gone) == (18, 0, 0)


def test_frames_of_a_run_in_memory_are_named_anew_by_each_session() -> None:
    """There, too, nothing is overwritten."""
    backend = MemoryBackend()
    for shade in range(2):
        with Experiment("p/e", backend=backend, **QUIET).run as experiment:
            record(experiment.recorder(format="png"), 0, shade=shade)
    frames = RunView(backend).frames(CAMERA)
    assert [int(frame[0, 0, 0]) for frame in frames] == [0, 1]


# -- steps shared --------------------------------------------------------------------------------


def test_an_open_step_is_joined_by_all_recorders_of_the_run(experiment: Experiment) -> None:
    """So that a simulator's hook and an environment's wrapper record one step together."""
    hook, wrapper = experiment.recorder(format="png"), experiment.recorder(format="png")
    with hook.step(7) as step:
        assert step == 7
        hook.record(tracks={TOPIC: {"x": 1}}, frames={CAMERA: picture(1)})
        assert wrapper.record(tracks={"env": {"reward": 1.0}}) == 7
        wrapper.record(7, metrics={"train": {"loss": 1}}, frames={"env": picture(2)})
    run = view(experiment)
    times = [
        *run.tracks[TOPIC].timestamps,
        *run.tracks["env"].timestamps,
        *run.metrics["train"].timestamps,
        *run.frames(CAMERA).timestamps,
        *run.frames("env").timestamps,
    ]
    assert len(times) == 5
    assert len(set(times)) == 1
    assert steps(experiment) == steps(experiment, "env") == [7]
    assert run.frames(CAMERA).names == run.frames("env").names
    assert hook.record() == wrapper.record() == 8


def test_an_open_step_has_its_timestamp(experiment: Experiment) -> None:
    """Given once, when it is opened."""
    recorder, other = experiment.recorder(), experiment.recorder()
    with recorder.step(3, 1.25):
        other.record(tracks={TOPIC: {"x": 1}})
        other.record(timestamp=1.25, tracks={TOPIC: {"y": 2}})
        with pytest.raises(ValueError, match=r"timestamp 2\.5 .* 1\.25"):
            other.record(timestamp=2.5, tracks={TOPIC: {"z": 3}})
    (row,) = experiment.track(TOPIC).list_entries()
    assert row == {"timestamp": 1.25, "step": 3, "x": 1, "y": 2}


def test_another_step_inside_an_open_one_is_refused(experiment: Experiment) -> None:
    """The message says which is open and what to leave out; nothing is recorded."""
    recorder = experiment.recorder()
    with recorder.step(3):
        with pytest.raises(ValueError, match="step 4 was given while step 3 is open"):
            record(recorder, 4)
        with pytest.raises(ValueError, match="step 4"), recorder.step(4):
            pytest.fail("it opened")
        with recorder.step(3) as step, recorder.step() as inner:
            assert step == inner == 3
    assert recorder.record() == 4
    assert names(experiment) == []


def test_an_open_step_ends_with_its_block(experiment: Experiment) -> None:
    """Also when it is left by an exception; steps count on by themselves."""
    recorder = experiment.recorder()
    with pytest.raises(RuntimeError), recorder.step():
        raise RuntimeError
    with recorder.step() as step:
        assert step == 1
    assert recorder.record(9, tracks={TOPIC: {}}) == 9


def test_steps_of_other_runs_and_threads_are_their_own(tmp_path: Path) -> None:
    """A step is open for one run and one flow of control."""
    with (
        Experiment("a", dash_root=tmp_path, **QUIET).run as one,
        Experiment("b", dash_root=tmp_path, **QUIET).run as two,
    ):
        first, second = one.recorder(), two.recorder()
        told: list[int] = []
        with first.step(5), second.step(6):
            assert (first.record(), second.record()) == (5, 6)
            thread = threading.Thread(target=lambda: told.append(first.record(1)))
            thread.start()
            thread.join()
        assert told == [1]


def test_direct_calls_inside_an_open_step_join_it(experiment: Experiment) -> None:
    """Rows, metrics, files and messages that have no step of their own; only in its thread."""
    recorder = experiment.recorder()
    track, metric = experiment.track(TOPIC), experiment.metrics("train")
    experiment.track("warm").append({"x": 0})
    with recorder.step(5):
        recorder.record(tracks={"env": {"reward": 1.0}})
        track.append({"x": 1})
        metric.log(loss=0.5)
        metric.log(step=5, loss=0.25)
        experiment.files(CAMERA).save_image(picture(), to="a.png")
        experiment.files(CAMERA).save_image(picture(), to="frame_9.png")
        experiment.log("hello")
        experiment.logs.info("again")
        thread = threading.Thread(target=track.append, args=({"x": 2},))
        thread.start()
        thread.join()
    run = view(experiment)
    moment = run.tracks["env"].timestamps[0]
    assert run.metrics["train"].steps.tolist() == [5, 5]
    assert run.frames(CAMERA).steps.tolist() == [5, 5]
    stamps = *run.metrics["train"].timestamps, *run.frames(CAMERA).timestamps
    assert {run.tracks[TOPIC].timestamps[0], *stamps} == {moment}
    assert [row.get("step") for row in track.list_entries()] == [5, None]
    assert [row["step"] for row in run.logs] == [5, 5]


def test_direct_calls_with_a_step_or_time_of_their_own_keep_it(experiment: Experiment) -> None:
    """Inside an open step, after it, and in the block of another run's recorder."""
    with experiment.recorder().step(5, 1.5):
        experiment.track(TOPIC).append({"x": 1}, step=7)
        experiment.track(TOPIC).append({"x": 2}, timestamp=2.5)
        experiment.track(TOPIC).append({"x": 3})
        experiment.metrics("train").log(step=7, loss=1)
        experiment.metrics("train").log(timestamp=2.5, loss=1)
        experiment.files(CAMERA).save_image(picture(), to="a.png", step=7)
        experiment.log("hello", step=7)
    experiment.track(TOPIC).append({"x": 4})
    run = view(experiment)
    rows = sorted(experiment.track(TOPIC).list_entries(), key=lambda row: row["x"])
    assert [row.get("step") for row in rows] == [7, None, 5, None]
    assert rows[1]["timestamp"] == 2.5
    assert rows[2]["timestamp"] == 1.5
    assert min(rows[0]["timestamp"], rows[3]["timestamp"]) > 1e9
    assert run.frames(CAMERA).steps.tolist() == [7]
    assert run.frames(CAMERA).timestamps[0] > 1e9
    assert [row["step"] for row in run.logs] == [7]
    assert [row.get("step") for row in run.metrics["train"].rows()] == [None, 7]


def test_a_begun_step_is_joined_until_the_next_one_begins(experiment: Experiment) -> None:
    """Other recorders share its step, timestamp and frames' name, without being told of it."""
    wrapper, hook = experiment.recorder(format="png"), experiment.recorder()
    first = wrapper.begin()
    assert hook.record(tracks={"hook": {"x": 0}}, frames={CAMERA: picture()}) == 0
    second = wrapper.begin()
    assert hook.record(tracks={"hook": {"x": 1}}, frames={CAMERA: picture()}) == 1
    assert wrapper.record(first, tracks={"env": {"t": 0}}, frames={"env": picture()}) == 0
    assert wrapper.record(second, tracks={"env": {"t": 1}}, frames={"env": picture()}) == 1
    wrapper.end()
    assert hook.record(tracks={"hook": {"x": 2}}) == 2
    hook.record(wrapper.begin(7))
    wrapper.end()
    assert hook.record() == 8
    run = view(experiment)
    assert steps(experiment, "env") == [0, 1]
    assert steps(experiment, "hook") == [0, 1, 2]
    assert list(run.tracks["env"].timestamps) == list(run.tracks["hook"].timestamps[:2])
    stems = [name.partition(".")[0] for name in run.frames(CAMERA).names]
    assert stems == [name.partition(".")[0] for name in run.frames("env").names]
    assert run.frames("env").names == ["frame_00000000.png", "frame_00000001.png"]


def test_a_begun_step_leaves_others_their_own(experiment: Experiment, tmp_path: Path) -> None:
    """Another step, another run, another thread, direct calls, a recorder that is gone."""
    wrapper, other = experiment.recorder(), experiment.recorder()
    moment = wrapper.begin(10)
    assert other.record(3, tracks={TOPIC: {"x": 0}}) == 3
    experiment.track(TOPIC).append({"x": 1})
    told: list[int] = []
    thread = threading.Thread(target=lambda: told.append(other.record()))
    thread.start()
    thread.join()
    with Experiment("b", dash_root=tmp_path, **QUIET).run as second:
        assert second.recorder().record() == 0
        with pytest.raises(ValueError, match="another run"):
            second.recorder().record(moment)
    assert told == [4]
    assert [row.get("step") for row in experiment.track(TOPIC).list_entries()] == [3, None]
    assert other.record() == 10
    del wrapper
    gc.collect()
    assert other.record() == 11


def test_a_begun_step_gives_way_to_an_open_one(experiment: Experiment) -> None:
    """A block is what the user asked for: also the step that begins inside belongs to it."""
    wrapper, hook = experiment.recorder(), experiment.recorder()
    wrapper.begin(1)
    with hook.step(7):
        assert wrapper.record() == hook.record() == 7
        assert wrapper.begin().step == 7
        assert wrapper.begin(9).step == 9
        assert hook.record() == 7
    assert hook.record() == 9


def test_a_begun_step_has_the_time_of_its_first_record(experiment: Experiment) -> None:
    """It may begin before that which it describes, such as an environment's step, has happened."""
    recorder = experiment.recorder()
    moment = recorder.begin()
    before = time.time()
    experiment.track("clock").append({})
    recorder.record(tracks={TOPIC: {}})
    assert before - 1 < view(experiment).tracks["clock"].timestamps[0] < moment.timestamp
    assert recorder.begin(timestamp=4.5).timestamp == 4.5


def test_the_moment_to_join_can_be_asked_for(experiment: Experiment) -> None:
    """Asking changes nothing; there is none outside blocks and begun steps."""
    recorder, other = experiment.recorder(), experiment.recorder()
    assert recorder.current() is None
    moment = other.begin()
    assert recorder.current() is moment
    with recorder.step(7):
        block = recorder.current()
        assert block is not None and block.step == 7
    assert recorder.current() is moment
    other.end()
    assert recorder.current() is None


def test_a_signal_handler_may_end_the_run_while_a_frame_is_named(experiment: Experiment) -> None:
    """What is recorded last, by whatever asked for that, finds the lock its own thread's."""
    recorder = experiment.recorder()
    named: list[str] = []

    def interrupted() -> None:
        with frame_names._lock:  # where a signal hardly ever hits
            named.append(recorder.name_frames(recorder.begin(5), ["a"]))

    thread = threading.Thread(target=interrupted, daemon=True)
    thread.start()
    thread.join(10)
    assert named == ["frame_00000005.jpg"]


def test_frames_may_come_later_under_the_name_they_were_promised(experiment: Experiment) -> None:
    """As when they are rendered after the run; a second frame of a camera gets another name."""
    recorder = experiment.recorder(format="png")
    moment = recorder.begin(5)
    name = recorder.name_frames(moment, ["a", "b"])
    recorder.record(moment, tracks={TOPIC: {"frame": name}}, frames={"c": picture(1)})
    assert recorder.name_frames(moment, ["a"]) == "frame_r1_00000005.png"
    recorder.end()
    for camera in "ab":
        experiment.files(camera).save_image(
            picture(2), to=name, step=moment.step, timestamp=moment.timestamp
        )
    run = view(experiment)
    assert run.frames("a").names == run.frames("b").names == run.frames("c").names == [name]
    aligned = run.aligned(TOPIC, frames="a")
    assert len(aligned) == 1 and aligned.report.rows_without_frame == 0


def test_two_frames_of_a_camera_in_one_step_are_both_kept(experiment: Experiment) -> None:
    """The second has a name of its own, which its row names."""
    recorder = experiment.recorder(format="png")
    with recorder.step(3):
        for shade in (10, 20):
            recorder.record(tracks={TOPIC: {"x": shade}}, frames={CAMERA: picture(shade)})
    frames = view(experiment).frames(CAMERA)
    assert sorted(int(frame[0, 0, 0]) for frame in frames) == [10, 20]
    rows = experiment.track(TOPIC).list_entries()
    assert {row["frame"] for row in rows} == {"frame_00000003.png", "frame_r1_00000003.png"}


def test_a_step_counts_once_for_the_pace_of_each_recorder(experiment: Experiment) -> None:
    """However many calls join it: a frame that is due is due for all of them."""
    recorder = experiment.recorder(every=2, format="png")
    for step in range(4):
        with recorder.step(step):
            recorder.record(tracks={TOPIC: {"x": 1}})
            recorder.record(frames={CAMERA: picture})
    assert steps(experiment) == [0, 2]
    assert view(experiment).frames(CAMERA).steps.tolist() == [0, 2]


# -- all or nothing ------------------------------------------------------------------------------

BAD_CALLS = {
    "value": {"tracks": {TOPIC: {"x": 1}, "b": {"y": object()}}},
    "reserved key": {"tracks": {TOPIC: {"x": 1}, "b": {"_y": 1}}},
    "topic": {"tracks": {TOPIC: {"x": 1}, "../b": {"y": 1}}},
    "data": {"tracks": {TOPIC: {"x": 1}, "b": [1]}},
    "metric": {"tracks": {TOPIC: {"x": 1}}, "metrics": {"m": {"x": 1}, "..": {"x": 1}}},
    "metric value": {"tracks": {TOPIC: {"x": 1}}, "metrics": {"m": {"x": 1j}}},
    "long row": {"tracks": {TOPIC: {"x": 1}, "b": {"y": "x" * (16 << 20)}}},
    "frame": {"tracks": {TOPIC: {"x": 1}}, "frames": {CAMERA: picture(), "b": np.zeros(3)}},
    "no frame": {"tracks": {TOPIC: {"x": 1}}, "frames": {CAMERA: picture(), "b": None}},
    "camera": {"tracks": {TOPIC: {"x": 1}}, "frames": {CAMERA: picture(), "../b": picture()}},
    "camera name": {"tracks": {TOPIC: {"x": 1}}, "frames": {CAMERA: picture(), 5: picture()}},
    "too wide": {
        "tracks": {TOPIC: {"x": 1}},
        "frames": {CAMERA: picture(), "b": np.zeros((1, 70_000), np.uint8)},
    },
    "step": {"step": 1.5, "tracks": {TOPIC: {"x": 1}}},
    "timestamp": {"timestamp": math.nan, "tracks": {TOPIC: {"x": 1}}},
    "tracks": {"tracks": [1], "frames": {CAMERA: picture()}},
    "metrics": {"metrics": "m", "tracks": {TOPIC: {"x": 1}}},
    "frames": {"frames": picture(), "tracks": {TOPIC: {"x": 1}}},
}


@pytest.mark.parametrize("name", BAD_CALLS)
@pytest.mark.parametrize("buffered", [True, False], ids=["buffered", "synchronous"])
def test_a_call_with_anything_bad_in_it_records_nothing(
    tmp_path: Path, name: str, buffered: bool
) -> None:
    """Rows, metrics and frames are all checked before the first of them is written."""
    with Experiment("p/e", dash_root=tmp_path, buffer_enabled=buffered, **QUIET).run as experiment:
        recorder = experiment.recorder()
        with pytest.raises((TypeError, ValueError)) as caught:
            recorder.record(**BAD_CALLS[name])
        assert len(str(caught.value)) < 1000
        assert experiment.track.names == []
        assert experiment.metrics.names == []
        assert experiment.files.list() == []
        record(recorder, 1)
        assert steps(experiment) == [1]
    assert len(open_run("p/e", root=tmp_path).frames(CAMERA)) == 1


def test_a_camera_behind_a_link_records_nothing(experiment: Experiment, tmp_path: Path) -> None:
    """A link planted in the run is found before anything of the call is written."""
    assert experiment.folder is not None
    data = experiment.folder / "files/data"
    data.mkdir(parents=True)
    (data / "b").symlink_to(tmp_path)
    recorder = experiment.recorder()
    with pytest.raises(ValueError, match="link inside the run"):
        recorder.record(0, tracks={TOPIC: {"x": 1}}, frames={CAMERA: picture(), "b": picture()})
    assert experiment.track.names == []
    assert names(experiment) == []


def test_an_exception_of_a_camera_records_nothing(experiment: Experiment) -> None:
    """A renderer that fails is the user's affair: its error goes on its way."""

    def broken() -> np.ndarray:
        raise RuntimeError("no display")

    recorder = experiment.recorder()
    with pytest.raises(RuntimeError, match="no display"):
        recorder.record(0, tracks={TOPIC: {"x": 1}}, frames={CAMERA: picture(), "b": broken})
    assert experiment.track.names == []
    assert names(experiment) == []


def test_a_frame_never_comes_without_its_rows(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are handed over first, so that a kill in between leaves no frame alone."""
    recorder = experiment.recorder()
    calls: list[str] = []
    buffer = recorder._buffer
    put, submit = Stream.put, buffer.submit
    monkeypatch.setattr(Stream, "put", lambda *a: (calls.append("row"), put(*a))[1])
    buffer.submit = lambda *a: (calls.append("frame"), submit(*a))[1]  # type: ignore[method-assign]
    recorder.record(
        0,
        tracks={TOPIC: {"x": 1}},
        metrics={"m": {"x": 1}},
        frames={CAMERA: picture(), "b": picture()},
    )
    assert calls == ["row", "row", "frame", "frame"]


# -- lenient -------------------------------------------------------------------------------------


def test_without_strictness_a_value_is_stored_as_its_repr(experiment: Experiment) -> None:
    """For adapters, which take what they are given; the rest is as ever."""
    recorder = experiment.recorder(strict=False)
    for step in range(2):
        recorder.record(
            step,
            tracks={TOPIC: {"x": 1, "odd": 1j, "deep": {"a": [b"x"]}}},
            metrics={"m": {"odd": 2j, "loss": 0.5}},
        )
    rows = experiment.track(TOPIC).list_entries()
    assert rows[1]["odd"] == "1j"
    assert rows[1]["deep"] == {"a": ["b'x'"]}
    assert experiment.metrics("m").read()["data"][0]["data"]["odd"] == "2j"


def test_without_strictness_a_bad_frame_is_left_out_and_counted(
    experiment: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    """With one warning; the rows of its step are kept and name no frame that never comes."""
    recorder = experiment.recorder(strict=False, format="png")
    for step in range(3):
        recorder.record(
            step, tracks={TOPIC: {"x": 1}}, frames={CAMERA: np.zeros(3), "b": picture()}
        )
    recorder.record(3, tracks={TOPIC: {"x": 1}}, frames={CAMERA: None})
    report = experiment.flush()
    assert report.lost == {f"frames {CAMERA}": 4}
    assert len([r for r in caplog.records if CAMERA in r.getMessage()]) == 1
    rows = experiment.track(TOPIC).list_entries()
    assert [row["step"] for row in rows] == [0, 1, 2, 3]
    assert ["frame" in row for row in rows] == [True, True, True, False]
    assert len(open_run(experiment.folder).frames("b")) == 3


def test_a_function_that_returns_none_has_no_picture_this_time(
    experiment: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    """Its rows are kept and name no frame that never comes; it is said once, nothing is lost."""
    recorder = experiment.recorder()
    for step in range(4):
        recorder.record(
            step,
            tracks={TOPIC: {"x": 1}},
            frames={
                CAMERA: lambda step=step: picture() if step == 3 else None,
                "b": lambda step=step: picture() if step % 2 else None,
            },
        )
    recorder.record(3, frames={"b": picture()})  # of a step whose name is in use
    assert experiment.flush().ok
    rows = experiment.track(TOPIC).list_entries()
    assert ["frame" in row for row in rows] == [False, True, False, True]
    assert len([r for r in caplog.records if "None was returned" in r.getMessage()]) == 2
    run = open_run(experiment.folder)
    assert (run.frames(CAMERA).steps.tolist(), run.frames("b").steps.tolist()) == ([3], [1, 3, 3])
    aligned = run.aligned(TOPIC, frames=[CAMERA, "b"])
    assert aligned.has_frame(CAMERA).tolist() == [False, False, False, True]
    assert aligned.has_frame("b")[:4].tolist() == [False, True, False, True]
    assert check_run(experiment.folder).findings == []


def test_none_in_place_of_a_picture_is_refused_with_what_to_do(experiment: Experiment) -> None:
    """It may be a slip; who means it leaves the camera out, or gives a function."""
    with pytest.raises(ValueError, match=r"frame 'b': None is no picture; leave the camera out"):
        experiment.recorder().record(1, tracks={TOPIC: {"x": 1}}, frames={"b": None})
    assert experiment.track(TOPIC).list_entries() == []


# -- reading it back -----------------------------------------------------------------------------


def test_aligned_joins_what_the_recorder_wrote(experiment: Experiment) -> None:
    """Rows of all topics, and every fourth a frame, of steps that also repeat and go back."""
    recorder = experiment.recorder(frames_every=4, format="png")
    order = [*range(20), *range(10), *range(5, 15)]
    for shade, step in enumerate(order):
        recorder.record(
            step,
            tracks={TOPIC: {"x": shade}, "robot/control": {"u": -shade}},
            frames={CAMERA: picture(shade)},
        )
    run = view(experiment)
    aligned = run.aligned(TOPIC, "robot/control", frames=CAMERA)
    assert aligned.steps.tolist() == order
    assert aligned[TOPIC]["x"].tolist() == list(range(40))
    assert aligned["robot/control"]["u"].tolist() == [-n for n in range(40)]
    assert aligned.has_frame().tolist() == [n % 4 == 0 for n in range(40)]
    for number in range(0, 40, 4):
        frame = aligned.frame(number)
        assert frame is not None
        assert int(frame[0, 0, 0]) == number
    assert (aligned.report.frames_without_row, aligned.report.frames_gone) == (0, 0)


def test_a_kill_leaves_no_frame_without_its_rows(tmp_path: Path) -> None:
    """Whatever the moment: each frame that is in the index belongs to rows that are there."""
    script = """
import numpy as np
experiment = Experiment("p/e", dash_root=root, echo=False, environment=False)
recorder = experiment.run.start().recorder(format="png")
print("up", flush=True)
for step in range(10**9):
    recorder.record(
        step, tracks={"a": {"x": step}}, frames={"c": np.full((3, 3), step % 256, np.uint8)}
    )
"""
    from scripts import start, wait_for_line

    process = start(tmp_path, script)
    wait_for_line(process, "up")
    wait_until(lambda: len(list((tmp_path / "dash/p/e").glob("files/data/c/*.png"))) > 200)
    process.kill()
    process.communicate()
    found = open_run("p/e", root=tmp_path / "dash")
    aligned = found.aligned("a", frames="c")
    assert aligned.report.frames_without_row == 0
    # Some files may have been killed before their rows.
    assert int(aligned.has_frame().sum()) == len(found.frames("c")) > 100
    for number in np.flatnonzero(aligned.has_frame())[-20:]:
        assert aligned.frame(int(number))[0, 0] == aligned["a"]["x"][number] % 256


def test_a_call_off_the_beat_costs_next_to_nothing(experiment: Experiment) -> None:
    """A hook is called at every step of a simulator; most of them record nothing."""
    recorder = experiment.recorder(every=1 << 30)
    recorder.record(0, tracks={TOPIC: {}})
    row: dict[str, Any] = {TOPIC: {"x": 1.0}}
    called = calls_of(lambda: [recorder.record(tracks=row) for _ in range(100)])
    assert called <= 100 * 20, "calls, not seconds: a busy machine makes no more of them"
    assert steps(experiment) == [0]
    assert recorder.record() == 101


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_recorder_goes_on_in_a_forked_child(tmp_path: Path) -> None:
    """While threads of its parent record; neither waits for the other's locks."""
    script = """
import numpy as np
experiment = Experiment("p/e", dash_root=root, echo=False, environment=False)
recorder = experiment.run.start().recorder(format="png")
stop = threading.Event()
def busy():
    own = experiment.recorder(format="png")
    while not stop.is_set():
        own.record(frames={"busy": np.zeros((2, 2), np.uint8)})
        time.sleep(0.0005)
threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads:
    thread.start()
for number in range(10):
    child = os.fork()
    if child == 0:
        recorder.record(number, tracks={"a": {"x": 1}}, frames={"c": np.zeros((2, 2), np.uint8)})
        experiment.run.complete()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads:
    thread.join()
experiment.run.complete()
"""
    code, _, err = run(tmp_path, script)
    assert code == 0, err
    found = open_run("p/e", root=tmp_path / "dash")
    assert sorted(found.frames("c").steps.tolist()) == list(range(10))
    assert len(set(found.frames("busy").names)) == len(found.frames("busy"))
    assert found.status == "COMPLETED"
