"""Rendered pictures of the sub-environments."""

from __future__ import annotations

from typing import Any

from gymnasium.vector import SyncVectorEnv, VectorWrapper

from ml_dash_gymnasium.guard import Guard
from ml_dash_gymnasium.vector_batches import Chosen


class Renders:
    """Renders when the first picture of a moment is asked for, and once for all of them.

    The sub-environments of a `SyncVectorEnv` are rendered one by one, so that those which are not
    recorded cost nothing. Others can only render all at once.

    Args:
        env: whose `render_mode` gives pictures.
        chosen: who is recorded.
        guard: told when there is none.
    """

    def __init__(self, env: Any, chosen: Chosen, guard: Guard) -> None:
        self.shown = True
        """Whether what would be rendered now is the observation that is being recorded."""
        self._env = env
        self._chosen = chosen
        self._guard = guard
        self._singles = _sub_environments(env)
        self._pictures: Any = None

    def forget(self) -> None:
        """The environments are about to move on."""
        self._pictures = None

    def picture(self, index: int) -> Any:
        """That of a sub-environment as it is now; `None` where there is none."""
        if not self.shown:
            return None
        try:
            return self._picture(index)
        except Exception as error:  # noqa: BLE001 - recording never ends the training
            self._guard("a rendered picture", error)
            return None

    def _picture(self, index: int) -> Any:
        if self._singles is not None:
            return self._singles[index].render()
        if self._pictures is None:
            self._pictures = self._env.render()
        pictures = self._pictures
        shape = getattr(pictures, "shape", None)
        if shape is not None and len(shape) == 3 and shape[-1] in (3, 4):
            # One picture of them all, as some simulators give: once is enough.
            return pictures if index == self._chosen.ids[0] else None
        return pictures[index]


def _sub_environments(env: Any) -> Any:
    """Those of a `SyncVectorEnv`, if nothing around it has a say in rendering."""
    while isinstance(env, VectorWrapper) and type(env).render is VectorWrapper.render:
        env = env.env
    return env.envs if type(env).render is SyncVectorEnv.render else None
