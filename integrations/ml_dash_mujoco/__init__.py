"""Records MuJoCo simulations: the state as rows, what cameras see as frames of the same steps.

import mujoco
from ml_dash import Experiment
from ml_dash_mujoco import RenderHook

with Experiment("robotics/arm").run as experiment:
    hook = RenderHook(experiment, model, cameras=["front"], fps=30)
    while data.time < 10:
        mujoco.mj_step(model, data)
        hook(data)
"""

from __future__ import annotations

try:
    import mujoco  # noqa: F401
except ImportError as error:
    raise ImportError(
        'recording simulations needs mujoco, which is not installed: pip install "ml-dash[mujoco]"'
    ) from error

from ml_dash_mujoco.deferred import render_deferred
from ml_dash_mujoco.hook import RenderHook
from ml_dash_mujoco.pictures import decode_segmentation

__all__ = ["RenderHook", "decode_segmentation", "render_deferred"]
