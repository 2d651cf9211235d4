"""A small model to be recorded, and pictures of it that MuJoCo's own renderer makes."""

from __future__ import annotations

from ctypes.util import find_library

import mujoco
import numpy as np
import pytest

from ml_dash_mujoco.contexts import NoOpenGLError, find_context, given

XML = """
<mujoco model="bench">
  <option timestep="0.01"/>
  <visual><global offwidth="80" offheight="60"/><quality offsamples="0"/></visual>
  <default><geom contype="0" conaffinity="0"/></default>
  <worldbody>
    <light name="sun" pos="0 0 3" dir="0 0 -1"/>
    <camera name="front" pos="0 -2.2 0.6" xyaxes="1 0 0 0 0 1" fovy="50"/>
    <camera pos="0 0 3" fovy="50"/>
    <geom name="floor" type="plane" size="3 3 0.1" rgba="0.6 0.6 0.6 1" contype="1"/>
    <body name="cube" pos="0.7 0 0.8">
      <joint name="cube" type="free"/>
      <geom name="cube" type="box" size="0.1 0.1 0.1" rgba="0.1 0.8 0.2 1" conaffinity="1"/>
    </body>
    <body name="arm" pos="-0.3 0 0.8">
      <joint name="elbow" axis="0 1 0"/>
      <geom type="capsule" fromto="0 0 0 0.3 0 0" size="0.03" rgba="0.2 0.3 0.9 1"/>
      <body name="hand" pos="0.3 0 0">
        <joint axis="0 1 0" damping="0.1"/>
        <geom name="tip" type="sphere" pos="0.2 0 0" size="0.06" rgba="1 0 1 1"/>
        <site name="ee" pos="0.2 0 0"/>
        <site name="mark" pos="0.05 0 0" size="0.06"/>
      </body>
    </body>
    <body name="ball" pos="-0.8 0 0.5">
      <joint name="socket" type="ball"/>
      <geom type="capsule" fromto="0 0 0 0 0 -0.2" size="0.04"/>
    </body>
  </worldbody>
  <actuator><motor name="drive" joint="elbow"/></actuator>
  <sensor>
    <jointpos name="angle" joint="elbow"/>
    <framepos name="tip" objtype="site" objname="ee"/>
    <accelerometer site="ee"/>
  </sensor>
</mujoco>
"""

SIZE = (48, 64)


def make_model() -> mujoco.MjModel:
    """The model, fresh."""
    return mujoco.MjModel.from_xml_string(XML)


def make() -> tuple[mujoco.MjModel, mujoco.MjData]:
    """The model and a simulation of it, in which everything moves."""
    model = make_model()
    data = mujoco.MjData(model)
    restart(model, data)
    return model, data


def restart(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """Put the simulation back to its beginning."""
    mujoco.mj_resetData(model, data)
    data.qvel[6:8] = 6.0, 8.0
    data.qvel[8:11] = 1.0, 2.0, 3.0
    data.qvel[3:6] = 1.0, 5.0, 0.0


def forwarded(model: mujoco.MjModel, data: mujoco.MjData) -> mujoco.MjData:
    """A copy of a simulation, with everything computed for its state."""
    copy = mujoco.MjData(model)
    state = int(mujoco.mjtState.mjSTATE_INTEGRATION)
    values = np.zeros(mujoco.mj_stateSize(model, state))
    mujoco.mj_getState(model, data, values, state)
    mujoco.mj_setState(model, copy, values, state)
    mujoco.mj_forward(model, copy)
    return copy


def has_opengl() -> bool:
    """Whether this machine can draw at all."""
    try:
        find_context(8, 8)
    except NoOpenGLError:
        return False
    return True


BACKENDS = [
    name for name, library in (("egl", "EGL"), ("osmesa", "OSMesa")) if find_library(library)
]
"""Those that are installed here."""

needs_opengl = pytest.mark.skipif(not has_opengl(), reason="no OpenGL without a screen here")


def make_renderer(model: mujoco.MjModel, size: tuple[int, int] = SIZE) -> mujoco.Renderer:
    """MuJoCo's own renderer, without shadows, whatever `MUJOCO_GL` was when it was imported."""
    _, make_context = find_context(*size)
    with given(make_context()):
        renderer = mujoco.Renderer(model, *size)
    renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
    return renderer
