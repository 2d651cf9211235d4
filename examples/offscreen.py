"""Finds a way for MuJoCo to draw without a screen. To be called before `import mujoco`."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

# Draws a picture: a context that can be made is no proof that it can be drawn in.
ATTEMPT = """
import mujoco
body = "<geom type='sphere' size='1' rgba='1 1 1 1'/>"
model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{body}</worldbody></mujoco>")
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 32, 32) as renderer:
    renderer.update_scene(data)
    raise SystemExit(int(renderer.render().max() == 0))
"""
MISSING = 'MuJoCo is not installed. In the clone: pip install ".[mujoco]"'
REMEDY = """MuJoCo cannot draw here: no OpenGL works without a screen.
On Debian and Ubuntu: apt-get install -y libegl1 libgles2 libgl1-mesa-dri libosmesa6"""


def choose_gl() -> str:
    """Set `MUJOCO_GL` to the first of egl, osmesa and glfw that works; returns its name.

    Leaves alone what the user has set, and systems other than Linux, which need no choice.
    Ends the program with the remedy when nothing works, or MuJoCo is not there.
    """
    if importlib.util.find_spec("mujoco") is None:
        raise SystemExit(MISSING)
    if "MUJOCO_GL" in os.environ or sys.platform != "linux":
        return os.environ.get("MUJOCO_GL", "")
    for name in ("egl", "osmesa", "glfw"):
        # In a process of its own: a library that fails to load may take the process with it.
        attempt = subprocess.run(
            [sys.executable, "-c", ATTEMPT],
            env={**os.environ, "MUJOCO_GL": name},
            capture_output=True,
            timeout=60,
        )
        if attempt.returncode == 0:
            os.environ["MUJOCO_GL"] = name
            return name
    raise SystemExit(REMEDY)
