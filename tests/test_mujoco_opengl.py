"""OpenGL and its rules: without it rows go on, forked processes do not hang, others' stays."""

import sys
import threading
from pathlib import Path

import mujoco
import pytest
from mujoco_models import BACKENDS, SIZE, make, needs_opengl
from scripts import run

import ml_dash
from ml_dash import Experiment
from ml_dash_mujoco import RenderHook, painter

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="how it is found is Linux's")

BEGIN = """
sys.path.insert(0, {tests!r})
import warnings
import mujoco
from mujoco_models import SIZE, make, restart
from ml_dash_mujoco import RenderHook, render_deferred

model, data = make()
experiment = Experiment("a", dash_root=root, environment=False)

def simulate(hook, steps=3):
    for _ in range(steps):
        mujoco.mj_step(model, data)
        hook(data)
"""


def run_script(folder, script, **environment):
    """Run a script that has the model `bench` and an experiment; its output, and the run."""
    begin = BEGIN.format(tests=str(Path(__file__).parent))
    environment = {"MUJOCO_GL": "", "PYOPENGL_PLATFORM": "", **environment}
    code, out, err = run(folder, begin + script, **environment)
    assert code == 0, out + err
    return out, err, ml_dash.open_run(folder / "dash" / "a")


RECORD = """
with warnings.catch_warnings(record=True) as told, experiment.run:
    warnings.simplefilter("always")
    hook = RenderHook(experiment, model, ["front"], SIZE, every=1)
    simulate(hook)
print(len(told), *(warning.message for warning in told))
"""


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"MUJOCO_GL": "disable"}, "switched off by MUJOCO_GL=disable"),
        ({"MUJOCO_GL": "", "PYOPENGL_PLATFORM": "win32", "DISPLAY": ""}, "there is no screen"),
        ({"MUJOCO_GL": "glfw", "DISPLAY": ""}, "glfw made no context"),
    ],
)
def test_without_opengl_rows_are_recorded_and_the_packages_named(tmp_path, environment, reason):
    """One warning, and what would have been drawn can be drawn where OpenGL works."""
    out, _, recorded = run_script(tmp_path, RECORD, **environment)
    assert out.startswith("1 ") and reason in out
    assert "apt-get install -y libegl1 libgles2 libgl1-mesa-dri libosmesa6" in out
    assert len(recorded.tracks["mujoco/state"]) == 3
    assert recorded.status == "COMPLETED" and not recorded.cameras
    assert len(recorded.tracks["mujoco/deferred"]) == 3


@needs_opengl
def test_what_could_not_be_drawn_is_drawn_elsewhere(tmp_path):
    """In a process that has OpenGL, to the frames that the rows name."""
    run_script(tmp_path, RECORD, MUJOCO_GL="disable")
    out, _, recorded = run_script(tmp_path, "print(render_deferred(experiment, progress=False))")
    assert out.strip() == "3"
    frames = recorded.frames("mujoco/front")
    assert frames.names == recorded.tracks["mujoco/state"]["frame"].tolist()


@needs_opengl
def test_drawing_where_nothing_can_be_drawn_is_told(tmp_path):
    """By the packages that are missing, and without harm to the run."""
    run_script(tmp_path, RECORD, MUJOCO_GL="disable")
    script = """
try:
    render_deferred(experiment, progress=False)
except RuntimeError as error:
    print(error)
"""
    out, _, _ = run_script(tmp_path, script, MUJOCO_GL="disable")
    assert "apt-get install" in out


@needs_opengl
@pytest.mark.parametrize("choice", ["", f"os.environ['MUJOCO_GL'] = {[*BACKENDS, ''][0]!r}"])
def test_no_variable_need_be_set_before_mujoco_is_imported(tmp_path, choice):
    """What works is found; what is set after the import counts, too."""
    out, _, recorded = run_script(tmp_path, choice + RECORD)
    assert out.strip() == "0"
    assert len(recorded.frames("mujoco/front")) == 3


NO_EGL = {"__EGL_VENDOR_LIBRARY_DIRS": "/nowhere", "DISPLAY": "", "WAYLAND_DISPLAY": ""}


@pytest.mark.skipif(len(BACKENDS) < 2, reason="needs EGL and OSMesa")
@pytest.mark.parametrize("display", ["", ":4711"])
def test_where_egl_finds_nothing_osmesa_draws(tmp_path, display):
    """A library without a driver, and a screen of a session that is over, are no choice."""
    out, _, recorded = run_script(tmp_path, RECORD, **{**NO_EGL, "DISPLAY": display})
    assert out.strip() == "0"
    assert len(recorded.frames("mujoco/front")) == 3


@pytest.mark.skipif("egl" not in BACKENDS, reason="needs EGL")
@pytest.mark.parametrize(
    "choice", [{"MUJOCO_GL": "egl"}, {"PYOPENGL_PLATFORM": "egl"}], ids=["MuJoCo", "PyOpenGL"]
)
def test_egl_that_was_chosen_and_finds_nothing_is_told(tmp_path, choice):
    """Nothing else is taken in its place; the rows go on."""
    out, _, recorded = run_script(tmp_path, RECORD, **NO_EGL, **choice)
    assert out.startswith("1 ") and "cannot use egl" in out and "apt-get install" in out
    assert len(recorded.tracks["mujoco/state"]) == len(recorded.tracks["mujoco/deferred"]) == 3


@pytest.mark.skipif("egl" not in BACKENDS, reason="needs EGL")
def test_egl_that_finds_nothing_and_an_osmesa_that_is_broken_are_told(tmp_path):
    """Both, in one warning."""
    script = "sys.modules['mujoco.osmesa'] = None\n" + RECORD
    script = "import ctypes.util\nctypes.util.find_library = 'lib{}.so.1'.format\n" + script
    out, _, recorded = run_script(tmp_path, script, **NO_EGL)
    assert out.startswith("1 ") and "use egl: it finds no device; MuJoCo cannot use osmesa" in out
    assert len(recorded.tracks["mujoco/deferred"]) == 3


FORK = """
def work(name):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        {hook}
        simulate(hook)
    print(name, len(told), *(warning.message for warning in told), flush=True)

with experiment.run:
    hook = RenderHook(experiment, model, ["front"], SIZE, every=1)
    {before}
    pid = os.fork()
    if pid == 0:
        work("child")
        {exit}
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    work("parent")
"""


ENDINGS = [
    (backend, ending)
    for backend in BACKENDS
    for ending in ("sys.exit(7)", "os._exit(experiment.run.complete() or 7)")
]
INHERITED = "hook = globals()['hook']"


@needs_opengl
@pytest.mark.parametrize(("backend", "exit"), ENDINGS)
def test_a_process_forked_after_drawing_never_hangs(tmp_path, backend, exit):
    """OpenGL would hang there; rows go on, one warning is given, and the parent draws on."""
    script = FORK.format(hook=INHERITED, before="simulate(hook)", exit=exit)
    out, _, recorded = run_script(tmp_path, script, MUJOCO_GL=backend)
    child, parent = out.splitlines()
    assert child.startswith("child 1") and "'spawn'" in child
    assert parent.startswith("parent 0")
    kept = recorded.tracks["mujoco/deferred"]["frame"].tolist()
    drawn = recorded.frames("mujoco/front").names
    assert len(kept) == 3 and len(drawn) == 6
    assert set(recorded.tracks["mujoco/state"]["frame"]) == {*kept, *drawn}
    assert not set(kept) & set(drawn)


@needs_opengl
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_hook_made_in_such_a_process_never_hangs(tmp_path, backend):
    """Nor does one that was made after the fork."""
    script = FORK.format(
        hook="hook = RenderHook(experiment, model, [1], SIZE, every=1, prefix='child')",
        before="simulate(hook)",
        exit="os._exit(experiment.run.complete() or 7)",
    )
    script = script.replace("work('parent')", "")
    out, _, recorded = run_script(tmp_path, script, MUJOCO_GL=backend)
    assert out.startswith("child 1") and "'spawn'" in out
    assert len(recorded.tracks["child/mujoco/deferred"]) == 3


WHILE_CALLED = """
inside, forked = threading.Event(), threading.Event()

class Slow(list):
    def __iter__(self):
        inside.set()
        forked.wait(30)
        return super().__iter__()

with experiment.run:
    hook = RenderHook(experiment, model, [], every=1, state=["qpos"])
    hook._columns._columns = Slow(hook._columns._columns)
    thread = threading.Thread(target=hook, args=(data,))
    thread.start()
    inside.wait()
    pid = os.fork()
    forked.set()
    if pid == 0:
        signal.alarm(20)
        simulate(hook)
        os._exit(experiment.run.complete() or 7)
    thread.join()
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_a_process_forked_while_another_thread_is_in_the_hook_records(tmp_path):
    """The parent's thread is not there to let it in."""
    out, _, recorded = run_script(tmp_path, WHILE_CALLED)
    assert out.strip() == "7"
    assert len(recorded.tracks["mujoco/state"]) == 4


@needs_opengl
def test_a_process_forked_before_drawing_draws(tmp_path):
    """As the workers of a vector environment are."""
    script = FORK.format(hook=INHERITED, before="", exit="os._exit(experiment.run.complete() or 7)")
    out, _, recorded = run_script(tmp_path, script)
    assert out.splitlines() == ["child 0", "parent 0"]
    frames = recorded.frames("mujoco/front")
    assert len(frames) == 6 and len(set(frames.names)) == 6


AFTERWARDS = """
experiment.run.start()
hook = RenderHook(experiment, model, ["front"], SIZE, every=1)
simulate(hook)
{end}
pid = os.fork()
if pid == 0:
    signal.alarm(20)
    sys.exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@needs_opengl
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("end", ["", "hook.close()", "del hook", "experiment.run.complete()"])
def test_a_process_forked_when_all_hooks_are_closed_ends(tmp_path, backend, end):
    """The driver is there still, and would wait for its threads at the end of the child."""
    out, _, _ = run_script(tmp_path, AFTERWARDS.format(end=end), MUJOCO_GL=backend)
    assert out.strip() == "7"


FORK_OF_THE_USER = """
renderer = mujoco.Renderer(model, *SIZE)
mujoco.mj_forward(model, data)
renderer.update_scene(data)
renderer.render()
{close}
pid = os.fork()
if pid == 0:
    signal.alarm(20)
    with warnings.catch_warnings(record=True) as told, experiment.run:
        warnings.simplefilter("always")
        hook = RenderHook(experiment, model, ["front"], every=1, {options})
        simulate(hook)
    print(len(told), *(warning.message for warning in told), flush=True)
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
"""


@needs_opengl
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("close", "options"),
    [("", "size=SIZE"), ("renderer.close()", "size=SIZE"), ("", "renderer=renderer")],
)
def test_a_process_forked_after_the_user_has_drawn_never_hangs(tmp_path, backend, close, options):
    """Its frames are deferred at once, as after drawing of the hook's own."""
    script = FORK_OF_THE_USER.format(close=close, options=options)
    out, _, recorded = run_script(tmp_path, script, MUJOCO_GL=backend)
    assert out.startswith("1 ") and "was forked from one that had drawn" in out
    assert len(recorded.tracks["mujoco/deferred"]) == 3


THREAD = """
renderer = mujoco.Renderer(model, *SIZE)
with warnings.catch_warnings(record=True) as told, experiment.run:
    warnings.simplefilter("always")
    hook = RenderHook(experiment, model, ["front"], every=1, renderer=renderer)
    thread = threading.Thread(target=simulate, args=(hook,))
    thread.start()
    thread.join()
    simulate(hook, 2)
print(len(told), hook.failures, *(warning.message for warning in told))
"""


@pytest.mark.skipif("egl" not in BACKENDS, reason="needs EGL")
def test_a_renderer_of_another_thread_is_told_in_words(tmp_path):
    """Not in those of EGL; in its own thread it draws on."""
    out, _, recorded = run_script(tmp_path, THREAD, MUJOCO_GL="egl")
    assert out.startswith("1 3 ") and "EGL" not in out
    assert "call the hook in the thread that made the renderer" in out
    assert len(recorded.tracks["mujoco/state"]) == 5
    assert len(recorded.frames("mujoco/front")) == 2


@needs_opengl
def test_a_driver_that_does_not_answer_is_not_waited_for(tmp_path, monkeypatch):
    """As in a process that was forked from one in which somebody else had drawn."""
    model, data = make()
    gone = threading.Event()
    monkeypatch.setattr(painter, "PATIENCE", 0.05)
    monkeypatch.setattr(
        painter, "find_context", lambda *_: ("egl", lambda: gone.wait(60) and 1 / 0)
    )
    with Experiment("a", dash_root=tmp_path).run as experiment:
        hook = RenderHook(experiment, model, ["front"], SIZE, every=1)
        with pytest.warns(RuntimeWarning, match="made no picture within"):
            hook(data)
        mujoco.mj_step(model, data)
        hook(data)
        gone.set()
    assert len(ml_dash.open_run(experiment.folder).tracks["mujoco/deferred"]) == 2


GYM = """
import gymnasium as gym
import numpy as np
env = gym.make("InvertedPendulum-v5", render_mode="rgb_array", width=100, height=90)
env.reset(seed=0)
alone = env.render()
with experiment.run:
    hook = RenderHook(experiment, env, size=SIZE, every=1)
    hook()
    assert np.array_equal(env.render(), alone), "after drawing"
    hook.close()
    assert np.array_equal(env.render(), alone), "after closing"
    assert hook.failures == 0
env.close()
"""


@needs_opengl
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_renderer_of_an_environment_is_not_disturbed(tmp_path, backend):
    """Its context is current in the user's thread all the while, and draws what it drew."""
    pytest.importorskip("imageio")
    _, _, recorded = run_script(tmp_path, GYM, MUJOCO_GL=backend)
    assert len(recorded.frames("mujoco/free")) == 1


@needs_opengl
def test_a_program_ends_well_whatever_is_left_open(tmp_path):
    """A hook that nobody closed, in a run that nobody ended."""
    script = """
experiment.run.start()
hook = RenderHook(experiment, model, ["front"], SIZE, every=1)
simulate(hook)
"""
    _, err, recorded = run_script(tmp_path, script)
    assert err == "" or "Error" not in err
    assert len(recorded.frames("mujoco/front")) == 3


CTRL_C = """
made = []

class Slow(mujoco.Renderer):
    def __init__(self, *arguments, **options):
        made.append("made")
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        super().__init__(*arguments, **options)

    def close(self):
        if self._gl_context:  # else it is closed already
            made.append("closed")
        super().close()

Slow.__module__ = mujoco.Renderer.__module__
mujoco.Renderer = Slow
with experiment.run:
    hook = RenderHook(experiment, model, ["front"], SIZE, every=1)
    try:
        simulate(hook)
    except KeyboardInterrupt:
        print("stopped")
    {after}
print(*made, hook.failures)
"""


@needs_opengl
@pytest.mark.parametrize(
    ("backend", "after"),
    [*((backend, "simulate(hook)") for backend in BACKENDS), ("", "hook.close()"), ("", "")],
)
def test_ctrl_c_while_the_renderer_is_made_makes_no_second_one(tmp_path, backend, after):
    """It is used where the hook is used on, and else it is freed."""
    script = CTRL_C.format(after=after)
    out, _, recorded = run_script(tmp_path, script, MUJOCO_GL=backend)
    assert out.split() == ["stopped", "made", "closed", "0"]
    assert len(recorded.cameras) == (after == "simulate(hook)")
