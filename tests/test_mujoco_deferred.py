"""Frames that are drawn after the simulation: the same as without deferring, wherever drawn."""

import signal
import subprocess
import sys

import mujoco
import numpy as np
import pytest
from mujoco_models import SIZE, make, needs_opengl, restart

import ml_dash
from ml_dash import Experiment
from ml_dash_mujoco import RenderHook, deferred, render_deferred

FOLDERS = ("mujoco/front", "mujoco/front_depth", "mujoco/front_segmentation")


def record(root, name, *, steps=12, draw=True, cameras=("front",), **options):
    """Record a simulation of two episodes; the experiment, whose run has ended."""
    model, data = make()
    with Experiment(name, dash_root=root, environment=False).run as experiment:
        options = {"size": SIZE, "every": 3, "depth": True, "segmentation": True, **options}
        with RenderHook(experiment, model, cameras, **options) as hook:
            for _ in range(2):
                restart(model, data)
                for _ in range(steps):
                    mujoco.mj_step(model, data)
                    hook(data)
        if options.get("deferred") and draw:
            hook.render_deferred(progress=False)
        assert hook.failures == 0
    return experiment


def opened(experiment):
    """The run, read."""
    return ml_dash.open_run(experiment.folder)


def same(run, other, folders=FOLDERS):
    """Whether two runs have the same frames under the same names, and rows that name them."""
    for folder in folders:
        frames, others = run.frames(folder), other.frames(folder)
        assert frames.names == others.names and len(frames)
        assert frames.steps.tolist() == others.steps.tolist()
        for i in range(len(frames)):
            assert frames.read_bytes(i) == others.read_bytes(i)
    for column in ("step", "frame", "time", "episode", "qpos", "sensor.tip"):
        assert np.array_equal(
            run.tracks["mujoco/state"][column], other.tracks["mujoco/state"][column]
        )
    return True


@needs_opengl
@pytest.mark.parametrize("image_format", ["jpg", "png"])
def test_deferred_frames_are_those_drawn_at_once(tmp_path, image_format):
    """To the last byte, under the same steps and names, and their rows name them."""
    now = opened(record(tmp_path, "now", image_format=image_format))
    later = opened(record(tmp_path, "later", image_format=image_format, deferred=True))
    assert same(now, later)
    state, frames = later.tracks["mujoco/state"], later.frames("mujoco/front")
    assert frames.timestamps.tolist() == state.timestamps.tolist()
    assert len(later.aligned("mujoco/state", frames=list(FOLDERS), on="step")) == 8


def test_a_deferred_loop_draws_nothing(tmp_path, monkeypatch):
    """What it keeps is the state, complete enough to go on from."""
    monkeypatch.setattr(deferred.Painter, "draw", None)
    run = opened(record(tmp_path, "later", deferred=True, draw=False))
    assert not run.cameras
    kept = run.tracks["mujoco/deferred"]
    model, data = make()
    restart(model, data)
    for _ in range(4):
        mujoco.mj_step(model, data)
    state = int(mujoco.mjtState.mjSTATE_INTEGRATION)
    expected = np.zeros(mujoco.mj_stateSize(model, state))
    mujoco.mj_getState(model, data, expected, state)
    assert np.array_equal(kept["state"][1], expected)
    assert kept["frame"].tolist() == run.tracks["mujoco/state"]["frame"].tolist()


@needs_opengl
def test_another_process_can_draw_later(tmp_path):
    """The model is in the run; nothing but the run's name is needed."""
    now = opened(record(tmp_path, "now"))
    experiment = record(tmp_path, "later", deferred=True, draw=False)
    script = """
import sys
from ml_dash import Experiment
from ml_dash_mujoco import render_deferred
print(render_deferred(Experiment("later", dash_root=sys.argv[1])))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "8", done.stderr
    run = opened(experiment)
    assert same(now, run) and run.status == "COMPLETED"


@needs_opengl
def test_what_is_drawn_already_is_left_alone(tmp_path):
    """Drawing that was interrupted goes on where it was."""
    experiment = record(tmp_path, "later", deferred=True)
    entries = opened(experiment).files.list("*.jpg")
    with experiment.run:
        experiment.files("mujoco/front").delete("frame_00000003.jpg")
        experiment.files("mujoco/front_depth").delete("frame_00000005.png")
    assert render_deferred(experiment, progress=False) == 2
    assert render_deferred(experiment, progress=False) == 0
    run = opened(experiment)
    assert same(opened(record(tmp_path, "now")), run)
    assert run.files["mujoco/front/frame_00000001.jpg"] == entries[1]


@needs_opengl
def test_drawing_later_leaves_the_runs_status(tmp_path):
    """A run that failed has still failed, with the same words."""
    model, data = make()
    experiment = Experiment("a", dash_root=tmp_path)
    with pytest.raises(RuntimeError, match="the arm fell off"), experiment.run:
        hook = RenderHook(experiment, model, ["front"], SIZE, every=1, deferred=True)
        hook(data)
        raise RuntimeError("the arm fell off")
    assert render_deferred(experiment, progress=False) == 1
    run = opened(experiment)
    assert run.status == "FAILED" and "the arm fell off" in run.error
    assert len(run.frames("mujoco/front")) == 1


@needs_opengl
@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "CANCELLED", "INTERRUPTED"])
@pytest.mark.parametrize("end", [None, RuntimeError("no screen"), KeyboardInterrupt()], ids=repr)
def test_the_runs_status_is_the_same_however_drawing_ends(tmp_path, monkeypatch, status, end):
    """What was recorded is no worse for that, and what was killed no better."""
    model, data = make()
    experiment = Experiment("a", dash_root=tmp_path, environment=False)
    experiment.run.start()
    RenderHook(experiment, model, ["front"], SIZE, every=1, deferred=True)(data)
    experiment.run.end("CLOSED" if status == "INTERRUPTED" else status)
    assert opened(experiment).status == status

    def stop(*_):
        raise end

    later = Experiment("a", dash_root=tmp_path, environment=False)
    if end is None:
        assert render_deferred(later, progress=False) == 1
    else:
        monkeypatch.setattr(deferred.Painter, "draw", stop)
        with pytest.raises(type(end)):
            render_deferred(later, progress=False)
    assert opened(experiment).status == status
    assert later.run.status != "RUNNING"


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
@pytest.mark.parametrize("status", ["COMPLETED", "FAILED"])
@pytest.mark.parametrize("number", [signal.SIGTERM, getattr(signal, "SIGKILL", None)])
def test_a_signal_while_drawing_leaves_the_runs_status(tmp_path, number, status):
    """However the process is ended that draws what another one has recorded."""
    model, data = make()
    experiment = Experiment("a", dash_root=tmp_path, environment=False)
    experiment.run.start()
    RenderHook(experiment, model, ["front"], SIZE, every=1, deferred=True)(data)
    experiment.run.end(status, "the arm fell off" if status == "FAILED" else None)
    script = """
import os, sys, time
from ml_dash import Experiment
from ml_dash_mujoco import deferred

def draw(*_):
    os.kill(os.getpid(), int(sys.argv[2]))
    time.sleep(30)

deferred.Painter.draw = draw
deferred.render_deferred(Experiment("a", dash_root=sys.argv[1]), progress=False)
"""
    command = [sys.executable, "-c", script, str(tmp_path), str(int(number))]
    assert subprocess.run(command, timeout=120).returncode == -number
    run = opened(experiment)
    assert run.status == status
    assert run.error == ("the arm fell off" if status == "FAILED" else None)


@needs_opengl
def test_a_view_of_the_users_own_is_drawn_later_too(tmp_path):
    """Its parameters are kept with the states."""
    side = mujoco.MjvCamera()
    side.lookat[:], side.distance, side.azimuth = (0, 0, 0.7), 2.0, 30.0
    now = opened(record(tmp_path, "now", cameras={"side": side}))
    experiment = record(tmp_path, "later", cameras={"side": side}, deferred=True, draw=False)
    render_deferred(experiment, make()[0], progress=False)
    folders = [folder.replace("front", "side") for folder in FOLDERS]
    assert same(now, opened(experiment), folders)


@needs_opengl
def test_changes_of_the_model_are_seen_in_deferred_frames(tmp_path):
    """Colours and places that a program changes while it simulates, and changes back."""
    runs = []
    for name, later in (("now", False), ("later", True)):
        model, data = make()
        with Experiment(name, dash_root=tmp_path).run as experiment:
            hook = RenderHook(experiment, model, ["front"], SIZE, every=1, deferred=later)
            for red in (0.9, 0.1, 0.6):
                model.geom("floor").rgba[0] = red
                model.camera("front").fovy[0] = 60 if red == 0.1 else 50
                mujoco.mj_step(model, data)
                hook(data)
            if later:
                hook.render_deferred(progress=False)
        runs.append(opened(experiment))
    assert same(*runs, ["mujoco/front"])
    kept = list(runs[1].tracks["mujoco/deferred"])
    assert [set(row.get("changes", ())) for row in kept] == [
        {"geom_rgba"},
        {"geom_rgba", "cam_fovy"},
        set(),
    ]


@needs_opengl
def test_names_are_distinct_when_a_run_is_continued(tmp_path):
    """Steps begin anew then; no frame takes the place of another."""
    for _ in range(2):
        experiment = record(tmp_path, "later", deferred=True)
    run = opened(experiment)
    assert len(run.frames("mujoco/front")) == 16
    names = run.tracks["mujoco/state"]["frame"].tolist()
    assert len(set(names)) == 16 and set(run.frames("mujoco/front").names) == set(names)


@needs_opengl
def test_progress_is_shown_with_or_without_tqdm(tmp_path, monkeypatch, capsys):
    """A bar where tqdm is installed, else a line now and then."""
    experiment = record(tmp_path, "later", deferred=True, draw=False, depth=False)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert render_deferred(experiment) == 8
    assert capsys.readouterr().err.splitlines()[-1] == "rendering: 8 of 8 frames"


def test_nothing_to_draw_is_told(tmp_path):
    """A run in which nothing was deferred, by the name of the track that is not there."""
    with (
        Experiment("a", dash_root=tmp_path).run as experiment,
        pytest.raises(FileNotFoundError, match=r"nothing was deferred .* 'mujoco/deferred'"),
    ):
        render_deferred(experiment)


def test_a_run_that_is_not_there_is_not_made(tmp_path):
    """A prefix with a slip in it is told, and leaves nothing."""
    with pytest.raises(FileNotFoundError, match=r"nothing was deferred .* 'b': there is no"):
        render_deferred(Experiment("b", dash_root=tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_model_of_another_mujoco_is_told(tmp_path, monkeypatch):
    """It has to be given then, for the file is read by its own version only."""
    experiment = record(tmp_path, "later", deferred=True, draw=False)
    monkeypatch.setattr(mujoco, "__version__", "2.0.0")
    with pytest.raises(RuntimeError, match=r"give the model: render_deferred"):
        render_deferred(experiment)
