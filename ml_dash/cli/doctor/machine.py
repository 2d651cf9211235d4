"""What this machine can do: encode pictures, draw without a screen, tell the time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from fractions import Fraction
from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING

from ml_dash.cli.doctor.findings import Section
from ml_dash.cli.quantities import moment
from ml_dash.scratch import scratch_file
from ml_dash.settings import default_encoders

if TYPE_CHECKING:
    from ml_dash.image import Format

ATTEMPT = 15.0
"""Seconds that MuJoCo is given to draw one picture."""

EARLIEST = 1_735_689_600.0
"""The beginning of 2025: what is before it is no present."""

# Draws a picture: a context that can be made is no proof that it can be drawn in.
_DRAW = """
import mujoco
body = "<geom type='sphere' size='1' rgba='1 1 1 1'/>"
model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{body}</worldbody></mujoco>")
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 32, 32) as renderer:
    renderer.update_scene(data)
    raise SystemExit(int(renderer.render().max() == 0))
"""
_LIBRARIES = (
    "on Debian and Ubuntu: apt-get install -y libegl1 libgles2 libgl1-mesa-dri libosmesa6;"
    " then set MUJOCO_GL=egl or MUJOCO_GL=osmesa before Python starts"
)


def examine_machine(section: Section) -> None:
    """Tell of clock, cores and the encoders of pictures."""
    now = time.time()
    zone = time.strftime("%z", time.localtime(now))
    section.tell("clock", now, f"{moment(now)} ({zone})")
    if now < EARLIEST:
        section.problem(
            f"the clock of this machine says {moment(now)}",
            "set it, by NTP: rows carry its time",
        )
    cores = os.cpu_count() or 1
    section.tell("cores", cores, f"{cores}; encoder threads by default: {default_encoders()}")
    section.doing = "encoding a picture"
    _encode(section, "jpg", "simplejpeg")
    _encode(section, "png", "deflate")
    section.doing = "encoding a video"
    _look_for_video(section)


def examine_opengl(section: Section) -> None:
    """Tell whether MuJoCo can draw without a screen, if it is installed."""
    if find_spec("mujoco") is None:
        section.tell("mujoco", None, "not installed")
        return
    chosen = os.environ.get("MUJOCO_GL", "")  # MuJoCo's own variable, no setting of ours
    if chosen:
        section.tell("MUJOCO_GL", chosen)
    works = None
    for name in [chosen] if chosen or sys.platform != "linux" else ["egl", "osmesa", "glfw"]:
        section.doing = f"drawing with {name or 'OpenGL'}"
        if draws(name):
            works = name or "the system's OpenGL"
            break
    section.tell("draws with", works, works or "nothing")
    if works is None:
        what = f"with MUJOCO_GL={chosen}" if chosen else "without a screen"
        section.problem(f"MuJoCo cannot draw here {what}", _LIBRARIES)


def draws(name: str) -> bool:
    """Whether MuJoCo draws a picture with this `MUJOCO_GL`.

    In a process of its own: a library that fails to load may take the process with it, or hang.
    """
    environment = {**os.environ, **({"MUJOCO_GL": name} if name else {})}
    with scratch_file() as sink:  # no pipe: a grandchild could hold its other end
        process = subprocess.Popen(
            [sys.executable, "-c", _DRAW],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            env=environment,
        )
        try:
            return process.wait(ATTEMPT) == 0
        except subprocess.TimeoutExpired:
            process.kill()
        with suppress(subprocess.TimeoutExpired):  # a driver may hold it in the kernel
            process.wait(1.0)
    return False


def _encode(section: Section, kind: Format, encoder: str) -> None:
    """Encode a small picture as recording does."""
    try:
        import numpy as np

        from ml_dash import image

        image.encode(np.zeros((16, 16, 3), np.uint8), kind)
    except (ImportError, OSError) as error:
        section.tell(kind, None, "cannot be encoded")
        section.problem(f"no picture can be saved as .{kind}: {error}", f"pip install {encoder}")
        return
    section.tell(kind, encoder if find_spec(encoder) else "zlib")


def _look_for_video(section: Section) -> None:
    """Encode a frame of a video as an export does."""
    if find_spec("av") is None:
        section.tell("mp4", None, 'not installed: pip install "ml-dash[video]"')
        return
    try:
        import numpy as np

        from ml_dash.export.video import Mp4

        with Mp4(BytesIO(), Fraction(10)) as movie:
            movie.write(np.zeros((16, 16, 3), np.uint8))
    except (ImportError, OSError, ValueError) as error:  # those of PyAV are OSError or ValueError
        section.tell("mp4", None, "cannot be encoded")
        section.problem(f"no video can be made: {error}", "pip install --force av")
        return
    section.tell("mp4", "H.264", "H.264, by PyAV")
