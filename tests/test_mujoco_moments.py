"""The MuJoCo hook beside other recorders of its run: whose step its rows and frames belong to."""

import mujoco
import numpy as np
import pytest
from mujoco_models import SIZE, make, needs_opengl

import ml_dash
from ml_dash import Experiment
from ml_dash_mujoco import RenderHook

TRACK = "mujoco/state"


@pytest.fixture
def experiment(tmp_path):
    """One whose run goes on."""
    with Experiment("robotics/bench", dash_root=tmp_path, environment=False).run as running:
        yield running


def read(experiment):
    """The run as it is on disk now."""
    experiment.flush()
    return ml_dash.open_run(experiment.folder)


@needs_opengl
def test_inside_an_open_step_the_hook_joins_it(experiment):
    """Step, timestamp and name of the frame are those of the step."""
    model, data = make()
    hook = RenderHook(experiment, model, ["front"], SIZE, every=1)
    recorder = experiment.recorder()
    for n in (10, 20):
        with recorder.step(n):
            recorder.record(tracks={"agent": {"n": n}}, frames={"wrist": np.zeros((8, 8), "u1")})
            mujoco.mj_step(model, data)
            assert hook(data) == n
    run = read(experiment)
    state, agent = run.tracks[TRACK], run.tracks["agent"]
    assert state["step"].tolist() == agent["step"].tolist() == [10, 20]
    assert state.timestamps.tolist() == agent.timestamps.tolist()
    assert state["frame"].tolist() == agent["frame"].tolist()
    assert run.frames("mujoco/front").names == run.frames("wrist").names
    assert "substep" not in state.columns


def test_within_one_step_the_same_state_is_recorded_once(experiment):
    """A hook that is called by an environment and once more by its user makes no double rows."""
    model, data = make()
    hook = RenderHook(experiment, model, [], every=1)
    recorder = experiment.recorder()
    with recorder.step(3):
        mujoco.mj_step(model, data)
        assert hook(data) == 3
        assert hook(data) is None
    with recorder.step(4):
        assert hook(data) == 4, "another step may have the same state"
    assert read(experiment).tracks[TRACK]["step"].tolist() == [3, 4]


def test_the_same_state_begins_no_episode_of_its_own(experiment, tmp_path, monkeypatch):
    """Also where it is one to which MuJoCo has reset the simulation."""
    monkeypatch.chdir(tmp_path)  # MuJoCo writes a log where it is
    model, data = make()
    hook = RenderHook(experiment, model, [], every=1)
    for bad in (False, True, True):
        with experiment.recorder().step():
            data.qpos[7] = np.nan if bad else 0.0
            mujoco.mj_step(model, data)
            hook(data)
            assert hook(data) is None
    assert read(experiment).tracks[TRACK]["episode"].tolist() == [0, 1, 2]


@needs_opengl
def test_further_states_of_one_step_are_numbered(experiment):
    """An environment may simulate several steps in one of its own; one frame shows them."""
    model, data = make()
    hook = RenderHook(experiment, model, ["front"], SIZE, every=1)
    recorder = experiment.recorder()
    for _ in range(2):
        with recorder.step():
            for _ in range(3):
                mujoco.mj_step(model, data)
                hook(data)
    rows = list(read(experiment).tracks[TRACK])
    assert [row["step"] for row in rows] == [0, 0, 0, 1, 1, 1]
    assert [row.get("substep") for row in rows] == [None, 1, 2, None, 1, 2]
    assert ["frame" in row for row in rows] == [True, False, False] * 2
    assert [row["time"] for row in rows] == pytest.approx(np.arange(0.01, 0.061, 0.01))
    assert read(experiment).frames("mujoco/front").steps.tolist() == [0, 1]


def test_a_step_that_was_begun_is_joined_until_the_next_one(experiment):
    """As an environment's wrapper does: its steps end in another call than they begin in."""
    model, data = make()
    hook = RenderHook(experiment, model, [], every=1)
    wrapper = experiment.recorder()
    moments = [wrapper.begin()]
    hook(data)
    for _ in range(3):
        moments.append(wrapper.begin())
        mujoco.mj_step(model, data)
        hook(data)
        hook(data)
        wrapper.record(moments[-2], tracks={"env": {"reward": 1.0}})
    wrapper.end()
    mujoco.mj_step(model, data)
    assert hook(data) == 4, "on its own again"
    run = read(experiment)
    state, env = run.tracks[TRACK], run.tracks["env"]
    assert state["step"].tolist() == [0, 1, 2, 3, 4] and env["step"].tolist() == [0, 1, 2]
    assert state.timestamps[:3].tolist() == env.timestamps.tolist()


def test_rows_of_a_hook_do_not_catch_what_the_user_records(experiment):
    """The step of a call ends with it."""
    model, data = make()
    hook = RenderHook(experiment, model, [], every=1)
    for _ in range(2):
        mujoco.mj_step(model, data)
        hook(data)
    recorder = experiment.recorder()
    assert recorder.current() is None
    assert recorder.record(tracks={"own": {"x": 1}}) == 0


@needs_opengl
def test_deferred_frames_share_the_name_of_their_step(experiment):
    """Also where another recorder has named the frames of that step."""
    model, data = make()
    hook = RenderHook(experiment, model, ["front"], SIZE, every=1, deferred=True, depth=True)
    recorder = experiment.recorder()
    for n in (5, 5, 2):
        with recorder.step(n):
            recorder.record(tracks={"agent": {}}, frames={"wrist": np.zeros((8, 8), "u1")})
            mujoco.mj_step(model, data)
            hook(data)
    hook.render_deferred(progress=False)
    run = read(experiment)
    names = run.tracks["agent"]["frame"].tolist()
    assert len(set(names)) == 3
    assert run.tracks[TRACK]["frame"].tolist() == run.frames("mujoco/front").names == names
    depth = [name.replace(".jpg", ".png") for name in names]
    assert run.frames("mujoco/front_depth").names == depth
