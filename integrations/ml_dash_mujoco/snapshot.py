"""A copy of the simulation on which everything can be brought to one moment.

After `mj_step` positions and velocities are those of the new moment, while what derives from them
(poses, sensors, what a renderer draws) is still that of the moment before. Computing it anew in the
user's `MjData` would change what a controller reads next, and so the trajectory. So it is done in a
copy, and row and frame are both taken from there.
"""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from ml_dash_mujoco.state import Stage

WHOLE = int(mujoco.mjtState.mjSTATE_INTEGRATION)
"""All that the next step depends on: enough to go on from, and to draw."""

_CALLBACKS = [
    getattr(mujoco, f"get_mjcb_{name}")
    for name in (
        *("control", "passive", "sensor", "contactfilter"),
        *("act_bias", "act_dyn", "act_gain"),
    )
]


class Snapshot:
    """The state of a simulation at one moment, with what derives from it.

    Args:
        model: that of the simulation.

    Attributes:
        data: the copy, with the poses of the moment that was taken.
        state: float64[n], the state of that moment as `mj_getState` gives it.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        self.data = mujoco.MjData(model)
        self.state: np.ndarray[Any, np.dtype[np.float64]] = np.zeros(
            mujoco.mj_stateSize(model, WHOLE)
        )

    def take(self, data: mujoco.MjData, stage: Stage) -> dict[Stage, mujoco.MjData]:
        """Copy a simulation's state; leaves `data` as it is.

        Args:
            data: the simulation.
            stage: how much is to be computed.

        Returns:
            Where to read what needs each stage.
        """
        if stage is Stage.STATE:
            return {stage: data}
        model, own = self._model, self.data
        mujoco.mj_getState(model, data, self.state, WHOLE)
        mujoco.mj_setState(model, own, self.state, WHOLE)
        forces = own
        if stage < Stage.FORCE:
            compute_poses(model, own)
        elif _is_pure(model):
            mujoco.mj_forward(model, own)
        else:  # computing them would run code of the user's once more
            compute_poses(model, own)
            forces = data
        # The state itself as the user has it, before quaternions are normalized
        return {Stage.STATE: data, Stage.POSE: own, Stage.FORCE: forces}

    def put(self, state: np.ndarray[Any, np.dtype[np.float64]]) -> mujoco.MjData:
        """Bring the copy to a state, and all poses with it."""
        mujoco.mj_setState(self._model, self.data, state, WHOLE)
        compute_poses(self._model, self.data)
        return self.data

    def let_go(self) -> None:
        """Go on with another copy: a thread that nobody waits for may still draw from this one."""
        self.data = mujoco.MjData(self._model)


def compute_poses(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """Bring to the positions what is drawn: bodies, cameras, lights, tendons, soft bodies."""
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    mujoco.mj_camlight(model, data)
    mujoco.mj_flex(model, data)
    mujoco.mj_tendon(model, data)


def _is_pure(model: mujoco.MjModel) -> bool:
    """Whether forces and sensors follow from the state alone, without callbacks or plugins."""
    return model.nplugin == 0 and not any(callback() for callback in _CALLBACKS)
