"""The arm of `arm.xml`: its model, the path it follows, its controller and its camera.

Nothing here records anything; `robot.py` does.
"""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np

MODEL = Path(__file__).with_name("arm.xml")
BALLS = {"red": 0.125, "yellow": 0.375, "green": 0.625, "violet": 0.875}
REACHED = 0.035  # metres from a ball's centre
TRAIL = 80  # end-effector positions drawn behind the tip


def path(phase: float) -> np.ndarray:
    """The point to follow at `phase` (1.0 is one lap): a figure of eight that rises and dips.

    Returns float64[3], metres, in the world's frame.
    """
    a = 2 * np.pi * phase
    return np.array([0.45 - 0.12 * np.sin(2 * a), 0.33 * np.sin(a), 0.38 + 0.15 * np.cos(3 * a)])


class Arm:
    """A six-joint arm whose end-effector follows `path`, one lap in `steps` steps."""

    def __init__(self, steps: int) -> None:
        self.model = mujoco.MjModel.from_xml_path(str(MODEL))
        self.data = mujoco.MjData(self.model)
        self.steps = steps
        self.joints = [self.model.actuator(i).name for i in range(self.model.nu)]
        self.site = self.model.site("ee").id
        self.reached: list[str] = []
        self.target = path(0.0)
        # The pad has a joint too: pick out the arm's own.
        self._qpos = [int(self.model.joint(name).qposadr[0]) for name in self.joints]
        self._dofs = [int(self.model.joint(name).dofadr[0]) for name in self.joints]
        self._jacobian = np.zeros((3, self.model.nv))
        mujoco.mj_resetDataKeyframe(self.model, self.data, self.model.key("home").id)
        for name, phase in BALLS.items():
            self.data.mocap_pos[self.model.body(name).mocapid[0]] = path(phase)
        mujoco.mj_forward(self.model, self.data)

    def step(self, n: int) -> None:
        """Move the target to step `n`, steer towards it, and advance the simulation."""
        self.target = path(n / self.steps)
        self._steer()
        mujoco.mj_step(self.model, self.data)
        # mj_step leaves poses and sensors one step behind the joints; recompute them, so that
        # what is recorded and what is drawn are of one moment.
        mujoco.mj_forward(self.model, self.data)

    def newly_reached(self) -> list[str]:
        """Light the balls that the end-effector touches for the first time; returns their names."""
        new = [
            name
            for name in BALLS
            if name not in self.reached
            and np.linalg.norm(self.ee - self.data.geom(name).xpos) < REACHED
        ]
        for name in new:
            self.model.geom(name).rgba[3] = 1.0
        self.reached += new
        return new

    @property
    def positions(self) -> np.ndarray:
        """The angles of the six joints, float64[6] in radians (a copy)."""
        return self.data.qpos[self._qpos]

    @property
    def velocities(self) -> np.ndarray:
        """The speeds of the six joints, float64[6] in radians a second (a copy)."""
        return self.data.qvel[self._dofs]

    @property
    def ee(self) -> np.ndarray:
        """The end-effector's position, float64[3] in metres (a copy)."""
        return self.data.site_xpos[self.site].copy()

    def sensor(self, name: str) -> np.ndarray:
        """The reading of one sensor of `arm.xml` (a copy; MuJoCo's own array changes in place)."""
        return self.data.sensor(name).data.copy()

    def _steer(self) -> None:
        """Damped least squares: the joint angles that bring the end-effector to the target."""
        mujoco.mj_jacSite(self.model, self.data, self._jacobian, None, self.site)
        jacobian = self._jacobian[:, self._dofs]
        error = self.target - self.ee
        damped = jacobian @ jacobian.T + 1e-3 * np.eye(3)
        delta = jacobian.T @ np.linalg.solve(damped, error)
        self.data.ctrl[:] = self.positions + np.clip(delta * 4.0, -0.5, 0.5)


class Camera:
    """The camera `front` of `arm.xml`, drawn offscreen, with the end-effector's trail."""

    def __init__(self, arm: Arm, height: int, width: int) -> None:
        self.arm = arm
        self.renderer = mujoco.Renderer(arm.model, height, width)
        self.trail: list[np.ndarray] = []
        # In software OpenGL, shadows and multisampling would cost ten times the rest together.
        self.renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False

    def render(self) -> np.ndarray:
        """The picture of this moment, uint8[height, width, 3]."""
        self.trail = [*self.trail, self.arm.ee][-TRAIL:]
        self.renderer.update_scene(self.arm.data, camera="front")
        self._draw_trail(self.renderer.scene)
        return self.renderer.render()

    def close(self) -> None:
        """Free the offscreen context."""
        self.renderer.close()

    def _draw_trail(self, scene: mujoco.MjvScene) -> None:
        for i, (start, end) in enumerate(zip(self.trail, self.trail[1:], strict=False)):
            geom = scene.geoms[scene.ngeom]
            rgba = np.array([0.90, 0.05, 0.55, 0.15 + 0.75 * i / TRAIL], dtype=np.float32)
            mujoco.mjv_initGeom(
                geom, mujoco.mjtGeom.mjGEOM_CAPSULE, np.zeros(3), np.zeros(3), np.zeros(9), rgba
            )
            mujoco.mjv_connector(geom, mujoco.mjtGeom.mjGEOM_CAPSULE, 0.004, start, end)
            scene.ngeom += 1
