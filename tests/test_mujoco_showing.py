"""What deferred frames show of a model and of views that change while they are recorded."""

import mujoco
import numpy as np
import pytest
from mujoco_models import SIZE, make, needs_opengl

import ml_dash
from ml_dash import Experiment
from ml_dash_mujoco import RenderHook

pytestmark = needs_opengl

SHOWING = {
    "vis.headlight.ambient": [1, 0, 0],
    "vis.headlight.active": 0,
    "vis.map.znear": 0.5,
    "vis.global_.fovy": 80,
    "light_specular": [1, 0, 0],
    "light_cutoff": 5,
    "light_type": 1,
    "cam_fovy": 70,
    "jnt_pos": [0, 0, 0.3],
    "jnt_axis": [1, 0, 0],
    "qpos0": 0.5,
    "geom_type": int(mujoco.mjtGeom.mjGEOM_ELLIPSOID),
    "geom_group": 4,
    "geom_matid": -1,
    "site_matid": 0,
    "site_type": int(mujoco.mjtGeom.mjGEOM_BOX),
    "mat_rgba": [0, 0, 1, 1],
    "tendon_matid": 0,
    "tendon_width": 0.1,
    "body_mass": 30,
    "flex_rgba": [0, 0, 1, 1],
    "flex_radius": 0.2,
    "cam_projection": 1,
}
"""Things of a model that a program may change, and to what."""

RICH = """
<mujoco>
  <asset><material name="red" rgba="1 0 0 1"/></asset>
  <visual><quality offsamples="0"/></visual>
  <worldbody>
    <light name="sun" pos="0 -1 3" dir="0 0.3 -1" type="spot"/>
    <camera name="front" pos="0 -2 0.6" xyaxes="1 0 0 0 0.2 1"/>
    <camera name="follow" pos="0 -2 0.6" xyaxes="1 0 0 0 0.2 1" mode="trackcom"/>
    <geom type="plane" size="2 2 0.1" rgba="0.7 0.7 0.8 1"/>
    <geom type="box" size="0.2 0.1 0.1" pos="-0.5 0 0.2" material="red"/>
    <site name="low" pos="0.8 0 0.1" size="0.15"/>
    <body pos="0 0 1">
      <joint name="hinge" axis="0 1 0"/>
      <geom type="capsule" size="0.05" fromto="0 0 0 0.5 0 -0.4"/>
      <site name="tip" pos="0.5 0 -0.4"/>
      <body pos="0.5 0 -0.4">
        <joint axis="0 1 0"/><geom type="capsule" size="0.04" fromto="0 0 0 0.3 0 0"/>
      </body>
    </body>
    <flexcomp name="cloth" type="grid" count="3 3 1" spacing="0.2 0.2 0.2" dim="2" radius="0.02"
      pos="-0.6 0 0.8" rgba="0 1 0 1"><edge equality="true"/></flexcomp>
  </worldbody>
  <tendon>
    <spatial width="0.02"><site site="low"/><site site="tip"/></spatial>
  </tendon>
</mujoco>"""


def put(model, name, value):
    """Change an element of a kind, or a number; what changes it back."""
    *owners, last = name.split(".")
    for owner in owners:
        model = getattr(model, owner)
    before = getattr(model, last)
    if not isinstance(before, np.ndarray):
        setattr(model, last, value)
        return lambda: setattr(model, last, before)
    array, before = before, before.copy()
    array[... if owners else 1 if last in ("body_mass", "geom_type", "geom_matid") else 0] = value
    return lambda: np.copyto(array, before)


def test_whatever_shows_of_a_model_may_change(tmp_path):
    """The frames are those of the loop, of each change, and when it is changed back."""
    names = [name for name in SHOWING if "." in name or hasattr(mujoco.MjModel, name)]
    runs = []
    for later in (False, True):
        model = mujoco.MjModel.from_xml_string(RICH)
        data = mujoco.MjData(model)
        mujoco.mj_step(model, data)
        with Experiment(f"a{later:d}", dash_root=tmp_path).run as experiment:
            cameras = {"front": 0, "follow": "follow", "free": -1}
            options = {"every": 1, "deferred": later, "image_format": "png"}
            hook = RenderHook(experiment, model, cameras, SIZE, state=["qpos"], **options)
            hook(data)
            for name in names:
                change_back = put(model, name, SHOWING[name])
                hook(data)
                change_back()
            hook(data)
            if later:
                hook.render_deferred(progress=False)
            assert hook.failures == 0
        runs.append(ml_dash.open_run(experiment.folder))
    now, drawn = (
        np.stack([run.frames(f"mujoco/{camera}").to_numpy() for camera in cameras], axis=1)
        for run in runs
    )
    steps = ["", *names, ""]
    assert [steps[i] for i in range(len(steps)) if (now[i] != drawn[i]).any()] == []
    assert [steps[i] for i in range(len(steps)) if (now[i] == now[0]).all()] == ["", ""], "seen"
    kept = list(runs[1].tracks["mujoco/deferred"])
    assert ["".join(row.get("changes", ())) for row in kept] == steps


@pytest.mark.parametrize("flat", [False, True])
def test_a_view_of_the_users_own_may_move(tmp_path, flat):
    """Around the arm, or with it, in whatever projection; also when its name has a dot."""
    runs = []
    for later in (False, True):
        model, data = make()
        side = mujoco.MjvCamera()
        side.lookat[:], side.distance = (0, 0, 0.7), 2.0
        if flat and hasattr(side, "orthographic"):
            side.orthographic = 1
        with Experiment(f"a{later:d}", dash_root=tmp_path).run as experiment:
            options = {"deferred": later, "every": 1}
            hook = RenderHook(experiment, model, {"side.a": side, "front": 0}, SIZE, **options)
            for i in range(4):
                hook(data)
                mujoco.mj_step(model, data)
                side.azimuth += 10 * (i > 0)
                side.lookat[0] += 0.1 * (i > 1)
            if later:
                hook.render_deferred(progress=False)
        runs.append(ml_dash.open_run(experiment.folder))
    for folder in ("mujoco/side.a", "mujoco/front"):
        assert np.array_equal(*(run.frames(folder).to_numpy() for run in runs))
    kept = list(runs[1].tracks["mujoco/deferred"])
    assert [list(row.get("views", ())) for row in kept] == [[], [], ["side.a"], ["side.a"]]
